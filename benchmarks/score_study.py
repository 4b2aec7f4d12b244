"""Which number should `score` be? Candidates beside a truth that a user does not have.

    python benchmarks/score_study.py [--quick | --redo [DATA ...]]

Small fast fits of several estimators, numbers of components and weights, and of PCA with a
Gaussian or a mixture on its codes, on thirteen data sets. Each candidate is computed from
rows held out, reconstructions of these and fresh samples. The truths come from rows that the
candidates have not seen:

- ``exact``: the squared 2-Wasserstein distance of samples to held-out rows, as it is;
- ``debiased``: less what the finite number of rows adds to it;
- ``known``: in simulations of a signal in a plane and isotropic noise, from 1,500 fresh rows; see
  the function.

Held-out rows are split in two, for candidate and truth, and change places. ``rank`` is the
Spearman correlation of a candidate with a truth over the settings of a data set, ``regret`` the
root of the truth of the setting that it chooses over that of the best, less 1; ``error, known``
is the mean difference of a candidate from the known truth, as a number. Where rows have labels,
``codes`` is the rank correlation with the accuracy of five nearest neighbours on codes.
All squares are in units of the mean squared distance of the rows to the training mean.

The score itself, of one setting on four of the sets, is also measured for eight seeds.

Results are written as they come, and what is there is not measured again. ``--quick`` has two
data sets and few settings, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np
import torch
from _common import RESULTS, print_table, save_json, write_json
from _score_data import DATA, MAX_ROWS, Rows
from _score_models import Fitted, settings
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.base import ClassifierMixin
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import KNeighborsClassifier

import skotae
from skotae.transport import debias_independent, exact_cost

FRESH = 1500
POOL = 4096
N_SEEDS = 8


def exact(x: Rows, y: Rows) -> float:
    return float(exact_cost(torch.tensor(x), torch.tensor(y)))


def debiased(x: Rows, y: Rows) -> float:
    n = min(len(x), len(y)) // 2 * 2  # equal halves are matched, which is fast
    return float(debias_independent(exact_cost, torch.tensor(x[:n]), torch.tensor(y[:n])))


def cross_term(x: Rows, r: Rows, s: Rows) -> float:
    """2 E<x - r, r - s> with reconstructions matched to samples."""
    rows, partners = linear_sum_assignment(cdist(r, s, "sqeuclidean"))
    return float(2 * ((x - r)[rows] * (r[rows] - s[partners])).sum(axis=1).mean())


def candidates(x: Rows, r: Rows, draws: list[Rows], pool: Rows) -> dict[str, float]:
    """Losses, as squares; smaller is better, and 1 is that of the constant.

    In "squares, nearest samples" the nearest row of a pool of samples stands in for a
    reconstruction, as for a generator without an encoder.
    """
    error = float(np.square(x - r).sum(axis=1).mean())
    gaps = [debiased(r, s) for s in draws]
    one, many = gaps[0], float(np.mean(gaps))
    distances = float(np.mean([debiased(x, s) for s in draws]))
    raw = float(np.mean([exact(x, s) for s in draws]))
    cross = float(np.mean([cross_term(x, r, s) for s in draws]))
    near = pool[pairwise_distances_argmin(x, pool)]
    spread = debiased(r, np.tile(r.mean(axis=0), (len(r), 1)))
    return {
        "triangle": (np.sqrt(error) + np.sqrt(max(0.0, one))) ** 2,
        "triangle, many samples": (np.sqrt(error) + np.sqrt(max(0.0, many))) ** 2,
        "squares": error + max(0.0, one),
        "squares, many samples": error + max(0.0, many),
        "squares, unclipped": error + many,
        "squares, nearest samples": float(np.square(x - near).sum(axis=1).mean())
        + max(0.0, float(np.mean([debiased(near, s) for s in draws]))),
        "glued": error + many + cross,
        "larger": max(error, many),
        "own nulls": error + (max(0.0, many) / spread if spread > 1e-9 else 1.0),
        "least of squares and exact": min(error + many, raw),
        "reconstruction and distance": error + max(0.0, distances),
        "distance, debiased": distances,
        "distance, exact": raw,
        "reconstruction alone": error,
    }


def known(data: dict[str, Any], model: Fitted, unit: float) -> float:
    """The distance to the distribution of the data, in a simulation.

    Transport within the plane of the signal, and beside it, where the data are isotropic noise.
    What a linear decoder has there is close to Gaussian and independent of the signal, and the
    formula for Gaussians holds. That of a network is a function of the code, which noise can be
    matched with only in part: the smaller of two upper bounds, without any matching beside the
    plane, and the exact distance of fresh rows and samples.
    """
    x, s = (part / unit for part in (data["fresh"](FRESH, 5), model.draw(FRESH, 6)))
    plane, noise = data["plane"], data["noise"] / unit
    off = s - s @ plane @ plane.T
    mean, p = off.mean(axis=0), x.shape[1] - plane.shape[1]
    roots = np.linalg.svd(off - mean, compute_uv=False) / np.sqrt(len(s))
    # |mean|^2 + tr(N) + tr(S) - 2 tr((N^1/2 S N^1/2)^1/2), with N isotropic
    apart = mean @ mean + p * noise**2 + np.square(roots).sum()
    within = debiased(x @ plane, s @ plane)
    if model.linear:
        return float(within + apart - 2 * noise * roots.sum())
    return float(min(within + apart, exact(x, s)))


def measure(data: dict[str, Any], model: Fitted, parts: list[Rows], unit: float) -> dict[str, Any]:
    """Candidates on one part of the held-out rows, truths on the other, both ways."""
    row: dict[str, Any] = {"candidates": [], "exact": [], "debiased": []}
    for i, (x, other) in enumerate([(parts[0], parts[1]), (parts[1], parts[0])]):
        n_sets = int(np.clip(512 // len(x), 1, 8))
        draws = [model.draw(len(x), 10 * i + j) / unit for j in range(n_sets)]
        pool = model.draw(POOL, 200 + i) / unit
        scored = candidates(x / unit, model.reconstruct(x) / unit, draws, pool)
        row["candidates"].append(scored)
        fresh = [model.draw(len(other), 100 + 10 * i + j) / unit for j in range(n_sets)]
        row["exact"].append(float(np.mean([exact(other / unit, s) for s in fresh])))
        row["debiased"].append(float(np.mean([debiased(other / unit, s) for s in fresh])))
    if "fresh" in data:
        row["known"] = [known(data, model, unit)] * 2
    return row


def on(name: str, quick: bool = False) -> dict[str, Any]:
    data = DATA[name]()
    order = np.random.default_rng(0).permutation(len(data["X"]))[:MAX_ROWS]
    X, y = data["X"][order], None if data.get("y") is None else data["y"][order]
    half, quarter = len(X) // 2, len(X) // 4
    train, parts = X[:half], [X[half : half + quarter], X[half + quarter :]]
    unit = float(np.sqrt(np.square(X[half:] - train.mean(axis=0)).sum(axis=1).mean()))
    rows: dict[str, Any] = {}
    for label, fit in settings(X.shape[1], quick).items():
        model = fit(train)
        rows[label] = measure(data, model, parts, unit)
        if y is not None and model.transform is not None:
            neighbours: ClassifierMixin = KNeighborsClassifier(5)
            neighbours.fit(model.transform(train), y[:half])
            rows[label]["codes"] = neighbours.score(model.transform(X[half:]), y[half:])
    return {"shape": [len(train), X.shape[1]], "settings": rows}


def over_seeds(name: str) -> list[float]:
    """The score of one setting, held-out rows as before, for each seed of the fit."""
    X = DATA[name]()["X"]
    X = X[np.random.default_rng(0).permutation(len(X))[:MAX_ROWS]]
    half = len(X) // 2
    models = (
        skotae.SinkhornAE(4, max_iter=30, learning_rate_init=0.003, random_state=seed)
        for seed in range(N_SEEDS)
    )
    return [model.fit(X[:half]).score(X[half:]) for model in models]


# --- the summary --------------------------------------------------------------------------------

TRUTHS = ("known", "exact", "debiased")


def agreement(rows: dict[str, Any], candidate: str, truth: str) -> tuple[float, float] | None:
    """Rank correlation and regret, means over the two parts."""
    if truth not in next(iter(rows.values())):
        return None
    ranks, regrets = [], []
    for i in range(2):
        loss = np.array([row["candidates"][i][candidate] for row in rows.values()])
        right = np.array([row[truth][i] for row in rows.values()])
        ranks.append(spearmanr(loss, right)[0])
        roots = np.sqrt(np.maximum(right, 1e-3))  # nearer than that no setting is told apart
        regrets.append(roots[loss.argmin()] / roots.min() - 1)
    return float(np.mean(ranks)), float(np.mean(regrets))


def codes_agreement(rows: dict[str, Any], candidate: str) -> float | None:
    kept = [row for row in rows.values() if "codes" in row]
    if not kept:
        return None
    accuracy = [row["codes"] for row in kept]
    return float(
        np.mean(
            [
                -spearmanr([row["candidates"][i][candidate] for row in kept], accuracy)[0]
                for i in range(2)
            ]
        )
    )


def summary(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of each candidate: means over data sets."""
    names = [*next(iter(next(iter(results.values()))["settings"].values()))["candidates"][0]]
    table: dict[str, dict[str, float]] = {}
    for name in names:
        row: dict[str, float] = {}
        for truth in TRUTHS:
            found = [agreement(data["settings"], name, truth) for data in results.values()]
            pairs = np.array([pair for pair in found if pair is not None])
            if len(pairs):
                row[f"rank, {truth}"] = float(pairs[:, 0].mean())
                row[f"regret, {truth}"] = float(pairs[:, 1].mean())
                row[f"worst regret, {truth}"] = float(pairs[:, 1].max())
        errors = [
            abs(setting["candidates"][i][name] - setting["known"][i])
            for data in results.values()
            for setting in data["settings"].values()
            if "known" in setting
            for i in range(2)
        ]
        if errors:
            row["error, known"] = float(np.mean(errors))
        codes = [codes_agreement(data["settings"], name) for data in results.values()]
        row["codes"] = float(np.mean([value for value in codes if value is not None]))
        table[name] = row
    return table


