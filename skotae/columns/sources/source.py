"""Rows that are read from a file when they are needed, and never held as a whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from skotae.columns._naming import is_table, names_of, naming_columns
from skotae.columns.sources._readers import ChunkedRows, DatasetRows, MappedRows, PrecededRows
from skotae.columns.sources.moments import Moments, blocks, moments
from skotae.utils._blocks import is_mapped
from skotae.utils._containers import check_container
from skotae.utils._torch import as_rows

# Bytes: of neighbouring rows that stay together in a shuffle, of the rows that are shuffled at a
# time, and of those that are asked for at once.
BLOCK, WINDOW, PIECE = 2**20, 2**26, 2**24
FLOATS = (np.float64, np.float32)


class Source:
    """Rows behind a method ``take``, which look like an array that is only sliced.

    All that is read is checked, as scikit-learn checks arrays.

    Parameters
    ----------
    reader : object
        ``len(reader)`` rows, of which ``reader.take(indices)`` gives some, as any array-like of
        shape (len(indices), n_features). Indices increase, without repeats. With an attribute
        ``starts``, the first rows of blocks that are read as a whole; with an attribute ``first``,
        the first rows, two at the most, with names of columns that the others lack.

    Attributes
    ----------
    shape : (n_samples, n_features)
    dtype : dtype
        float32 or float64.
    first : array-like
        The first rows, two at the most, as the reader gives them.
    """

    def __init__(self, reader: Any):
        self._reader = reader
        self._check: Callable[[np.ndarray, np.ndarray], object] | None = None
        n = len(reader)
        some = np.arange(min(2, n))
        self.first = as_rows(reader.first) if hasattr(reader, "first") else self._take(some)
        self._names = names_of(self.first)
        rows = _as_array(self.first)
        self.shape = (n, rows.shape[1])
        self.dtype = rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows of a slice, or of numbers in any order, in an array of their own."""
        index = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        index = np.asarray(index, dtype=np.int64)
        if (np.diff(index) <= 0).any():
            index, places = np.unique(index, return_inverse=True)
            return self._rows(index)[places]
        return self._rows(index)

    def _rows(self, index: np.ndarray) -> np.ndarray:
        out = np.empty((len(index), self.shape[1]), self.dtype)
        size = max(1, PIECE // self.row_bytes)
        for start in range(0, len(index), size):
            some = index[start : start + size]
            rows = _as_array(self._take(some, self.shape[1]), self._names)
            if self._check is not None:
                _checked(self._check, rows, some)
            out[start : start + size] = rows
        return out

    def _take(self, index: np.ndarray, n_features: int | None = None) -> Any:
        """Some rows as the reader gives them, which are as many, and as wide if that is known."""
        rows = as_rows(self._reader.take(index))
        shape = tuple(rows.shape if hasattr(rows, "shape") else np.asarray(rows, object).shape)
        width = shape[-1] if n_features is None and len(shape) == 2 else n_features
        if shape != (len(index), width):
            raise ValueError(
                f"take() of a {type(self._reader).__name__} gave an array of shape {shape} for "
                f"{len(index)} rows; expected ({len(index)}, {n_features or 'n_features'})."
            )
        return rows

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return max(1, self.shape[1]) * self.dtype.itemsize

    @property
    def window(self) -> int:
        """Number of rows that are shuffled at a time."""
        return max(2, WINDOW // self.row_bytes)

    @cached_property
    def starts(self) -> np.ndarray:
        """First rows of the blocks that stay together in a shuffle."""
        starts = getattr(self._reader, "starts", None)
        if starts is None:
            return np.arange(0, len(self), max(1, BLOCK // self.row_bytes))
        # Small blocks that follow each other are one.
        return starts[np.diff(starts * self.row_bytes // BLOCK, prepend=-1) > 0]

    def check(self, function: Callable[[np.ndarray, np.ndarray], object]) -> None:
        """Let a function, that raises a ValueError, see all rows: from now on as they are read.

        It is given some of them, and their numbers.
        """
        self._check = function
        if "moments" in vars(self):
            # They have been read before.
            for _ in blocks(self):
                pass

    @cached_property
    def moments(self) -> Moments:
        """Range, mean and standard deviation of each column."""
        return moments(self)

    def min(self, axis: int = 0) -> np.ndarray:
        """Least value of each column."""
        return self.moments.low

    def max(self, axis: int = 0) -> np.ndarray:
        """Largest value of each column."""
        return self.moments.high


def source_of(X: Any, least: int = 1, owner: str = "Source") -> Source | None:
    """Rows of what is not held in memory; None for anything else.

    That is a memory map of more than 64 MiB, an array with ``chunks``, a dataset of PyArrow, and
    anything else with a length and a method ``take`` that is neither an array nor a data frame.

    Raises
    ------
    ValueError
        If there are no rows, of which the `owner` needs some at the `least`.
    """
    reader = X if isinstance(X, Source) else _reader_of(X)
    if reader is not None and len(reader) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of {least} is required by {owner}: X is "
            f"a {type(X).__name__} without rows."
        )
    return reader if reader is None or isinstance(reader, Source) else Source(reader)


def _reader_of(X: Any) -> Any:
    """What reads rows that are not held in memory; None where they are."""
    check_container(X, "X")
    if isinstance(X, np.ndarray):
        large = X.ndim == 2 and X.dtype.kind in "biuf" and X.nbytes > WINDOW
        return MappedRows(X) if large and is_mapped(X) else None
    if hasattr(X, "get_fragments") and hasattr(X, "schema"):
        return DatasetRows(X, PIECE // max(1, 4 * len(X.schema)))
    if hasattr(X, "chunks") and len(getattr(X, "shape", ())) == 2:
        return ChunkedRows(X, max(1, BLOCK // max(1, X.shape[1] * X.dtype.itemsize)))
    is_protocol = hasattr(X, "take") and hasattr(X, "__len__")
    if is_protocol and not (hasattr(X, "__array__") or hasattr(X, "__dataframe__")):
        return X
    return None


def preceded(rows: np.ndarray, X: Any) -> Any:
    """Rows, and then those of an array or a source, which stays where it is."""
    return Source(PrecededRows(rows, X)) if isinstance(X, Source) else np.concatenate([rows, X])


def _as_array(rows: Any, names: list[Any] | None = None) -> np.ndarray:
    rows = as_rows(rows)
    with naming_columns(rows, names=names):
        if is_table(rows):
            # scikit-learn does not ask for its dtype.
            rows = np.asarray(rows)
        return check_array(rows, dtype=FLOATS, input_name="X", ensure_min_samples=0)


def _checked(
    check: Callable[[np.ndarray, np.ndarray], object], rows: np.ndarray, index: np.ndarray
) -> None:
    try:
        check(rows, index)
    except ValueError as error:
        raise ValueError(f"Among the rows {index[0]} to {index[-1]} of X: {error}") from None
