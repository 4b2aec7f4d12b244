"""Fits beside those of counterparts in pythae, and passes beside a raw network's.

    python benchmarks/counterparts.py [--quick]

20,000 rows of 784 values (MNIST where SKOTAE_DATA names a folder with mnist.npz, else uniform
noise), one hidden layer of 512 units, eight components, mini-batches of 256, three epochs.

- **Fits**: everything between an array and a fitted model, in wall time, in turn, medians of the
  ratios. Estimators start from random weights and sample from the prior, as the others do; both
  have 500 pseudo-inputs where there are any. A counterpart is to take at least three times as
  long; most of a step is products of matrices, the same for both, so that only a slow divergence
  leaves room for that. Needs pythae.
- **Passes**: rows per second of `transform`, `inverse_transform` and `sample` over those of the
  networks alone, which are handed the same mini-batches as tensors, standardised before the
  clock starts (`sample`: with the draws). At least 0.9. What comes between is checks, units and
  the result's array.

Written to ``results/counterparts.json``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import in_turn, median_ratio, print_table, timing, write_json
from throughput import (
    BATCH_SIZE,
    HIDDEN,
    N_COMPONENTS,
    SEED,
    fit_ours,
    load,
    random_networks,
)

from skotae import VAE, AdversarialAE, InfoVAE, VampPriorVAE, WAEEstimator
from skotae.networks import MLP

sys.path.append(str(Path(__file__).parent / "papers"))
from _pythae import PythaeModel

LEAST_RATIO, LEAST_PASS = 3.0, 0.9
# Estimator, its counterpart, and what only one of them has.
PAIRS: dict[str, tuple[Callable[..., Any], str, dict[str, Any]]] = {
    "WAEEstimator": (WAEEstimator, "WAE_MMD", {"refit_decoder": False}),
    "VAE": (VAE, "VAE", {}),
    "InfoVAE": (InfoVAE, "INFOVAE_MMD", {}),
    "AdversarialAE": (AdversarialAE, "AAE", {"refit_decoder": False}),
    "VampPriorVAE": (VampPriorVAE, "VAMP", {"n_pseudo_inputs": 500}),
}


def ours(cls: Callable[..., Any], X: np.ndarray, n_epochs: int, **own: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few epochs
        return fit_ours(X, n_epochs, cls, latent="prior", **random_networks(), **own)


def theirs(name: str, X: np.ndarray, n_epochs: int) -> Any:
    sizes = {"hidden_layer_sizes": (HIDDEN,), "batch_size": BATCH_SIZE, "max_iter": n_epochs}
    return PythaeModel(name, N_COMPONENTS, random_state=SEED, **sizes).fit(X)


def fits(X: np.ndarray, n_epochs: int, repeats: int, names: list[str]) -> dict[str, Any]:
    found = {}
    for name in names:
        cls, other, own = PAIRS[name]
        functions = {
            "skotae": partial(ours, cls, X, n_epochs, **own),
            "pythae": partial(theirs, other, X, n_epochs),
        }
        ours(cls, X[: 4 * BATCH_SIZE], 1, **own)  # what is done once in a process
        theirs(other, X[: 4 * BATCH_SIZE], 1)
        seconds = in_turn(functions, repeats)
        ratio = median_ratio(seconds["pythae"], seconds["skotae"])
        print(f"{name}, {other}: {ratio:.2f}", flush=True)
        found[name] = {
            "counterpart": other,
            "ratio": round(ratio, 3),
            "seconds": {key: timing(value) for key, value in seconds.items()},
        }
    return found


@torch.inference_mode()
def by_hand(network: torch.nn.Module, batches: list[torch.Tensor]) -> np.ndarray:
    return torch.cat([network(batch) for batch in batches]).numpy()


def passes(X: np.ndarray, repeats: int) -> dict[str, Any]:
    model = ours(WAEEstimator, X[: 8 * BATCH_SIZE], 1, prior="normal")
    codes = model.transform(X)
    n = len(X)
    encoder = MLP((HIDDEN,), start="random").build(X.shape[1], N_COMPONENTS).eval()
    decoder = MLP((HIDDEN,), start="random").build(N_COMPONENTS, X.shape[1]).eval()
    data = torch.from_numpy((X - X.mean(0)) / X.std())
    draws = torch.randn(n, N_COMPONENTS, generator=torch.Generator().manual_seed(SEED))
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "transform": (
            lambda: model.transform(X),
            partial(by_hand, encoder, list(data.split(1024))),
        ),
        "inverse_transform": (
            lambda: model.inverse_transform(codes),
            partial(by_hand, decoder, list(torch.from_numpy(codes).split(1024))),
        ),
        "sample": (
            lambda: model.sample(n, random_state=SEED),
            partial(by_hand, decoder, list(draws.split(1024))),
        ),
    }
    found = {}
    for name, (whole, raw) in pairs.items():
        for function in (whole, raw):
            function()
        seconds = in_turn({"estimator": whole, "network": raw}, repeats)
        ratio = median_ratio(seconds["network"], seconds["estimator"])
        found[name] = {
            "ratio": round(ratio, 3),
            "seconds": {key: timing(value) for key, value in seconds.items()},
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimators beside pythae and raw networks.")
    parser.add_argument("--quick", action="store_true", help="few rows, nothing is written")
    options = parser.parse_args()
    data, X = load(2_000 if options.quick else 20_000)
    n_epochs, repeats = (1, 1) if options.quick else (3, 5)
    names = ["VAE"] if options.quick else list(PAIRS)
    if find_spec("pythae") is None:
        print("pythae is not installed: the comparison with it is skipped.")
        names = []
    fitted = fits(X, n_epochs, repeats, names)
    passed = passes(X, 3 if options.quick else 15)
    rows = [
        [f"fit of {name} over {row['counterpart']}", row["ratio"], LEAST_RATIO]
        for name, row in fitted.items()
    ]
    rows += [
        [f"{name} beside the network", row["ratio"], LEAST_PASS] for name, row in passed.items()
    ]
    print_table(
        ["measure", "ratio", "at least", "met"], [[*row, bool(row[1] >= row[2])] for row in rows]
    )
    if not options.quick:
        parameters = {
            "data": data,
            "shape": list(X.shape),
            "n_epochs": n_epochs,
            "batch_size": BATCH_SIZE,
            "hidden_layer_sizes": [HIDDEN],
            "n_components": N_COMPONENTS,
            "least_ratio": LEAST_RATIO,
            "least_pass": LEAST_PASS,
        }
        results = {**parameters, "fits": fitted, "passes": passed}
        write_json("counterparts", results, *(["pythae"] if names else []))


if __name__ == "__main__":
    main()
