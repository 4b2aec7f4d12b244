"""Speed and accuracy of the Sinkhorn divergence of Euclidean distances, beside geomloss.

    python benchmarks/euclidean.py [--quick]

Forward and backward of ``sinkhorn_divergence(metric="euclidean", p=1)`` and of geomloss's
``SamplesLoss("sinkhorn", p=1)``, which has the same cost, on one thread and in turn; times are of
the processor. The error is that of the gradient, relative to ours in float64, at ``tol=1e-7``.
Writes ``results/euclidean.json``; ``--quick`` does two rows, writes nothing, and fails if a
gradient of skotae is wrong.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

# Read by the libraries behind NumPy and torch when they are loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from _clouds import make_clouds
from _common import print_table, save_json
from torch import Tensor

from skotae.transport import sinkhorn_divergence

SIZES = (64, 256, 1024)
DIMENSIONS = (2, 8, 64)
EPSILONS = (0.01, 0.05)
SCALINGS = (0.5, 0.9)
BOUND = 5e-3  # relative error of a gradient
EUCLIDEAN = {"metric": "euclidean", "p": 1}


def gradient(x: Tensor, call: Callable[[], Tensor]) -> Tensor:
    x.grad = None
    call().backward()
    return x.grad.double()


def processor_seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians of rounds in which all calls are made in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def measure(n: int, d: int, epsilon: float) -> dict[str, Any]:
    from geomloss import SamplesLoss

    x, y = make_clouds("clusters", n, d)
    absolute = epsilon * torch.cdist(x, y).mean().item()
    x.requires_grad_()
    wide = x.detach().double().requires_grad_()
    target = gradient(
        wide,
        lambda: sinkhorn_divergence(
            wide, y.double(), epsilon=absolute, relative=False, tol=1e-7, **EUCLIDEAN
        ),
    )
    calls: dict[str, Callable[[], Tensor]] = {
        "skotae": lambda: sinkhorn_divergence(x, y, epsilon=epsilon, **EUCLIDEAN)
    }
    for scaling in SCALINGS:
        loss = SamplesLoss("sinkhorn", p=1, blur=absolute, scaling=scaling, backend="tensorized")
        calls[f"geomloss {scaling}"] = lambda loss=loss: loss(x, y)
    errors = {
        name: float((gradient(x, call) - target).norm() / target.norm())
        for name, call in calls.items()
    }
    rounds = 9 if n <= 256 else 3
    seconds = processor_seconds(
        {name: lambda call=call: gradient(x, call) for name, call in calls.items()}, rounds
    )
    return {
        "n": n,
        "d": d,
        "epsilon": epsilon,
        "seconds": float(f"{seconds['skotae']:.3g}"),
        **{
            f"ratio {name}": float(f"{seconds[name] / seconds['skotae']:.3g}")
            for name in calls
            if name != "skotae"
        },
        **{f"error {name}": float(f"{error:.2g}") for name, error in errors.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    cells = [(64, 8, 0.05), (256, 2, 0.01)] if quick else product(SIZES, DIMENSIONS, EPSILONS)
    rows = []
    for cell in cells:
        rows.append(measure(*cell))
        if not quick:
            save_json("euclidean", {"rows": rows}, "geomloss")
    print_table([*rows[0]], [[*row.values()] for row in rows])
    assert all(row["error skotae"] <= BOUND for row in rows)


if __name__ == "__main__":
    main()
