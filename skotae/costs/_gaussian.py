"""Gaussian negative log-likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.costs.base import BaseCost, CostModule, pairwise_square
from skotae.utils.base import as_real, brief, is_real


class GaussianCost(BaseCost):
    r"""Negative log-likelihood of a Gaussian, with independent features.

    .. math::
        c(x, y) = \sum_{k=1}^n \Big[\frac{(x_k - y_k)^2}{2 \sigma_k^2}
        + \frac12 \log (2 \pi \sigma_k^2)\Big]

    Parameters
    ----------
    variance : "learned" or float, default="learned"
        :math:`\sigma^2`, in squared units of the data, or ``"learned"`` with the decoder.
    per_feature : bool, default=False
        Whether each feature learns a variance of its own; otherwise they share one.
    min_scale : float > 0, default=1e-3
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
    likelihood = True

    def __init__(
        self, variance: Any = "learned", per_feature: bool = False, min_scale: float = 1e-3
    ):
        self.variance = variance
        self.per_feature = per_feature
        self.min_scale = min_scale

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        variance = 1.0 if self._learned else self._variance
        square = (x - y).square().sum(-1)
        constant = 0.5 * x.shape[-1] * math.log(2 * math.pi * variance)
        return square / (2 * variance) + constant

    def unit(self, X: np.ndarray, mean: np.ndarray) -> float:
        """The number of features: the likelihood has a unit of its own."""
        return float(X.shape[1])

    @property
    def by_column(self) -> bool:  # type: ignore[override]
        """A variance that is given is in the units of the data: one for all columns."""
        return self._learned

    @property
    def _learned(self) -> bool:
        return isinstance(self.variance, str) and self.variance == "learned"

    @property
    def _variance(self) -> float:
        if not is_real(self.variance):
            raise ValueError(
                f"variance={brief(self.variance)} of {type(self).__name__}; expected 'learned' or "
                "a number above 0."
            )
        return as_real("variance", self.variance, above=0, of=type(self).__name__)

    def in_data_units(
        self, cost: np.ndarray, n_features: int, scale: float | np.ndarray
    ) -> np.ndarray:
        if np.ndim(scale):
            return cost + np.log(scale).sum()
        return cost + n_features * math.log(scale)

    def build(
        self,
        n_features: int,
        scale: float | np.ndarray = 1.0,
        mean: np.ndarray | float | None = None,
    ) -> CostModule:
        as_real("min_scale", self.min_scale, above=0, of=type(self).__name__)
        start = 1.0 if self._learned else math.sqrt(self._variance) / float(scale)
        return GaussianModule(self, n_features, start)


class GaussianModule(CostModule):
    """The likelihood with its scale, in units of the standardised data.

    Parameters
    ----------
    spec : GaussianCost
        The cost it was built from.
    n_features : int
        Number of features.
    start : float
        Standard deviation of each feature, or where it starts if it is learned.
    """

    can_draw = True
    sets_scale = True

    def __init__(self, spec: GaussianCost, n_features: int, start: float):
        super().__init__(spec)
        learned = spec._learned
        shape = (n_features,) if spec.per_feature and learned else ()
        self.log_scale = nn.Parameter(torch.full(shape, math.log(start)), requires_grad=learned)
        self.least = math.log(float(spec.min_scale)) if learned else -math.inf

    @property
    def scale(self) -> Tensor:
        """Standard deviation of a feature; their geometric mean, if they differ."""
        return self.log_scale.clamp_min(self.least).mean().exp()

    def set_scale(self, scale: float | Tensor) -> None:
        """Fix the standard deviation of every feature, or of each where they have their own."""
        with torch.no_grad():
            self.log_scale.copy_(torch.as_tensor(scale, dtype=self.log_scale.dtype).log())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        log_scale = self.log_scale.clamp_min(self.least)
        square = ((x - y) * torch.exp(-log_scale)).square().sum(-1)
        return 0.5 * square + self._constant(log_scale, x.shape[-1])

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        log_scale = self.log_scale.clamp_min(self.least)
        precision = torch.exp(-log_scale)
        square = pairwise_square(x * precision, y * precision)
        return 0.5 * square + self._constant(log_scale, x.shape[-1])

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        return y + self.log_scale.clamp_min(self.least).exp() * noise

    def _constant(self, log_scale: Tensor, n: int) -> Tensor:
        return n * (log_scale.mean() + 0.5 * math.log(2 * math.pi))
