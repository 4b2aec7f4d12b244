"""Weighted clouds about their mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skotae.transport.base import pairwise_cost
from skotae.transport.entropic.arrays import Array, as_tensor, cast, filled

_BLOCK = 2**20  # elements of a block of costs
# What rounding leaves of equal points, as a share of the squared distance of their means from the
# origin, by bytes of a number.
_ROUNDING = {4: 1e-12, 8: 1e-30}


class Cloud:
    """Points about their weighted mean, in the widest dtype.

    Parameters
    ----------
    points : array of shape (n, d)
    weights : array of shape (n,), optional
        Divided by their sum; uniform by default.

    Attributes
    ----------
    points : array of shape (n, d)
        Less `centre`.
    centre : array of shape (d,)
    weights : array of shape (n,)
    squares : array of shape (n,)
        Squared distances from the mean.
    spread : float
        Weighted mean of the squares.
    """

    def __init__(self, points: Array, weights: Array | None = None):
        if weights is None:
            self.weights = filled((len(points),), 1.0 / len(points), like=points)
        else:
            self.weights = weights / weights.sum()
        self.centre = self.weights @ points
        self.points = points - self.centre
        self.squares = (self.points * self.points).sum(1)
        self.spread = float(self.weights @ self.squares)
        self._scaled: tuple[tuple[float, torch.dtype], Array] | None = None

    def scaled(self, unit: float, dtype: torch.dtype) -> Array:
        """Return the points (n, d) in `dtype`, multiplied by `unit`; the last result is kept."""
        if self._scaled is None or self._scaled[0] != (unit, dtype):
            self._scaled = (unit, dtype), cast(self.points * unit, dtype)
        return self._scaled[1]


def cost_between(x: Cloud, y: Cloud, p: float, rows: slice = slice(None)) -> Tensor:
    """Return ``|x_i - y_j|^p`` (rows, m) of the clouds where they are, for some rows."""
    return pairwise_cost(as_tensor(x.points[rows] + (x.centre - y.centre)), as_tensor(y.points), p)


def mean_cost(x: Cloud, y: Cloud, p: float) -> float:
    """Return the weighted mean of ``|x_i - y_j|^p``, exactly zero where all points are equal.

    It is not finite where a cost is not, and zero where costs are below the range of the dtype.
    """
    if p != 2:
        a, b = as_tensor(x.weights), as_tensor(y.weights)
        size = max(1, _BLOCK // len(b))
        blocks = [slice(i, i + size) for i in range(0, len(a), size)]
        mean = sum(float(a[rows] @ cost_between(x, y, p, rows) @ b) for rows in blocks)
        return 0.0 if mean < torch.finfo(a.dtype).tiny else mean
    shift = x.centre - y.centre
    mean = x.spread + y.spread + float(shift @ shift)
    far = float(x.centre @ x.centre + y.centre @ y.centre)
    if not math.isfinite(mean):
        return math.inf
    tiny = torch.finfo(as_tensor(x.weights).dtype).tiny
    return 0.0 if mean <= max(_ROUNDING[shift.dtype.itemsize] * far, tiny) else mean
