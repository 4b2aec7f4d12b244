"""How rows of files are read: memory maps, arrays of chunks, sets of Parquet files."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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
    def _block(self, number: int) -> Any:
        """All rows of a block, with a method ``take``."""

    def take(self, indices: np.ndarray) -> Any:
        blocks = np.searchsorted(self._ends, indices, side="right")
        parts = []
        for some in np.split(indices, np.flatnonzero(np.diff(blocks)) + 1):
            number = int(np.searchsorted(self._ends, some[0], side="right"))
            if self._last[0] != number:
                self._last = (-1, None)  # not two of them at a time
                self._last = (number, self._block(number))
            places = some - self.starts[number]
            block = self._last[1]
            parts.append(block[places] if isinstance(block, np.ndarray) else block.take(places))
        return parts[0] if len(parts) == 1 else np.concatenate([np.asarray(p) for p in parts])


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
    """Rows of a ``pyarrow.dataset.Dataset``; of Parquet files a row group at a time.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
        With the columns of its schema.
    """

    def __init__(self, dataset: Any):
        self._schema = dataset.schema
        self._parts, counts = [], []
        # Raises a ValueError where the dataset is filtered.
        for fragment in dataset.get_fragments():
            if hasattr(fragment, "split_by_row_group"):
                self._parts += fragment.split_by_row_group()
                # What `count_rows` of a part gives is the number of the file.
                counts += [group.num_rows for group in fragment.row_groups]
            else:
                self._parts.append(fragment)
                counts.append(fragment.count_rows())
        super().__init__(counts)

    def _block(self, number: int) -> Any:
        return self._parts[number].to_table(schema=self._schema)
