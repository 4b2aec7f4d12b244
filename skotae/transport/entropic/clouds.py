"""Weighted clouds, about their mean where costs are squared distances."""

from __future__ import annotations

import math
from copy import copy

import torch
from torch import Tensor

from skotae.transport.entropic.arrays import Array, as_array, as_tensor, cast, dot, filled
from skotae.transport.ground import SQUARED, Ground

_BLOCK = 2**20  # elements of a block of costs
# What rounding leaves of equal points, as a share of the squared distance of their means from the
# origin, by bytes of a number.
_ROUNDING = {4: 1e-12, 8: 1e-30}


class Cloud:
    """Points in the widest dtype, about their weighted mean where costs are squared.

    For other costs points stay where they are, so that those that coincide go on to do so. A point
    without weight has the place of the heaviest: what is far from all others would leave the range
    of a kernel, and count for nothing in the end. It has its own place `everywhere`.

    Parameters
    ----------
    points : array of shape (n, d), or (B, n, d) for a batch of clouds
    weights : array of shape (n,) or (B, n), optional
        Divided by their sum; uniform by default.
    ground : Ground

    Attributes
    ----------
    points : array of shape (n, d) or (B, n, d)
        Less `centre`.
    centre : array of shape (d,) or (B, d)
        Zero where costs are not squared.
    weights : array of shape (n,) or (B, n)
    squares : array of shape (n,) or (B, n)
        Squared distances from the centre.
    spread : array of shape () or (B,)
        Weighted mean of the squares.
    """

    def __init__(self, points: Array, weights: Array | None = None, ground: Ground = SQUARED):
        self.ground, shape = ground, tuple(points.shape[:-1])
        if weights is None:
            self.weights = filled(shape, 1.0 / shape[-1], like=points)
        elif len(shape) == 1:
            self.weights = weights / weights.sum()
        else:
            self.weights = weights / weights.sum(-1)[..., None]
        if not ground.squared:
            self.centre = filled((*shape[:-1], points.shape[-1]), 0.0, like=points)
            self.points = points
        elif len(shape) == 1:
            self.centre = self.weights @ points
            self.points = points - self.centre
        else:
            self.centre = (self.weights[..., None, :] @ points)[..., 0, :]
            self.points = points - self.centre[..., None, :]
        self._places: Array | None = None  # all points, where some have no weight
        if weights is not None and not weights.min() > 0:
            self._places = self.points
            self.points = as_array(within_support(as_tensor(self.points), as_tensor(weights)))
        self.squares = (self.points * self.points).sum(-1)
        self.spread = dot(self.weights, self.squares)
        self._scaled: tuple[tuple[float, torch.dtype], Array] | None = None

    def scaled(self, unit: float, dtype: torch.dtype) -> Array:
        """Return the points in `dtype`, multiplied by `unit`; the last result is kept."""
        if self._scaled is None or self._scaled[0] != (unit, dtype):
            points = self.points if unit == 1.0 else self.points * unit
            self._scaled = (unit, dtype), cast(points, dtype)
        return self._scaled[1]

    def chosen(self, which: list[int] | int) -> Cloud:
        """Return some clouds of a batch, or one."""
        cloud = copy(self)
        cloud._scaled = None
        for name in ("points", "centre", "weights", "squares", "spread"):
            setattr(cloud, name, getattr(self, name)[which])
        if self._places is not None:
            cloud._places = self._places[which]
        return cloud

    def everywhere(self) -> Cloud:
        """Return the cloud with the points without weight in their own places; itself if none."""
        if self._places is None:
            return self
        cloud = copy(self)
        cloud.points, cloud._places, cloud._scaled = self._places, None, None
        cloud.squares = (cloud.points * cloud.points).sum(-1)
        return cloud

    def multiply(self, factors: Array) -> None:
        """Take each cloud of a batch (B, n, d) in units of its own, `factors` (B,) times it."""
        self.points *= factors[:, None, None]
        if self._places is not None:
            self._places *= factors[:, None, None]
        self.centre *= factors[:, None]
        self.squares *= (factors * factors)[:, None]
        self.spread *= factors * factors
        self._scaled = None


def within_support(rows: Tensor, weights: Tensor) -> Tensor:
    """Return rows (..., n, k) of n points, the heaviest one's in the place of those without weight.

    Themselves where all have weight.
    """
    full = weights > 0
    if bool(full.all()):
        return rows
    heaviest = weights.argmax(-1)[..., None, None]
    return torch.where(full[..., None], rows, rows.take_along_dim(heaviest, -2))


def cost_between(x: Cloud, y: Cloud, rows: slice = slice(None)) -> Tensor:
    """Return the costs (rows, m) of the clouds where they are, for some rows."""
    return x.ground.costs(as_tensor(x.points[rows] + (x.centre - y.centre)), as_tensor(y.points))


def shifts(x: Cloud, y: Cloud) -> tuple[Array, Array]:
    """Return what `f` and `g` of the clouds where they are have beside those about their means."""
    shift = (x.centre - y.centre)[..., None]
    return 2 * (x.points @ shift)[..., 0] + (shift.mT @ shift)[..., 0], -2 * (y.points @ shift)[
        ..., 0
    ]


def mean_cost(x: Cloud, y: Cloud) -> float:
    """Return the weighted mean of the costs, exactly zero where all points are equal.

    It is not finite where a cost is not, and zero where costs are below the range of the dtype.
    """
    if not x.ground.squared:
        a, b = as_tensor(x.weights), as_tensor(y.weights)
        size = max(1, _BLOCK // len(b))
        blocks = [slice(i, i + size) for i in range(0, len(a), size)]
        mean = sum(float(a[rows] @ cost_between(x, y, rows) @ b) for rows in blocks)
        return 0.0 if mean < torch.finfo(a.dtype).tiny else mean
    shift = x.centre - y.centre
    mean = float(x.spread + y.spread + shift @ shift)
    return _told_from_zero(mean, float(x.centre @ x.centre + y.centre @ y.centre), shift)


def mean_costs(x: Cloud, y: Cloud) -> list[float]:
    """Return the mean costs of a batch of clouds, each as `mean_cost` has it."""
    if not x.ground.squared:
        return [mean_cost(x.chosen(k), y.chosen(k)) for k in range(len(x.points))]
    shift = x.centre - y.centre
    means = (x.spread + y.spread + dot(shift, shift)).tolist()
    fars = (dot(x.centre, x.centre) + dot(y.centre, y.centre)).tolist()
    return [_told_from_zero(mean, far, shift) for mean, far in zip(means, fars, strict=True)]


def _told_from_zero(mean: float, far: float, like: Array) -> float:
    """Return a mean squared cost, zero where it is what rounding leaves of equal points."""
    if not math.isfinite(mean):
        return math.inf
    tiny = torch.finfo(torch.float64 if like.dtype.itemsize == 8 else torch.float32).tiny
    return 0.0 if mean <= max(_ROUNDING[like.dtype.itemsize] * far, tiny) else mean
