"""How CPU time and memory of a fit grow with rows, dimension, batch and number of components.

    python benchmarks/growth.py [--only SERIES ...] [--quick]

Each series is written when it is done; ``--only`` leaves the others in the file as they are.

One thread; normal data; networks with one hidden layer of 64 units from principal components.
Each point is the least of three: ``rows`` the whole fit of one epoch, from array to fitted model
(200 columns); ``columns``, ``dimension`` of the code and ``batch`` one epoch of 8,192 rows, with
all that is done once in a fit; ``mixtures`` of GMWAE and ``pseudo-inputs`` of VampPriorVAE and
SymmetricWAE the same. The exponent is the slope of log time against log size over the upper half
of the sizes, where what is done once no longer counts: at most 1, for all but the batch, means
that nothing grows faster than in proportion. (A batch of M costs M^2 kernels, costs or pairs in
an epoch of N / M batches.) Written to ``results/growth.json``.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from _common import RESULTS, print_table, save_json

from skotae import GMWAE, SinkhornAE, SymmetricWAE, VampPriorVAE, WAEEstimator

N_ROWS, N_COLUMNS, BATCH = 8192, 64, 256
Fit = Callable[[np.ndarray], Any]


def rows(n: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, width), dtype=np.float32)


def fit(cls: Any, X: np.ndarray, **params: Any) -> float:
    """CPU seconds."""
    usual = {"n_components": 8, "batch_size": BATCH, "max_iter": 1, "hidden_layer_sizes": (64,)}
    model = cls(device="cpu", random_state=0, **usual | params)
    start = time.process_time()
    model.fit(X)
    return time.process_time() - start


def of_rows(cls: Any) -> Callable[[int], float]:
    return lambda n: fit(cls, rows(n, 200))


def of_columns(cls: Any) -> Callable[[int], float]:
    return lambda p: fit(cls, rows(N_ROWS, p))


def of(cls: Any, parameter: str, width: int = N_COLUMNS) -> Callable[[int], float]:
    return lambda value: fit(cls, rows(N_ROWS, width), **{parameter: value})


def powers(low: int, high: int, factor: int = 4) -> list[int]:
    found = [low]
    while found[-1] * factor <= high:
        found.append(found[-1] * factor)
    return found


SERIES: dict[str, tuple[Callable[[int], float], Sequence[int]]] = {
    "WAEEstimator, rows": (of_rows(WAEEstimator), [1000, 10_000, 100_000, 1_000_000]),
    "SinkhornAE, rows": (of_rows(SinkhornAE), [1000, 10_000, 100_000, 1_000_000]),
    "SymmetricWAE, rows": (of_rows(SymmetricWAE), [1000, 10_000, 100_000, 1_000_000]),
    "WAEEstimator, columns": (of_columns(WAEEstimator), powers(16, 4096)),
    "WAEEstimator, dimension": (of(WAEEstimator, "n_components", 512), powers(2, 512)),
    "SinkhornAE, dimension": (of(SinkhornAE, "n_components", 512), powers(2, 512)),
    "WAEEstimator, batch": (of(WAEEstimator, "batch_size"), powers(64, 8192, 2)),
    "SinkhornAE, batch": (of(SinkhornAE, "batch_size"), powers(64, 8192, 2)),
    "GMWAE, mixtures": (of(GMWAE, "n_mixtures"), powers(4, 64, 2)),
    "VampPriorVAE, pseudo-inputs": (of(VampPriorVAE, "n_pseudo_inputs"), powers(10, 4000, 4)),
    "SymmetricWAE, pseudo-inputs": (of(SymmetricWAE, "n_pseudo_inputs"), powers(10, 4000, 4)),
}


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Slope of the logarithms over the upper half of the sizes."""
    upper = slice(len(sizes) // 2 - 1, None)
    return float(np.polyfit(np.log(sizes[upper]), np.log(seconds[upper]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Growth of the time of a fit.")
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--quick", action="store_true", help="one short series, no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of one epoch
    if options.quick:
        options.only = ["WAEEstimator, rows"]
    path = RESULTS / "growth.json"
    kept: dict[str, Any] = json.loads(path.read_text())["series"] if path.exists() else {}
    found: dict[str, Any] = {}
    fit(WAEEstimator, rows(1000, 20))  # what is done once in a process
    for name in options.only:
        measure, sizes = SERIES[name]
        sizes = sizes[:2] if options.quick else sizes
        seconds = [min(measure(size) for _ in range(3)) for size in sizes]
        slope = exponent(sizes, seconds)
        found[name] = {
            "sizes": list(sizes),
            "seconds": [round(value, 4) for value in seconds],
            "exponent": round(slope, 3),
        }
        print(f"{name}: {slope:.2f}", flush=True)
        if not options.quick:
            series = {key: (kept | found)[key] for key in SERIES if key in kept | found}
            save_json("growth", {"series": series})
    print_table(
        ["series", "sizes", "seconds", "exponent"],
        [
            [name, f"{row['sizes'][0]} to {row['sizes'][-1]}", row["seconds"], row["exponent"]]
            for name, row in found.items()
        ],
    )


if __name__ == "__main__":
    main()
