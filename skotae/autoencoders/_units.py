"""The units that networks see the data in."""

from __future__ import annotations

import numpy as np

CHUNK = 4096


def standardiser(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of the columns, and the root mean square distance from it per feature.

    One scale for all features keeps the geometry of the data. It is 1 where X is
    constant.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        square = _square_deviation(X, mean, 1.0)
    unit = 1.0
    if not 1e-20 * X.size < square < 1e20 * X.size:
        # Relative to the largest deviation, so that no square leaves the range.
        chunks = (X[i : i + CHUNK].astype(np.float64) for i in range(0, len(X), CHUNK))
        unit = max(np.abs(rows - mean).max() for rows in chunks)
        if unit == 0:
            return mean, 1.0
        square = _square_deviation(X.astype(np.float64, copy=False), mean, unit)
    scale = float(unit * np.sqrt(square / X.size))
    # A spread below the smallest normal number is no spread.
    return mean, scale if scale >= np.finfo(X.dtype).tiny else 1.0


def _square_deviation(X: np.ndarray, mean: np.ndarray, unit: float) -> float:
    """Sum of ((X - mean) / unit)**2, in blocks that stay in the cache."""
    mean = mean.astype(X.dtype)
    size = max(1, 2**17 // X.shape[1])
    total = 0.0
    for start in range(0, len(X), size):
        rows = X[start : start + size] - mean
        if unit != 1.0:
            rows /= unit
        total += float(np.vdot(rows, rows))
    return total
