"""Rows of the training data, standardised batch by batch, never as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.columns import Source, Units
from skotae.utils._blocks import is_mapped


class Rows:
    """Mini-batches of standardised rows in float32 on a device.

    On the CPU a batch is gathered from `X` itself, which may be a read-only memory map in any
    order: `X` is never copied as a whole and never written. On another device `X` is moved once
    and batches are gathered there, unless it is a memory map, or a source.

    Parameters
    ----------
    X : ndarray or Source of shape (n_samples, n_features), float32 or float64
    units : Units
        What the rows are standardised by.
    device : torch.device
    """

    def __init__(self, X: np.ndarray | Source, units: Units, device: torch.device):
        self.X: Any = X
        self.device = device
        self._units = units
        # float64 input is standardised before it is rounded: values beyond the range of
        # float32, or far from zero for their spread, lose nothing.
        dtype = units.dtype_for(X.dtype)
        self._mean = torch.from_numpy(units.mean.astype(dtype))
        self._factor = torch.from_numpy(np.asarray(1.0 / units.scale, dtype))
        # In memory, as they are: torch gathers rows with all its threads.
        self._plain: Tensor | None = None
        self._resident: Tensor | None = None
        if isinstance(X, np.ndarray):
            if device.type != "cpu" and not is_mapped(X):
                self._resident = self._standardise(torch.from_numpy(X.copy()))
            elif X.flags.writeable and X.flags.c_contiguous:
                self._plain = torch.from_numpy(X)

    def __len__(self) -> int:
        return self.X.shape[0]

    def _standardise(self, rows: Tensor) -> Tensor:
        """Rows as networks see them, from a copy of some of X, which may be written into."""
        if not self._units.is_identity:
            self._units.within(rows.numpy(), out=rows.numpy())
            rows = rows.to(self._mean.dtype).sub_(self._mean).mul_(self._factor)
        return rows.to(self.device, torch.float32)

    def __getitem__(self, rows: Tensor) -> Tensor:
        if self._resident is not None:
            return self._resident.index_select(0, rows.to(self.device))
        if self._plain is not None:
            return self._standardise(self._plain.index_select(0, rows))
        # The faster of the two copies X as a whole where it is in another order.
        index = rows.numpy()
        ordered = isinstance(self.X, np.ndarray) and self.X.flags.c_contiguous
        some = self.X.take(index, axis=0) if ordered else self.X[index]
        return self._standardise(torch.from_numpy(np.asarray(some)))

    def batches(
        self, which: Tensor, batch_size: int, generator: torch.Generator | None = None
    ) -> tuple[int, Iterator[tuple[Tensor, Tensor]]]:
        """Some rows once, in mini-batches as `batch_indices` makes them.

        Those of a source that are more than a window holds come in an order of their own: blocks
        of neighbouring rows in random order, and within each window, which is read at a time, the
        rows of its blocks in random order.

        Returns
        -------
        n_batches : int
        batches : iterator of (index, rows)
            Numbers of rows, and the rows.
        """
        windows = [[which]]
        if isinstance(self.X, Source) and len(which) > self.X.window:
            windows = self._windows(which, generator)
        n = sum(number_of_batches(sum(map(len, blocks)), batch_size) for blocks in windows)
        return n, self._batches(windows, batch_size, generator)

    def _batches(
        self, windows: list[list[Tensor]], batch_size: int, generator: torch.Generator | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for blocks in windows:
            numbers = blocks[0] if len(blocks) == 1 else torch.cat(blocks).sort().values
            if not isinstance(self.X, Source):
                for index in batch_indices(numbers, batch_size, generator):
                    yield index, self[index]
                continue
            rows = self[numbers]
            for place in batch_indices(torch.arange(len(rows)), batch_size, generator):
                yield numbers[place], rows.index_select(0, place.to(self.device))
            # Not two of them at a time.
            del rows

    def _windows(self, which: Tensor, generator: torch.Generator | None) -> list[list[Tensor]]:
        """Numbers of rows by blocks, and these in windows of about equal size."""
        which = which.sort().values
        cuts = torch.searchsorted(which, torch.from_numpy(self.X.starts[1:]))
        blocks = [block for block in torch.tensor_split(which, cuts) if len(block)]
        if generator is not None:
            blocks = [blocks[i] for i in torch.randperm(len(blocks), generator=generator)]
        windows, size = [[blocks[0]]], len(blocks[0])
        n_left = len(which) - size
        for block in blocks[1:]:
            # A small rest belongs to the last one: it may be a single row.
            if size >= self.X.window and n_left >= self.X.window // 2:
                windows.append([])
                size = 0
            windows[-1].append(block)
            size += len(block)
            n_left -= len(block)
        return windows


def number_of_batches(n: int, batch_size: int) -> int:
    """Of n rows; fewer where one would have a single row, as the divergences need two."""
    return max(1, min(-(-n // batch_size), n // 2))


def batch_indices(
    rows: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """One epoch: every row once, in random order, in batches of nearly equal size.

    The number of batches is ``ceil(n / batch_size)``, or fewer where that would leave a
    batch with a single row. Without a generator the order is
    that of `rows`.
    """
    n = rows.shape[0]
    if generator is not None:
        rows = rows[torch.randperm(n, generator=generator)]
    return iter(torch.tensor_split(rows, number_of_batches(n, batch_size)))
