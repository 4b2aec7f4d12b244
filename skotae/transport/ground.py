"""Ground costs: powers of a distance between points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.utils.base import as_real, brief

METRICS = ("minkowski", "euclidean")

_BLOCK = 2**22  # elements of a (rows, m, d) block of differences
_WIDE = 16  # features from which a product makes distances faster than differences do
# Squared distances below this share of the squares they are the difference of are taken from
# differences: what is left of their digits otherwise is 1e-11.
_NEAR = 1e-5


@dataclass(frozen=True)
class Ground:
    r"""The cost of moving a point: the p-th power of a distance.

    Attributes
    ----------
    p : float
    metric : {"minkowski", "euclidean"}
        ``sum_k |x_k - y_k|^p``, or :math:`\|x - y\|_2^p`. The same for ``p=2``.
    """

    p: float = 2.0
    metric: str = "minkowski"

    @property
    def squared(self) -> bool:
        """Whether costs are squared Euclidean distances, which split into products."""
        return self.p == 2

    def costs(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the costs (n, m) of all pairs; squared distances are of centred clouds."""
        if self.squared:
            return _squares(x, y)
        if self.metric == "euclidean":
            distances = _distances(x, y)
            return distances if self.p == 1 else distances.pow(self.p)
        return self._sums(x, y)

    def fine_costs(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the same for float64, small squared distances too to most of their digits.

        What an outlier costs is more than rounding may take from the costs of all others.
        """
        squares = _refined(x, y) if self.squared else None
        if squares is not None:
            return squares
        return self._sums(x, y) if self.squared else self.costs(x, y)

    def _sums(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the costs as sums over coordinates."""
        rows = max(1, _BLOCK // max(1, y.numel()))
        blocks = range(0, len(x), rows)
        return torch.cat([(x[i : i + rows, None] - y).abs_().pow_(self.p).sum(2) for i in blocks])

    def along(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Return the costs (k,) of differences (k, d), and their gradients (k, d)."""
        if self.squared:
            return (gap * gap).sum(1), 2.0 * gap
        if self.metric == "minkowski":
            size = gap.abs()
            return size.pow(self.p).sum(1), gap.sign() * size.pow(self.p - 1) * self.p
        distance = torch.linalg.vector_norm(gap, dim=1, keepdim=True)
        direction = torch.where(distance > 0, gap / distance, 0.0)
        return distance[:, 0].pow(self.p), direction * distance.pow(self.p - 1) * self.p

    def gradients(
        self, x: Tensor, y: Tensor, plan: Tensor | None, other: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of ``sum_ij P_ij C_ij`` for `x` with a plan, for `y` with another.

        None of a side that has no plan. A pair of points that coincide adds 0, a subgradient. Of
        squared costs `x` (..., n, d) and `y` (..., m, d) may be batches.
        """
        if not self.squared and self.metric == "minkowski":
            return self._coordinate_gradients(x, y, plan, other)
        centre = y.mean(-2, keepdim=True)
        x, y = x - centre, y - centre
        slopes: Tensor | float = 2.0
        if not self.squared:
            distances = _distances(x, y)
            slopes = torch.where(distances > 0, distances.pow(self.p - 2.0).mul_(self.p), 0.0)
        above = below = None
        if plan is not None:
            pulls = slopes * plan
            above = pulls.sum(-1, keepdim=True) * x - pulls @ y
        if other is not None:
            pulls = pulls if other is plan else slopes * other
            below = pulls.sum(-2)[..., None] * y - pulls.mT @ x
        return above, below

    def _coordinate_gradients(
        self, x: Tensor, y: Tensor, plan: Tensor | None, other: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        above = None if plan is None else torch.empty_like(x)
        below = None if other is None else torch.zeros_like(y)
        rows = max(1, _BLOCK // max(1, y.numel()))
        for i in range(0, len(x), rows):
            here, gaps = slice(i, i + rows), x[i : i + rows, None] - y
            slopes = gaps.abs().pow_(self.p - 1).mul_(self.p).mul_(gaps.sign_())
            if above is not None and plan is not None:
                above[here] = (plan[here, None] @ slopes)[:, 0]
            if below is not None and other is not None:
                below -= (slopes * other[here, :, None]).sum(0)
        return above, below


def check_ground(p: float, metric: str) -> Ground:
    """Return the ground cost, or raise ValueError unless its power and metric are valid."""
    power = as_real("p", p, least=1)
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {', '.join(map(repr, METRICS))}, got {brief(metric)}."
        )
    return Ground(power, metric)


SQUARED = Ground()


def in_one_dtype(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return clouds in the wider of their dtypes."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(dtype)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Return squared distances, by a product of clouds about the mean of `y`."""
    centre = y.mean(0)
    x, y = x - centre, y - centre
    squares = torch.addmm((x * x).sum(1, keepdim=True), x, y.T, alpha=-2.0)
    return squares.add_((y * y).sum(1)).clamp_min_(0.0)


def _refined(x: Tensor, y: Tensor) -> Tensor | None:
    """Return squared distances by a product, small ones anew; None where these are many."""
    squares = _squares(x, y)
    centre = y.mean(0)
    scale = (x - centre).square().sum(1).max() + (y - centre).square().sum(1).max()
    near = (squares <= _NEAR * scale).nonzero(as_tuple=True)
    if len(near[0]) > 2 * (len(x) + len(y)):
        return None
    squares[near] = (x[near[0]] - y[near[1]]).square().sum(1)
    return squares


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Return Euclidean distances, small ones too to most of their digits.

    Differentiable, with a subgradient of 0 where points coincide.
    """
    differs = x.requires_grad or y.requires_grad or x.dtype != torch.float64
    squares = _refined(x, y) if x.shape[1] >= _WIDE and not differs else None
    if squares is not None:
        return squares.sqrt_()
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
