"""The units that networks see rows in, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Rows that are looked at at a time, and values: fewer rows where they are wide.
CHUNK = 4096
VALUES = 2**19
# Within it, scales and their inverses are at home in float32.
SAFE = (1e-30, 1e30)


def rows_at_once(width: int, most: int = CHUNK) -> int:
    """Rows of a width that are looked at at a time: a power of two, where `most` is one.

    A block of them does not grow with the width.
    """
    return min(most, 1 << max(1, VALUES // width).bit_length() - 1)


@dataclass(frozen=True)
class Units:
    r"""Rows are shifted by a mean and divided by a scale.

    .. math:: z_j = (\min(\max(x_j, l_j), h_j) - m_j) / s_j

    Parameters
    ----------
    mean : ndarray of shape (n_features,), float64
    scale : float or ndarray of shape (n_features,), float64
        One number for all columns, or one for each; above 0.
    limits : ndarray of shape (2, n_features), default=None
        What values are brought within: the lowest and the highest of each column. None where
        no column has any.
    constant : ndarray of shape (n_features,), default=None
        The value of each constant column, NaN elsewhere: these come back exactly. None where
        there are none.
    """

    mean: np.ndarray
    scale: float | np.ndarray
    limits: np.ndarray | None = None
    constant: np.ndarray | None = None

    @property
    def by_column(self) -> bool:
        """Whether each column has a scale of its own."""
        return np.ndim(self.scale) > 0

    @property
    def is_identity(self) -> bool:
        """Whether rows stay what they are."""
        unit = not self.by_column and self.scale == 1.0
        return unit and self.limits is None and not self.mean.any()

    def dtype_for(self, dtype: np.dtype) -> np.dtype:
        """What to compute in, for rows of `dtype`, so that no scale leaves the range."""
        low, high = SAFE
        if low < np.min(self.scale) and np.max(self.scale) < high:
            return np.dtype(dtype)
        return np.dtype(np.float64)

    def within(self, X: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """X within the limits."""
        if self.limits is None:
            return X
        with np.errstate(over="ignore"):
            low, high = self.limits.astype(X.dtype)
        return np.clip(X, low, high, out=out)

    def standardised(self, X: np.ndarray) -> np.ndarray:
        """Rows as networks see them, in the dtype of X."""
        dtype = self.dtype_for(X.dtype)
        rows = self.within(X) - self.mean.astype(dtype)
        rows /= np.asarray(self.scale, dtype)
        return rows.astype(X.dtype, copy=False)

    def restored(self, Z: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Rows of X from what networks give, in a dtype that may be wider."""
        wide = self.dtype_for(dtype)
        with np.errstate(over="ignore"):
            rows = Z * np.asarray(self.scale, wide)
            rows += self.mean.astype(wide)
            rows = rows.astype(dtype, copy=False)
        if self.constant is not None:
            known = ~np.isnan(self.constant)
            rows[:, known] = self.constant[known]
        return rows

    def comparable(self, X: np.ndarray) -> np.ndarray:
        """Rows whose columns have one unit, for distances: X itself, but for what needs care."""
        if self.by_column:
            return self.standardised(X)
        return self.within(X)
