r"""The von Mises-Fisher distribution on the unit sphere of :math:`\mathbb R^d`.

.. math::
    q(z) = e^{\kappa \mu^T z - L(\kappa)}, \qquad
    L(\kappa) = \log \mathbb E_u e^{\kappa \mu^T u}
    = \log \Gamma(\nu + 1) - \nu \log(\kappa / 2) + \log I_\nu(\kappa), \qquad
    \nu = d / 2 - 1,

is its density with respect to the uniform distribution, that of u. The mean is
:math:`A(\kappa) \mu` with the Bessel ratio :math:`A = L' = I_{\nu+1} / I_\nu`, and the
divergence from the uniform distribution :math:`\kappa A - L`.

No Bessel function is evaluated, and nothing under- or overflows: the functions come from the
uniform expansion for large orders [1]_ at an order m of 12 or more, where it is good to ten
digits whatever :math:`\kappa`, and are then brought down to the order :math:`\nu` one by one.

References
----------
.. [1] Olver, Digital library of mathematical functions, 10.41.3 and 10.41.9.
.. [2] Davidson et al. (2018), Hyperspherical variational auto-encoders, UAI, eq. 14 and
   Algorithms 1 to 3.
.. [3] Ulrich (1984), Computer generation of distributions on the m-sphere, Applied Statistics.
.. [4] Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, NeurIPS,
   section 3.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import Polynomial
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST_ORDER = 12
N_TERMS = 10
# A proposal is accepted with a probability above 0.65, whatever kappa and d: all of these
# are rejected, and the first one is taken, with a probability below 6e-8.
N_PROPOSALS = 16
N_NODES = 32


class SphereIntegrals(NamedTuple):
    r"""What :func:`sphere_integrals` returns, each of the shape of kappa.

    Attributes
    ----------
    ratio : Tensor
        The Bessel ratio :math:`A(\kappa) = I_{d/2}(\kappa) / I_{d/2-1}(\kappa)`, the length of
        the mean.
    divergence : Tensor
        Kullback-Leibler divergence from the uniform distribution,
        :math:`\kappa A(\kappa) - L(\kappa)` ([2]_, eq. 14).
    log_normaliser : Tensor
        :math:`L(\kappa)`.
    complement : Tensor
        :math:`1 - A(\kappa)`, without cancellation and without a gradient.
    """

    ratio: Tensor
    divergence: Tensor
    log_normaliser: Tensor
    complement: Tensor


def sphere_integrals(kappa: Tensor, d: int) -> SphereIntegrals:
    """Mean length, divergence and normaliser of a von Mises-Fisher distribution.

    They and their first derivatives are good to about the accuracy of float32, and to 1e-10 in
    float64, relative to their own size.

    Parameters
    ----------
    kappa : Tensor of any shape
        Concentration, 0 or more.
    d : int
        Dimension of the space, 2 or more.

    Returns
    -------
    integrals : SphereIntegrals
    """
    return SphereIntegrals(*_Integrals.apply(kappa, d))


class _Integrals(torch.autograd.Function):
    """A' = slope, (kappa A - L)' = kappa A' and L' = A."""

    @staticmethod
    def forward(ctx, kappa, d):
        values, slope = _integrate(kappa, d)
        ctx.save_for_backward(kappa, values.ratio, slope)
        ctx.mark_non_differentiable(values.complement)
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, by_ratio, by_divergence, by_normaliser, _):
        kappa, ratio, slope = ctx.saved_tensors
        return (by_ratio + kappa * by_divergence) * slope + by_normaliser * ratio, None


def _integrate(kappa: Tensor, d: int) -> tuple[SphereIntegrals, Tensor]:
    r"""The integrals and the slope A'.

    The expansion gives A, :math:`h = \kappa A' / A`, the divergence and L at the order m. With
    :math:`t = \kappa / (2 \nu + 2)` and :math:`u = t A_{\nu+1}` the recurrence of the Bessel
    functions and its derivative read

    .. math::
        A_\nu = \frac{t}{1 + u}, \qquad
        h_\nu = \frac{1 - u\, h_{\nu+1}}{1 + u}, \qquad
        L_\nu = L_{\nu+1} + \log(1 + u), \qquad
        \kappa (A_\nu - A_{\nu+1}) = \frac{u (1 + h_{\nu+1})}{1 + u}.
    """
    nu = d / 2 - 1
    n_steps = max(0, math.ceil(LEAST_ORDER - nu))
    m = nu + n_steps
    # s and p as in [1]; s - 1 and 1 - p without cancellation.
    z = kappa / m
    s = torch.hypot(torch.ones_like(z), z)
    p = 1 / s
    excess = z * (z / (1 + s))
    q = excess * p
    table = _table(m, kappa.dtype, kappa.device)
    for_a, for_h, for_divergence, for_l = (_powers(p, len(table)) @ table).unbind(-1)
    scaled = p / (1 + p) + for_a
    a, h = scaled / m, (p * p / (1 + p) + for_h) / scaled
    log_s, log_half = excess.log1p(), (excess / 2).log1p()
    divergence = m * log_half + (log_s - q * (1 + p)) / 2 - q * for_divergence
    log_normaliser = m * (excess - log_half) - log_s / 2 + q * for_l
    if n_steps:
        ratio, us, hs = kappa * a, [], []
        for order in np.arange(m, nu, -1.0).tolist():
            a = 0.5 / order
            t = kappa * a
            u = t * ratio
            us.append(u)
            hs.append(h)
            stretch = 1 + u
            ratio = t / stretch
            h = torch.addcmul(torch.ones_like(h), u, h, value=-1) / stretch
        a = a / stretch
        u, above = torch.stack(us), torch.stack(hs)
        log_u = u.log1p().sum(0)
        divergence = divergence + (u * (1 + above) / (1 + u)).sum(0) - log_u
        log_normaliser = log_normaliser + log_u
    ratio = kappa * a
    # From A' = 1 - A² - (d - 1) A / kappa.
    complement = a * (h + d - 1) / (1 + ratio)
    return SphereIntegrals(ratio, divergence, log_normaliser, complement), h * a


def _powers(p: Tensor, n: int) -> Tensor:
    """p to the powers 0 ... n - 1, of shape (..., n)."""
    factors = p[..., None].repeat(*[1] * p.ndim, n)
    factors[..., 0] = 1.0
    return factors.cumprod(-1)


@functools.lru_cache(maxsize=64)
def _table(m: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Coefficients of the powers of p in the expansion at order m, of shape (n_powers, 4).

    Of A m / z - p / (1 + p), its part in h, and the parts 1 - p divides of divergence and L.
    """
    p = Polynomial([0.0, 1.0])
    w = p**2 - p**4
    # Derivatives of the polynomials D_k in log(sum U_k / m^k) = sum D_k / m^k. The recurrence
    # is that of U_k, [1], divided by U.
    slopes = [Polynomial([0.125, 0.0, -0.625])]
    for k in range(1, N_TERMS):
        products = sum((slopes[i] * slopes[k - 2 - i] for i in range(k - 1)), Polynomial([0.0]))
        slopes.append(((w * slopes[-1]).deriv() + w * products) / 2)
    slope = sum((slopes[k] / m ** (k + 1) for k in range(1, N_TERMS)), slopes[0] / m)
    gain = slope.integ()
    gain -= gain(1.0)
    for_a = -(p**2 / 2 + p**3 * slope) / m
    for_h = for_a - p * (1 - p**2) * for_a.deriv()
    columns = [for_a, for_h, (p * (1 - p**2) * slope + gain) // (1 - p), gain // (1 - p)]
    table = np.zeros((max(len(column) for column in columns), 4))
    for i, column in enumerate(columns):
        table[: len(column), i] = column.coef
    return torch.as_tensor(table, dtype=dtype).to(device)


def sample_von_mises_fisher(
    mean: Tensor,
    kappa: Tensor,
    generator: torch.Generator,
    complement: Tensor | None = None,
) -> Tensor:
    r"""One draw for each mean direction and concentration, with its gradient.

    The angle :math:`\theta` from the mean direction is drawn by rejection ([3]_), the
    direction around it by a reflection. The gradient with respect to `kappa` is implicit
    ([4]_), that of the angle at a fixed value of its distribution function F,
    :math:`-\partial_\kappa F / \partial_\theta F`; that with respect to `mean` turns the
    draw with it. Both are unbiased, unlike that of an accepted proposal, which
    needs a correction ([2]_, appendix).

    Parameters
    ----------
    mean : Tensor of shape (..., d)
        Mean directions, of length 1.
    kappa : Tensor of shape (...)
        Concentrations, 0 or more.
    generator : torch.Generator
        Source of randomness.
    complement : Tensor of shape (...), default=None
        That of ``sphere_integrals(kappa, d)``, if it is known.

    Returns
    -------
    z : Tensor of shape (..., d)
        Of length 1.
    """
    d = mean.shape[-1]
    envelope = _Envelope(kappa.detach(), d)
    cos_alpha, sin_alpha = envelope.draw(generator)
    stretch = 1 + envelope.shift * cos_alpha
    cos = (envelope.shift + cos_alpha) / stretch
    sin = envelope.root * sin_alpha / stretch
    if kappa.requires_grad and torch.is_grad_enabled():
        # The value of kappa - kappa.detach() is 0, its gradient that of kappa.
        if complement is None:
            complement = sphere_integrals(kappa.detach(), d).complement
        slope = envelope.angle_slope(torch.atan2(sin_alpha, cos_alpha), complement)
        turn = slope * (kappa - kappa.detach())
        cos, sin = cos - sin * turn, sin + cos * turn
    still = mean.detach()
    around = _tangent(still, generator)
    # Likewise; the derivative of a rotation that takes one mean direction to another.
    around = around - still * (around * (mean - still)).sum(-1, keepdim=True)
    return cos[..., None] * mean + sin[..., None] * around


def _tangent(mean: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform draws from the unit vectors that are orthogonal to each of `mean`."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    noise[..., 0] = 0.0
    noise = noise / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
    # The reflection that takes the first unit vector to -mean or to mean, whichever is
    # farther from it.
    axis = mean.clone()
    axis[..., 0] += torch.where(axis[..., 0] < 0, -1.0, 1.0)
    scale = 2 * (axis * noise).sum(-1, keepdim=True) / axis.square().sum(-1, keepdim=True)
    return noise - scale * axis


class _Envelope:
    r"""Proposals for the angle, the uniform distribution after a conformal map of the sphere.

    The map takes the angle :math:`\alpha` to :math:`\theta` with
    :math:`\tan(\theta / 2) = \sqrt{(1 - x) / (1 + x)} \tan(\alpha / 2)`. For
    :math:`x = 2 \kappa / (d - 1 + \sqrt{(d - 1)^2 + 4 \kappa^2})` the target over the
    proposal is, up to a constant, :math:`(e^{y / (1 + y)} / (1 + y))^{d - 1} \le 1` with
    :math:`y = x \cos \alpha`.

    Parameters
    ----------
    kappa : Tensor of shape (...)
        Concentrations.
    d : int
        Dimension of the space.
    """

    def __init__(self, kappa: Tensor, d: int):
        self.kappa, self.d = kappa, d
        length = torch.hypot(torch.full_like(kappa, d - 1), 2 * kappa) + (d - 1)
        self.shift = 2 * kappa / length
        self.root = (2 * (d - 1) / length).sqrt()

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the first accepted proposal of each row."""
        like = self.kappa
        shape = (3, N_PROPOSALS, *like.shape)
        u = torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
        # The first coordinate of a uniform draw from the sphere is r cos(phi), in [3].
        if self.d > 2:
            log_gap = u[0].log() * (2 / (self.d - 2))
            gap, r = log_gap.exp(), (-log_gap.expm1()).sqrt()
        else:
            gap, r = torch.zeros_like(u[0]), torch.ones_like(u[0])
        phi = 2 * math.pi * u[1]
        cos, sin = r * phi.cos(), (gap + (r * phi.sin()).square()).sqrt()
        accepted = u[2] < self._log_acceptance(cos).exp()
        first = accepted.to(torch.int32).argmax(0, keepdim=True)
        return cos.gather(0, first)[0], sin.gather(0, first)[0]

    def _log_acceptance(self, cos: Tensor) -> Tensor:
        y = self.shift * cos
        stretch = (1 + y).clamp_min(torch.finfo(y.dtype).tiny)
        return (self.d - 1) * (y / stretch - stretch.log())

    @torch.no_grad()
    def angle_slope(self, alpha: Tensor, complement: Tensor) -> Tensor:
        r"""Derivative of :math:`\theta` by :math:`\kappa` where F does not change.

        .. math::
            \frac{d\theta}{d\kappa} = -\frac{1}{g(\theta)}
            \int_0^\theta (\cos t - A(\kappa))\, g(t)\, dt, \qquad
            g(t) = \sin^{d-2}(t)\, e^{\kappa \cos t}.

        The integral from 0 to pi is 0, and :math:`\cos t - A` changes sign once: from 0 or
        from pi there is a path to the angle along which nothing cancels. The quadrature is
        over :math:`\alpha`, by which the density has a width that does not depend on kappa.
        """
        nodes, weights = _nodes(alpha.dtype, alpha.device)
        gap, log_density = self._integrand(alpha, complement)
        towards_0 = gap > 0
        length = torch.where(towards_0, alpha, math.pi - alpha)
        if self.d > 2:
            # Farther away the density is below the accuracy of the dtype.
            reach = math.sqrt(-2 * math.log(torch.finfo(alpha.dtype).eps) / (self.d - 2))
            length = length.clamp_max(reach)
        length = torch.where(towards_0, -length, length)
        t = alpha + nodes.view(-1, *[1] * alpha.ndim) * length
        gap, log_density_t = self._integrand(t, complement)
        mean = torch.tensordot(weights, gap * (log_density_t - log_density).exp(), 1)
        return self.root / (1 + self.shift * alpha.cos()) * length * mean

    def _integrand(self, alpha: Tensor, complement: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine of the angle minus A, and the logarithm of the density in alpha."""
        cos, sin = alpha.cos(), alpha.sin()
        tiny = torch.finfo(alpha.dtype).tiny
        stretch = (1 + self.shift * cos).clamp_min(tiny)
        gap = complement - self.root.square() / (1 + self.shift) * (1 - cos) / stretch
        log_sin = sin.clamp_min(tiny).log()
        return gap, (self.d - 2) * log_sin + self._log_acceptance(cos)


@functools.lru_cache(maxsize=16)
def _nodes(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre quadrature over [0, 1]."""
    nodes, weights = leggauss(N_NODES)
    return (
        torch.as_tensor((nodes + 1) / 2, dtype=dtype).to(device),
        torch.as_tensor(weights / 2, dtype=dtype).to(device),
    )
