"""Confidence intervals of the measures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from scipy import stats

from skotae.metrics.base import check_integer, check_real, check_seed
from skotae.transport import squared_mmd

N_GROUPS = 20

Metric = TypeVar("Metric", bound=Callable[..., Any])


class Estimate(NamedTuple):
    """A value and its confidence interval.

    Attributes
    ----------
    value : float
        What the measure itself returns.
    low, high : float
        Ends of the interval, with `value` between them; NaN where there are too few rows.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rows:
    """A measure that rests on means over rows: the rows, and what is made of their means."""

    values: np.ndarray  # (n, r)
    statistic: Callable[[np.ndarray], np.ndarray] = np.asarray  # (..., r) -> (..., s)

    def value(self) -> np.ndarray:
        return self.statistic(self.values.mean(axis=0))


@dataclass(frozen=True)
class Options:
    """How to make an interval."""

    confidence_level: float
    n_resamples: int
    seed: int


# How to make the intervals of a measure, from its arguments.
METHODS: dict[Callable[..., Any], Callable[..., list[Estimate]]] = {}


def interval_by(method: Callable[..., list[Estimate]]) -> Callable[[Metric], Metric]:
    """Register `method`, which takes the options and the arguments of a measure."""

    def decorate(metric: Metric) -> Metric:
        METHODS[metric] = method
        return metric

    return decorate


def interval_by_rows(rows: Callable[..., list[Rows]]) -> Callable[[Metric], Metric]:
    """Register the percentile bootstrap of what `rows` makes of a measure's arguments."""

    def method(options: Options, *args: Any, **params: Any) -> list[Estimate]:
        parts = rows(*args, **params)
        seeds = np.random.SeedSequence(options.seed).spawn(len(parts))
        return [
            estimate
            for part, seed in zip(parts, seeds, strict=True)
            for estimate in bootstrap(part, options, np.random.default_rng(seed))
        ]

    return interval_by(method)


def confidence_interval(
    metric: Callable[..., Any],
    *args: Any,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
    **params: Any,
) -> Any:
    r"""A measure and its confidence interval.

    - *Percentile bootstrap* ([1]_, chapter 13) of measures that are means over rows: the test
      rows of :func:`knn_accuracy`, the rows of :func:`reconstruction_error`,
      :func:`clustering_accuracy` and :func:`high_density_ratio`. All else, such as training codes
      and the assignment of clusters, stays as it is.
    - *Infinitesimal jackknife* ([2]_) of :func:`mmd` and :func:`prior_gap`:
      :math:`v \pm q\,s` with a normal quantile and
      :math:`s^2 = \sum_i g_i^2 / n^2 + \sum_j h_j^2 / m^2`, where g and h are the centred
      derivatives with respect to the weights of the rows. Where both samples have one
      distribution :math:`s^2` is about twice the variance: on the safe side.
    - *Grouped jackknife* ([1]_, chapter 11) of :func:`frechet_distance`,
      :func:`precision_recall` and :func:`density_coverage`: the rows of both samples fall into 20
      random groups. The values without one group give a standard error s, which is too large on
      average, if anything ([3]_), and the interval is :math:`v \pm q\,s` with a quantile of
      Student's distribution of 19 degrees of freedom. A bootstrap sample is no substitute: it
      contains duplicates, which make balls of neighbours too small. From the Frechet distance
      the jackknife's estimate of its bias is taken off, as the distance of two samples is larger
      on average than that of their distributions, and that of bootstrap samples larger again.

    An interval is extended to the value where it does not contain it, so that
    ``low <= value <= high``.

    Parameters
    ----------
    metric : callable
        One of the measures named above.
    *args : object
        The arguments of the measure.
    confidence_level : float, default=0.95
        Between 0 and 1.
    n_resamples : int, default=1000
        Number of bootstrap samples.
    random_state : int, RandomState instance or None, default=None
        Draws bootstrap samples and groups; also passed to a measure that takes one.
    **params : object
        Keyword arguments of the measure.

    Returns
    -------
    estimate : Estimate or tuple of Estimate
        A tuple of the measures that return several numbers.

    Raises
    ------
    ValueError
        If the measure has no interval, or an option or argument is invalid.

    References
    ----------
    .. [1] Efron and Tibshirani (1993), An introduction to the bootstrap.
    .. [2] Jaeckel (1972), The infinitesimal jackknife.
    .. [3] Efron and Stein (1981), The jackknife estimate of variance

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import confidence_interval, reconstruction_error
    >>> X = np.random.default_rng(0).normal(size=(400, 1))
    >>> error = confidence_interval(reconstruction_error, X, 0 * X, random_state=0)
    >>> error.low < 1 < error.high
    True
    """
    try:
        method = METHODS[metric]
    except (KeyError, TypeError):
        names = sorted(known.__name__ for known in METHODS)
        given = getattr(metric, "__name__", repr(metric))
        raise ValueError(f"metric={given} has no interval; expected one of {names}.") from None
    level = check_real(confidence_level, "confidence_level")
    if not 0 < level < 1:
        raise ValueError(f"confidence_level={confidence_level!r}; expected a number in (0, 1).")
    n_resamples = check_integer(n_resamples, "n_resamples")
    seed = check_seed(random_state)
    if "random_state" in inspect.signature(metric).parameters:
        params["random_state"] = random_state
    estimates = method(Options(level, n_resamples, seed), *args, **params)
    return estimates[0] if len(estimates) == 1 else tuple(estimates)


