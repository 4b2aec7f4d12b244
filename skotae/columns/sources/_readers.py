"""How rows of files are read: memory maps, arrays of chunks, sets of Parquet files."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

# Linux maps up to as much around a byte that is looked at, where it is in memory already; and as
# much of a map is let stay, together.
AROUND, MAPPED = 2**21, 2**25


class MappedRows:
    """Rows of a memory map, of which no more than some MiB stay in the memory of the process.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        A memory map, or a view of one.
    """

    def __init__(self, X: np.ndarray):
        self._X = X
        self._forget = _forgetting(X)

    def __len__(self) -> int:
        return len(self._X)

    def take(self, indices: np.ndarray) -> np.ndarray:
        X = self._X
        parts = []
        for part in self._near(indices):
            one_run = part[-1] - part[0] == len(part) - 1
            some = X[part[0] : part[-1] + 1] if one_run else X[part]
            parts.append(np.array(some, order="C"))
            self._forget()
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _near(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Parts of which each has no more mapped than may stay."""
        step, within = map(abs, self._X.strides)
        around = indices * step // AROUND
        n_each = 1 if within <= self._X.itemsize else self._X.shape[1]
        n_around = n_each * np.cumsum(np.diff(around, prepend=-1) > 0)
        cuts = np.flatnonzero(np.diff(n_around // (MAPPED // AROUND))) + 1
        return iter(np.split(indices, cuts))


def _forgetting(X: Any) -> Callable[[], object]:
    """A function after which no page of a map is counted as memory of this process.

    The pages stay where the system keeps those of files, for as long as there is room.
    """
    shared = False
    while X is not None and not isinstance(X, mmap.mmap):
        # What was written into a private copy (mode "c") would be lost.
        shared = shared or getattr(X, "mode", "c") != "c"
        X = getattr(X, "base", None)
    if not shared or X is None or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda: None
    return lambda: X.madvise(mmap.MADV_DONTNEED)


class PrecededRows:
    """Rows that are in memory, and then those of a source.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
    source : Source
        With as many columns.
    """

    def __init__(self, rows: np.ndarray, source: Any):
        self._before, self._source = rows, source
        # The rows belong to the first block.
        self.starts = np.append(0, source.starts[1:] + len(rows))

    def __len__(self) -> int:
        return len(self._before) + len(self._source)

    def take(self, indices: np.ndarray) -> np.ndarray:
        n = len(self._before)
        k = int(np.searchsorted(indices, n))
        return np.concatenate([self._before[indices[:k]], self._source[indices[k:] - n]])


class _BlockRows(ABC):
    """Rows of blocks that can only be read as a whole. The last one is kept.

    Parameters
    ----------
    counts : sequence of int
        Rows of each block.
    """

    def __init__(self, counts: Any):
        counts = np.asarray(counts, dtype=np.int64)
        self._ends = np.cumsum(counts)
        self.starts = self._ends - counts
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @abstractmethod
    def _block(self, number: int) -> np.ndarray:
        """All rows of a block."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        blocks = np.searchsorted(self._ends, indices, side="right")
        parts = []
        for some in np.split(indices, np.flatnonzero(np.diff(blocks)) + 1):
            number = int(np.searchsorted(self._ends, some[0], side="right"))
            if self._last[0] != number:
                self._last = (-1, None)  # not two of them at a time
                self._last = (number, self._block(number))
            parts.append(self._last[1][some - self.starts[number]])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class ChunkedRows(_BlockRows):
    """Rows of an array of chunks, such as those of h5py, Zarr and Dask: it is only sliced.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        ``X.chunks`` has the number of rows in a chunk, or those in each, in the first place. None,
        of an HDF5 data set without chunks, is that any rows can be read.
    most : int
        Rows of a block where there are no chunks.
    """

    def __init__(self, X: Any, most: int):
        size = most if X.chunks is None else X.chunks[0]
        n = X.shape[0]
        super().__init__(
            size if isinstance(size, tuple) else np.diff(np.append(np.arange(0, n, size), n))
        )
        self._X = X

    def _block(self, number: int) -> np.ndarray:
        return np.asarray(self._X[int(self.starts[number]) : int(self._ends[number])])


class DatasetRows(_BlockRows):
    """Rows of a ``pyarrow.dataset.Dataset``; of Parquet files by row groups.

    To read a row group costs some 20 microseconds a column beside its rows, but hardly more for
    several groups than for one: those that are asked for together are read at once.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
        With the columns of its schema.
    most : int
        Rows that are read at once, but for larger row groups.

    Attributes
    ----------
    first : pyarrow.Table
        The first rows, two at the most, with the names of the columns.
    """

    def __init__(self, dataset: Any, most: int):
        self._schema, self._most = dataset.schema, most
        self._parts: list[tuple[Any, int | None]] = []
        counts: list[int] = []
        for fragment in _fragments(dataset):
            # What `count_rows` of a part gives is the number of the file.
            for group in getattr(fragment, "row_groups", [None]):
                self._parts.append((fragment, group and group.id))
                counts.append(group.num_rows if group else fragment.count_rows())
        super().__init__(counts)
        self._file: tuple[Any, Any] = (None, None)
        self._ahead: dict[int, np.ndarray] = {}
        self._wanted = np.empty(0, np.int64)

    @property
    def first(self) -> Any:
        # Of two row groups or files, where the first has one row.
        parts = np.unique(np.searchsorted(self._ends, np.arange(min(2, len(self))), side="right"))
        tables = [self._table([int(number)]).slice(0, 2) for number in parts]
        return import_module("pyarrow").concat_tables(tables).slice(0, 2)

    def take(self, indices: np.ndarray) -> np.ndarray:
        self._wanted = np.unique(np.searchsorted(self._ends, indices, side="right"))
        return super().take(indices)

    def _block(self, number: int) -> np.ndarray:
        if number not in self._ahead:
            near = self._wanted[self._wanted >= number]
            ends = np.cumsum(self._ends[near] - self.starts[near])
            n = max(1, int(np.searchsorted(ends, self._most, side="right")))
            fragment = self._parts[number][0]
            n = next((i for i in range(n) if self._parts[near[i]][0] is not fragment), n)
            # An array: to take rows of a table of many columns costs as much as to read them.
            rows = np.asarray(self._table([*near[:n]]))
            self._ahead = dict(zip(near[:n], np.split(rows, ends[: n - 1]), strict=True))
        return self._ahead.pop(number)

    def _table(self, numbers: list[int]) -> Any:
        """Some row groups of a file, or all there is of another fragment."""
        fragment, group = self._parts[numbers[0]]
        if group is None:
            return fragment.to_table(schema=self._schema)
        groups = [self._parts[number][1] for number in numbers]
        if self._file[0] is not fragment:
            self._file = fragment, self._opened(fragment)
        if self._file[1] is None:
            return fragment.subset(row_group_ids=groups).to_table(schema=self._schema)
        names = self._schema.names
        return self._file[1].read_row_groups(groups, columns=names).select(names)

    def _opened(self, fragment: Any) -> Any:
        """A Parquet file whose columns are those of the dataset, or more; None for another.

        It reads several row groups in less than half the time that the fragment takes.
        """
        there = {field.name: field.type for field in fragment.physical_schema}
        if any(there.get(field.name) != field.type for field in self._schema):
            return None
        parquet = import_module("pyarrow.parquet")
        return parquet.ParquetFile(fragment.open(), metadata=fragment.metadata)


def _fragments(dataset: Any) -> Any:
    try:
        return dataset.get_fragments()
    except ValueError as error:
        raise ValueError(
            "X is a dataset with a filter or a projection, of which no parts can be read "
            f"({str(error).rstrip('.')}); expected the dataset without, or X.to_table()."
        ) from None
