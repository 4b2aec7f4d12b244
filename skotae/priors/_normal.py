"""Isotropic normal prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skotae.priors.base import BasePrior, check_positive, device_of


class NormalPrior(BasePrior):
    r"""Normal distribution with equal variances.

    .. math:: p(z) = \mathcal N(z;\, 0,\, \sigma^2 I)

    Parameters
    ----------
    scale : float, default=1.0
        Standard deviation :math:`\sigma` of a coordinate.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import NormalPrior
    >>> NormalPrior().sample(3, 2, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    >>> mean, covariance = NormalPrior(scale=2.0).moments(2)
    >>> covariance.tolist()
    [[4.0, 0.0], [0.0, 4.0]]
    """

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        check_positive(self, "scale")

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        noise = torch.randn(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return noise.mul_(self.scale)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d)."""
        constant = z.shape[-1] * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))
        return -0.5 * (z / self.scale).square().sum(-1) - constant

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        eye = torch.eye(d, dtype=torch.float64)
        return torch.zeros(d, dtype=torch.float64), self.scale**2 * eye
