"""Uniform prior on a cube."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skotae.priors.base import BasePrior, device_of


class UniformPrior(BasePrior):
    r"""Uniform distribution on a cube.

    .. math:: p(z) = (b - a)^{-d}, \qquad z \in [a, b]^d

    The encoder ends in :math:`\frac{a + b}{2} + \frac{b - a}{2} \tanh`.

    Parameters
    ----------
    low : float, default=-1.0
        Lower end :math:`a` of each coordinate.
    high : float, default=1.0
        Upper end :math:`b` of each coordinate.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import UniformPrior
    >>> z = UniformPrior(0.0, 1.0).sample(100, 2, torch.Generator().manual_seed(0))
    >>> bool(((z >= 0) & (z <= 1)).all())
    True
    >>> UniformPrior(0.0, 1.0).head(2)(torch.zeros(1, 2)).tolist()
    [[0.5, 0.5]]
    """

    support = "cube"

    def __init__(self, low: float = -1.0, high: float = 1.0):
        self.low = low
        self.high = high

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"low={self.low!r} and high={self.high!r} of UniformPrior; expected finite "
                "numbers with low < high."
            )

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        draws = torch.rand(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return draws.mul_(self.high - self.low).add_(self.low)

    def head(self, d: int) -> nn.Module:
        return ScaledTanh(self.low, self.high)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d); -inf outside of the cube."""
        inside = ((z >= self.low) & (z <= self.high)).all(-1)
        value = z.new_full((), -z.shape[-1] * math.log(self.high - self.low))
        return value.where(inside, -math.inf)

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        mean = torch.full((d,), (self.low + self.high) / 2, dtype=torch.float64)
        return mean, (self.high - self.low) ** 2 / 12 * torch.eye(d, dtype=torch.float64)


class ScaledTanh(nn.Module):
    """Hyperbolic tangent with values from `low` to `high`.

    Parameters
    ----------
    low, high : float
        Limits of the values.
    """

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low = low
        self.high = high

    def forward(self, x: Tensor) -> Tensor:
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return (middle + half * x.tanh()).clamp(self.low, self.high)
