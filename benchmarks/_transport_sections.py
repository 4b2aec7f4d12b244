"""What `transport.py` measures beside its grid; each section returns results and targets."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _clouds import FAMILIES, certified_reference, make_clouds
from _common import in_turn, median_ratio, timing
from torch import nn

from skotae.divergences import SinkhornDivergence
from skotae.transport import (
    exact_cost,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    sliced_wasserstein,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

Section = dict[str, Any]
DIMENSIONS = (8, 64)
ROUNDS = 15


def target(measure: str, value: float, bound: float, *, at_least: bool) -> dict[str, Any]:
    """A line of the table of targets."""
    return {
        "measure": measure,
        "value": float(f"{value:.3g}"),
        "target": f"at {'least' if at_least else 'most'} {bound:g}",
        "met": value >= bound if at_least else value <= bound,
    }


def precision(sizes: tuple[int, ...] = (64, 256, 1024)) -> Section:
    """Values in float64 at a tolerance of 1e-6."""
    rows = []
    for family, n, d, epsilon in product(FAMILIES, sizes, DIMENSIONS, (0.01, 0.05, 0.1)):
        x, y = make_clouds(family, n, d)
        reference = certified_reference(x, y, epsilon)
        value = sinkhorn_divergence(
            x.double(), y.double(), epsilon=epsilon, tol=1e-6, max_iter=10_000
        )
        error = abs(value.item() / reference.value - 1)
        rows.append(
            {
                "family": family,
                "n_points": n,
                "n_features": d,
                "epsilon": epsilon,
                "value": reference.value,
                "relative_error": float(f"{error:.3g}"),
                "reference_violation": float(f"{reference.violation:.3g}"),
            }
        )
    worst = max(row["relative_error"] for row in rows)
    name = "value at tol=1e-6, float64: relative error"
    return {"rows": rows, "targets": [target(name, worst, 1e-6, at_least=False)]}


def _with_backward(x: torch.Tensor, function: Callable[[], torch.Tensor]) -> float:
    x.grad = None
    value = function()
    value.backward()
    return value.item()


def exact(n: int = 1024) -> Section:
    """Value and gradient, against the value alone by POT's network simplex."""
    import ot

    results: Section = {"targets": []}
    for d in DIMENSIONS:
        x, y = make_clouds("clusters", n, d)
        left, right = x.double().numpy(), y.double().numpy()
        weights = np.full(n, 1 / n)
        x = x.requires_grad_()
        ours = partial(_with_backward, x, partial(exact_cost, x, y))

        def simplex(left=left, right=right, weights=weights) -> float:
            return ot.emd2(weights, weights, ot.dist(left, right), numItermax=10_000_000)

        difference = abs(ours() / simplex() - 1)
        seconds = in_turn({"skotae": ours, "POT": simplex}, ROUNDS)
        ratio = median_ratio(seconds["POT"], seconds["skotae"])
        results[f"d = {d}"] = {
            "seconds": {key: timing(value) for key, value in seconds.items()},
            "ratio": round(ratio, 3),
            "relative_difference": difference,
        }
        name = f"exact cost, {n} points, d = {d}"
        results["targets"] += [
            target(f"{name}: time ratio of emd2", ratio, 1.8, at_least=True),
            target(f"{name}: relative difference", difference, 1e-6, at_least=False),
        ]
    return results


def sliced(n: int = 1024) -> Section:
    """200 projections, forward and backward; POT returns the root."""
    import ot

    results: Section = {"targets": []}
    for d in DIMENSIONS:
        x, y = make_clouds("clusters", n, d)
        x = x.requires_grad_()
        calls = {
            "skotae": partial(sliced_wasserstein, x, y, n_projections=200),
            "POT": partial(ot.sliced_wasserstein_distance, x, y, n_projections=200),
        }
        torch.manual_seed(1)  # not that of the clouds: directions would be those of its points
        calls = {name: partial(_with_backward, x, call) for name, call in calls.items()}
        values = {name: call() for name, call in calls.items()}
        seconds = in_turn(calls, ROUNDS)
        ratio = median_ratio(seconds["POT"], seconds["skotae"])
        results[f"d = {d}"] = {
            "seconds": {key: timing(value) for key, value in seconds.items()},
            "ratio": round(ratio, 3),
            "values": {"skotae": values["skotae"], "POT, squared": values["POT"] ** 2},
        }
        name = f"sliced distance, {n} points, d = {d}: time ratio of POT"
        results["targets"].append(target(name, ratio, 6.0, at_least=True))
    return results


def _loop(function: Callable[..., Any], *tensors: torch.Tensor) -> None:
    for inputs in zip(*tensors, strict=True):
        function(*inputs)


