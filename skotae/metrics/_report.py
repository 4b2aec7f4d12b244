"""All measures that apply to a fitted estimator, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import numpy as np
import torch
from sklearn.utils import resample

from skotae.metrics._baselines import Baselines, baselines
from skotae.metrics._clustering import clustering_accuracy
from skotae.metrics._codes import knn_accuracy, prior_gap, reconstruction_error
from skotae.metrics._frechet import frechet_distance
from skotae.metrics._grid import high_density_ratio
from skotae.metrics._intervals import Estimate, confidence_interval
from skotae.metrics._neighbours import density_coverage, precision_recall
from skotae.metrics._score import n_samples_for, transport_r2_score
from skotae.metrics.base import (
    check_column,
    check_integer,
    check_seed,
    check_table,
    reconstructions_of,
    samples_of,
)
from skotae.utils._random import make_generator

MAX_SAMPLES = 10_000


@dataclass(frozen=True, eq=False, repr=False)
class GenerationReport(Mapping[str, Estimate]):
    """Measures by name, each with its confidence interval; its text is a table.

    Attributes
    ----------
    estimates : dict of str to Estimate
        The measures; ``report[name]`` is ``report.estimates[name]``.
    estimator : str
        Name of the class that was measured.
    n_rows : int
        Number of rows of data it was measured on.
    n_samples : int
        Number of rows it generated.
    confidence_level : float
        Of the intervals.
    baselines : Baselines or None
        The same measures of :func:`baselines`, for an estimator with a number of components.
    """

    estimates: dict[str, Estimate]
    estimator: str
    n_rows: int
    n_samples: int
    confidence_level: float
    baselines: Baselines | None = None

    def __getitem__(self, name: str) -> Estimate:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def __repr__(self) -> str:
        width = max(map(len, ["measure", *self]))
        lines = [f"{'measure':{width}} {'value':>10} {'low':>10} {'high':>10}"]
        lines += [
            f"{name:{width}} " + " ".join(f"{number:>10.4g}" for number in estimate)
            for name, estimate in self.items()
        ]
        if self.baselines is not None:
            ends = [self.baselines.header(), *map(self.baselines.cells, self)]
            lines = [(line + end).rstrip() for line, end in zip(lines, ends, strict=True)]
        return "\n".join([self._head(), "", *lines])

    def to_frame(self) -> Any:
        """The table as a data frame of pandas.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each measure; columns ``value``, ``low`` and ``high``, and one for each of
            the baselines, NaN where a measure does not apply.
        """
        import pandas as pd

        columns = ["value", "low", "high", *(self.baselines or {})]
        return pd.DataFrame(self._cells(), index=[*self], columns=columns)

    def _repr_html_(self) -> str:
        columns = ["value", "low", "high", *(self.baselines or {})]
        head = "".join(f"<th>{escape(name)}</th>" for name in ["measure", *columns])
        lines = [
            f"<tr><th>{escape(name)}</th>"
            + "".join(f"<td>{'' if np.isnan(cell) else f'{cell:.4g}'}</td>" for cell in row)
            + "</tr>"
            for name, row in zip(self, self._cells(), strict=True)
        ]
        return (
            f"<table><caption>{escape(self._head())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(lines)}</tbody></table>"
        )

    def _cells(self) -> list[list[float]]:
        """Rows of numbers: the estimate, and the baselines."""
        beside = (self.baselines or {}).values()
        return [
            [*estimate, *(row.get(name, np.nan) for row in beside)]
            for name, estimate in self.items()
        ]

    def _head(self) -> str:
        return (
            f"{self.estimator}: {self.n_rows} rows, {self.n_samples} samples, "
            f"intervals of {self.confidence_level:.4g}"
        )


def generation_report(
    estimator: Any,
    X: Any,
    y: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    *,
    features: Callable[[Any], Any] | None = None,
    units: Callable[[Any], Any] | None = None,
    means: Any = None,
    scale: float | None = None,
    n_neighbors: int = 5,
    n_samples: int | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> GenerationReport:
    """Measures of a fitted estimator: of its codes, reconstructions, clusters and samples.

    What is reported depends on what the estimator has and on what is given. The rows that it is
    measured on are those of `X_test`, or of `X` without it.

    - ``score``, with samples and reconstructions: :func:`transport_r2_score`, without an interval.
    - ``reconstruction_error``, with `reconstruct` or `inverse_transform`.
    - ``knn_accuracy``, with `transform`, `y`, `X_test` and `y_test`.
    - ``prior_gap``, with a prior: of draws from the posterior where there is `sample_posterior`,
      else of codes; against draws from the prior, or from what the model learns in its place.
    - ``clustering_accuracy`` and ``clustering_accuracy_greedy``, with `predict_proba` or `predict`
      and the labels of the rows.
    - ``frechet_distance``, ``precision``, ``recall``, ``density`` and ``coverage``, with `sample`;
      of `features`, where given.
    - ``high_density_ratio``, ``n_modes`` and ``std_within_modes`` of the samples, with `means` and
      `scale`.

    Of fewer rows than neighbours all are neighbours. Beside an estimator with samples and a number
    of components, ``n_components_``, the text of the report has what :func:`baselines` with as
    many components get: the constant, PCA with a Gaussian or a mixture, and the training rows.

    Parameters
    ----------
    estimator : object
        Fitted, of skotae or with methods of the same names, such as scikit-learn's PCA,
        GaussianMixture or a pipeline.
    X : array-like of shape (n, n_features)
        Data, usually those of the fit.
    y : array-like of shape (n,), optional
        Their labels.
    X_test : array-like of shape (n_test, n_features), optional
        Data held out.
    y_test : array-like of shape (n_test,), optional
        Their labels.
    features : callable, optional
        Takes rows of data and returns an array of shape (n, p), in which samples are compared with
        data.
    units : callable, optional
        Takes rows of data, reconstructions or samples, and returns them in the units in which they
        are to be measured, such as the `transform` of a fitted StandardScaler for columns of
        several units. `features` are then of such rows.
    means : array-like of shape (n_modes, n_features), optional
        Means of the modes of the distribution of the data, where they are known.
    scale : float, optional
        Standard deviation of one coordinate within a mode.
    n_neighbors : int, default=5
        Number of neighbours of ``knn_accuracy``.
    n_samples : int, optional
        Number of rows to generate, and at most to compare them with, at random; by default as many
        as there are rows, at most 10,000. Memory grows with the number of rows, not its square.
    confidence_level : float, default=0.95
        Of the intervals; see :func:`confidence_interval` for how they are made.
    n_resamples : int, default=1000
        Number of bootstrap samples.
    random_state : int, RandomState instance or None, default=None
        Draws samples, rows, codes and bootstrap samples.

    Returns
    -------
    report : GenerationReport
        A mapping of names to values with intervals.

    Raises
    ------
    ValueError
        If an input or option is invalid, or no measure applies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skotae.metrics import generation_report
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> model = GaussianMixture(random_state=0).fit(X)
    >>> report = generation_report(model, X, random_state=0)
    >>> list(report)
    ['frechet_distance', 'precision', 'recall', 'density', 'coverage']
    >>> report["density"].low < 1 < report["density"].high
    True
    """
    if y_test is not None and X_test is None:
        raise ValueError("y_test is given without X_test; expected both or neither.")
    if (means is None) != (scale is None):
        given = "means" if scale is None else "scale"
        raise ValueError(f"Of means and scale only {given} is given; expected both or neither.")
    rng = np.random.RandomState(check_seed(random_state))
    rows, labels = (X, y) if X_test is None else (X_test, y_test)
    check_table(X, "X")
    check_table(rows, "X" if X_test is None else "X_test")
    for name, given, of in (("y", y, X), ("y_test", y_test, X_test)):
        if given is not None:
            check_column(given, name, len(of), name.replace("y", "X"))
    n_rows = len(rows)
    if n_samples is None:
        n_samples = min(n_rows, MAX_SAMPLES)
    n = check_integer(n_samples, "n_samples")
    n_neighbors = check_integer(n_neighbors, "n_neighbors")
    some = partial(resample, replace=False, n_samples=min(n, n_rows), random_state=rng)
    measure = partial(
        confidence_interval,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        random_state=_seed(rng),
    )
    found: dict[str, Estimate] = {}
    in_units = units or (lambda part: part)
    measured = in_units(rows)
    reconstructed = reconstructions_of(estimator, rows)
    if reconstructed is not None:
        reconstructed = in_units(reconstructed)
    if reconstructed is not None and hasattr(estimator, "sample"):
        drawn = in_units(samples_of(estimator, n_samples_for(n_rows), _seed(rng)))
        score = transport_r2_score(measured, reconstructed, drawn, random_state=_seed(rng))
        found["score"] = Estimate(score, np.nan, np.nan)
    if reconstructed is not None:
        found["reconstruction_error"] = measure(reconstruction_error, measured, reconstructed)
    if hasattr(estimator, "transform"):
        if y is not None and y_test is not None:
            codes = estimator.transform(X), y, estimator.transform(X_test), y_test
            k = min(n_neighbors, len(codes[0]))
            found["knn_accuracy"] = measure(knn_accuracy, *codes, n_neighbors=k)
        codes = _posterior_draws(estimator, rows if n_rows <= n else some(rows), rng)
        prior = _prior_draws(estimator, n, rng)
        if prior is not None:
            found["prior_gap"] = measure(prior_gap, codes, prior)
    clusters = getattr(estimator, "predict_proba", getattr(estimator, "predict", None))
    if labels is not None and clusters is not None:
        pair = labels, clusters(rows)
        found["clustering_accuracy"] = measure(clustering_accuracy, *pair)
        found["clustering_accuracy_greedy"] = measure(
            clustering_accuracy, *pair, assignment="greedy"
        )
    if hasattr(estimator, "sample"):
        samples = samples_of(estimator, n, _seed(rng))
        compared = (measured if n_rows <= n else some(measured)), in_units(samples)
        if features is not None:
            compared = tuple(features(part) for part in compared)
        found["frechet_distance"] = measure(frechet_distance, *compared)
        others = min(n, n_rows) - 1
        if others > 0:
            found["precision"], found["recall"] = measure(
                precision_recall, *compared, n_neighbors=min(3, others)
            )
            found["density"], found["coverage"] = measure(
                density_coverage, *compared, n_neighbors=min(5, others)
            )
        if means is not None:
            ratio, n_modes, within = measure(high_density_ratio, samples, means, scale)
            found |= {"high_density_ratio": ratio, "n_modes": n_modes, "std_within_modes": within}
    if not found:
        raise ValueError(
            f"estimator={estimator!r} has nothing to measure; expected some of transform, "
            "inverse_transform, sample and, with labels, predict."
        )
    beside = None
    if "score" in found and hasattr(estimator, "n_components_"):
        beside = baselines(
            in_units(X),
            measured,
            estimator.n_components_,
            y_train=y,
            y_test=y_test,
            features=features,
            random_state=_seed(rng),
        )
    head = type(estimator).__name__, n_rows, n, float(confidence_level)
    return GenerationReport(found, *head, beside)


def _seed(rng: np.random.RandomState) -> int:
    return int(rng.randint(2**31 - 1))


def _posterior_draws(estimator: Any, rows: Any, rng: np.random.RandomState) -> Any:
    """One draw from the posterior of each row: draws from the aggregate posterior."""
    if hasattr(estimator, "sample_posterior"):
        return estimator.sample_posterior(rows, 1, random_state=_seed(rng))[:, 0]
    return estimator.transform(rows)


def _prior_draws(estimator: Any, n: int, rng: np.random.RandomState) -> np.ndarray | None:
    """Draws from the prior, or from what the model learns in the place of ``prior_``."""
    generator = make_generator(_seed(rng))
    if hasattr(getattr(estimator, "model_", None), "draw_codes"):
        draws = estimator.model_.draw_codes(n, generator, torch.float64)
    elif hasattr(estimator, "prior_"):
        draws = estimator.prior_.sample(n, estimator.n_components_, generator, dtype=torch.float64)
    else:
        return None
    return draws.detach().cpu().numpy()
