"""Uniform prior on a cube."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skotae.priors.base import BasePrior, device_of
from skotae.utils.base import as_real


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
        low, high = self._ends
        if low >= high:
            raise ValueError(
                f"low={self.low!r} and high={self.high!r} of UniformPrior; expected finite "
                "numbers with low < high."
            )

    @property
    def _ends(self) -> tuple[float, float]:
        name = type(self).__name__
        return as_real("low", self.low, of=name), as_real("high", self.high, of=name)

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        low, high = self._ends
        draws = torch.rand(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return draws.mul_(high - low).add_(low)

    def head(self, d: int) -> nn.Module:
        return ScaledTanh(*self._ends)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d); -inf outside of the cube."""
        low, high = self._ends
        inside = ((z >= low) & (z <= high)).all(-1)
        value = z.new_full((), -z.shape[-1] * math.log(high - low))
        return value.where(inside, -math.inf)

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        low, high = self._ends
        mean = torch.full((d,), (low + high) / 2, dtype=torch.float64)
        return mean, (high - low) ** 2 / 12 * torch.eye(d, dtype=torch.float64)


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
