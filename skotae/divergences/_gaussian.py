"""Closed-form 2-Wasserstein distance between Gaussian fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skotae.divergences.base import BaseDivergence
from skotae.transport import fit_gaussian, gaussian_wasserstein
from skotae.utils.base import stale


class GaussianDivergence(BaseDivergence):
    r"""Squared 2-Wasserstein distance between the Gaussian fits of codes and prior.

    .. math::
        W_2^2 = |\mu_1 - \mu_2|^2 + \mathrm{tr}\left(\Sigma_1 + \Sigma_2
        - 2 (\Sigma_2^{1/2} \Sigma_1 \Sigma_2^{1/2})^{1/2}\right) .

    During training the moments of the prior are its own, not those of a batch; the prior
    has to know them (``prior.moments``). Those of a class whose ``sample`` a subclass overrides
    without them are not used: they are then those of the draws.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, eq. 13 (W2GAE).

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import GaussianDivergence
    >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> round(float(GaussianDivergence()(x + 3, x)), 4)
    18.0
    """

    prior_required = ("moments",)

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        return gaussian_wasserstein(*fit_gaussian(z, weights), *fit_gaussian(prior_draws))

    def build(self, prior: Any, n_components: int) -> Callable[..., Tensor]:
        if stale(self, "build", "__call__") or stale(prior, "moments", "sample"):
            # Of draws: what is known is another formula, or the moments of another distribution.
            return self
        return _GaussianAgainstPrior(*prior.moments(n_components))


class _GaussianAgainstPrior(nn.Module):
    """The divergence to a prior with known moments."""

    mean: Tensor
    covariance: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor):
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("covariance", covariance.to(torch.float32))

    def forward(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        mean, covariance = fit_gaussian(z, weights)
        return gaussian_wasserstein(mean, covariance, self.mean, self.covariance)
