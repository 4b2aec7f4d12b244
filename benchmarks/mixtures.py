"""Classes that the components of ``GMWAE()`` find, beside those of k-means.

    python benchmarks/mixtures.py [--only SET ...] [--seeds N] [--redo] [--quick]

The number of components is that of classes; nothing else is set, and labels are used for the
figures alone. Of test rows, split as ``_datasets.py`` splits them (``mnist``: 20,000 training rows
from the front, 5,000 more as test rows; its own test rows are not looked at):

- ``greedy``, ``hungarian``: accuracy with one component for each class, assigned greedily by the
  largest mean q(k|x), or as well as can be;
- ``in_use``: components with at least half of an equal share of the training rows;
- ``purity``: share of a component's training rows that are of the class that most of them have,
  the mean over components;
- ``samples_of_class``: share of a component's samples that five nearest neighbours among the
  training rows give that class, the mean over components, and ``least_of_class``, the least;
  ``prior_of_class`` is the first with ``latent="prior"``, where samples are the prior's;
- ``cpu_seconds`` of the fit, and on digits those of ``WAEEstimator()``.

Medians of the seeds are printed. Results are written as they come to ``results/mixtures.json``;
what is there is not measured again. ``--quick`` takes iris and five epochs and writes nothing.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
from copy import copy
from statistics import median
from typing import Any

import numpy as np
import torch
from _common import RESULTS, print_table, save_json
from _datasets import GROUPS, TABLES, load
from _readers import Missing
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from skotae import GMWAE, WAEEstimator
from skotae.datasets import fetch_mnist
from skotae.metrics import clustering_accuracy

SETS = ("digits", "iris", "wine", "breast_cancer", "mnist", "satellite", "gun_point", "spambase")
SETS += (*GROUPS,)
N_TRAIN, N_TEST = 20_000, 5000
N_SAMPLES = 200
Row = dict[str, Any]


def rows_of(name: str) -> tuple[np.ndarray, ...]:
    """Training and test rows, and their classes."""
    if name != "mnist":
        return load(name)
    data = fetch_mnist()
    X, y = data["X_train"], data["y_train"]
    test = slice(N_TRAIN, N_TRAIN + N_TEST)
    return X[:N_TRAIN], X[test], y[:N_TRAIN], y[test]


def seconds_of(model: Any, X: np.ndarray) -> float:
    start = time.process_time()
    model.fit(X)
    return round(time.process_time() - start, 2)


def shares_of_class(model: GMWAE, X: np.ndarray, y: np.ndarray) -> Row:
    """Of rows and samples of each component that has rows, those of its rows' class."""
    classifier = KNeighborsClassifier(5).fit(X, y)
    prior = copy(model).set_params(latent="prior")
    rows, of_codes, of_prior = [], [], []
    for k in np.unique(model.labels_):
        classes, counts = np.unique(y[model.labels_ == k], return_counts=True)
        rows.append(counts.max() / counts.sum())
        for each, found in ((model, of_codes), (prior, of_prior)):
            samples = each.sample(N_SAMPLES, component=int(k), random_state=0)
            found.append(np.mean(classifier.predict(samples) == classes[counts.argmax()]))
    return {
        "purity": float(np.mean(rows)),
        "samples_of_class": float(np.mean(of_codes)),
        "least_of_class": float(min(of_codes)),
        "prior_of_class": float(np.mean(of_prior)),
    }


def measured(data: tuple[np.ndarray, ...], seed: int, **params: Any) -> Row:
    X, X_test, y, y_test = data
    k = len(np.unique(y))
    model = GMWAE(n_mixtures=k, random_state=seed, **params)
    seconds = seconds_of(model, X)
    of_class = shares_of_class(model, X, y)
    clusters = KMeans(k, n_init=10, random_state=seed).fit(X).predict(X_test)
    proba = model.predict_proba(X_test)
    return {
        "greedy": float(clustering_accuracy(y_test, proba, assignment="greedy")),
        "hungarian": float(clustering_accuracy(y_test, proba.argmax(axis=1))),
        "k_means": float(clustering_accuracy(y_test, clusters)),
        "in_use": int((model.weights_ >= 0.5 / k).sum()),
        "n_classes": k,
        **of_class,
        "cpu_seconds": seconds,
    }


def show(results: Row) -> None:
    names = ["greedy", "hungarian", "k_means", "in_use", "n_classes", "purity", "samples_of_class"]
    names += ["least_of_class", "prior_of_class", "cpu_seconds", "wae_seconds"]
    rows = []
    for name, seeds in results.items():
        found = [[row[key] for row in seeds.values() if key in row] for key in names]
        rows.append([name, len(seeds), *(round(median(v), 3) if v else "" for v in found)])
    print_table(["set", "seeds", *names], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Components of GMWAE() and classes.")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--redo", action="store_true", help="measure again what is there")
    parser.add_argument("--quick", action="store_true", help="iris, five epochs, no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        show({"iris": {"0": measured(rows_of("iris"), 0, max_iter=5)}})
        return
    assert not any(TABLES[name].held_out for name in SETS if name in TABLES)
    path = RESULTS / "mixtures.json"
    results: Row = json.loads(path.read_text())["sets"] if path.exists() else {}
    for name in options.only:
        try:
            data = rows_of(name)
        except (Missing, ImportError, OSError) as reason:
            print(f"{name}: missing {reason}", flush=True)
            continue
        seeds = results.setdefault(name, {})
        for seed in map(str, range(options.seeds)):
            if seed in seeds and not options.redo:
                continue
            seeds[seed] = measured(data, int(seed))
            if name == "digits":
                seconds = seconds_of(WAEEstimator(random_state=int(seed)), data[0])
                seeds[seed]["wae_seconds"] = seconds
            save_json("mixtures", {"sets": results})
            print(f"{name}, seed {seed}: {seeds[seed]}", flush=True)
    show(results)


if __name__ == "__main__":
    main()
