"""City-block distance."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.costs.base import BaseCost


class CityBlockCost(BaseCost):
    r"""City-block distance.

    .. math:: c(x, y) = \sum_k |x_k - y_k|

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import CityBlockCost
    >>> CityBlockCost()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [7.0]
    """

    standardise = True
    by_column = True
    degree = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().sum(-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, p=1.0)
