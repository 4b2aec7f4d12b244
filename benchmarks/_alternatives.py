"""What a user would pick instead: each with the methods of an estimator of skotae that it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from _readers import SEED, Missing
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

MAX_KERNEL_ROWS = 2000
MAX_UMAP_ROWS = 10_000
MAX_MIXTURE_FEATURES = 1000
N_MIXTURE = 10


def some_rows(X: np.ndarray, most: int) -> np.ndarray:
    return X[np.random.default_rng(SEED).permutation(len(X))[:most]]


def mixture(n_rows: int, n: int = N_MIXTURE) -> GaussianMixture:
    """`n` components, or one for ten rows where there are fewer."""
    return GaussianMixture(max(1, min(n, n_rows // 10)), random_state=SEED)


def drawn(density: GaussianMixture, n: int, random_state: int) -> np.ndarray:
    """Rows in no order: scikit-learn gives them component by component."""
    rows = density.set_params(random_state=random_state).sample(n)[0]
    return np.random.default_rng(random_state).permutation(rows)


class Mean:
    """The constant."""

    def __init__(self, n_components: int):
        pass

    def fit(self, X: np.ndarray) -> Mean:
        self.mean_ = X.mean(axis=0)
        return self

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        return np.tile(self.mean_, (len(X), 1))

    def sample(self, n: int, random_state: int) -> np.ndarray:
        return np.tile(self.mean_, (n, 1))


class PCAGaussian:
    """PCA, and a Gaussian on its codes."""

    n_mixture = 1

    def __init__(self, n_components: int):
        self.pca = PCA(n_components, random_state=SEED)

    def fit(self, X: np.ndarray) -> PCAGaussian:
        codes = self.pca.fit_transform(X)
        self.density = mixture(len(X), self.n_mixture).fit(codes)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return self.pca.transform(X)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        return self.pca.inverse_transform(self.pca.transform(X))

    def sample(self, n: int, random_state: int) -> np.ndarray:
        return self.pca.inverse_transform(drawn(self.density, n, random_state))

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -np.square(X - self.reconstruct(X)).sum(axis=1)


class PCAMixture(PCAGaussian):
    """PCA, and a mixture on its codes."""

    n_mixture = N_MIXTURE


class Mixture:
    """A mixture of full covariances on the rows themselves."""

    def __init__(self, n_components: int):
        pass

    def fit(self, X: np.ndarray) -> Mixture:
        if X.shape[1] > MAX_MIXTURE_FEATURES:
            raise Missing(f"too many features for full covariances: {X.shape[1]:,}")
        self.density = mixture(len(X)).fit(X)
        return self

    def sample(self, n: int, random_state: int) -> np.ndarray:
        return drawn(self.density, n, random_state)


class KernelCodes:
    """Kernel PCA with a Gaussian kernel, of at most `MAX_KERNEL_ROWS` rows."""

    def __init__(self, n_components: int):
        self.model = KernelPCA(
            n_components, kernel="rbf", fit_inverse_transform=True, random_state=SEED
        )

    def fit(self, X: np.ndarray) -> KernelCodes:
        self.model.fit(some_rows(X, MAX_KERNEL_ROWS))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return self.model.transform(X)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        return self.model.inverse_transform(self.model.transform(X))


@cache
def compile_umap() -> None:
    """Let it compile itself, so that the time of a fit is that of a fit."""
    from umap import UMAP

    rows = np.random.default_rng(SEED).normal(size=(60, 4))
    UMAP(random_state=SEED, n_jobs=1).fit(rows).transform(rows[:5])


class UMAPCodes:
    """UMAP, of at most `MAX_UMAP_ROWS` rows."""

    def __init__(self, n_components: int):
        if find_spec("umap") is None:
            raise Missing("package umap-learn")
        self.n_components = n_components
        compile_umap()

    def fit(self, X: np.ndarray) -> UMAPCodes:
        from umap import UMAP

        rows = some_rows(X, MAX_UMAP_ROWS)
        neighbours = min(15, len(rows) - 1)
        # Its spectral start needs fewer components than rows.
        init = "spectral" if self.n_components < len(rows) - 2 else "random"
        self.model = UMAP(
            neighbours, self.n_components, init=init, random_state=SEED, n_jobs=1
        ).fit(rows)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return self.model.transform(X)


#: By name; those of `ONCE` do not depend on the number of components.
ALTERNATIVES: dict[str, Callable[[int], Any]] = {
    "mean": Mean,
    "PCA + Gaussian": PCAGaussian,
    "PCA + mixture": PCAMixture,
    "KernelPCA": KernelCodes,
    "UMAP": UMAPCodes,
    "GaussianMixture": Mixture,
}
ONCE = ("mean", "GaussianMixture", "IsolationForest", "LOF")
DETECTORS: dict[str, Callable[[int], Any]] = {
    "PCA + Gaussian": PCAGaussian,
    "IsolationForest": lambda n_components: IsolationForest(random_state=SEED),
    "LOF": lambda n_components: LocalOutlierFactor(novelty=True),
}
