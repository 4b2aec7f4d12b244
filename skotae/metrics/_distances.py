"""Distances between samples, for NumPy users."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.utils import check_array

from skotae.transport import exact_cost, squared_mmd


def _clouds(X: Any, Y: Any) -> tuple[torch.Tensor, torch.Tensor]:
    X = check_array(X, dtype="float64", input_name="X")
    Y = check_array(Y, dtype="float64", input_name="Y")
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} columns and Y has {Y.shape[1]}; expected equal numbers."
        )
    return torch.tensor(X), torch.tensor(Y)  # copies: X and Y may be read-only


def exact_wasserstein(X: Any, Y: Any, *, p: float = 2) -> float:
    r"""p-Wasserstein distance between two samples.

    .. math::
        W_p(X, Y) = \left( \min_P \sum_{ij} P_{ij} \sum_k |x_{ik} - y_{jk}|^p \right)^{1/p}

    Parameters
    ----------
    X : array-like of shape (n, d)
    Y : array-like of shape (m, d)
    p : float, default=2
        Exponent.

    Returns
    -------
    distance : float

    Examples
    --------
    >>> from skotae.metrics import exact_wasserstein
    >>> exact_wasserstein([[0.0], [1.0]], [[3.0], [2.0]])
    2.0
    """
    return float(exact_cost(*_clouds(X, Y), p=p)) ** (1.0 / p)


def mmd(X: Any, Y: Any, *, bandwidth: float = 1.0) -> float:
    """Squared maximum mean discrepancy between two samples, unbiased.

    The kernel is that of :class:`~skotae.divergences.MMD`, in float64.

    Parameters
    ----------
    X : array-like of shape (n, d)
    Y : array-like of shape (m, d)
    bandwidth : float, default=1.0
        Standard deviation of one coordinate.

    Returns
    -------
    value : float
        May be negative where the samples have one distribution.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import mmd
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> mmd(X, X + 1) > 0.5
    True
    """
    return float(squared_mmd(*_clouds(X, Y), bandwidth=bandwidth))
