"""Euclidean distance, and its square."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special
from torch import Tensor

from skotae.costs.base import BaseCost, CostModule, check_within, pairwise_square, row_square
from skotae.utils.base import brief, is_real

# Of a bounded decoder: the slope of its outputs, and how far from the bounds it starts, as a
# share of their distance.
STEEPNESS = 4.0
MARGIN = 0.01


class SquaredEuclideanCost(BaseCost):
    r"""Squared Euclidean distance, the cost of the 2-Wasserstein distance.

    .. math:: c(x, y) = \sum_k (x_k - y_k)^2

    Parameters
    ----------
    bounds : pair of float, default=None
        Least and largest value that a feature can have, such as (0, 1) for pixels. If given,
        a sigmoid at the end of the decoder keeps its values between the two.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import SquaredEuclideanCost
    >>> SquaredEuclideanCost()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [25.0]
    """

    standardise = True
    by_column = True
    degree = 2.0

    def __init__(self, bounds: tuple[float, float] | None = None):
        self.bounds = bounds

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return row_square(x, y)

    def check_data(self, X: np.ndarray) -> None:
        if self.bounds is not None:
            check_within(X, *self._ends(), repr(self))

    def build(
        self,
        n_features: int,
        scale: float | np.ndarray = 1.0,
        mean: np.ndarray | float | None = None,
    ) -> CostModule:
        if self.bounds is None:
            return CostModule(self)
        low, high = self._ends()
        start = np.broadcast_to(0.0 if mean is None else mean, n_features)
        return _BoundedModule(self, (low - start) / scale, (high - start) / scale)

    def _ends(self) -> tuple[float, float]:
        ends = self.bounds
        if (
            not isinstance(ends, tuple | list | np.ndarray)
            or len(ends) != 2
            or not all(map(is_real, ends))
            or not -math.inf < ends[0] < ends[1] < math.inf
        ):
            raise ValueError(f"bounds={brief(ends)}; expected two finite numbers, the lower first.")
        return float(ends[0]), float(ends[1])

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return pairwise_square(x, y)


class _BoundedModule(CostModule):
    """Puts raw outputs between bounds, in standardised units.

    Outputs of zero stand for the mean, zero in these units, so that a new decoder starts where
    it would without bounds.
    """

    low: Tensor
    high: Tensor
    offset: Tensor

    def __init__(self, spec: BaseCost, low: np.ndarray, high: np.ndarray):
        super().__init__(spec)
        share = np.clip(-low / (high - low), MARGIN, 1 - MARGIN)
        for name, value in {"low": low, "high": high, "offset": special.logit(share)}.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    def decode(self, raw: Tensor) -> Tensor:
        return self.low.lerp(self.high, (STEEPNESS * raw + self.offset).sigmoid())

    def raw_of(self, x: Tensor) -> Tensor:
        share = ((x - self.low) / (self.high - self.low)).clamp(MARGIN, 1 - MARGIN)
        return (share.logit() - self.offset) / STEEPNESS


class EuclideanCost(BaseCost):
    r"""Euclidean distance, the cost of the 1-Wasserstein distance.

    .. math:: c(x, y) = \Big(\sum_k (x_k - y_k)^2\Big)^{1/2}

    The gradient is zero where the rows are equal.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import EuclideanCost
    >>> EuclideanCost()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [5.0]
    """

    standardise = True
    by_column = True
    degree = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, dim=-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        # A matrix product would lose the distance of rows that are close to each other.
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
