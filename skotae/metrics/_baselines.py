"""What a user would take in the place of an autoencoder, measured likewise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state

from skotae.exceptions import ConvergenceWarning
from skotae.metrics._codes import knn_accuracy, reconstruction_error
from skotae.metrics._frechet import frechet_distance
from skotae.metrics._neighbours import density_coverage, precision_recall
from skotae.metrics._score import n_samples_for, transport_r2_score
from skotae.metrics.base import check_integer, check_pair, check_seed, nearest

N_MIXTURES, ROWS_OF_MIXTURE = 10, 10
MAX_SAMPLES = 10_000
Rows = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Baselines(Mapping[str, Mapping[str, float]]):
    """Measures of each baseline, by names: ``baselines["PCA + mixture"]["score"]``.

    Its text is a table; ``pandas.DataFrame(dict(baselines))`` is a data frame of it.

    Attributes
    ----------
    measures : dict of str to dict of str to float
        Measures of each baseline; of the constant and of training rows there are none that ask
        for codes.
    n_components : int
        Number of principal components.
    """

    measures: dict[str, dict[str, float]]
    n_components: int

    def __getitem__(self, name: str) -> dict[str, float]:
        return self.measures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    def __repr__(self) -> str:
        names = [*max(self.values(), key=len)]
        width = max(map(len, ["measure", *names]))
        lines = [f"{'measure':{width}}" + self.header()]
        lines += [f"{name:{width}}" + self.cells(name) for name in names]
        return "\n".join([f"baselines, {self.n_components} components", "", *lines])

    def header(self) -> str:
        """Names of the baselines as the end of a line."""
        return "".join(f"  {name:>10}" for name in self)

    def cells(self, name: str) -> str:
        """A measure of each as the end of a line."""
        cells = (f"{row[name]:.4g}" if name in row else "" for row in self.values())
        return "".join(f"  {cell:>{max(10, len(k))}}" for k, cell in zip(self, cells, strict=True))


@dataclass(frozen=True)
class _Model:
    reconstruct: Callable[[Rows], Rows]
    draw: Callable[[int, np.random.RandomState], Rows]
    transform: Callable[[Rows], Rows] | None = None


def baselines(
    X_train: Any,
    X_test: Any,
    n_components: int,
    *,
    y_train: Any = None,
    y_test: Any = None,
    features: Callable[[Any], Any] | None = None,
    random_state: Any = None,
) -> Baselines:
    """The measures of :func:`generation_report` of what is there without an autoencoder.

    - ``"constant"``: the mean of the training rows, as reconstruction and as sample.
    - ``"PCA + Gaussian"``: principal components, and samples from the Gaussian of their codes.
    - ``"PCA + mixture"``: the same with a mixture of ten Gaussians, or of fewer where there are
      fewer than a hundred training rows.
    - ``"training rows"``: samples are rows of the training data, and the nearest of these stands
      in for a reconstruction. What this has is about what is attainable with so many rows; a model
      that comes near in every measure may have memorised them.

    Parameters
    ----------
    X_train : array-like of shape (n, n_features)
        Data to fit the baselines to.
    X_test : array-like of shape (n_test, n_features)
        Data to measure them on.
    n_components : int
        Number of principal components; at most as many as there are are taken.
    y_train, y_test : array-like of shape (n,) and (n_test,), optional
        Labels, for ``knn_accuracy`` of codes.
    features : callable, optional
        Takes rows and returns an array of shape (n, p), in which samples are compared with data,
        except for the score.
    random_state : int, RandomState instance or None, default=None
        Draws samples and starts the mixture.

    Returns
    -------
    baselines : Baselines
        For each of the four ``score`` (:func:`transport_r2_score`), ``reconstruction_error``,
        ``frechet_distance``, ``precision``, ``recall``, ``density``, ``coverage`` and, of PCA
        and with labels, ``knn_accuracy``.

    Raises
    ------
    ValueError
        If an input is invalid.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae.metrics import baselines
    >>> X, _ = load_iris(return_X_y=True)
    >>> found = baselines(X[::2], X[1::2], 2, random_state=0)
    >>> list(found)
    ['constant', 'PCA + Gaussian', 'PCA + mixture', 'training rows']
    >>> found["constant"]["score"] < found["PCA + Gaussian"]["score"] < 1
    True
    """
    x, x_test = check_pair(X_train, X_test, ("X_train", "X_test"))
    n_components = min(check_integer(n_components, "n_components"), *x.shape)
    seed = check_seed(random_state)
    models = {
        "constant": _constant(x),
        "PCA + Gaussian": _pca(x, n_components, 1, seed),
        "PCA + mixture": _pca(x, n_components, N_MIXTURES, seed),
        "training rows": _training_rows(x),
    }
    return Baselines(
        {
            name: _measured(model, (x, y_train), (x_test, y_test), features, seed)
            for name, model in models.items()
        },
        n_components,
    )


def _measured(
    model: _Model,
    train: tuple[Rows, Any],
    test: tuple[Rows, Any],
    features: Callable[[Any], Any] | None,
    seed: int,
) -> dict[str, float]:
    (x, y), (x_test, y_test) = train, test
    rng = check_random_state(seed)
    reconstructed = model.reconstruct(x_test)
    drawn = model.draw(n_samples_for(len(x_test)), rng)
    found = {
        "score": transport_r2_score(x_test, reconstructed, drawn, random_state=seed),
        "reconstruction_error": reconstruction_error(x_test, reconstructed),
    }
    if model.transform is not None and y is not None and y_test is not None:
        codes = model.transform(x), y, model.transform(x_test), y_test
        found["knn_accuracy"] = knn_accuracy(*codes, n_neighbors=min(5, len(x)))
    n = min(len(x_test), MAX_SAMPLES)
    compared = x_test[rng.permutation(len(x_test))[:n]], model.draw(n, rng)
    if features is not None:
        compared = features(compared[0]), features(compared[1])
    found["frechet_distance"] = frechet_distance(*compared)
    if n > 1:
        found["precision"], found["recall"] = precision_recall(*compared, n_neighbors=min(3, n - 1))
        found["density"], found["coverage"] = density_coverage(*compared, n_neighbors=min(5, n - 1))
    return found


def _constant(x: Rows) -> _Model:
    mean = x.mean(axis=0)
    return _Model(lambda rows: np.tile(mean, (len(rows), 1)), lambda n, rng: np.tile(mean, (n, 1)))


def _pca(x: Rows, n_components: int, n_mixtures: int, seed: int) -> _Model:
    # In units of the spread: the mixture adds a small number to its variances.
    centre = x.mean(axis=0)
    unit = float(np.abs(x - centre).max()) or 1.0
    with np.errstate(invalid="ignore"):  # shares of a variance of 0
        pca = PCA(n_components, random_state=seed).fit((x - centre) / unit)
    codes = pca.transform((x - centre) / unit)
    n_mixtures = max(1, min(n_mixtures, len(x) // ROWS_OF_MIXTURE))
    mixture = GaussianMixture(n_mixtures, random_state=seed, reg_covar=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough, for what it is for
        mixture.fit(np.repeat(codes, 2, axis=0) if len(codes) == 1 else codes)

    def draw(n: int, rng: np.random.RandomState) -> Rows:
        mixture.random_state = rng
        return pca.inverse_transform(mixture.sample(n)[0]) * unit + centre

    def transform(rows: Rows) -> Rows:
        return pca.transform((rows - centre) / unit)

    return _Model(
        lambda rows: pca.inverse_transform(transform(rows)) * unit + centre, draw, transform
    )


def _training_rows(x: Rows) -> _Model:
    def in_place_of(rows: Rows) -> Rows:
        return x[nearest(rows, x)[:, 0]]

    def draw(n: int, rng: np.random.RandomState) -> Rows:
        # Each row as often as the next, as near as can be.
        order = [rng.permutation(len(x)) for _ in range(-(-n // len(x)))]
        return x[np.concatenate(order)[:n]]

    return _Model(in_place_of, draw)
