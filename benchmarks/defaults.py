"""Every estimator, and every penalty, with its defaults on four data sets.

    python benchmarks/defaults.py [--quick | --redo [NAME ...]]

Only ``n_components=8`` and ``random_state=0`` are set.

Digits (pixels in [0, 1], a stratified test set of 30 %), beside PCA: the accuracy of five
nearest neighbours on the test codes, the test reconstruction error (squared, summed over
pixels), the score and the seconds of the fit. Iris, wine and breast cancer, standardised:
the score, the number of warnings, and for 500 samples the worst excursion beyond the data's
range as a share of that range (0 is within it) and the smallest ratio over features of the
samples' standard deviation to the data's; with ``clip=False`` too.

Results are written as they come, and what is there is not measured again; ``--redo`` starts
anew, with names for these alone. ``--quick`` has digits only, with five epochs.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np
from _common import RESULTS, print_table, save_json, write_json
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import skotae
from skotae.metrics import transport_r2_score

SEED = 0
N_COMPONENTS = 8
N_SAMPLES = 500
NAMES = sorted(name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit"))
PENALTIES = ("gan", "sinkhorn", "exact", "sliced", "gaussian")
SYSTEMS = {name: (name, {}) for name in NAMES} | {
    f"WAEEstimator, {penalty}": ("WAEEstimator", {"penalty": penalty}) for penalty in PENALTIES
}
Row = dict[str, Any]
TABLES = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer}


def make(name: str) -> Any:
    cls, params = SYSTEMS[name]
    return getattr(skotae, cls)(n_components=N_COMPONENTS, random_state=SEED, **params)


def fitted(estimator: Any, X: np.ndarray) -> tuple[Any, float, list[str]]:
    """The fitted estimator, seconds, and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        estimator.fit(X)
        seconds = time.perf_counter() - start
    return estimator, seconds, [str(warning.message) for warning in caught]


def score_of_pca(model: PCA, X: np.ndarray) -> float:
    """That of a Gaussian in the plane of the components."""
    rng = np.random.default_rng(SEED)
    drawn = rng.normal(size=(len(X), N_COMPONENTS)) * np.sqrt(model.explained_variance_)
    reconstructed = model.inverse_transform(model.transform(X))
    samples = model.inverse_transform(drawn)
    return transport_r2_score(X, reconstructed, samples, random_state=SEED)


def on_digits(name: str, quick: bool = False) -> Row:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, test_size=0.3, stratify=y, random_state=SEED
    )
    estimator = make(name) if name != "PCA" else PCA(N_COMPONENTS, random_state=SEED)
    if quick and name != "PCA":
        estimator.set_params(max_iter=5)
    model, seconds, caught = fitted(estimator, X_train)
    row: Row = {"accuracy": None, "reconstruction_error": None, "transport_r2": None}
    if hasattr(model, "transform"):
        codes = model.transform(X_test)
        neighbours = KNeighborsClassifier(n_neighbors=5).fit(model.transform(X_train), y_train)
        row["accuracy"] = float(neighbours.score(codes, y_test))
        if hasattr(model, "inverse_transform"):
            error = np.square(X_test - model.inverse_transform(codes)).sum(axis=1).mean()
            row["reconstruction_error"] = float(error)
    if name == "PCA":
        row["transport_r2"] = score_of_pca(model, X_test)
    elif hasattr(model, "sample"):
        # Without a decoder the score is about codes, and stands beside no other.
        row["transport_r2"] = model.score(X_test)
    return {**row, "fit_seconds": round(seconds, 2), "warnings": caught}


def excursion(samples: np.ndarray, X: np.ndarray) -> float:
    """How far samples leave the range of the data, as a share of that range."""
    low, high = X.min(axis=0), X.max(axis=0)
    beyond = np.maximum(low - samples, samples - high) / (high - low)
    return float(max(0.0, beyond.max()))


def on_table(name: str, X: np.ndarray) -> Row:
    X = StandardScaler().fit_transform(X)
    model, seconds, caught = fitted(make(name), X)
    row: Row = {"transport_r2": float(model.score(X)), "warnings": caught}
    for suffix, clip in {"": True, "_without_clip": False}.items():
        if hasattr(model, "sample"):
            samples = model.set_params(clip=clip).sample(N_SAMPLES, random_state=SEED)
            row[f"excursion{suffix}"] = excursion(samples, X)
            row[f"smallest_std_ratio{suffix}"] = float((samples.std(0) / X.std(0)).min())
    return {**row, "fit_seconds": round(seconds, 2)}


def show(title: str, rows: dict[str, Row]) -> None:
    print(f"\n{title}")
    columns = [c for c in next(iter(rows.values())) if c != "warnings"]
    print_table(
        ["estimator", *columns, "warnings"],
        [[k, *(v.get(c) for c in columns), len(v["warnings"])] for k, v in rows.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Defaults on four data sets.")
    parser.add_argument("--quick", action="store_true", help="digits only, a tenth of the epochs")
    parser.add_argument("--redo", nargs="*", metavar="NAME", help="measure again what is there")
    options = parser.parse_args()
    if options.quick:
        show("digits, a tenth of the epochs", {n: on_digits(n, True) for n in ("PCA", *SYSTEMS)})
        return

    path = RESULTS / "defaults.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    again = [] if options.redo is None else options.redo or ["PCA", *SYSTEMS]
    parameters = {"n_components": N_COMPONENTS, "random_state": SEED, "n_samples": N_SAMPLES}
    for data, load in {"digits": None, **TABLES}.items():
        rows = results.setdefault(data, {})
        for name in [n for n in ("PCA", *SYSTEMS) if n in again or n not in rows]:
            if load is None:
                rows[name] = on_digits(name)
            elif name != "PCA":
                rows[name] = on_table(name, load(return_X_y=True)[0])
            save_json("defaults", {**results, "parameters": parameters})
        order = [name for name in ("PCA", *SYSTEMS) if name in rows]
        results[data] = {name: rows[name] for name in order}
        show(data, results[data])
    write_json("defaults", {**results, "parameters": parameters})


if __name__ == "__main__":
    main()
