"""Rows that are not in memory as a whole: of a file, or made when they are asked for."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np


def is_mapped(X: Any) -> bool:
    """Whether an array is a memory map of a file, or a view of one."""
    while X is not None:
        if isinstance(X, mmap.mmap):
            return True
        X = getattr(X, "base", None)
    return False


class LazyRows:
    """Rows of an array, or some of them, as a function turns them: never all at once.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features) or LazyRows
    function : callable, default=None
        From some rows to as many of the same width and dtype, each by itself.
    index : ndarray of shape (n,), default=None
        Which rows these are; all by default.
    """

    def __init__(
        self,
        X: Any,
        function: Callable[[np.ndarray], np.ndarray] | None = None,
        index: np.ndarray | None = None,
    ):
        self._X = X
        self._function = function
        self._index = index
        self.dtype = X.dtype
        self.shape = (len(X) if index is None else len(index), X.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        # In one order, whatever that of X is: so are the sums over them.
        some = np.ascontiguousarray(self._X[rows if self._index is None else self._index[rows]])
        return some if self._function is None else self._function(some)


def scattered(n: int, step: int) -> slice | np.ndarray:
    """Numbers of some of n rows: one at random of each `step` that follow each other.

    Every `step`-th would be all of one kind where rows take turns, as the hours of a day do. The
    same for the same numbers.
    """
    if step <= 1:
        return slice(None)
    first = np.arange(0, n, step)
    return first + np.random.default_rng(0).integers(np.minimum(step, n - first))


class DrawnRows:
    """Rows that a function draws, some at a time: slices of them are asked for in turn.

    Parameters
    ----------
    draw : callable
        From a number to an array of as many rows, which follow those drawn before.
    n : int
        Number of rows in all.
    size : int
        Rows that are drawn at a time; a slice that is asked for has all its rows among these.
    width : int
        Number of columns.
    """

    def __init__(self, draw: Callable[[int], np.ndarray], n: int, size: int, width: int):
        self._draw = draw
        self._size = size
        self._number, self._rows = -1, np.empty((0, width))
        self.shape = (n, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        number, start = divmod(rows.start, self._size)
        if number != self._number:
            self._number = number
            self._rows = self._draw(min(self._size, len(self) - number * self._size))
        return self._rows[start : start + rows.stop - rows.start]