def batches(size: int = 64, n: int = 64, d: int = 8) -> Section:
    """A batch of problems, forward and backward where there is one, beside a loop over them."""
    clouds = [make_clouds("clusters", size * n, d)[k].view(size, n, d) for k in (0, 1)]
    costs = torch.cdist(*clouds).square()

    def slope(function: Callable[..., torch.Tensor], first: torch.Tensor, *rest: Any) -> None:
        function(first.detach().requires_grad_(), *rest).sum().backward()

    def gradient(function: Callable[..., Any], **options: Any) -> Callable[..., None]:
        return partial(slope, partial(function, **options))

    unbalanced = partial(gradient, unbalanced_sinkhorn_divergence)
    half = {"debias": "none", "rho": (1.0, math.inf)}
    cases = {
        "sinkhorn_divergence": (gradient(sinkhorn_divergence), clouds),
        "sinkhorn_plan": (sinkhorn_plan, clouds),
        "sinkhorn_potentials": (sinkhorn_potentials, clouds),
        "sinkhorn_cost": (gradient(sinkhorn_cost), [costs]),
        "unbalanced_sinkhorn_divergence": (unbalanced(), clouds),
        "the same, total variation": (unbalanced(unbalanced_type="tv"), clouds),
        "the same, semi-relaxed": (unbalanced(**half), clouds),
        "the same, distances": (unbalanced(p=1, metric="euclidean"), clouds),
        "unbalanced_sinkhorn_plan": (unbalanced_sinkhorn_plan, clouds),
        "unbalanced_sinkhorn_potentials": (unbalanced_sinkhorn_potentials, clouds),
        "unbalanced_sinkhorn_cost": (gradient(unbalanced_sinkhorn_cost), [costs]),
    }
    results: Section = {"size": size, "n_points": n, "n_features": d, "targets": []}
    for name, (function, tensors) in cases.items():
        calls = {"batch": partial(function, *tensors), "loop": partial(_loop, function, *tensors)}
        for call in calls.values():
            call()
        seconds = in_turn(calls, ROUNDS)
        ratio = median_ratio(seconds["loop"], seconds["batch"])
        results[name] = {
            "seconds": {key: timing(value) for key, value in seconds.items()},
            "ratio": round(ratio, 3),
        }
        title = f"{size} problems of {n} points, {name}: time ratio of a loop"
        results["targets"].append(target(title, ratio, 3.0, at_least=True))
    return results


class _Training:
    """Steps of a Sinkhorn autoencoder, or of an autoencoder where `penalty` is None."""

    def __init__(self, penalty: SinkhornDivergence | None):
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 784))
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = torch.optim.Adam(parameters, fused=True)
        self.penalty = penalty
        # Ten classes in eight dimensions, as large as MNIST's rows, and noise.
        codes, _ = make_clouds("clusters", 8192, 8)
        self.data = torch.tanh(codes @ torch.randn(8, 784)) + 0.1 * torch.randn(8192, 784)

    def run(self, n_steps: int = 32) -> None:
        for x in self.data.split(256)[:n_steps]:
            z = self.encoder(x)
            loss = (x - self.decoder(z)).square().sum(1).mean() / 784
            if self.penalty is not None:
                loss = loss + 0.02 * self.penalty(z, torch.randn(z.shape))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()


def training_step(rounds: int = ROUNDS) -> Section:
    """Batches of 256 codes in 8 dimensions; ratios to the step without the divergence."""
    penalties = {
        "none": None,
        "independent": SinkhornDivergence(),
        "paired": SinkhornDivergence(debias="paired"),
    }
    trainings = {name: _Training(penalty) for name, penalty in penalties.items()}
    for training in trainings.values():  # codes that have found their place
        for _ in range(3):
            training.run()
    seconds = in_turn({name: training.run for name, training in trainings.items()}, rounds)
    ratios = {
        name: median_ratio(seconds[name], seconds["none"]) for name in ("independent", "paired")
    }
    return {
        "milliseconds": {
            name: round(1e3 * statistics.median(value) / 32, 3) for name, value in seconds.items()
        },
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "targets": [
            target(f'training step, debias="{name}": time ratio', ratio, 1.25, at_least=False)
            for name, ratio in ratios.items()
        ],
    }


PROBE = """
import sys, time, resource
import torch
from _clouds import make_clouds
from skotae.transport import sinkhorn_divergence

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

torch.set_num_threads(1)
n, max_memory = int(sys.argv[1]), float(sys.argv[2])
x, y = make_clouds("clusters", 64, 8)
sinkhorn_divergence(x.requires_grad_(), y).backward()
x, y = make_clouds("clusters", n, 8)
x.requires_grad_()
before = peak()
start = time.perf_counter()
value, info = sinkhorn_divergence(x, y, max_memory=max_memory, return_info=True)
value.backward()
print(time.perf_counter() - start, peak() - before, info.n_iter, bool(x.grad.isfinite().all()))
"""
# On Linux a new process inherits the peak of the one that starts it: a small one does so.
LAUNCH = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"


def memory(sizes: tuple[int, ...] = (5_000, 10_000, 20_000), max_memory: float = 64) -> Section:
    """Time and peak memory, each in a process of its own; `max_memory` MiB blocks all sizes."""
    rows = []
    for n in sizes:
        command = [sys.executable, "-c", LAUNCH, "-c", PROBE, str(n), str(max_memory)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
        )
        seconds, extra, n_iter, finite = done.stdout.split()
        assert finite == "True"
        rows.append(
            {
                "n_points": n,
                "seconds": round(float(seconds), 3),
                "extra_mb": round(int(extra) / 1e6, 1),
                "n_iter": int(n_iter),
            }
        )
    logs = [[math.log(row[key]) for row in rows] for key in ("n_points", "seconds")]
    exponent = statistics.linear_regression(*logs).slope
    last = rows[-1]
    name = f"{last['n_points']:,} points: memory, MB"
    return {
        "max_memory_mib": max_memory,
        "rows": rows,
        "exponent": round(exponent, 3),
        "targets": [target(name, last["extra_mb"], 300, at_least=False)],
    }


SECTIONS: dict[str, Callable[[], Section]] = {
    "precision": precision,
    "exact": exact,
    "sliced": sliced,
    "training_step": training_step,
    "memory": memory,
}