def bootstrap(rows: Rows, options: Options, rng: np.random.Generator) -> list[Estimate]:
    """Percentile bootstrap; the rows that are drawn again are counted, not copied."""
    n = len(rows.values)
    value = rows.value()
    if n == 1:
        return [_estimate(v, np.nan, np.nan) for v in value]
    means = np.empty((options.n_resamples, rows.values.shape[1]))
    for mean in means:
        mean[:] = np.bincount(rng.integers(n, size=n), minlength=n) @ rows.values / n
    tail = (1 - options.confidence_level) / 2
    values = rows.statistic(means)
    ends = [
        np.quantile(column[np.isfinite(column)], [tail, 1 - tail])
        if np.isfinite(column).any()
        else (np.nan, np.nan)
        for column in values.T
    ]
    return [_estimate(v, *end) for v, end in zip(value, ends, strict=True)]


def split(sizes: tuple[int, ...], seed: int) -> tuple[int, list[np.ndarray]]:
    """The number of groups of the jackknife, and the group of each row of each sample."""
    n_groups = min(N_GROUPS, *sizes)
    rng = np.random.default_rng(seed)
    return n_groups, [rng.permutation(size) % n_groups for size in sizes]


def jackknife_interval(
    value: float,
    without: np.ndarray,
    options: Options,
    *,
    largest: float = np.inf,
    unbias: bool = False,
) -> Estimate:
    """Interval of a value between 0 and `largest` from the values without one group of rows."""
    n_groups = len(without)
    if n_groups < 2:
        return _estimate(value, np.nan, np.nan)
    centre = value - (n_groups - 1) * (without.mean() - value) if unbias else value
    error = np.sqrt((n_groups - 1) * np.square(without - without.mean()).mean())
    reach = stats.t.ppf((1 + options.confidence_level) / 2, n_groups - 1) * error
    low, high = np.clip([centre - reach, centre + reach], 0.0, largest)
    return _estimate(value, low, high)


def mmd_interval(x: np.ndarray, y: np.ndarray, bandwidth: float, options: Options) -> Estimate:
    """Normal interval of the unbiased squared MMD, by the infinitesimal jackknife."""
    value, variance = np.nan, 0.0
    for one, other in ((x, y), (y, x)):
        weights = torch.full((len(one),), 1.0 / len(one), dtype=torch.float64, requires_grad=True)
        result = squared_mmd(
            torch.tensor(one), torch.tensor(other), bandwidth=bandwidth, weights=weights
        )
        (slope,) = torch.autograd.grad(result, weights)
        value = float(result.detach())
        variance += float((slope - slope.mean()).square().sum()) / len(one) ** 2
    if min(len(x), len(y)) == 1:
        variance = np.nan
    reach = stats.norm.ppf((1 + options.confidence_level) / 2) * np.sqrt(variance)
    return _estimate(value, value - reach, value + reach)


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(float(value), float(np.minimum(low, value)), float(np.maximum(high, value)))
