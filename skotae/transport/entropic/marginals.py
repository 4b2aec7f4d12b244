"""How far a plan's marginals may be from the masses, and what that costs: in bits, by side.

Of a batch of problems: potentials are (B, 1, n) and (B, 1, m), a shift is (B, 1, 1).

A potential is that of a problem whose cost lacks an `offset`: the whole one is their sum. What a
side pays for marginals ``p`` of masses ``a`` is ``rho sum a phi(p / a)``. Its dual is the reward
``-phi*(-f)`` of a whole potential, and the best potential is the proximal point of the softmin of
the other side: table 1 and section 5 of Chizat, Peyre, Schmitzer and Vialard (2018).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skotae.transport.entropic.arrays import (
    Array,
    as_array,
    as_tensor,
    exp2,
    least,
    log2,
    magnitude,
)
from skotae.transport.entropic.log_domain import LN2

_NEGLIGIBLE = 1e-15  # epsilon, beside rho
_EQUAL = 1e-12  # bits between two masses
_HELD = 1e20  # stiffness of a potential at a bound, beside masses of one


class Marginals(ABC):
    """What both sides pay.

    Parameters
    ----------
    ratios : tuple of float
        ``epsilon / rho`` of both sides, zero for a marginal that is exact; not both are.
    """

    translated = True  # whether the best shift leaves a solution's potentials what is allowed

    def __init__(self, ratios: tuple[float, float]):
        self.ratios = ratios

    def eased(self, factor: float) -> Marginals:
        """Return those of an epsilon that is larger by ``1 / factor``."""
        return type(self)((self.ratios[0] / factor, self.ratios[1] / factor))

    @abstractmethod
    def best(self, side: int, softmin: Array, offset: Array, shift: Array | float = 0.0) -> Array:
        """Return the best potential for a softmin, of which `shift` is taken before."""

    @abstractmethod
    def asked(self, side: int, potential: Array, offset: Array, found: Array) -> Array:
        """Return the part of each mass that a potential asks for; where any of several, the nearest
        to what is found.
        """

    @abstractmethod
    def reward(self, side: int, whole: Array) -> Array:
        """Return what whole potentials earn for each mass."""

    @abstractmethod
    def shift(self, f: Array, a: Array, g: Array, b: Array) -> Array:
        """Return the constant that is best added to whole potentials `f` and taken from `g`."""

    @abstractmethod
    def response(self, side: int, potential: Array, offset: Array) -> Array | float:
        """Return the derivative of a best potential by its softmin."""

    @abstractmethod
    def newton(
        self, side: int, potential: Array, offset: Array, softmin: Array
    ) -> tuple[Array, Array]:
        """Return, for each mass, the residual of a potential, and what it adds to the Hessian."""

    def within(self, side: int, potential: Array, offset: Array) -> Array:
        """Return the potential next to a given one that is allowed."""
        return potential


class KullbackLeibler(Marginals):
    r"""``phi(s) = s log s - s + 1``: masses are kept by ``exp(-f / rho)``."""

    def best(self, side: int, softmin: Array, offset: Array, shift: Array | float = 0.0) -> Array:
        # theta * (softmin + offset - shift) - offset, without cancellation.
        theta = 1.0 / (1.0 + self.ratios[side])
        return theta * (softmin - shift) - (1.0 - theta) * offset

    def asked(self, side: int, potential: Array, offset: Array, found: Array) -> Array:
        return self._kept(side, potential + offset)

    def _kept(self, side: int, whole: Array) -> Array:
        return exp2(-self.ratios[side] * whole)

    def reward(self, side: int, whole: Array) -> Array:
        ratio = self.ratios[side] * LN2
        if ratio == 0.0:
            return whole
        return as_array(torch.expm1(as_tensor(whole) * -ratio) / -ratio)  # without cancellation

    def shift(self, f: Array, a: Array, g: Array, b: Array) -> Array:
        (u, v), ratio = self.ratios, sum(self.ratios)
        # Of the largest part of a mass that is kept, without overflow.
        low_f, low_g = least(f), least(g)
        kept_f = a @ exp2(-u * (f - low_f)).mT
        kept_g = b @ exp2(-v * (g - low_g)).mT
        gap = v * low_g - u * low_f + log2(kept_f) - log2(kept_g)
        # So little is the rounding of equal masses; of others the potentials would have no digits.
        if ratio < _NEGLIGIBLE:
            if (magnitude(gap) < _EQUAL).all():
                return 0.0 * gap
            worst = max(gap.flatten().tolist(), key=abs)
            raise ValueError(
                f"rho is more than {1.0 / _NEGLIGIBLE:.0e} times epsilon, which needs masses a and "
                f"b of equal sums; got a factor of 2^{worst:.3g} between them."
            )
        return gap / ratio

    def response(self, side: int, potential: Array, offset: Array) -> Array | float:
        return 1.0 / (1.0 + self.ratios[side])

    def newton(
        self, side: int, potential: Array, offset: Array, softmin: Array
    ) -> tuple[Array, Array]:
        asked = self._kept(side, potential + offset)
        return asked - exp2(potential - softmin), self.ratios[side] * asked


class TotalVariation(Marginals):
    r"""``phi(s) = |s - 1|``: potentials within ``rho``, and masses are kept inside of that."""

    translated = False

    def _limit(self, side: int) -> float:
        return 1.0 / (self.ratios[side] * LN2) if self.ratios[side] else math.inf

    def _bounds(self, side: int, offset: Array) -> tuple[Tensor, Tensor]:
        limit = self._limit(side)
        return as_tensor(-limit - offset), as_tensor(limit - offset)

    def best(self, side: int, softmin: Array, offset: Array, shift: Array | float = 0.0) -> Array:
        return self.within(side, softmin - shift, offset)

    def within(self, side: int, potential: Array, offset: Array) -> Array:
        return as_array(as_tensor(potential).clamp(*self._bounds(side, offset)))

    def asked(self, side: int, potential: Array, offset: Array, found: Array) -> Array:
        # At a bound, but for rounding, any part on its side of one is right.
        edge = (1.0 - 1e-12) * self._limit(side)
        low, high = as_tensor(-edge - offset), as_tensor(edge - offset)
        whole, part = as_tensor(potential), as_tensor(found)
        least = torch.where(whole <= low, part.clamp_min(1.0), 1.0)
        return as_array(torch.where(whole >= high, part.clamp_max(1.0), least))

    def reward(self, side: int, whole: Array) -> Array:
        return whole

    def shift(self, f: Array, a: Array, g: Array, b: Array) -> Array:
        """Where the slope of a concave function, linear in pieces, changes its sign; next to 0."""
        limits = self._limit(0), self._limit(1)
        u, v, row, column = (as_tensor(each)[:, 0] for each in (f, g, a, b))
        ends, order = torch.cat([limits[0] - u, v - limits[1]], 1).sort(1)
        masses = torch.cat([row, column], 1).gather(1, order)
        slopes = row.sum(1, keepdim=True) - masses.cumsum(1)
        slack = 1e-12 * masses.sum(1, keepdim=True)
        first, last = (
            ends.where(below, math.inf).amin(1) for below in (slopes <= slack, slopes < -slack)
        )
        best = torch.minimum(first.clamp_min(0.0), last)
        # Neither beyond its lower bound.
        best = torch.maximum(best, -limits[0] - u.amin(1))
        return as_array(torch.minimum(best, v.amin(1) + limits[1])[:, None, None])

    def response(self, side: int, potential: Array, offset: Array) -> Array | float:
        (low, high), whole = self._bounds(side, offset), as_tensor(potential)
        return as_array(((whole > low) & (whole < high)).to(whole))

    def newton(
        self, side: int, potential: Array, offset: Array, softmin: Array
    ) -> tuple[Array, Array]:
        # What the softmin moves beyond a bound goes there, and does not answer to the others.
        best = self.within(side, softmin, offset)
        held = as_tensor(best) != as_tensor(softmin)
        free, gap = 1.0 - exp2(potential - softmin), _HELD * LN2 * (best - potential)
        residual = torch.where(held, as_tensor(gap), as_tensor(free))
        return as_array(residual), as_array(_HELD * held.to(residual))


KINDS: dict[str, type[Marginals]] = {"kl": KullbackLeibler, "tv": TotalVariation}
