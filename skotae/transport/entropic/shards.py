"""The ranks of a torch.distributed group, among which the rows of a kernel are shared out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from skotae.transport.entropic.arrays import Array, as_tensor, filled, log2, put


class Alone:
    """One process: every row is here, and there is nobody to exchange with."""

    alone = True

    def part(self, n: int) -> tuple[int, int]:
        """Return the range of rows, of `n`, that are computed here."""
        return 0, n

    def sum(self, array: Array) -> Array:
        """Return the sum over ranks."""
        return array

    def max(self, array: Array) -> Array:
        """Return the elementwise maximum over ranks."""
        return array

    def log2_sum(self, bits: Array) -> Array:
        """Return ``log2`` of the sum over ranks of ``2 ** bits``."""
        return bits

    def joined(self, array: Array, n: int) -> Array:
        """Return the parts of the last axis, of length `n` in all, from all ranks."""
        return array

    def points(self, cloud: Tensor) -> tuple[Tensor, slice]:
        """Return the rows of all ranks, in order of rank, and where those of this rank are."""
        return cloud, slice(0, len(cloud))


class Group(Alone):
    """A process group. Every result is the same, to the bit, on each of its ranks."""

    alone = False

    def __init__(self, group: distributed.ProcessGroup):
        self._group = group
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)

    def part(self, n: int) -> tuple[int, int]:
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def _reduced(self, array: Array, operation: Any) -> Array:
        tensor = torch.as_tensor(array).clone()
        distributed.all_reduce(tensor, operation, group=self._group)
        return tensor if isinstance(array, Tensor) else tensor.numpy()

    def sum(self, array: Array) -> Array:
        return self._reduced(array, distributed.ReduceOp.SUM)

    def max(self, array: Array) -> Array:
        return self._reduced(array, distributed.ReduceOp.MAX)

    def log2_sum(self, bits: Array) -> Array:
        top = self.max(bits)
        return top + log2(self.sum(2.0 ** (bits - top)), as_tensor(bits).dtype)

    def joined(self, array: Array, n: int) -> Array:
        start, stop = self.part(n)
        whole = filled((*array.shape[:-1], n), 0.0, like=array)
        put(whole, (..., slice(start, stop)), array)
        return self.sum(whole)

    def points(self, cloud: Tensor) -> tuple[Tensor, slice]:
        counts = torch.zeros(self.size, dtype=torch.int64, device=cloud.device)
        counts[self.rank] = len(cloud)
        counts = as_tensor(self.sum(counts))
        start = int(counts[: self.rank].sum())
        whole = cloud.new_zeros((int(counts.sum()), *cloud.shape[1:]))
        here = slice(start, start + len(cloud))
        whole[here] = cloud
        return as_tensor(self.sum(whole)), here
