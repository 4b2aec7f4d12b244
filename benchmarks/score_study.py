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
import inspect
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _common import RESULTS, print_table, save_json, write_json
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn import datasets
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import skotae
from skotae.transport import debias_independent, exact_cost

MAX_ROWS = 1000
FRESH = 1500
POOL = 4096
N_SEEDS = 8
Rows = np.ndarray
Draw = Callable[[int, int], Rows]


# --- data: rows, labels, and for simulations fresh rows and the plane of the signal -------------


def table(load: Callable[..., Any]) -> dict[str, Any]:
    X, y = load(return_X_y=True)
    return {"X": StandardScaler().fit_transform(X), "y": y if len(np.unique(y)) < 20 else None}


def digits() -> dict[str, Any]:
    X, y = datasets.load_digits(return_X_y=True)
    return {"X": X / 16, "y": y}


def colour_patches(photograph: str) -> dict[str, Any]:
    image = datasets.load_sample_image(photograph) / 255.0
    patches = extract_patches_2d(image, (6, 6), max_patches=MAX_ROWS, random_state=0)
    return {"X": patches.reshape(MAX_ROWS, -1)}


def text() -> dict[str, Any]:
    """TF-IDF of the documentation of functions; the label is the package."""
    import scipy.signal
    import scipy.special
    import scipy.stats
    import sklearn.metrics

    packages = (np, torch, scipy.stats, scipy.special, scipy.signal, sklearn.metrics)
    texts, labels = [], []
    for label, package in enumerate(packages):
        for name in sorted(dir(package)):
            doc = inspect.getdoc(getattr(package, name)) if name[0] != "_" else None
            if doc and len(doc) > 300:
                texts.append(doc)
                labels.append(label)
    X = TfidfVectorizer(max_features=600, stop_words="english").fit_transform(texts).toarray()
    return {"X": X, "y": np.array(labels)}


def simulated(draw: Callable[..., Any], p: int, noise: float, n: int = MAX_ROWS) -> dict[str, Any]:
    """A signal of few dimensions in a plane of p, and isotropic noise in all of them."""
    k = draw(np.random.default_rng(0), 2)[0].shape[1]
    plane = np.linalg.qr(np.random.default_rng(1).normal(size=(p, k)))[0]

    def rows(n_rows: int, seed: int) -> tuple[Rows, Rows]:
        rng = np.random.default_rng(seed)
        signal, labels = draw(rng, n_rows)
        return signal @ plane.T + noise * rng.normal(size=(n_rows, p)), labels

    X, y = rows(n, 2)
    return {"X": X, "y": y, "fresh": lambda m, s: rows(m, s)[0], "plane": plane, "noise": noise}


def roll(rng: Any, n: int) -> tuple[Rows, Rows]:
    t = 1.5 * np.pi * (1 + 2 * rng.uniform(size=n))
    return np.column_stack([t * np.cos(t), t * np.sin(t), 10 * rng.uniform(size=n)]) / 5, t // 2


def gaussian(rng: Any, n: int) -> tuple[Rows, None]:
    return rng.normal(size=(n, 6)) * np.array([3.0, 2.0, 1.5, 1.0, 0.7, 0.5]), None


def groups(rng: Any, n: int) -> tuple[Rows, Rows]:
    means = np.random.default_rng(3).normal(size=(8, 3)) * 2
    which = rng.integers(8, size=n)
    return means[which] + 0.3 * rng.normal(size=(n, 3)), which


DATA: dict[str, Callable[[], dict[str, Any]]] = {
    "iris": lambda: table(datasets.load_iris),
    "wine": lambda: table(datasets.load_wine),
    "breast_cancer": lambda: table(datasets.load_breast_cancer),
    "diabetes": lambda: table(datasets.load_diabetes),
    "digits": digits,
    "china": lambda: colour_patches("china.jpg"),
    "flower": lambda: colour_patches("flower.jpg"),
    "text": text,
    "manifold": lambda: simulated(roll, 30, 0.05),
    "gaussian": lambda: simulated(gaussian, 10, 0.2),
    "mixture": lambda: simulated(groups, 20, 0.3),
    "noisy": lambda: simulated(groups, 300, 0.5),
    "wide": lambda: simulated(groups, 3000, 0.2, n=120),
}


# --- models: fitted, they give (transform, reconstruct, draw) -----------------------------------


class Fitted:
    """What is measured of a model."""

    def __init__(
        self, transform: Any, reconstruct: Callable[[Rows], Rows], draw: Draw, linear: bool = True
    ):
        self.transform, self.reconstruct, self.draw = transform, reconstruct, draw
        self.linear = linear


def constant(X: Rows) -> Fitted:
    mean = X.mean(axis=0)
    return Fitted(None, lambda x: np.tile(mean, (len(x), 1)), lambda n, seed: np.tile(mean, (n, 1)))


def pca(X: Rows, n_components: int, n_mixtures: int) -> Fitted:
    model = PCA(n_components, random_state=0).fit(X)
    codes = model.transform(X)
    density = GaussianMixture(min(n_mixtures, len(X) // 10), reg_covar=1e-4, random_state=0)
    density.fit(codes)

    def draw(n: int, seed: int) -> Rows:
        density.random_state = seed
        drawn = density.sample(n)[0]
        return model.inverse_transform(drawn[np.random.default_rng(seed).permutation(n)])

    return Fitted(model.transform, lambda x: model.inverse_transform(model.transform(x)), draw)


def autoencoder(X: Rows, name: str, **params: Any) -> Fitted:
    model = getattr(skotae, name)(
        max_iter=30, learning_rate_init=0.003, random_state=0, **params
    ).fit(X)
    return Fitted(
        model.transform,
        model.reconstruct,
        lambda n, seed: model.sample(n, random_state=seed),
        linear=False,
    )


def settings(p: int, quick: bool) -> dict[str, Callable[[Rows], Fitted]]:
    """Models by name; the part before the bracket is the family."""
    found: dict[str, Callable[[Rows], Fitted]] = {"constant": constant}
    sizes = [d for d in (2, 4, 8, 16) if d <= p]
    usual = sizes[min(2, len(sizes) - 1)]
    for d in sizes:
        found[f"PCA + Gaussian({d})"] = lambda X, d=d: pca(X, d, 1)
        found[f"PCA + mixture({d})"] = lambda X, d=d: pca(X, d, 10)
    grid: list[tuple[str, dict[str, Any]]] = [
        *(("SinkhornAE", {"n_components": d}) for d in sizes),
        *(("SinkhornAE", {"n_components": usual, "beta": beta}) for beta in (0.002, 0.2, 2.0)),
        *(("SinkhornAE", {"n_components": usual, "epsilon": epsilon}) for epsilon in (0.01, 0.5)),
        *(("WAEEstimator", {"n_components": d}) for d in sizes),
        *(("WAEEstimator", {"n_components": usual, "lam": lam}) for lam in (0.005, 0.05, 5.0)),
        *(("VAE", {"n_components": d}) for d in sizes[:: len(sizes) - 1]),
        *(("VAE", {"n_components": usual, "beta": beta}) for beta in (0.1, 1.0)),
        ("SymmetricWAE", {"n_components": usual}),
    ]
    for name, params in grid[:3] if quick else grid:
        label = ", ".join(f"{key}={value}" for key, value in params.items())
        found[f"{name}({label})"] = lambda X, n=name, q=params: autoencoder(X, n, **q)
    return found


# --- candidates and truths ----------------------------------------------------------------------


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
