"""What codes are good for: neighbours, reconstructions, agreement with the prior."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats

from skotae.metrics._intervals import (
    Estimate,
    Options,
    Rows,
    interval_by,
    interval_by_rows,
    mmd_interval,
)
from skotae.metrics.base import (
    check_integer,
    check_labels,
    check_neighbors,
    check_option,
    check_pair,
    check_real,
    check_rows,
    check_seed,
    check_weight,
    in_units,
    nearest,
)
from skotae.priors import PRIORS, BasePrior
from skotae.transport import squared_mmd
from skotae.utils._random import make_generator
from skotae.utils._registry import resolve_part
from skotae.utils.base import stale


def _hits(Z: Any, y: Any, Z_test: Any, y_test: Any, *, n_neighbors: int = 5) -> list[Rows]:
    """Whether each test row is given its own label."""
    z, z_test = check_pair(Z, Z_test, ("Z", "Z_test"))
    y = check_labels(y, "y", len(z), "Z")
    y_test = check_labels(y_test, "y_test", len(z_test), "Z_test")
    kinds = ["bytes" if each.dtype.kind == "S" else each.dtype.kind in "OU" for each in (y, y_test)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"y has dtype {y.dtype} and y_test has {y_test.dtype}; expected labels of one type."
        )
    k = check_neighbors(n_neighbors, len(z), "the number of rows of Z")
    classes, number = np.unique(y, return_inverse=True)
    votes = stats.mode(number[nearest(z_test, z, k)], axis=1).mode
    return [Rows((classes[votes] == y_test).astype(np.float64)[:, None])]


@interval_by_rows(_hits)
def knn_accuracy(Z: Any, y: Any, Z_test: Any, y_test: Any, *, n_neighbors: int = 5) -> float:
    """Accuracy of the k-nearest-neighbour classifier on codes.

    Parameters
    ----------
    Z : array-like of shape (n, d)
        Codes of training rows.
    y : array-like of shape (n,)
        Their labels.
    Z_test : array-like of shape (m, d)
        Codes of test rows. Of two data frames the columns must have the same names in the same
        order.
    y_test : array-like of shape (m,)
        Their labels.
    n_neighbors : int, default=5
        Number of neighbours, as in the paper's tables.

    Returns
    -------
    accuracy : float
        Share of test rows whose label is that of most of their neighbours, in [0, 1].

    Raises
    ------
    ValueError
        If an input is invalid, or there are fewer rows than neighbours.

    References
    ----------
    .. [1] Sun and Guo (2021), Symmetric Wasserstein autoencoders, section 3.2 and Table 1.

    Examples
    --------
    >>> from skotae.metrics import knn_accuracy
    >>> Z, y = [[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]
    >>> knn_accuracy(Z, y, [[0.2], [4.0]], ["a", "a"], n_neighbors=1)
    0.5
    """
    return float(_hits(Z, y, Z_test, y_test, n_neighbors=n_neighbors)[0].value()[0])


def _errors(
    X: Any, X_reconstructed: Any, *, cost: str = "sqeuclidean", sample_weight: Any = None
) -> list[Rows]:
    """The cost of each row, with its weight."""
    x, y = check_pair(X, X_reconstructed, ("X", "X_reconstructed"))
    if len(x) != len(y):
        raise ValueError(
            f"X has {len(x)} rows and X_reconstructed has {len(y)}; expected as many, row by row."
        )
    check_option(cost, "cost", ("sqeuclidean", "euclidean", "cityblock"))
    x, y, unit = in_units(x, y)
    difference = x - y
    if cost == "sqeuclidean":
        errors = np.square(difference).sum(axis=1)
    elif cost == "euclidean":
        errors = np.linalg.norm(difference, axis=1)
    else:
        errors = np.abs(difference).sum(axis=1)
    weight = check_weight(sample_weight, x, "sample_weight")
    # In units of the largest, of which sums stay within range.
    weight = np.ones(len(x)) if weight is None else weight / weight.max()
    power = 2 if cost == "sqeuclidean" else 1
    exponent = power * (math.frexp(unit)[1] - 1)
    rows = Rows(np.column_stack([weight * errors, weight]), partial(_ratio, exponent=exponent))
    if not np.isfinite(rows.value()).all():
        raise ValueError(
            "The errors of X_reconstructed are beyond the range of float64 for "
            f"cost={cost!r}; expected X and X_reconstructed divided by one number."
        )
    return [rows]


def _ratio(means: np.ndarray, exponent: int) -> np.ndarray:
    """Weighted mean errors, in units of a power of two."""
    # A bootstrap sample may have no weight, or an error beyond the range.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.ldexp(means[..., :1] / means[..., 1:], exponent)


@interval_by_rows(_errors)
def reconstruction_error(
    X: Any, X_reconstructed: Any, *, cost: str = "sqeuclidean", sample_weight: Any = None
) -> float:
    r"""Mean cost of reconstructions: summed over features, averaged over rows.

    .. math::
        \frac1n \sum_i |x_i - \tilde x_i|^2

    Parameters
    ----------
    X : array-like of shape (n, n_features)
        Data.
    X_reconstructed : array-like of shape (n, n_features)
        Its reconstructions, row by row. Of two data frames the columns must have the same names in
        the same order.
    cost : {"sqeuclidean", "euclidean", "cityblock"}, default="sqeuclidean"
        The formula, its terms' square roots, or sums of absolute differences.
    sample_weight : array-like of shape (n,), optional
        Non-negative weights of the rows; equal by default.

    Returns
    -------
    error : float
        In the squared units of X, or in its units.

    Raises
    ------
    ValueError
        If an input is invalid, or the error is beyond the range of float64.

    References
    ----------
    .. [1] Sun and Guo (2021), Symmetric Wasserstein autoencoders, section 3.3 and Table 3.
    .. [2] Patrini et al. (2019), Sinkhorn autoencoders, Table 1.

    Examples
    --------
    >>> from skotae.metrics import reconstruction_error
    >>> reconstruction_error([[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [2.0, 3.0]])
    2.5
    """
    rows = _errors(X, X_reconstructed, cost=cost, sample_weight=sample_weight)
    return float(rows[0].value()[0])


def _codes_and_draws(
    Z: Any, prior: Any, n_samples: Any, bandwidth: Any, random_state: Any
) -> tuple[np.ndarray, np.ndarray, float]:
    """Codes, draws from the prior and the bandwidth."""
    scale = None
    if isinstance(prior, (str, BasePrior)):
        z = check_rows(Z, "Z")
        m, d = z.shape
        m = m if n_samples is None else check_integer(n_samples, "n_samples")
        part = resolve_part(prior, "prior", PRIORS, BasePrior, default="normal")
        part.check_dimension(d)
        generator = make_generator(check_seed(random_state))
        draws = part.sample(m, d, generator, dtype=torch.float64).numpy()
        if hasattr(part, "moments") and not stale(part, "moments", "sample"):
            scale = float(part.moments(d)[1].trace() / d) ** 0.5
    else:
        if n_samples is not None:
            raise ValueError(f"n_samples={n_samples!r}; expected None with an array of draws.")
        z, draws = check_pair(Z, prior, ("Z", "prior"))
    if bandwidth is None:
        bandwidth = scale or float(np.sqrt(draws.var(axis=0).mean())) or 1.0
    return z, draws, check_real(bandwidth, "bandwidth")


def _gap_interval(
    options: Options,
    Z: Any,
    prior: Any = "normal",
    *,
    n_samples: int | None = None,
    bandwidth: float | None = None,
    random_state: Any = None,
) -> list[Estimate]:
    return [mmd_interval(*_codes_and_draws(Z, prior, n_samples, bandwidth, random_state), options)]


@interval_by(_gap_interval)
def prior_gap(
    Z: Any,
    prior: Any = "normal",
    *,
    n_samples: int | None = None,
    bandwidth: float | None = None,
    random_state: Any = None,
) -> float:
    r"""Squared maximum mean discrepancy between codes and prior, unbiased.

    .. math::
        \widehat{\mathrm{MMD}}^2(Q_Z, P_Z), \qquad
        k(z, y) = \sum_s \frac{C_s}{C_s + |z - y|^2}, \quad C_s = 2 d \sigma^2 s,

    the U-statistic of :func:`mmd` with s = 0.1, 0.2, 0.5, 1, 2, 5, 10.

    Parameters
    ----------
    Z : array-like of shape (n, d)
        Draws from the aggregate posterior: one for each row of data, from ``sample_posterior``, or
        the codes of a deterministic encoder.
    prior : str, BasePrior or array-like of shape (m, d), default="normal"
        The prior, by name or as a part, such as an estimator's ``prior_``; or draws from it.
    n_samples : int, optional
        Number of draws from the prior; as many as codes by default.
    bandwidth : float, optional
        The length :math:`\sigma`. By default the root mean variance of a coordinate of the prior,
        or of the draws where the prior has no `moments`.
    random_state : int, RandomState instance or None, default=None
        Draws from the prior.

    Returns
    -------
    value : float
        May be negative where codes and prior have one distribution. Each of the seven kernels
        contributes between 0 and 2 on average. The papers do not say which kernel their numbers
        belong to: the order of methods is comparable with theirs, the numbers are not, and none
        are between priors. Of one code, or one draw, there are no pairs: their sum is left out,
        and the value is too low.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, Algorithm 2.
    .. [2] Hao and Shafto (2023), Coupled variational auto-encoder, Table 2.
    .. [3] Patrini et al. (2019), Sinkhorn autoencoders, Table 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import prior_gap
    >>> Z = np.random.default_rng(0).normal(size=(500, 2))
    >>> abs(prior_gap(Z, random_state=0)) < 0.02 < prior_gap(0.5 * Z, random_state=0)
    True
    """
    z, draws, bandwidth = _codes_and_draws(Z, prior, n_samples, bandwidth, random_state)
    return float(squared_mmd(torch.tensor(z), torch.tensor(draws), bandwidth=bandwidth))
