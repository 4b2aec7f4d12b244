"""What a grid search by ``score`` chooses, beside the best of the grid by a truth it cannot see.

    python benchmarks/grid_search.py [--only SET ...] [--redo] [--quick]

Of each data set at most 1,000 training rows (split as ``_datasets.py`` splits them) go into
``GridSearchCV`` with three folds and no `scoring`, the estimators as they are by default but for
the one parameter of the grid: the number of components, the weight of the latent penalty and, of
``SinkhornAE``, epsilon. Every setting is fitted once more to all these rows, and the truth is the
exact 2-Wasserstein distance of fresh samples to at most 1,000 rows of the test split, the mean of
three sets of samples. *Regret* is the truth of the setting with the best mean score over the
least of the grid, less 1. "estimators" chooses among all settings of all grids of a data set;
"noise" is the regret of choosing by the same truth with other samples, which no criterion can be
expected to stay below.

Training rows themselves, as many as there are test rows, are samples of the right distribution. A
setting that is nearer to the test rows than these owes it to too little spread. *Beyond rows* is
the regret where truths below that of training rows count as it.

Only data sets that may be looked at. Results are written to ``results/grid_search.json`` as they
come; what is there is not measured again. ``--quick`` takes one grid on iris and five epochs and
writes nothing.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from _common import RESULTS, print_table, save_json
from _datasets import TABLES, load
from _readers import Missing
from sklearn.model_selection import GridSearchCV, KFold

import skotae
from skotae.transport import exact_cost

SETS = (
    "iris",
    "wine",
    "breast_cancer",
    "diabetes",
    "digits",
    "patches",
    "satellite",
    "letter",
    "meats",
    "gun_point",
)
MAX_ROWS, N_SETS, N_FOLDS = 1000, 3, 3
SIZES = (2, 4, 8, 16)
GRIDS: dict[str, tuple[str, str, Sequence[Any]]] = {
    "SinkhornAE, n_components": ("SinkhornAE", "n_components", SIZES),
    "SinkhornAE, beta": ("SinkhornAE", "beta", (0.002, 0.02, 0.2, 2.0)),
    "SinkhornAE, epsilon": ("SinkhornAE", "epsilon", (0.005, 0.05, 0.5)),
    "WAEEstimator, n_components": ("WAEEstimator", "n_components", SIZES),
    "WAEEstimator, lam": ("WAEEstimator", "lam", (0.005, 0.05, 0.5, 5.0)),
    "SymmetricWAE, n_components": ("SymmetricWAE", "n_components", SIZES),
    "SymmetricWAE, alpha": ("SymmetricWAE", "alpha", (0.001, 0.01, 0.1)),
}
Row = dict[str, Any]


def truths(model: Any, X: np.ndarray, unit: float) -> list[float]:
    """Exact distances of as many fresh samples to rows."""
    samples = (model.sample(len(X), random_state=seed) for seed in range(2 * N_SETS))
    return [distance(X, each, unit) for each in samples]


def distance(X: np.ndarray, samples: np.ndarray, unit: float) -> float:
    """Exact 2-Wasserstein distance, in a unit."""
    clouds = (torch.from_numpy(each / unit) for each in (X, samples))
    return float(exact_cost(*clouds)) ** 0.5


def some_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of a data set."""
    X, X_test, _, _ = load(name)
    return X[:MAX_ROWS], X_test[:MAX_ROWS]


def truth_of_rows(X: np.ndarray, X_test: np.ndarray) -> float:
    """Exact distance of training rows, as many as there are test rows, to these."""
    unit = size_of(X, X_test)
    some = (np.random.RandomState(s).permutation(len(X))[: len(X_test)] for s in range(N_SETS))
    return round(float(np.mean([distance(X_test, X[i], unit) for i in some])), 5)


def size_of(X: np.ndarray, X_test: np.ndarray) -> float:
    """What the constant, the mean of the training rows, is from test rows."""
    return float(np.sqrt(np.square(X_test - X.mean(axis=0)).sum(axis=1).mean()))


