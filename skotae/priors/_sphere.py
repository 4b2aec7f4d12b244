"""Uniform prior on a sphere."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from skotae.priors.base import BasePrior, device_of, positive


class SpherePrior(BasePrior):
    r"""Uniform distribution on the sphere of d - 1 dimensions.

    .. math::
        p(z) = \frac{\Gamma(d / 2)}{2 \pi^{d/2} r^{d-1}}, \qquad |z| = r

    with respect to the surface measure. The encoder ends in a division by the length, and
    paths are great circles.

    Parameters
    ----------
    radius : float > 0, default=1.0
        Radius :math:`r`.

    References
    ----------
    Davidson et al. (2018), Hyperspherical variational auto-encoders, UAI.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import SpherePrior
    >>> prior = SpherePrior()
    >>> prior.head(2)(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).norm(dim=1).tolist()
    [1.0, 1.0]
    >>> east, north = torch.eye(2)
    >>> middle = prior.interpolate(east, north, 0.5)
    >>> [round(float(z), 3) for z in middle]
    [0.707, 0.707]
    """

    min_components = 2
    support = "sphere"

    def __init__(self, radius: float = 1.0):
        self.radius = radius

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        positive(self, "radius")

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        z = torch.randn(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return positive(self, "radius") * normalised(z)

    def head(self, d: int) -> nn.Module:
        return SphereHead(positive(self, "radius"))

    def interpolate(self, z1: Tensor, z2: Tensor, t: float | Tensor) -> Tensor:
        """Point on the shorter great circle from `z1` to `z2`.

        Between antipodal points, that any great circle joins, it is the one through a
        coordinate axis.

        Parameters
        ----------
        z1, z2 : Tensor of shape (..., d)
            Ends of the path.
        t : float or Tensor
            Position, 0 at `z1` and 1 at `z2`; a tensor broadcasts with the codes, as (n, 1) does.

        Returns
        -------
        z : Tensor of shape (..., d)
        """
        u, v = torch.broadcast_tensors(normalised(z1), normalised(z2))
        gap, total = v - u, v + u
        angle = 2 * torch.atan2(gap.norm(dim=-1, keepdim=True), total.norm(dim=-1, keepdim=True))
        # The direction at u, from whichever of v - u and v + u is small: nothing cancels.
        near = (u * v).sum(-1, keepdim=True) >= 0
        across = _orthogonal_to(u, torch.where(near, gap, total))
        axis = one_hot(u.abs().argmin(-1), u.shape[-1]).to(u)
        lost = across.norm(dim=-1, keepdim=True) < 8 * torch.finfo(u.dtype).eps
        across = torch.where(lost, _orthogonal_to(u, axis), across)
        # A second projection makes good what rounding left of u in a short direction.
        across = normalised(_orthogonal_to(u, normalised(across)))
        return positive(self, "radius") * ((t * angle).cos() * u + (t * angle).sin() * across)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density, by surface measure, of codes (..., d) on the sphere."""
        d = z.shape[-1]
        area = math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
        return z.new_full(z.shape[:-1], -area - (d - 1) * math.log(self.radius))

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        eye = torch.eye(d, dtype=torch.float64)
        return torch.zeros(d, dtype=torch.float64), positive(self, "radius") ** 2 / d * eye


class SphereHead(nn.Module):
    """Division by the length; the zero vector goes to the first pole.

    Parameters
    ----------
    radius : float
        Length of the results.
    """

    def __init__(self, radius: float):
        super().__init__()
        self.radius = radius

    def forward(self, x: Tensor) -> Tensor:
        return self.radius * normalised(x)


def normalised(x: Tensor) -> Tensor:
    """Rows of length 1. The zero row gives the first unit vector, with a finite gradient."""
    # Dividing by the largest entry first keeps squares from under- and overflowing. It is
    # a constant of the gradient because the result does not depend on the length of x.
    size = x.detach().abs().amax(-1, keepdim=True)
    zero = size < torch.finfo(x.dtype).tiny
    pole = torch.zeros_like(x)
    pole[..., 0] = 1.0
    x = torch.where(zero, x + pole, x / torch.where(zero, 1.0, size))
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _orthogonal_to(u: Tensor, x: Tensor) -> Tensor:
    """Part of x that is orthogonal to the unit vectors u."""
    return x - (u * x).sum(-1, keepdim=True) * u
