"""Frechet distance of features, as the FID."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from skotae import transport
from skotae.metrics._intervals import Estimate, Options, interval_by, jackknife_interval, split
from skotae.metrics.base import check_features, standardise


def _interval(
    options: Options, X: Any, Y: Any, features: Callable[[Any], Any] | None = None
) -> list[Estimate]:
    x, y = check_features(X, Y, features)
    n_groups, (x_group, y_group) = split((len(x), len(y)), options.seed)
    without = [_distance(x[x_group != g], y[y_group != g]) for g in range(n_groups) if n_groups > 1]
    return [jackknife_interval(_distance(x, y), np.array(without), options, unbias=True)]


@interval_by(_interval)
def frechet_distance(X: Any, Y: Any, features: Callable[[Any], Any] | None = None) -> float:
    r"""Squared 2-Wasserstein distance between Gaussian fits of features.

    .. math::
        |m_X - m_Y|^2 + \operatorname{tr} \bigl(\Sigma_X + \Sigma_Y
        - 2 (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2}\bigr)

    With the features of an Inception network this is the FID.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Sample, usually data; of shape (n, d) if `features` is None.
    Y : array-like of shape (m, ...)
        Sample to compare it with, usually generated. Of two data frames the columns must have the
        same names in the same order.
    features : callable, optional
        Takes a sample and returns an array of shape (n, p), such as a network's penultimate layer
        or the `transform` of a fitted PCA. None compares the rows themselves.

    Returns
    -------
    distance : float
        No root is taken; :func:`gaussian_wasserstein` is the root of this without `features`. It is
        too large on average, the more so the fewer rows: compare values of equal n and m.
        Covariances are unbiased, and may be singular.

    Raises
    ------
    ValueError
        If an input is invalid.
    TypeError
        If `features` is not callable.

    References
    ----------
    .. [1] Heusel et al. (2017), GANs trained by a two time-scale update rule, eq. 6.
    .. [2] Dowson and Landau (1982), The Frechet distance between multivariate normal distributions.

    Examples
    --------
    >>> from skotae.metrics import frechet_distance
    >>> round(frechet_distance([[0.0], [1.0]], [[3.0], [4.0]]), 6)
    9.0
    """
    return _distance(*check_features(X, Y, features))


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    x, y, unit = standardise(x, y)
    fits = [transport.fit_gaussian(torch.from_numpy(part)) for part in (x, y)]
    value = float(transport.gaussian_wasserstein(*fits[0], *fits[1])) * unit * unit
    if not np.isfinite(value):
        raise ValueError(
            "The squared distance between X and Y is beyond the range of float64; expected both "
            "divided by one number."
        )
    return value