def show(results: dict[str, Any]) -> None:
    rows = summary(results)
    columns = list(next(iter(rows.values())))
    print_table(["candidate", *columns], [[k, *(v[c] for c in columns)] for k, v in rows.items()])


def rounded(value: Any) -> Any:
    """Five decimals of every number, for a file of a size to commit."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description="Candidates for the score.")
    parser.add_argument("--quick", action="store_true", help="two data sets, few settings")
    parser.add_argument("--redo", nargs="*", metavar="DATA", help="measure again what is there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # fits this short do not converge
    if options.quick:
        show({name: on(name, True) for name in ("iris", "mixture")})
        return
    path = RESULTS / "score_study.json"
    kept = json.loads(path.read_text())["data"] if path.exists() else {}
    again = [] if options.redo is None else options.redo or [*DATA]
    results: dict[str, Any] = {k: v for k, v in kept.items() if k not in again}
    for name in DATA:
        if name not in results:
            start = time.process_time()
            results[name] = on(name)
            results[name]["cpu_seconds"] = round(time.process_time() - start, 1)
            print(f"{name}: {results[name]['cpu_seconds']} s", flush=True)
            save_json("score_study", rounded({"data": results}))
    results = {name: results[name] for name in DATA}
    show(results)
    seeds = {name: over_seeds(name) for name in ("iris", "wine", "breast_cancer", "digits")}
    print_table(
        ["data", "mean score", "deviation over seeds"],
        [[name, float(np.mean(v)), float(np.std(v, ddof=1))] for name, v in seeds.items()],
    )
    found = {"data": results, "seeds": seeds, "summary": summary(results)}
    write_json("score_study", rounded(found))


if __name__ == "__main__":
    main()
