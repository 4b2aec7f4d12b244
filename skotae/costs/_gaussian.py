"""Gaussian negative log-likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.costs.base import BaseCost, CostModule, pairwise_square


class GaussianCost(BaseCost):
    r"""Negative log-likelihood of a Gaussian with one variance for all features.

    .. math::
        c(x, y) = \frac{|x - y|^2}{2 \sigma^2} + \frac{n}{2} \log (2 \pi \sigma^2)

    Parameters
    ----------
    variance : "learned" or float, default="learned"
        :math:`\sigma^2`, in squared units of the data, or ``"learned"`` with the decoder.
    min_scale : float, default=1e-3
        Least :math:`\sigma` that is learned, in units of the spread of the data.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import GaussianCost
    >>> cost = GaussianCost(variance=1.0)(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    >>> round(float(cost), 4)
    14.3379
    """

    standardise = True

    def __init__(self, variance: Any = "learned", min_scale: float = 1e-3):
        self.variance = variance
        self.min_scale = min_scale

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        variance = 1.0 if self.variance == "learned" else float(self.variance)
        square = (x - y).square().sum(-1)
        constant = 0.5 * x.shape[-1] * math.log(2 * math.pi * variance)
        return square / (2 * variance) + constant

    def unit(self, X: np.ndarray, mean: np.ndarray) -> float:
        """The number of features: the likelihood has a unit of its own."""
        return float(X.shape[1])

    def in_data_units(self, cost: np.ndarray, n_features: int, scale: float) -> np.ndarray:
        return cost + n_features * math.log(scale)

    def build(self, n_features: int, scale: float = 1.0) -> CostModule:
        if self.variance != "learned" and not self.variance > 0:
            raise ValueError(
                f"variance={self.variance!r} of GaussianCost; expected 'learned' or a number "
                "above 0."
            )
        return GaussianModule(self, scale)


class GaussianModule(CostModule):
    """The likelihood with its scale, in units of the standardised data."""

    def __init__(self, spec: GaussianCost, data_scale: float):
        super().__init__(spec)
        learned = spec.variance == "learned"
        start = 1.0 if learned else math.sqrt(spec.variance) / data_scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(start)), requires_grad=learned)
        self.least = math.log(spec.min_scale) if learned else -math.inf

    @property
    def scale(self) -> Tensor:
        """Standard deviation of a feature."""
        return self.log_scale.clamp_min(self.least).exp()

    def set_scale(self, scale: float) -> None:
        """Fix the standard deviation of a feature."""
        with torch.no_grad():
            self.log_scale.fill_(math.log(scale))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self._likelihood((x - y).square().sum(-1), x.shape[-1])

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return self._likelihood(pairwise_square(x, y), x.shape[-1])

    def _likelihood(self, square: Tensor, n: int) -> Tensor:
        log_scale = self.log_scale.clamp_min(self.least)
        constant = n * (log_scale + 0.5 * math.log(2 * math.pi))
        return 0.5 * square * torch.exp(-2 * log_scale) + constant
