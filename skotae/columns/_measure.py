"""What the units of columns are, as read off the training data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from skotae.columns.base import CHUNK, Units
from skotae.columns.sources.moments import moments
from skotae.columns.sources.source import Source
from skotae.utils._blocks import scattered
from skotae.utils.base import brief, plain

# A column counts where this share of its rows, or more, is off its median. Pixels at the border,
# rare words and rare categories do not count: how little they vary tells nothing of their unit.
COUNTS = 0.2
# Spreads that differ: the 90 % quantile, of columns that count, by more than this from the 10 %
# quantile; or the largest by more than twice this from the median size of all columns.
FACTOR = 10.0
# Spreads that rise and fall little by little, none of them by more than this from one column to the
# next, are those of one quantity along an axis, such as a spectrum: neighbours in a table of mixed
# units are as far apart as any two columns. Fewer columns may be in such an order by chance.
STEP, LEAST_COLUMNS = FACTOR**0.5, 16
# Fewer rows do not tell spreads apart.
LEAST_ROWS = 10
# Values are far off that are more typical deviations from the median than this, in columns
# whose spread is more than as many: there, they carry nearly all the variance.
FAR = 10.0
# Typical deviations from the median to the limits of these columns.
LIMIT = 5.0
# Quantile of the deviations that is typical: a small cluster is no outlier.
TYPICAL = 0.95
# Of spreads: below as many rounding errors of the mean there is none.
ROUNDING = 10.0
# Spreads are no smaller: numbers that are have few digits, and no inverse.
LEAST = float(np.finfo(np.float64).tiny)
# Elements that are looked at at a time, in float64.
BLOCK = 2**20
# Share of the variance that is nearly all of it.
NEARLY_ALL = 0.95
# How many of its columns a warning names.
MOST_NAMED = 5


class Columns:
    """Mean and spread of each column, in few passes over blocks of rows.

    Parameters
    ----------
    X : ndarray or Source of shape (n_samples, n_features)
    names : sequence, optional
        Of the columns, for messages.

    Attributes
    ----------
    low, high : ndarray of shape (n_features,)
        Range, in the dtype of X.
    mean, spread : ndarray of shape (n_features,)
        Mean and standard deviation, of values within the limits.
    size : ndarray of shape (n_features,)
        Root mean square deviation of the values that differ from the median: large for a rare
        category too, whose spread is small. 0 where none does.
    counts : ndarray of shape (n_features,), bool
        Whether the spread tells something of the unit.
    limits : ndarray of shape (2, n_features) or None
        Beyond them values are far off, in some columns; None if that is so in none.
    """

    limits: np.ndarray | None = None

    def __init__(self, X: np.ndarray | Source, names: Any = None):
        # What has been read once is not read again.
        found = X.moments if isinstance(X, Source) else moments(X)
        self.low, self.high = found.low, found.high
        self._check_range(names)
        self.mean, self.spread = found.mean.copy(), found.spread.copy()
        median, typical, share, n_off = _order(X)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            tail = self.spread / np.sqrt(share) / typical
        far = np.flatnonzero((n_off >= LEAST_ROWS) & (tail > FAR))
        if len(far):
            self._bring_within(X, far, median[far], LIMIT * typical[far])
        rounding = ROUNDING * np.finfo(X.dtype).eps * np.abs(self.mean)
        varies = (share > 0) & (self.spread > rounding)
        self.size = np.where(varies, self.spread / np.sqrt(np.maximum(share, 1e-300)), 0.0)
        self.counts = varies & (share >= COUNTS)
        self._floor = rounding

    def _check_range(self, names: Any) -> None:
        with np.errstate(over="ignore"):
            beyond = ~np.isfinite(self.high.astype(np.float64) - self.low)
        if beyond.any():
            j = int(np.flatnonzero(beyond)[0])
            finite = np.isfinite(self.low[j]) and np.isfinite(self.high[j])
            raise ValueError(
                f"X has values from {self.low[j]:.3g} to {self.high[j]:.3g} in column "
                f"{j if names is None else brief(plain(names[j]))}; expected numbers "
                + (
                    "whose difference is within the range of float64."
                    if finite
                    else "that are finite."
                )
            )

    def _bring_within(
        self, X: np.ndarray | Source, far: np.ndarray, median: np.ndarray, most: np.ndarray
    ) -> None:
        """Limits for some columns, and their moments within these."""
        _, _, self.mean[far], self.spread[far] = moments(X, far, median, most)
        self.limits = np.stack([np.full_like(self.mean, -np.inf), np.full_like(self.mean, np.inf)])
        self.limits[:, far] = median - most, median + most

    def one_scale(self) -> float:
        """Root mean square deviation of all columns; 1 where there is none."""
        unit = self.spread.max()
        if unit == 0:
            return 1.0
        scale = float(unit * np.sqrt(np.mean(np.square(self.spread / unit))))
        return max(scale, LEAST)

    def own_scales(self) -> np.ndarray:
        """Spread of each column; 1 where there is none."""
        scales = np.maximum(self.spread, np.where(self.spread > 0, self._floor, 0.0))
        return np.where(scales > 0, np.maximum(scales, LEAST), 1.0)


def measure(columns: Columns, by_column: bool) -> Units:
    """Units for rows like these: a scale for each column, or one for all."""
    scale = columns.own_scales() if by_column else columns.one_scale()
    return Units(columns.mean, scale, columns.limits)


def differ(columns: Columns, n: int) -> bool:
    """Whether spreads of columns differ so much that they cannot have one unit.

    Parameters
    ----------
    columns : Columns
    n : int
        Number of rows behind them.
    """
    if n < LEAST_ROWS or not columns.size.any():
        return False
    middle = np.median(columns.size[columns.size > 0])
    if columns.spread.max() > 2 * FACTOR * middle:
        return True
    spread = columns.spread[columns.counts]
    if len(spread) == 0:
        return False
    low = np.quantile(spread, 0.1, method="lower")
    high = np.quantile(spread, 0.9, method="higher")
    return bool(high > FACTOR * low) and not _in_small_steps(spread)


def _in_small_steps(spread: np.ndarray) -> bool:
    steps = np.abs(np.diff(np.log(spread)))
    return len(spread) >= LEAST_COLUMNS and bool(steps.max() <= np.log(STEP))


def warn_of_units(columns: Columns, names: Any = None) -> None:
    """Say which columns drown the rest."""
    which, share = dominant(columns)
    labels = [str(j) if names is None else brief(plain(names[j])) for j in which[:MOST_NAMED]]
    more = f" and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else ""
    warnings.warn(
        f"scale='global', but the spreads of the columns differ widely: {len(which)} of "
        f"{len(columns.spread)} columns carry {share:.3%} of the variance (column "
        f"{', '.join(labels)}{more}), and the model hardly sees the others. Use scale='columns', "
        "or 'auto', unless all columns have one unit.",
        UserWarning,
        # Of the call of fit, for most estimators.
        stacklevel=9,
    )


def dominant(columns: Columns) -> tuple[np.ndarray, float]:
    """The columns that carry nearly all the variance, largest first, and their share of it."""
    variance = np.square(columns.spread / columns.spread.max())
    order = np.argsort(variance)[::-1]
    shares = np.cumsum(variance[order]) / variance.sum()
    n = int(np.searchsorted(shares, NEARLY_ALL)) + 1
    return order[:n], float(shares[n - 1])


def _order(X: np.ndarray | Source) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each column, from some thousand rows, what a few values far off do not move.

    Returns
    -------
    median : ndarray of shape (n_features,)
    typical : ndarray of shape (n_features,)
        95 % quantile of the distance from the median, of the values that differ from it.
    share : ndarray of shape (n_features,)
        Share of the rows whose value does.
    n_off : ndarray of shape (n_features,)
        Their number, among those looked at.
    """
    some = X[scattered(len(X), len(X) // CHUNK)]
    n, parts = len(some), []
    width = max(1, BLOCK // n)
    for start in range(0, X.shape[1], width):
        values = np.sort(some[:, start : start + width].T, axis=1)
        # A value of the column, so that what it shares with other rows is seen.
        median = values[:, (n - 1) // 2]
        distance = values - median[:, None].astype(np.float64)
        # They fall and rise again: two runs, which a merge sort takes as they are.
        np.abs(distance, out=distance).sort(axis=1, kind="stable")
        n_off = np.count_nonzero(distance, axis=1)
        at = n - n_off + np.floor(TYPICAL * np.maximum(0, n_off - 1)).astype(int)
        typical = distance[np.arange(len(at)), np.minimum(at, n - 1)]
        parts.append(np.stack([median, typical, n_off / n, n_off]))
    median, typical, share, n_off = np.concatenate(parts, axis=1)
    return median, typical, share, n_off
