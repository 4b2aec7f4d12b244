"""Data of the study of scores: rows, labels, for simulations fresh rows and the signal's plane."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

MAX_ROWS = 1000
Rows = np.ndarray
Draw = Callable[[int, int], Rows]


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
