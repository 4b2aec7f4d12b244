"""The kernel of an entropic problem: stored, made in blocks, or shared out among ranks.

Every potential is in bits, that is ``log2 u``, and every vector is a row ``(B, 1, n)``: a row
times a matrix is faster on the CPU than a matrix times a column.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import widest
from skotae.transport.entropic.arrays import (
    SMALL,
    Array,
    added,
    as_array,
    as_tensor,
    cast,
    concatenated,
    is_small,
    log2,
    namespace,
    onto,
    put,
    times,
)
from skotae.transport.entropic.log_domain import log2_sum_exp2
from skotae.transport.entropic.log_kernel import LogKernel
from skotae.transport.entropic.options import Options

# Bits: kernel entries below the floor are raised to it, unless they are known to be normal
# numbers; others are slow. Beyond the reach, potentials are absorbed, so that a raised entry weighs
# 2 ** (floor + 2 * reach) at most, which is nothing.
_FLOOR = {torch.float32: -110.0, torch.float64: -900.0}
_NORMAL = {torch.float32: -120.0, torch.float64: -1000.0}
_REACH = {torch.float32: 40.0, torch.float64: 300.0}
_BLOCK = 2**20  # elements of a block where the kernel is not stored
_KEPT = 2**26  # bytes, at most, that a thread keeps for its next kernel


class _Pages(threading.local):
    """Memory in which the kernels of a thread take turns.

    Fresh pages cost as much as the exponential of what is written to them.
    """

    kept = np.empty(0, np.uint8)
    turn: object = None  # of whoever has written to it last


_pages = _Pages()


class Kernel:
    """``exp2(L + f + g)`` of a log kernel and absorbed potentials, in bits.

    Kernels of a thread take turns in one memory: one that is used after its turn, or in another
    thread, makes itself again.

    Parameters
    ----------
    log_kernel : LogKernel
    a, b : array of shape (B, 1, n) and (B, 1, m)
        Weights, each row of sum one; zeros are allowed.
    options : Options
    symmetric : list of bool
        For each problem, whether it is of a cloud against itself.
    """

    _matrix: Array  # once potentials are absorbed
    _turned: Array

    def __init__(
        self,
        log_kernel: LogKernel,
        a: Array,
        b: Array,
        options: Options,
        symmetric: list[bool],
    ):
        self.log_kernel, self.options, self.symmetric = log_kernel, options, symmetric
        self.shards = options.shards
        self._any_symmetric = any(symmetric)
        others = [k for k, is_symmetric in enumerate(symmetric) if not is_symmetric]
        # A slice where they are in one row, which is read and written in a third of the time.
        start, stop = (others[0], others[-1] + 1) if others else (0, 0)
        self._others = slice(start, stop) if len(others) == stop - start else others
        self.dtype, self.device, self.shape = log_kernel.dtype, log_kernel.device, log_kernel.shape
        self.weights = a, b
        self.a, self.b = cast(a, self.dtype), cast(b, self.dtype)
        n_problems, n, m = self.shape
        start, stop = self.shards.part(n)
        columns = n_problems * m
        self.stored = columns * (stop - start) * self.dtype.itemsize <= options.max_bytes
        size = stop - start if self.stored else min(stop - start, _BLOCK // columns)
        starts = range(start, stop, max(1, size)) or [start]
        self._slices = [slice(i, min(i + max(1, size), stop)) for i in starts]
        self._own: Tensor | None = None  # what is too large to be kept for the next kernel
        self._turn: object = None  # in the thread's memory; none in its own
        self._whole = self.stored and self.shards.alone  # one block is all
        self.f: Array | None = None
        self.g: Array | None = None
        self.wide = widest(self)
        self.reach = _REACH[self.dtype]  # in bits, of the scalings beside the kernel

    def of(self, log_kernel: LogKernel) -> Kernel:
        """Return the kernel of another log kernel with the same weights."""
        return Kernel(log_kernel, *self.weights, self.options, self.symmetric)

    def chosen(self, which: list[int]) -> Kernel:
        """Return the kernel of some problems, with the same potentials absorbed."""
        a, b = (weights[which] for weights in self.weights)
        symmetric = [self.symmetric[k] for k in which]
        part = Kernel(self.log_kernel.chosen(which), a, b, self.options, symmetric)
        part.absorb(*(None if each is None else each[which] for each in (self.f, self.g)))
        return part

    def absorb(self, f: Array | None, g: Array | None) -> None:
        """Make the kernel ``exp2(L + f + g)`` from now on."""
        self.f, self.g = f, g
        if self.stored:
            made = self._made(self._slices[0])
            small = namespace(self.device) is np and is_small(self.shape[1] * self.shape[2])
            self._matrix = made.numpy() if small else made
            self._turned = self._matrix.mT

    def _made(self, rows: slice) -> Tensor:
        n_rows = rows.stop - rows.start
        out = self._memory()[:, :n_rows] if n_rows * self.shape[2] > SMALL else None
        block = self.log_kernel.block(rows, self.f, self.g, out)
        if self.f is not None or self.log_kernel.floor < _NORMAL[self.dtype]:
            block.clamp_min_(_FLOOR[self.dtype])
        return block.exp2_()

    def _memory(self) -> Tensor:
        """Return uninitialised memory for a block; the thread's, where it is not too large."""
        n_problems, _, m = self.shape
        shape = n_problems, self._slices[0].stop - self._slices[0].start, m
        size = math.prod(shape) * self.dtype.itemsize
        if self.device.type != "cpu" or size > _KEPT:
            if self._own is None:
                self._own = torch.empty(shape, dtype=self.dtype, device=self.device)
            return self._own
        if _pages.kept.nbytes < size:
            _pages.kept = np.empty(size, np.uint8)
        self._turn = _pages.turn = object()
        return torch.from_numpy(_pages.kept[:size]).view(self.dtype).view(shape)

    def _take_turn(self) -> None:
        """Make the stored kernel again if another one may have been written over it."""
        if self._turn is not _pages.turn:
            self.absorb(self.f, self.g)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield the rows that are computed here, and the kernel there, until the next one."""
        if self._turn is not None:
            self._take_turn()
        for rows in self._slices:
            yield rows, self._matrix if self.stored else self._made(rows)

    def step(self, w: Array) -> tuple[Array, Array]:
        """Return ``r = K w`` for the rows here, and ``K^T(a / r)``, in one pass."""
        if self._whole:
            if self._turn is not None:
                self._take_turn()
            r = times(w, self._turned)
            return r, times(self.a / r, self._matrix)
        parts, sums = [], None
        for rows, kernel in self.blocks():
            r = times(w, kernel.mT)
            sums = added(sums, times(self.a[..., rows] / r, kernel))
            parts.append(r)
        assert sums is not None
        return concatenated(parts), self.shards.sum(sums)

    def following(self, rows: Array, columns: Array) -> Array:
        """Return the reciprocal of the next column scalings, from the sums of a step."""
        if not self._any_symmetric:
            return columns
        mean = (self.joined(rows) * columns) ** 0.5
        put(mean, (self._others,), columns[self._others])
        return mean

    def smallest(self, parts: Array) -> float:
        """Return the smallest entry, over all ranks, of a row vector of the rows here."""
        return -float(self.shards.max(-parts.min()))

    def joined(self, parts: Array) -> Array:
        """Return a row vector of all rows from that of the rows here."""
        return self.shards.joined(parts, self.shape[1])

    def moments(self, right: Array | None, left: Array | None) -> tuple[Array | None, Array | None]:
        """Return ``K right`` for (B, m, k) and ``K^T left`` for (B, n, k), in one pass.

        For a smaller B: of the first problems of the batch.
        """
        if self._whole:
            if self._turn is not None:
                self._take_turn()
            return (
                None if right is None else onto(self._matrix[: len(right)], right),
                None if left is None else onto(self._turned[: len(left)], left),
            )
        above, below = [], None
        for rows, kernel in self.blocks():
            if right is not None:
                above.append(onto(kernel[: len(right)], right).mT)
            if left is not None:
                below = added(below, onto(kernel[: len(left)].mT, left[:, rows]))
        return (
            None if right is None else self.joined(concatenated(above)).mT,
            None if below is None else self.shards.sum(below),
        )

    def log_rows(self, g: Array) -> Array:
        """Return ``f = -log2 sum_j b_j exp2(L_ij + g_j)``, in the widest dtype."""
        with_weights = g + log2(self.weights[1], self.wide)
        parts = [
            as_array(log2_sum_exp2(self.log_kernel.block(rows, None, with_weights), 2).mT)
            for rows in self._slices
        ]
        return -self.joined(cast(concatenated(parts), self.wide))

    def log_columns(self, f: Array) -> Array:
        """Return ``g = -log2 sum_i a_i exp2(L_ij + f_i)``, in the widest dtype."""
        with_weights = f + log2(self.weights[0], self.wide)
        parts = (
            log2_sum_exp2(self.log_kernel.block(rows, with_weights, None), 1)
            for rows in self._slices
        )
        return -cast(self.shards.log2_sum(as_array(reduce(torch.logaddexp2, parts))), self.wide)

    def log_maxima(self) -> tuple[Array, Array]:
        """Return potentials after which the largest entry of every row and column is near one."""
        single = self.log_kernel.block(self._slices[0]) if len(self._slices) == 1 else None
        tops = (
            (self.log_kernel.block(rows) if single is None else single).amax(1, keepdim=True)
            for rows in self._slices
        )
        g = -cast(self.shards.max(as_array(reduce(torch.maximum, tops))), self.wide)
        parts = []
        for rows in self._slices:
            if single is None:
                block = self.log_kernel.block(rows, None, g)
            else:
                block = single.add_(as_tensor(cast(g, self.dtype)))
            parts.append(as_array(block.amax(2, keepdim=True).mT))
        return -self.joined(cast(concatenated(parts), self.wide)), g


@np.errstate(all="ignore")
def extended(
    log_kernel: LogKernel, a: Array, b: Array, options: Options, f: Array, g: Array
) -> tuple[Array, Array]:
    """Return potentials in bits, those of points without weight the soft minima of the others."""
    kernel = Kernel(log_kernel, a, b, options, [False] * len(a))
    xp = namespace(kernel.device)
    return xp.where(a > 0, f, kernel.log_rows(g)), xp.where(b > 0, g, kernel.log_columns(f))
