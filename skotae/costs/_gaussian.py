"""Gaussian negative log-likelihood: one noise for all codes, or one that depends on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from skotae.costs.base import BaseCost, CostModule, pairwise_square, row_square
from skotae.utils._torch import tensor_of
from skotae.utils.base import as_real, brief, is_real, stale


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
        square = row_square(x, y)
        constant = 0.5 * x.shape[-1] * (math.log(2 * math.pi) + math.log(variance))
        return 0.5 * (square / variance) + constant

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
        if stale(self, "build", "__call__"):
            raise ValueError(
                f"cost={self!r} has a __call__() of its own, which does not know the noise that "
                "GaussianCost.build() trains with; expected a build() of its own too, or a "
                "subclass of BaseCost."
            )
        as_real("min_scale", self.min_scale, above=0, of=type(self).__name__)
        start = 1.0 if self._learned else math.sqrt(self._variance) / float(scale)
        return self._module(self, n_features, start)

    @property
    def _module(self) -> type[GaussianModule]:
        return GaussianModule


class HeteroscedasticCost(GaussianCost):
    r"""Negative log-likelihood of a Gaussian whose noise the decoder gives, beside the mean.

    .. math::
        c(x, z) = \sum_{k=1}^n \Big[\frac{(x_k - \mu_k(z))^2}{2 \sigma_k^2(z)}
        + \frac12 \log (2 \pi \sigma_k^2(z))\Big], \qquad
        \sigma_k^2(z) = s_k^2 e^{2 h_k(z)} + m^2 .

    The decoder network has :math:`\mu(z)` and :math:`h(z)` as outputs; :math:`s` is the standard
    deviation of :class:`GaussianCost`, and :math:`m` is `min_scale`. A single number for all codes
    weighs a residual the same wherever it is; here the regions of the data that are less noisy
    count for more.

    Parameters
    ----------
    per_feature : bool, default=True
        Whether each feature has a noise of its own; otherwise a code has one for all of them.
    min_scale : float > 0, default=0.01
        Least :math:`\sigma`, in units of the spread of the data. The likelihood has no
        upper bound without it: it is infinite where a decoder meets a row without noise.

    References
    ----------
    .. [1] Hao and Shafto (2023), Coupled variational auto-encoder, ICML, Proposition 3.1.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import HeteroscedasticCost
    >>> cost = HeteroscedasticCost(min_scale=1e-6).build(n_features=1)
    >>> raw = torch.tensor([[0.0, 0.0], [0.0, 1.0]])  # mean and h
    >>> cost.log_scales(raw).round(decimals=3).flatten().tolist()
    [0.0, 1.0]
    """

    # What is "learned" of `GaussianCost` is s.
    variance = "learned"

    def __init__(self, per_feature: bool = True, min_scale: float = 0.01):
        self.per_feature = per_feature
        self.min_scale = min_scale

    def n_outputs(self, n_features: int) -> int:
        return n_features + (n_features if self.per_feature else 1)

    @property
    def _module(self) -> type[GaussianModule]:
        return _HeteroscedasticModule


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

    Attributes
    ----------
    share : float
        Of what codes change in it, where they do: 0 while it is to be the same for all.
    """

    can_draw = True
    sets_scale = True
    share = 1.0

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
            self.log_scale.copy_(tensor_of(scale, self.log_scale.dtype).log())

    def log_scales(self, raw: Tensor) -> Tensor:
        """Logarithms of the standard deviations of rows with these raw outputs, or of all rows."""
        return self.log_scale.clamp_min(self.least)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self._cost(x, y, self.log_scale.clamp_min(self.least))

    def _cost(self, x: Tensor, y: Tensor, log_scale: Tensor) -> Tensor:
        precision = torch.exp(-log_scale)
        if log_scale.ndim == 0:
            # In two steps: the square of a precision may be out of the range of floats.
            square = precision * (precision * row_square(x, y))
        else:
            square = ((x - y) * precision).square().sum(-1)
        return 0.5 * square + self._constant(log_scale, x.shape[-1])

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        log_scale = self.log_scale.clamp_min(self.least)
        precision = torch.exp(-log_scale)
        square = pairwise_square(x * precision, y * precision)
        return 0.5 * square + self._constant(log_scale, x.shape[-1])

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        return self._drawn(y, self.log_scale.clamp_min(self.least), generator)

    def _drawn(self, y: Tensor, log_scale: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        return y + log_scale.exp() * noise

    def _constant(self, log_scale: Tensor, n: int) -> Tensor:
        return n * (log_scale.mean(-1) + 0.5 * math.log(2 * math.pi))


class _HeteroscedasticModule(GaussianModule):
    """Raw outputs are means, then h; on rows of data space alone h is zero."""

    def __init__(self, spec: GaussianCost, n_features: int, start: float):
        super().__init__(spec, n_features, start)
        self.n_features = n_features

    def decode(self, raw: Tensor) -> Tensor:
        return raw[..., : self.n_features]

    def raw_of(self, x: Tensor) -> Tensor:
        return x

    def log_scales(self, raw: Tensor) -> Tensor:
        above = self.log_scale - self.least + self.share * raw[..., self.n_features :]
        # Half the logarithm of 1 + exp(2 above).
        return self.least + softplus(above, beta=2.0)

    def from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        return self._cost(x, self.decode(raw), self.log_scales(raw))

    def pairwise_from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        y, log_scale = self.decode(raw), self.log_scales(raw)
        precision = torch.exp(-2.0 * log_scale).expand_as(y)
        # Three matrix products, about the mean of the rows that are decoded.
        centre = y.detach().mean(0)
        x, y = x - centre, y - centre
        square = x.square() @ precision.T - 2.0 * (x @ (precision * y).T)
        square = (square + (precision * y.square()).sum(1)).clamp_min(0.0)
        return 0.5 * square + self._constant(log_scale, self.n_features)

    def draw_from_raw(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        return self._drawn(self.decode(raw), self.log_scales(raw), generator)
