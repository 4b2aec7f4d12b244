"""The ranks of a torch.distributed group, among which the rows of a kernel are shared out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skotae.transport._arrays import Array, as_tensor, log2


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


class Group(Alone):
    """A process group. Every result is the same, to the bit, on each of its ranks."""

    alone = False

    def __init__(self, group: Any):
        from torch import distributed

        self._distributed, self._group = distributed, group
        self.rank = distributed.get_rank(group)
        self.size = distributed.get_world_size(group)

    def part(self, n: int) -> tuple[int, int]:
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def _reduced(self, array: Array, operation: Any) -> Array:
        tensor = as_tensor(array).clone()
        self._distributed.all_reduce(tensor, operation, group=self._group)
        return tensor if isinstance(array, Tensor) else tensor.numpy()

    def sum(self, array: Array) -> Array:
        return self._reduced(array, self._distributed.ReduceOp.SUM)

    def max(self, array: Array) -> Array:
        return self._reduced(array, self._distributed.ReduceOp.MAX)

    def log2_sum(self, bits: Array) -> Array:
        top = self.max(bits)
        return top + log2(self.sum(2.0 ** (bits - top)), as_tensor(bits).dtype)

    def joined(self, array: Array, n: int) -> Array:
        start, stop = self.part(n)
        tensor = as_tensor(array)
        whole = tensor.new_zeros((*tensor.shape[:-1], n))
        whole[..., start:stop] = tensor
        return self.sum(whole if isinstance(array, Tensor) else whole.numpy())

    def points(self, cloud: Tensor) -> tuple[Tensor, slice]:
        """Return the rows of all ranks, in order of rank, and where those of this rank are."""
        sizes = [torch.zeros(1, dtype=torch.int64, device=cloud.device) for _ in range(self.size)]
        self._distributed.all_gather(sizes, sizes[0].new_full((1,), len(cloud)), group=self._group)
        counts = [int(size) for size in sizes]
        start = sum(counts[: self.rank])
        whole = cloud.new_zeros((sum(counts), *cloud.shape[1:]))
        whole[start : start + len(cloud)] = cloud
        return as_tensor(self.sum(whole)), slice(start, start + len(cloud))
