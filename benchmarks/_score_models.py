"""Models of the study of scores: fitted, they give (transform, reconstruct, draw)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from _score_data import Draw, Rows
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import skotae


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
