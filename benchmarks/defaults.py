"""The five estimators with their defaults on four data sets, images and tables.

    python benchmarks/defaults.py [--quick]

Only ``n_components=8`` and ``random_state=0`` are set.

Digits (pixels in [0, 1], a stratified test set of 30 %), for each estimator beside PCA: the
accuracy of five nearest neighbours on the test codes, the test reconstruction error
(squared, summed over pixels), the score and the seconds of the fit. Iris, wine and breast
cancer, standardised: the score, the number of warnings, and for 500 samples the worst
excursion beyond the data's range as a share of that range (0 is within it) and the smallest
ratio over features of the samples' standard deviation to the data's; with ``clip=False``
too. ``--quick`` has digits only, with a tenth of the epochs.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from _common import print_table, write_json
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skotae import GMWAE, CoupledVAE, SinkhornAE, SymmetricWAE, WAEEstimator
from skotae.metrics import triangle_bound

SEED = 0
N_COMPONENTS = 8
N_SAMPLES = 500
ESTIMATORS = (WAEEstimator, SinkhornAE, SymmetricWAE, GMWAE, CoupledVAE)
TABLES = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer}


def fitted(estimator: Any, X: np.ndarray) -> tuple[Any, float, list[str]]:
    """The fitted estimator, seconds, and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        estimator.fit(X)
        seconds = time.perf_counter() - start
    return estimator, seconds, [str(warning.message) for warning in caught]


def on_digits(quick: bool) -> dict[str, dict[str, Any]]:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, test_size=0.3, stratify=y, random_state=SEED
    )
    results = {}
    for cls in (PCA, *ESTIMATORS):
        estimator = cls(n_components=N_COMPONENTS, random_state=SEED)
        if quick and cls is not PCA:
            estimator.set_params(max_iter=estimator.max_iter // 10)
        model, seconds, caught = fitted(estimator, X_train)
        codes = model.transform(X_test)
        reconstructed = model.inverse_transform(codes)
        if cls is PCA:
            # Its model is Gaussian in the plane of the components.
            rng = np.random.default_rng(SEED)
            drawn = rng.normal(size=(len(X_test), N_COMPONENTS))
            drawn *= np.sqrt(model.explained_variance_)
            samples = model.inverse_transform(drawn)
            score = -triangle_bound(X_test, reconstructed, samples, random_state=SEED)
        else:
            reconstructed = model.reconstruct(X_test)
            score = model.score(X_test)
        neighbours = KNeighborsClassifier(n_neighbors=5).fit(model.transform(X_train), y_train)
        results[cls.__name__] = {
            "accuracy": float(neighbours.score(codes, y_test)),
            "reconstruction_error": float(np.square(X_test - reconstructed).sum(axis=1).mean()),
            "score": float(score),
            "fit_seconds": round(seconds, 2),
            "warnings": caught,
        }
    return results


def excursion(samples: np.ndarray, X: np.ndarray) -> float:
    """How far samples leave the range of the data, as a share of that range."""
    low, high = X.min(axis=0), X.max(axis=0)
    beyond = np.maximum(low - samples, samples - high) / (high - low)
    return float(max(0.0, beyond.max()))


def on_table(X: np.ndarray) -> dict[str, dict[str, Any]]:
    X = StandardScaler().fit_transform(X)
    results = {}
    for cls in ESTIMATORS:
        model, seconds, caught = fitted(cls(n_components=N_COMPONENTS, random_state=SEED), X)
        clipped = model.sample(N_SAMPLES, random_state=SEED)
        free = model.set_params(clip=False).sample(N_SAMPLES, random_state=SEED)
        results[cls.__name__] = {
            "score": float(model.score(X)),
            "warnings": caught,
            "excursion": excursion(clipped, X),
            "smallest_std_ratio": float((clipped.std(axis=0) / X.std(axis=0)).min()),
            "excursion_without_clip": excursion(free, X),
            "smallest_std_ratio_without_clip": float((free.std(axis=0) / X.std(axis=0)).min()),
            "fit_seconds": round(seconds, 2),
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Defaults on four data sets.")
    parser.add_argument("--quick", action="store_true", help="digits only, a tenth of the epochs")
    options = parser.parse_args()

    digits = on_digits(options.quick)
    print("digits" + (", a tenth of the epochs" if options.quick else ""))
    columns = ["accuracy", "reconstruction_error", "score", "fit_seconds"]
    print_table(
        ["estimator", *columns, "warnings"],
        [[k, *(v[c] for c in columns), len(v["warnings"])] for k, v in digits.items()],
    )
    if options.quick:
        return
    tables = {name: on_table(load(return_X_y=True)[0]) for name, load in TABLES.items()}
    columns = [
        "score",
        "excursion",
        "smallest_std_ratio",
        "excursion_without_clip",
        "smallest_std_ratio_without_clip",
        "fit_seconds",
    ]
    for name, table in tables.items():
        print(f"\n{name}")
        print_table(
            ["estimator", *columns, "warnings"],
            [[k, *(v[c] for c in columns), len(v["warnings"])] for k, v in table.items()],
        )
    parameters = {"n_components": N_COMPONENTS, "random_state": SEED, "n_samples": N_SAMPLES}
    write_json("defaults", {"parameters": parameters, "digits": digits, **tables})


if __name__ == "__main__":
    main()
