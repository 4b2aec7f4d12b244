"""Cross-entropy of values in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from skotae.costs.base import BaseCost, CostModule, check_within
from skotae.utils.base import stale

# Of 0 and 1, where a decoder starts at them.
MARGIN = 0.02


class BernoulliCost(BaseCost):
    r"""Negative log-likelihood of independent Bernoulli variables.

    .. math:: c(x, y) = -\sum_k \big[x_k \log y_k + (1 - x_k) \log (1 - y_k)\big]

    for x in [0, 1] and y in (0, 1), the output of a sigmoid.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import BernoulliCost
    >>> cost = BernoulliCost()(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]]))
    >>> round(float(cost), 4)
    1.3863
    """

    likelihood = True

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        tiny = torch.finfo(y.dtype).tiny
        return -(x * y.clamp_min(tiny).log() + (1 - x) * (1 - y).clamp_min(tiny).log()).sum(-1)

    def check_data(self, X: np.ndarray) -> None:
        check_within(X, 0, 1, "cost='bernoulli'")

    def build(
        self,
        n_features: int,
        scale: float | np.ndarray = 1.0,
        mean: np.ndarray | float | None = None,
    ) -> CostModule:
        return _BernoulliModule(self) if not stale(self, "build", "__call__") else _Logits(self)


class _Logits(CostModule):
    """Ends in probabilities, of which the cost is what its `__call__` says."""

    def decode(self, raw: Tensor) -> Tensor:
        return raw.sigmoid()

    def raw_of(self, x: Tensor) -> Tensor:
        return x.clamp(MARGIN, 1 - MARGIN).logit()


class _BernoulliModule(_Logits):
    """Works on logits, where the cross-entropy is exact for any output."""

    can_draw = True

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(y, generator=generator)

    def from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        x, raw = torch.broadcast_tensors(x, raw)
        return binary_cross_entropy_with_logits(raw, x, reduction="none").sum(-1)

    def pairwise_from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        # softplus(l) - x l, summed: a row sum and a matrix product.
        return softplus(raw).sum(1) - x @ raw.T
