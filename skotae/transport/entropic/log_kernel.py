"""Log kernels ``-C / epsilon`` in bits, made block by block where they are needed.

Batched: clouds are (B, n, d), matrices (B, n, m), potentials (B, 1, n).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import widest
from skotae.transport.entropic.arrays import (
    SMALL,
    Array,
    as_tensor,
    concatenated,
    device_of,
    empty,
    put,
)
from skotae.transport.entropic.clouds import Cloud, cost_between, mean_cost
from skotae.transport.entropic.options import Options

_WIDE = 2**20  # elements of a matrix that are in the widest dtype at a time


class LogKernel(ABC):
    """What all log kernels share.

    Attributes
    ----------
    shape : tuple of int
        (B, n, m).
    dtype, device
        Of the blocks.
    floor : float
        No entry is smaller.
    """

    shape: tuple[int, int, int]
    dtype: torch.dtype
    device: torch.device
    floor: float = -math.inf

    @abstractmethod
    def block(
        self,
        rows: slice = slice(None),
        f: Array | None = None,
        g: Array | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Return ``L_ij + f_i + g_j`` for some rows, freshly written, in `out` if it is given.

        Parameters
        ----------
        rows : slice
        f, g : array of shape (B, 1, n) and (B, 1, m), optional
            Of all rows and columns, in the widest dtype.
        out : Tensor of shape (B, rows, m), optional
        """

    @abstractmethod
    def rescaled(self, factor: float) -> LogKernel:
        """Return ``factor * L``: that of an epsilon that is larger by ``1 / factor``."""

    @abstractmethod
    def astype(self, dtype: torch.dtype) -> LogKernel:
        """Return the same in another dtype."""

    @abstractmethod
    def chosen(self, which: list[int]) -> LogKernel:
        """Return that of some problems of one batch of clouds, or of matrices."""


