"""Range, mean and spread of each column, in one pass over blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from skotae.columns.base import rows_at_once

# Elements that stay in the cache, in float64.
CACHED = 2**16
# Deviations whose squares, and the sums of these, are far from the ends of the range.
SQUARES = (1e-120, 1e120)


class Moments(NamedTuple):
    """Of each column, in float64 but for the range."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def blocks(X: Any) -> Iterator[np.ndarray]:
    """Some rows at a time."""
    size = rows_at_once(X.shape[1])
    for start in range(0, len(X), size):
        yield X[start : start + size]


def moments(X: Any, columns: Any = slice(None), middle: Any = None, most: Any = None) -> Moments:
    """Range, mean and standard deviation of columns.

    Parameters
    ----------
    X : ndarray or Source of shape (n_samples, n_features)
        It is read once; twice where squares leave the range of float64.
    columns : slice or ndarray of int, default=slice(None)
        Which ones.
    middle : ndarray of shape (n_columns,), default=None
        What deviations are taken from; the first row by default, so that a column that does
        not vary has none.
    most : ndarray of shape (n_columns,), default=None
        Larger deviations count as so much; by default all count as they are.
    """
    low: Any = None
    high: Any = None
    sums: Any = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks(X):
            step = max(1, CACHED // X.shape[1])
            for start in range(0, len(block), step):
                rows = block[start : start + step, columns]
                if low is None:
                    low = high = rows[0]
                    middle = low.astype(np.float64) if middle is None else middle
                low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
                shift = rows.astype(np.float64)
                shift -= middle
                if most is not None:
                    np.clip(np.divide(shift, most, out=shift), -1.0, 1.0, out=shift)
                total = shift.sum(axis=0)
                sums = sums + np.stack([total, np.square(shift, out=shift).sum(axis=0)])
        first, second = sums / len(X)
        size = np.sqrt(second)
        plain = (SQUARES[0] < size) & (size < SQUARES[1]) | (low == high)
        if most is None and not plain.all():
            # Once more, relative to the largest.
            most = np.maximum(high - middle, middle - low)
            return moments(X, columns, middle, np.where(most > 0, most, 1.0))
        spread = np.sqrt(np.maximum(0.0, second - first**2))
    unit = 1.0 if most is None else most
    return Moments(low, high, middle + unit * first, unit * spread)
