"""A step of each estimator over one of a bare autoencoder, in CPU time of one thread.

    python benchmarks/overhead.py [--only SYSTEM ...] [--networks mlp conv] [--quick]

Mini-batches of 256 rows of 784 values, eight components, networks from random weights: one hidden
layer of 512 units (``mlp``), or ``ConvNet`` for images of 28x28 (``conv``). The bare autoencoder
is a loop written by hand with networks of the same layers, squared error and Adam. A step is what
a whole epoch takes, divided by its batches, from the second epoch of a fit on: with reading of
rows, guard, history and callbacks, without what is done once in a fit. Bare loop and estimator
take turns; a ratio is the median over the rounds. Data are uniform noise: the time of a step does
not depend on them, but for Sinkhorn's iterations, and for the codes that GMWAE decodes, of noise
those of all components. Results are written to ``results/overhead.json``, system by system;
``--quick`` takes two systems and few steps, and writes nothing.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from _common import RESULTS, median_ratio, print_table, save_json

from skotae import (
    GMWAE,
    MIM,
    VAE,
    AdversarialAE,
    CoupledVAE,
    InfoVAE,
    SinkhornAE,
    SymmetricWAE,
    VampPriorVAE,
    VampPriorWAE,
    WAEEstimator,
)
from skotae.networks import MLP, ConvNet

BATCH, D, N_FEATURES, SHAPE = 256, 8, 784, (28, 28)
PSEUDO = {"n_pseudo_inputs": 500}
# Estimator, and the most that a step may take.
SYSTEMS: dict[str, tuple[Callable[..., Any], float | None]] = {
    "WAE, mmd": (lambda **kw: WAEEstimator(penalty="mmd", **kw), 1.15),
    "WAE, sliced": (lambda **kw: WAEEstimator(penalty="sliced", **kw), 1.15),
    "WAE, gaussian": (lambda **kw: WAEEstimator(penalty="gaussian", **kw), 1.15),
    "WAE, sinkhorn": (lambda **kw: WAEEstimator(penalty="sinkhorn", **kw), 1.25),
    "WAE, exact": (lambda **kw: WAEEstimator(penalty="exact", **kw), 1.5),
    "WAE, gan": (lambda **kw: WAEEstimator(penalty="gan", **kw), 1.4),
    "SinkhornAE": (SinkhornAE, 1.25),
    "SymmetricWAE": (lambda **kw: SymmetricWAE(**PSEUDO, **kw), 1.6),
    "VampPriorVAE": (lambda **kw: VampPriorVAE(**PSEUDO, **kw), 2.0),
    "MIM": (lambda **kw: MIM(**PSEUDO, **kw), 2.0),
    "GMWAE": (lambda **kw: GMWAE(n_mixtures=10, **kw), 3.0),
    "VAE": (VAE, None),
    "InfoVAE": (InfoVAE, None),
    "AdversarialAE": (AdversarialAE, None),
    "VampPriorWAE": (lambda **kw: VampPriorWAE(**PSEUDO, **kw), None),
    "CoupledVAE": (CoupledVAE, None),
}
NETWORKS = {
    "mlp": lambda: MLP((512,), start="random"),
    "conv": lambda: ConvNet(SHAPE, start="random"),
}


class Clock:
    """A callback that notes the CPU time at the end of each epoch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.times = []

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch":
            self.times.append(time.process_time())


def step_of(times: Sequence[float], n_batches: int) -> float:
    """Seconds of a step, from the ends of the epochs."""
    return median(np.diff(times)) / n_batches


def ours(make: Callable[..., Any], network: str, X: np.ndarray, n_epochs: int) -> float:
    clock = Clock()
    coders = {side: NETWORKS[network]() for side in ("encoder", "decoder")}
    model = make(
        n_components=D,
        batch_size=BATCH,
        max_iter=n_epochs,
        device="cpu",
        random_state=0,
        **coders,
    )
    with warnings.catch_warnings():
        # Of noise, and after so few epochs.
        warnings.simplefilter("ignore")
        model.set_callbacks(clock).fit(X)
    return step_of(clock.times, len(X) // BATCH)


def bare(network: str, X: np.ndarray, n_epochs: int) -> float:
    """An autoencoder by hand: the same layers, squared error, Adam."""
    spec = NETWORKS[network]()
    encoder, decoder = spec.build(N_FEATURES, D), spec.build(D, N_FEATURES)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.003, fused=True)
    data, times = torch.from_numpy(X), []
    data = (data - data.mean(0)) / data.std()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(data)).split(BATCH):
            x = data.index_select(0, rows)
            error = (x - decoder(encoder(x))).square().sum(1).mean()
            optimiser.zero_grad(set_to_none=True)
            error.backward()
            optimiser.step()
        times.append(time.process_time())
    return step_of(times, len(X) // BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps of estimators over a bare autoencoder's.")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two systems, nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        options.only, options.networks, options.rounds = ["WAE, mmd", "GMWAE"], ["mlp"], 1
    path = RESULTS / "overhead.json"
    results: dict[str, Any] = json.loads(path.read_text())["steps"] if path.exists() else {}
    rows = []
    for network in options.networks:
        n_batches, n_epochs = (4, 3) if options.quick else (16, 3 if network == "conv" else 5)
        X = np.random.default_rng(0).random((n_batches * BATCH, N_FEATURES), dtype=np.float32)
        bare(network, X, 2)  # what is done once in a process
        for name in options.only:
            make, most = SYSTEMS[name]
            seconds: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(options.rounds):
                seconds["bare"].append(bare(network, X, n_epochs))
                seconds["ours"].append(ours(make, network, X, n_epochs))
            ratio = median_ratio(seconds["ours"], seconds["bare"])
            milliseconds = 1000 * median(seconds["ours"])
            met = "" if most is None else bool(ratio <= most)
            rows.append([network, name, milliseconds, ratio, most or "", met])
            print(f"{network}, {name}: {ratio:.2f}", flush=True)
            results.setdefault(network, {})[name] = {
                "milliseconds": round(milliseconds, 3),
                "ratio": round(ratio, 3),
                "most": most,
            }
            if not options.quick:
                save_json("overhead", {"batch_size": BATCH, "steps": results})
    print_table(["networks", "system", "ms", "ratio", "at most", "met"], rows)


if __name__ == "__main__":
    main()
