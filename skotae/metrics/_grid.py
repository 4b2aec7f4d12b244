"""How well samples keep to the modes of a mixture."""

from __future__ import annotations

from typing import Any

import numpy as np

from skotae.metrics._intervals import Rows, interval_by_rows
from skotae.metrics.base import check_pair, nearest
from skotae.utils.base import as_real


def _near(X: Any, means: Any, scale: float, *, n_scales: float = 4.0) -> list[Rows]:
    """Of each sample whether it is near its mode, how far from it, and which mode that is."""
    scale, n_scales = (
        as_real(name, value, above=0) for name, value in (("scale", scale), ("n_scales", n_scales))
    )
    X, means = check_pair(X, means, ("X", "means"))
    mode = nearest(X, means)[:, 0]
    gap = X - means[mode]
    high = np.linalg.norm(gap, axis=1) < n_scales * scale
    square = np.square(gap).mean(axis=1)
    modes = np.unique(mode[high])
    values = np.column_stack([high, square * high, (mode[:, None] == modes) & high[:, None]])

    def statistic(mean: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # no sample near a mode has no spread
            within = np.sqrt(mean[..., 1] / mean[..., 0])
        return np.stack([mean[..., 0], (mean[..., 2:] > 0).sum(axis=-1), within], axis=-1)

    return [Rows(values, statistic)]


@interval_by_rows(_near)
def high_density_ratio(
    X: Any, means: Any, scale: float, *, n_scales: float = 4.0
) -> tuple[float, int, float]:
    """Share of samples near a mode, number of modes found, spread within modes.

    A sample is of high density if it lies within `n_scales` standard deviations of the
    nearest mean.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Samples.
    means : array-like of shape (n_modes, d)
        Means of the modes.
    scale : float
        Standard deviation of one coordinate within a mode.
    n_scales : float, default=4.0
        Radius of high density, in standard deviations.

    Returns
    -------
    ratio : float
        Share of high-density samples.
    n_modes : int
        Number of modes that have a high-density sample.
    within : float
        Standard deviation of one coordinate of the high-density samples about their mean; NaN
        without such samples.

    Raises
    ------
    ValueError
        If X or `means` is no matrix of finite numbers, has no row, or has other columns than
        the other one, or `scale` or `n_scales` is not positive.

    References
    ----------
    Hao and Shafto (2023), Coupled variational auto-encoder, ICML, section 5.

    Examples
    --------
    >>> from skotae.metrics import high_density_ratio
    >>> high_density_ratio([[0.0], [0.1], [5.0]], [[0.0], [1.0]], 0.05)[:2]
    (0.6666666666666666, 1)
    """
    ratio, n_modes, within = _near(X, means, scale, n_scales=n_scales)[0].value()
    return float(ratio), int(n_modes), float(within)
