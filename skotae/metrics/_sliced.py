"""Sliced distances between samples, for NumPy users: arrays in, a float out."""

from __future__ import annotations

from typing import Any

from skotae import transport
from skotae.metrics.base import (
    as_clouds,
    check_integer,
    check_real,
    check_seed,
    in_units,
    root,
    weight_of,
)
from skotae.utils._random import make_generator


def sliced_wasserstein(
    X: Any,
    Y: Any,
    *,
    n_projections: int = 200,
    p: float = 2,
    random_state: Any = None,
    X_weight: Any = None,
    Y_weight: Any = None,
) -> float:
    r"""Sliced p-Wasserstein distance between two samples, by random directions.

    .. math::
        \mathrm{SW}_p(X, Y) = \left( \frac1L \sum_{l=1}^L W_p^p\bigl(\langle\theta_l, X\rangle,
        \langle\theta_l, Y\rangle\bigr) \right)^{1/p}, \qquad
        \theta_l \text{ uniform on the sphere}

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    n_projections : int, default=200
        Number of directions L.
    p : float, default=2
        Exponent, at least 1.
    random_state : int, RandomState instance or None, default=None
        Draws the directions.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum; equal by default.

    Returns
    -------
    distance : float
        The p-th root has been taken, unlike in :func:`skotae.transport.sliced_wasserstein`. A
        shift of length s in d dimensions has distance :math:`s / \sqrt d` for ``p = 2``.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters of measures, eq. 7.

    Examples
    --------
    >>> from skotae.metrics import sliced_wasserstein
    >>> sliced_wasserstein([[0.0], [1.0]], [[4.0], [3.0]])
    3.0
    """
    p, n_projections = check_real(p, "p"), check_integer(n_projections, "n_projections")
    generator = make_generator(check_seed(random_state))
    x, y, unit = in_units(*as_clouds(X, Y))
    a, b = weight_of(X_weight, x, "X_weight"), weight_of(Y_weight, y, "Y_weight")
    value = transport.sliced_wasserstein(
        x, y, n_projections=n_projections, p=p, generator=generator, a=a, b=b
    )
    return root(value, p, unit)


def max_sliced_wasserstein(
    X: Any,
    Y: Any,
    *,
    n_starts: int = 10,
    n_steps: int = 20,
    p: float = 2,
    random_state: Any = None,
    X_weight: Any = None,
    Y_weight: Any = None,
) -> float:
    r"""Max-sliced p-Wasserstein distance: along the direction in which two samples differ most.

    .. math::
        \max_{|\theta| = 1} W_p\bigl(\langle\theta, X\rangle, \langle\theta, Y\rangle\bigr)

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to compare it with.
    n_starts : int, default=10
        Number of random directions from which to climb, beside some planned ones.
    n_steps : int, default=20
        Number of steps from each.
    p : float, default=2
        Exponent, at least 1.
    random_state : int, RandomState instance or None, default=None
        Draws the directions to start from.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum; equal by default.

    Returns
    -------
    distance : float
        A local maximum. The p-th root has been taken, unlike in
        :func:`skotae.transport.max_sliced_wasserstein`.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Deshpande et al. (2019), Max-sliced Wasserstein distance and its use for GANs, eq. 8.

    Examples
    --------
    >>> from skotae.metrics import max_sliced_wasserstein
    >>> round(max_sliced_wasserstein([[0.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [3.0, 5.0]]), 6)
    5.0
    """
    n_starts, n_steps = check_integer(n_starts, "n_starts"), check_integer(n_steps, "n_steps")
    p, generator = check_real(p, "p"), make_generator(check_seed(random_state))
    x, y, unit = in_units(*as_clouds(X, Y))
    a, b = weight_of(X_weight, x, "X_weight"), weight_of(Y_weight, y, "Y_weight")
    value = transport.max_sliced_wasserstein(
        x, y, n_starts=n_starts, n_steps=n_steps, p=p, generator=generator, a=a, b=b
    )
    return root(value, p, unit)
