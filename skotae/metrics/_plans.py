"""Transport plans between samples, for NumPy users: arrays in, an array out."""

from __future__ import annotations

from typing import Any

from skotae import transport
from skotae.metrics.base import as_clouds, check_real, in_units, weight_of
from skotae.utils._torch import in_namespace


def exact_plan(
    X: Any,
    Y: Any,
    *,
    p: float = 2,
    metric: str = "minkowski",
    X_weight: Any = None,
    Y_weight: Any = None,
) -> Any:
    r"""Optimal transport plan between two samples: how much of each row goes to which.

    .. math::
        \operatorname*{argmin}_{P 1 = a,\; P^\top 1 = b} \sum_{ij} P_{ij} \sum_k |x_{ik} - y_{jk}|^p

    Parameters
    ----------
    X : array-like of shape (n, d)
        Sample. Of two data frames the columns must have the same names in the same order.
    Y : array-like of shape (m, d)
        Sample to match it with.
    p : float, default=2
        Exponent, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between rows, of which the `p`-th power is the cost: the `p`-norm of their
        difference, as in the formula, or the Euclidean one. The same for ``p=2``.
    X_weight, Y_weight : array-like of shape (n,) and (m,), optional
        Non-negative weights of the rows, divided by their sum; equal by default.

    Returns
    -------
    plan : ndarray of shape (n, m)
        In float64, of sum one; a tensor or an array of the library and on the device of `X` where
        that is one. For as many rows and equal weights it is a permutation, divided by n.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Peyre and Cuturi (2019), Computational optimal transport, section 2.3.

    Examples
    --------
    >>> from skotae.metrics import exact_plan
    >>> plan = exact_plan([[0.0], [1.0], [5.0]], [[4.0], [0.0], [2.0]])
    >>> plan.argmax(axis=1).tolist()
    [1, 2, 0]
    """
    p = check_real(p, "p")
    x, y, _ = in_units(*as_clouds(X, Y))
    a, b = weight_of(X_weight, x, "X_weight"), weight_of(Y_weight, y, "Y_weight")
    return in_namespace(transport.exact_plan(x, y, p=p, metric=metric, a=a, b=b).numpy(), X)