class SquaredDistances(LogKernel):
    r"""``-|x_i - y_j|^2 / 2`` of clouds that are multiplied by `unit`.

    One matrix product makes a block: the half squares, and whatever potentials are added, are two
    more features, beside a feature of ones on the other side.

    Parameters
    ----------
    x, y : list of Cloud
        Of one size each, about their means: problem `k` is between ``x[k]`` and ``y[k]``. If these
        are batches of B clouds, problems ``k B`` to ``k B + B - 1``.
    unit : float
        :math:`\sqrt{2 / (\varepsilon \ln 2)}`.
    dtype : torch.dtype
        Of the blocks.
    """

    def __init__(self, x: list[Cloud], y: list[Cloud], unit: float, dtype: torch.dtype):
        self.x, self.y, self.unit, self.dtype = x, y, unit, dtype
        self.device = device_of(x[0].points)
        self._left, self._half_x = self._extended(x, 1)
        self._right, self._half_y = self._extended(y, 0)
        self.shape = (len(self._left), self._left.shape[1], self._right.shape[1])
        # The largest distance is at most the sum of the largest distances from the means.
        root_x, root_y = ((-float(half.min())) ** 0.5 for half in (self._half_x, self._half_y))
        self.floor = -((root_x + root_y) ** 2)

    def _extended(self, clouds: list[Cloud], ones: int) -> tuple[Array, Array]:
        *batch, n, d = clouds[0].points.shape
        extended = empty((len(clouds), *batch, n, d + 2), self.dtype, like=clouds[0].points)
        for k, cloud in enumerate(clouds):
            put(extended, (k, ..., slice(d)), cloud.scaled(self.unit, self.dtype))
        put(extended, (..., d + ones), 1.0)
        squares = concatenated([cloud.squares.reshape(-1, n) for cloud in clouds], 0)
        return extended.reshape(-1, n, d + 2), squares * (self.unit**2 / -2)

    def block(
        self,
        rows: slice = slice(None),
        f: Array | None = None,
        g: Array | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        # In the widest dtype: potentials and half squares are large where their sum is small.
        put(self._left, (..., -2), self._half_x if f is None else self._half_x + f[:, 0])
        put(self._right, (..., -1), self._half_y if g is None else self._half_y + g[:, 0])
        left, right = self._left[:, rows], self._right.mT
        if out is None and isinstance(left, np.ndarray) and left.shape[1] * right.shape[2] <= SMALL:
            return torch.from_numpy(left @ right)
        return torch.bmm(as_tensor(left), as_tensor(right), out=out)

    def rescaled(self, factor: float) -> SquaredDistances:
        return SquaredDistances(self.x, self.y, self.unit * factor**0.5, self.dtype)

    def astype(self, dtype: torch.dtype) -> SquaredDistances:
        return self if dtype == self.dtype else SquaredDistances(self.x, self.y, self.unit, dtype)

    def chosen(self, which: list[int]) -> SquaredDistances:
        (x,), (y,) = self.x, self.y
        return SquaredDistances([x.chosen(which)], [y.chosen(which)], self.unit, self.dtype)

    def clouds(self) -> tuple[Array, Array]:
        """Return the clouds (B, n, d) and (B, m, d), in the units and the dtype of the blocks."""
        return self._left[..., :-2], self._right[..., :-2]


class _Elementwise(LogKernel):
    """A log kernel whose rows are computed, or at hand, as values that potentials are added to."""

    @abstractmethod
    def _values(self, rows: slice) -> Tensor:
        """Return ``L`` for some rows; not to be written to."""

    def block(
        self,
        rows: slice = slice(None),
        f: Array | None = None,
        g: Array | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        size = max(1, _WIDE // (self.shape[0] * self.shape[2]))
        if out is not None and out.shape[1] > size:
            # What is added up in the widest dtype is never held as a whole.
            start = rows.start or 0
            for part in out.split(size, 1):
                self.block(slice(start, start + part.shape[1]), f, g, part)
                start += part.shape[1]
            return out
        values = self._values(rows)
        if f is not None:
            values = values + as_tensor(f)[:, :, rows].mT
        if g is not None:
            values = values + as_tensor(g)
        if out is not None:
            return out.copy_(values)
        return values.to(self.dtype, copy=f is None and g is None)


class Matrix(_Elementwise):
    """A log kernel that is at hand, as a tensor (B, n, m) in the widest dtype."""

    def __init__(self, values: Tensor, dtype: torch.dtype):
        self._matrix, self.dtype, self.device = values, dtype, values.device
        self.shape = (values.shape[0], values.shape[1], values.shape[2])

    def _values(self, rows: slice) -> Tensor:
        return self._matrix[:, rows]

    def rescaled(self, factor: float) -> Matrix:
        return Matrix(self._matrix * factor, self.dtype)

    def astype(self, dtype: torch.dtype) -> Matrix:
        return Matrix(self._matrix, dtype)

    def chosen(self, which: list[int]) -> Matrix:
        return Matrix(self._matrix[which], self.dtype)


class Costs(_Elementwise):
    """``-factor * C`` of clouds, computed whenever a block is asked for."""

    def __init__(self, x: list[Cloud], y: list[Cloud], factor: float, dtype: torch.dtype):
        self.x, self.y, self._factor, self.dtype = x, y, factor, dtype
        self.device = device_of(x[0].points)
        self.shape = (len(x), len(x[0].points), len(y[0].points))

    def _values(self, rows: slice) -> Tensor:
        return torch.stack(
            [
                cost_between(u, v, rows).mul_(-self._factor)
                for u, v in zip(self.x, self.y, strict=True)
            ]
        )

    def rescaled(self, factor: float) -> Costs:
        return Costs(self.x, self.y, self._factor * factor, self.dtype)

    def astype(self, dtype: torch.dtype) -> Costs:
        return Costs(self.x, self.y, self._factor, dtype)

    def chosen(self, which: list[int]) -> Costs:
        x, y = ([clouds[k] for k in which] for clouds in (self.x, self.y))
        return Costs(x, y, self._factor, self.dtype)


def between(
    x: list[Cloud], y: list[Cloud], dtype: torch.dtype, options: Options
) -> tuple[LogKernel, float]:
    """Return the log kernel of clouds, about their means if squared, and its mean exponent."""
    pairs, bit = list(zip(x, y, strict=True)), options.bit
    if x[0].ground.squared:
        depth = max(float((u.spread + v.spread).max()) for u, v in pairs) / bit
        return SquaredDistances(x, y, math.sqrt(2.0 / bit), dtype), depth
    log_kernel = Costs(x, y, 1 / bit, dtype)
    wide = widest(log_kernel)
    if math.prod(log_kernel.shape) * wide.itemsize <= options.max_bytes:
        values = log_kernel.astype(wide).block()
        means = (
            as_tensor(u.weights) @ block @ as_tensor(v.weights)
            for (u, v), block in zip(pairs, values, strict=True)
        )
        return Matrix(values, dtype), -min(map(float, means))
    return log_kernel, max(mean_cost(u, v) for u, v in pairs) / bit
