"""Distances between samples, for NumPy users: arrays in, float64 inside, a float out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from skotae import transport
from skotae.metrics._intervals import Estimate, Options, interval_by, mmd_interval
from skotae.metrics.base import (
    as_clouds,
    check_integer,
    check_pair,
    check_real,
    in_range,
    in_units,
    root,
    weight_of,
)


def exact_wasserstein(
    X: Any,
    Y: Any,
    *,
    p: float = 2,
    metric: str = "minkowski",
    X_weight: Any = None,
    Y_weight: Any = None,
) -> float:
    r"""p-Wasserstein distance between two samples.

    .. math::
        W_p(X, Y) = \left( \min_P \sum_{ij} P_{ij} \sum_k |x_{ik} - y_{jk}|^p \right)^{1/p}

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    p : float, default=2
        Exponent, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between rows, of which the `p`-th power is the cost: the `p`-norm of their
        difference, as in the formula, or the Euclidean one. The same for ``p=2``.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum; equal by default.

    Returns
    -------
    distance : float
        The p-th root has been taken, unlike in :func:`skotae.transport.exact_cost`.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Peyre and Cuturi (2019), Computational optimal transport, section 2.4.

    Examples
    --------
    >>> from skotae.metrics import exact_wasserstein
    >>> exact_wasserstein([[0.0], [1.0]], [[3.0], [2.0]])
    2.0
    """
    p = check_real(p, "p")
    x, y, unit = in_units(*as_clouds(X, Y))
    a, b = weight_of(X_weight, x, "X_weight"), weight_of(Y_weight, y, "Y_weight")
    return root(transport.exact_cost(x, y, p=p, metric=metric, a=a, b=b), p, unit)


def sinkhorn_divergence(
    X: Any,
    Y: Any,
    *,
    epsilon: float = 0.05,
    relative: bool = True,
    p: float = 2,
    metric: str = "minkowski",
    debias: str = "paired",
    sharp: bool = False,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    X_weight: Any = None,
    Y_weight: Any = None,
) -> float:
    r"""Debiased entropic transport cost between two samples.

    .. math::
        S_\varepsilon(X, Y) = \mathrm{OT}_\varepsilon(X, Y)
        - \tfrac12 \mathrm{OT}_\varepsilon(X, X) - \tfrac12 \mathrm{OT}_\varepsilon(Y, Y),
        \quad \mathrm{OT}_\varepsilon(X, Y) = \min_P \langle P, C \rangle
        + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b),
        \quad C_{ij} = \sum_k |x_{ik} - y_{jk}|^p

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost. It is at least
        1e-12 of the mean cost, and at most 1e8 of it: what is beyond counts as the end.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost between `X` and `Y`.
    p : float, default=2
        Power of the distance that is the cost, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between rows: the `p`-norm of their difference, as in the formula, or the
        Euclidean one. The same for ``p=2``.
    debias : {"paired", "independent", "none"}, default="paired"
        "paired" is the formula. "independent" compares the halves of each sample, which should
        then be in random order, and is 0 on average for two samples of one distribution; "none"
        is the first term.
    sharp : bool, default=False
        Leave the entropy out of the values: :math:`\langle P, C \rangle` at the same plans.
    tol : float, default=1e-6
        L1 marginal violation at which to stop.
    max_iter : int, default=10000
        Largest number of iterations.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum; equal by default.

    Returns
    -------
    value : float
        A cost, of which no root is taken: about :math:`W_p^p` for a small `epsilon`.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Feydy et al. (2019), Interpolating between optimal transport and MMD using Sinkhorn
       divergences, eq. 3.

    Examples
    --------
    >>> from skotae.metrics import sinkhorn_divergence
    >>> round(sinkhorn_divergence([[0.0], [1.0]], [[4.0], [3.0]]), 6)
    9.0
    """
    max_iter = check_integer(max_iter, "max_iter")
    epsilon, p, tol = check_real(epsilon, "epsilon"), check_real(p, "p"), check_real(tol, "tol")
    x, y = as_clouds(X, Y)
    value = transport.sinkhorn_divergence(
        x,
        y,
        epsilon=epsilon,
        relative=relative,
        tol=tol,
        max_iter=max_iter,
        p=p,
        metric=metric,
        a=weight_of(X_weight, x, "X_weight"),
        b=weight_of(Y_weight, y, "Y_weight"),
        debias=debias,
        sharp=sharp,
    )
    assert isinstance(value, Tensor)
    return in_range(value, p)


def gaussian_wasserstein(X: Any, Y: Any, *, X_weight: Any = None, Y_weight: Any = None) -> float:
    r"""2-Wasserstein distance between the Gaussian fits of two samples (Frechet distance).

    .. math::
        \left( |m_X - m_Y|^2 + \operatorname{tr} \bigl(\Sigma_X + \Sigma_Y
        - 2 (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2}\bigr) \right)^{1/2}

    with means and unbiased covariances. The "Frechet inception distance" (FID) of images is the
    square of this, of features of a network.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum, as numpy.cov's `aweights`; equal by
        default.

    Returns
    -------
    distance : float
        The root has been taken, unlike in :func:`skotae.transport.gaussian_wasserstein`. The
        covariance of a single row is zero.

    Raises
    ------
    ValueError
        If an input is invalid.

    References
    ----------
    .. [1] Dowson and Landau (1982), The Frechet distance between multivariate normal distributions.
    .. [2] Heusel et al. (2017), GANs trained by a two time-scale update rule, section 2 (FID).

    Examples
    --------
    >>> from skotae.metrics import gaussian_wasserstein
    >>> round(gaussian_wasserstein([[0.0], [1.0]], [[3.0], [4.0]]), 6)
    3.0
    """
    x, y, unit = in_units(*as_clouds(X, Y))
    fits = (
        *transport.fit_gaussian(x, weight_of(X_weight, x, "X_weight")),
        *transport.fit_gaussian(y, weight_of(Y_weight, y, "Y_weight")),
    )
    return root(transport.gaussian_wasserstein(*fits), 2, unit)


def _mmd_interval(options: Options, X: Any, Y: Any, *, bandwidth: float = 1.0) -> list[Estimate]:
    return [mmd_interval(*check_pair(X, Y), check_real(bandwidth, "bandwidth"), options)]


@interval_by(_mmd_interval)
def mmd(X: Any, Y: Any, *, bandwidth: float = 1.0) -> float:
    """Squared maximum mean discrepancy between two samples, unbiased.

    The kernel is that of :class:`~skotae.divergences.MMD`, in float64.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    bandwidth : float, default=1.0
        Standard deviation of one coordinate.

    Returns
    -------
    value : float
        May be negative where the samples have one distribution.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, Algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import mmd
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> mmd(X, X + 1) > 0.5
    True
    """
    bandwidth = check_real(bandwidth, "bandwidth")
    x, y = as_clouds(X, Y)
    for name, cloud in (("X", x), ("Y", y)):
        if len(cloud) < 2:
            raise ValueError(f"{name} has 1 row; the unbiased estimate is of pairs: expected 2.")
    return float(transport.squared_mmd(x, y, bandwidth=bandwidth))