def measured(data: tuple[np.ndarray, np.ndarray], grid: str, **params: Any) -> list[Row]:
    """Of each setting: its value, the mean score over the folds, and the truth."""
    X, X_test = data
    name, parameter, values = GRIDS[grid]
    values = [v for v in values if parameter != "n_components" or v < X.shape[1]]
    if parameter != "n_components":
        params["n_components"] = min(8, X.shape[1] - 1)
    model = getattr(skotae, name)(random_state=0, **params)
    search = GridSearchCV(
        model, {parameter: values}, cv=KFold(N_FOLDS, shuffle=True, random_state=0), refit=False
    ).fit(X)
    unit, rows = size_of(X, X_test), []
    for value, score in zip(values, search.cv_results_["mean_test_score"], strict=True):
        found = truths(model.set_params(**{parameter: value}).fit(X), X_test, unit)
        rows.append(
            {
                "value": value,
                "score": round(float(score), 5),
                "truth": round(float(np.mean(found[:N_SETS])), 5),
                "again": round(float(np.mean(found[N_SETS:])), 5),
            }
        )
    return rows


def regrets(rows: Sequence[Row], floor: float = 0.0) -> tuple[float, float]:
    """Of the best score, and of the best truth with other samples.

    Truths below the floor count as it.
    """
    least = max(floor, min(row["truth"] for row in rows))
    by_score = max(rows, key=lambda row: row["score"])
    by_truth = min(rows, key=lambda row: row["again"])
    return max(floor, by_score["truth"]) / least - 1, max(floor, by_truth["truth"]) / least - 1


def summary(sets: dict[str, Any], of_rows: dict[str, float]) -> Row:
    """Regrets of each kind of grid: their median, the worst, and where."""
    found: dict[str, list[tuple[float, float, float, str]]] = {}
    for name, grids in sets.items():
        kinds = dict(grids)
        if len(grids) == len(GRIDS):
            kinds["estimators"] = [row for rows in grids.values() for row in rows]
        for grid, rows in kinds.items():
            beyond = regrets(rows, of_rows[name])[0]
            found.setdefault(grid, []).append((*regrets(rows), beyond, name))
    return {
        grid: {
            "n": len(values),
            "median": round(median(value for value, *_ in values), 4),
            "worst": round(max(values)[0], 4),
            "worst_on": max(values)[-1],
            "beyond_rows_median": round(median(beyond for *_, beyond, _ in values), 4),
            "beyond_rows_worst": round(max(beyond for *_, beyond, _ in values), 4),
            "noise_median": round(median(noise for _, noise, *_ in values), 4),
            "noise_worst": round(max(noise for _, noise, *_ in values), 4),
        }
        for grid, values in found.items()
    }


def show(sets: dict[str, Any], of_rows: dict[str, float]) -> None:
    rows = summary(sets, of_rows)
    columns = list(next(iter(rows.values())))
    print_table(["grid", *columns], [[grid, *row.values()] for grid, row in rows.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description="Regret of a grid search by score.")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--redo", action="store_true", help="measure again what is there")
    parser.add_argument("--quick", action="store_true", help="one grid on iris, no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of settings that a search is there to sort out
    if options.quick:
        X, X_test = some_rows("iris")
        rows = measured((X, X_test), "SinkhornAE, beta", max_iter=5)
        show({"iris": {"SinkhornAE, beta": rows}}, {"iris": truth_of_rows(X, X_test)})
        return
    assert not any(TABLES[name].held_out for name in SETS)
    path = RESULTS / "grid_search.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    sets: dict[str, Any] = kept.get("sets", {})
    of_rows: dict[str, float] = kept.get("rows", {})

    def save() -> None:
        found = {"rows": of_rows, "sets": sets, "summary": summary(sets, of_rows)}
        save_json("grid_search", found)

    for name in options.only:
        try:
            X, X_test = some_rows(name)
        except (Missing, ImportError, OSError) as reason:
            print(f"{name}: missing {reason}", flush=True)
            continue
        grids = sets.setdefault(name, {})
        if name not in of_rows:
            of_rows[name] = truth_of_rows(X, X_test)
        for grid in GRIDS:
            if grid in grids and not options.redo:
                continue
            start = time.process_time()
            grids[grid] = measured((X, X_test), grid)
            seconds = time.process_time() - start
            print(f"{name}, {grid}: {regrets(grids[grid])[0]:.3f}, {seconds:.0f} s", flush=True)
            save()
    save()
    show(sets, of_rows)


if __name__ == "__main__":
    main()
