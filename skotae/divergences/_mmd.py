"""Maximum mean discrepancy with a mixture of inverse multiquadratic kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from skotae.divergences.base import BaseDivergence
from skotae.priors import NormalPrior
from skotae.priors.base import fixed_draws
from skotae.transport import squared_mmd
from skotae.transport.kernel_means import (
    NormalMean,
    constants_of,
    in_units_of,
    kernel_mean,
    mass_of_pairs,
)
from skotae.utils.base import as_real, stale

LEAST_WIDTH = 1e-15


class MMD(BaseDivergence):
    r"""Squared maximum mean discrepancy, unbiased.

    .. math::
        \widehat{\mathrm{MMD}}^2 =
        \sum_{i \ne j} \frac{k(z_i, z_j)}{M (M - 1)}
        + \sum_{i \ne j} \frac{k(y_i, y_j)}{N (N - 1)}
        - 2 \sum_{i, j} \frac{k(z_i, y_j)}{M N},
        \qquad
        k(z, y) = \sum_i \frac{C_i}{C_i + |z - y|^2},
        \quad C_i = 2 d \sigma^2 s_i .

    The U-statistic has mean zero where the clouds have one distribution and so may be
    negative. Codes with weights :math:`w` enter the first sum as
    :math:`\sum_{i \ne j} w_i w_j k(z_i, z_j) / (1 - \sum_i w_i^2)`. A cloud of one point
    has no pairs: its sum is left out.

    During training with a normal prior the means over the :math:`y` are those over the prior
    itself, and no draws count: the value has the same expectation and less variance.

    Parameters
    ----------
    bandwidth : "auto" or float, default="auto"
        Standard deviation :math:`\sigma` of one coordinate of the prior. "auto" is that of the
        prior that it is built for, the root mean square over coordinates, so that the
        discrepancy is the same in any unit of prior and codes; without a prior it is 1.
    scales : tuple of float, default=(0.1, 0.2, 0.5, 1, 2, 5, 10)
        Multipliers :math:`s_i` of the bandwidth, one kernel each.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, ICLR, Algorithm 2.
    .. [2] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 5 and 6.

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import MMD
    >>> g = torch.Generator().manual_seed(0)
    >>> y = torch.randn(500, 2, generator=g)
    >>> far, near = MMD()(y + 1, y.flip(0)), MMD()(torch.randn(500, 2, generator=g), y)
    >>> bool(far > 0.5), bool(abs(near) < 0.05)
    (True, True)
    >>> from skotae.priors import SpherePrior
    >>> MMD().build(SpherePrior(), 4).bandwidth
    0.5
    """

    prior_gradient = True
    # Its time grows with the square of their number.
    enough_rows = 512

    def __init__(
        self,
        bandwidth: Any = "auto",
        scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    ):
        self.bandwidth = bandwidth
        self.scales = scales

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        bandwidth = 1.0 if self.bandwidth == "auto" else self.bandwidth
        return squared_mmd(z, prior_draws, bandwidth=bandwidth, scales=self.scales, weights=weights)

    def build(self, prior: Any, n_components: int) -> Callable[..., Tensor]:
        """The same, with the width of a prior for its bandwidth."""
        if self.bandwidth == "auto":
            known = clone(self).set_params(bandwidth=_width(prior, n_components))
            return known.build(prior, n_components)
        # Not one that learns, which is a module.
        is_normal = getattr(type(prior), "sample", None) is NormalPrior.sample
        is_normal = is_normal and not isinstance(prior, nn.Module)
        if stale(self, "build", "__call__") or not is_normal or not self.scales:
            return self
        return _MMDFromNormal(self, prior.moments(n_components)[1].diagonal().sqrt())


class _MMDFromNormal(nn.Module):
    """The discrepancy from a normal prior about 0, without draws."""

    def __init__(self, divergence: MMD, scale: Tensor):
        super().__init__()
        self.bandwidth = as_real("bandwidth", divergence.bandwidth, above=0)
        self.scales = tuple(as_real("scales", scale, above=0) for scale in divergence.scales)
        # What codes are divided by is a number in float32.
        held = torch.finfo(torch.float32)
        self.unit = min(max(self.bandwidth, held.tiny), held.max)
        self.constants = constants_of(len(scale), self.bandwidth / self.unit, self.scales)
        self.prior_mean = NormalMean(scale / self.unit, self.constants)

    def forward(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        z = in_units_of(self.unit, z)
        w = z.new_full((len(z),), 1.0 / len(z)) if weights is None else weights
        value = self.prior_mean.within - 2.0 * self.prior_mean(z, w)
        if len(z) > 1:
            value = value + kernel_mean(z, w, constants=self.constants) / mass_of_pairs(w)
        return value


def _width(prior: Any, n_components: int) -> float:
    """Standard deviation of one coordinate of a prior."""
    if hasattr(prior, "moments") and not stale(prior, "moments", "sample"):
        variance = prior.moments(n_components)[1].detach().diagonal()
    else:
        variance = fixed_draws(prior, n_components).detach().var(0)
    width = float(variance.double().mean().sqrt())
    # Of points, and of what has no variance, 1: the square has to be a number in float32.
    return width if LEAST_WIDTH < width < 1 / LEAST_WIDTH else 1.0
