"""Euclidean distance, and its square."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.costs.base import BaseCost, pairwise_square


class SquaredEuclideanCost(BaseCost):
    r"""Squared Euclidean distance, the cost of the 2-Wasserstein distance.

    .. math:: c(x, y) = \sum_k (x_k - y_k)^2

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import SquaredEuclideanCost
    >>> SquaredEuclideanCost()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [25.0]
    """

    standardise = True
    degree = 2.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum(-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return pairwise_square(x, y)


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
    degree = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, dim=-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        # A matrix product would lose the distance of rows that are close to each other.
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
