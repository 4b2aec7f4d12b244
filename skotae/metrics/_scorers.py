"""Scorers for ``scoring=`` of searches: what a fitted estimator or pipeline is worth on rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from skotae.metrics._score import (
    FLOATS,
    MAX_ROWS,
    constant_gap,
    debiased_gap,
    explained,
    n_samples_for,
    origin,
)
from skotae.metrics.base import (
    check_labels,
    check_option,
    check_pair,
    check_rows,
    reconstructions_of,
    samples_of,
)

SEED = 0
N_NEIGHBORS = 5


@dataclass(frozen=True)
class Scorer:
    """A callable ``(estimator, X, y=None)`` that returns a float; greater is better.

    Attributes
    ----------
    name : str
        What :func:`get_scorer` was given.
    """

    name: str

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        return float(SCORERS[self.name](estimator, X, y))

    def __repr__(self) -> str:
        return f"get_scorer({self.name!r})"


def get_scorer(name: str) -> Scorer:
    r"""A scorer by name, for the `scoring` of searches and of cross-validation.

    scikit-learn's own registry takes no names of other packages: pass what this returns,
    also in a dict of several.

    - ``"reconstruction"``: :math:`1 - \mathbb E |x - \tilde x|^2 / \mathbb E |x - \mathbb E x|^2`,
      the :math:`R^2` of reconstructions over all columns.
    - ``"distance"``: :math:`1 - W_2^2(P_X, P_G) / W_2^2(P_X, \delta)` from samples alone, with
      exact transport and independent debiasing; :math:`\delta` is the constant that is the mean of
      X. Rank models of data with little noise by it: of data that are mostly noise, in many
      columns, a few rows show neither distance.
    - ``"knn"``: accuracy of five nearest neighbours among the codes of the rows, each row
      classified by the others; the :math:`R^2` of their mean where `y` is continuous. Needs `y`.

    The first two give 1 for what is perfect and 0 for the constant; the zero of ``"knn"``, of
    a continuous `y`, is the mean of `y`.

    Of a pipeline the last step is scored, or the one before a classifier or regressor, in the
    space of what the steps before it make of X, as the pipeline's own `score` is.

    Parameters
    ----------
    name : {"reconstruction", "distance", "knn"}
        What to score by.

    Returns
    -------
    scorer : Scorer
        A callable ``(estimator, X, y=None)``.

    Raises
    ------
    ValueError
        If there is no scorer of this name; when it is called, if `y` is missing.
    TypeError
        When it is called, if the estimator lacks what is scored.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skotae import WAEEstimator
    >>> from skotae.metrics import get_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     WAEEstimator(max_iter=10, random_state=0),
    ...     {"n_components": [1, 3]},
    ...     scoring={name: get_scorer(name) for name in ("reconstruction", "knn")},
    ...     refit="knn",
    ... ).fit(X, y)
    >>> bool(search.best_score_ > 0.8)
    True
    """
    check_option(name, "name", tuple(SCORERS))
    return Scorer(name)


def _reconstruction(estimator: Any, X: Any, y: Any) -> float:
    estimator, X = _scored(estimator, X, "reconstruct", "inverse_transform")
    X, reconstructed = check_pair(X, reconstructions_of(estimator, X), ("X", "X_reconstructed"))
    centre, unit = origin(X)
    x, r = ((part - centre) / unit for part in (X, reconstructed))
    return explained(np.square(x - r).sum(), np.square(x).sum())


def _distance(estimator: Any, X: Any, y: Any) -> float:
    estimator, X = _scored(estimator, X, "sample")
    n = len(check_rows(X, "X", dtype=FLOATS))
    samples = samples_of(estimator, n_samples_for(n), SEED)
    X, samples = check_pair(X, samples, ("X", "samples"), dtype=FLOATS)
    rng = check_random_state(SEED)
    centre, unit = origin(X)
    rows = (X[rng.permutation(len(X))[:MAX_ROWS]] - centre) / unit
    gap = debiased_gap(rows, np.ones(len(rows)), (samples - centre) / unit, rng)
    total = constant_gap(rows)
    # Of a few rows of noise in many columns, the halves are as far apart as the rows are wide.
    return 0.0 if total < 0 else explained(np.maximum(0.0, gap), total)


def _knn(estimator: Any, X: Any, y: Any) -> float:
    if y is None:
        raise ValueError("y=None; expected a label or a number for each row, for 'knn'.")
    estimator, X = _scored(estimator, X, "transform")
    Z = np.asarray(estimator.transform(X))
    if len(Z) < 2:
        raise ValueError("X has 1 row, which 'knn' classifies by the others; expected 2 or more.")
    k = min(N_NEIGHBORS, len(Z) - 1)
    if type_of_target(y).startswith("continuous"):
        return r2_score(y, KNeighborsRegressor(k).fit(Z, y).predict(None))
    y = check_labels(y, "y", len(Z), "X")
    return float(np.mean(KNeighborsClassifier(k).fit(Z, y).predict(None) == y))


SCORERS: dict[str, Callable[[Any, Any, Any], float]] = {
    "reconstruction": _reconstruction,
    "distance": _distance,
    "knn": _knn,
}


def _scored(estimator: Any, X: Any, *methods: str) -> tuple[Any, Any]:
    """The estimator, or the step of a pipeline, with one of the methods; and its rows."""
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    if len(steps) > 1 and (is_classifier(steps[-1]) or is_regressor(steps[-1])):
        steps.pop()
    for step in steps[:-1]:
        if step not in (None, "passthrough"):
            X = step.transform(X)
    if not any(hasattr(steps[-1], name) for name in methods):
        raise TypeError(f"{steps[-1]!r} is to be scored by {' or '.join(methods)}; it has none.")
    return steps[-1], X
