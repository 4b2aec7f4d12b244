"""Damped iterations for unbalanced entropic problems.

Potentials are in bits, that is divided by ``epsilon ln 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from skotae.transport.entropic.arrays import (
    Array,
    added,
    as_array,
    as_tensor,
    concatenated,
    largest,
    log2,
    magnitude,
    times,
)
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_domain import LN2
from skotae.transport.entropic.scaling import extrapolated

_WINDOW = 5  # plain iterations between two extrapolations
_PATIENCE = 200  # iterations before Newton steps
_NEWTON_ORDER = 1024  # largest dense Newton system


class Problem:
    """One problem in bits, between clouds about their means.

    The whole cost is that of the kernel and ``alpha_i + beta_j``, which is left to the potentials:
    the whole ones are ``f + alpha`` and ``g + beta``.

    Parameters
    ----------
    kernel : Kernel
        Of one problem, with the masses of the points, none of them zero.
    ratios : tuple of float
        ``epsilon / rho`` of both sides, zero for a marginal that is exact; not both are.
    alpha, beta : array of shape (1, 1, n) and (1, 1, m)
    symmetric : bool
    """

    def __init__(
        self,
        kernel: Kernel,
        ratios: tuple[float, float],
        alpha: Array,
        beta: Array,
        symmetric: bool,
    ):
        self.kernel, self.ratios, self.symmetric = kernel, ratios, symmetric
        self.alpha, self.beta = alpha, beta
        self._misses = 0  # in a row, of fast arithmetic
        kernel.absorb(None, None)

    def damped(self, side: int, softmin: Array, offset: Array, shift: float = 0.0) -> Array:
        """Return ``theta * (softmin + offset - shift) - offset``, without cancellation."""
        theta = 1.0 / (1.0 + self.ratios[side])
        return theta * (softmin - shift) - (1.0 - theta) * offset

    def kept(self, side: int, whole: Array) -> Array:
        """Return ``exp(-f / rho)``, the part of each mass that is transported."""
        return 2.0 ** (-self.ratios[side] * whole)

    def shift(self, f: Array, g: Array) -> float:
        """Return the constant that is best added to `f` and taken from `g`."""
        tops, sums = [], []
        pairs = ((f + self.alpha, self.kernel.a), (g + self.beta, self.kernel.b))
        for side, (whole, masses) in enumerate(pairs):
            low = float(whole.min())
            tops.append(-self.ratios[side] * low)
            sums.append(math.log2(float((masses * self.kept(side, whole - low)).sum())))
        return (tops[0] - tops[1] + sums[0] - sums[1]) / sum(self.ratios)

    def step(self, g: Array) -> tuple[Array, Array]:
        """Return the `f` that is best for `g`, and the softmin of `f`, in one pass."""
        found = self._quick(g) if self._misses < 2 else None
        if found is not None:
            self._misses = 0
            return found
        f = self.damped(0, self.kernel.log_rows(g), self.alpha)
        softmin = self.kernel.log_columns(f)
        self._misses += 1
        if self._misses < 2:
            self.kernel.absorb(f, g)
        return f, softmin

    def _quick(self, g: Array) -> tuple[Array, Array] | None:
        """The same with the stored kernel, or None where its range does not suffice."""
        kernel, limit = self.kernel, self.kernel.reach
        f0 = 0.0 * self.alpha if kernel.f is None else kernel.f
        g0 = 0.0 * g if kernel.g is None else kernel.g
        if not largest(g - g0) <= limit:
            return None
        w, parts, sums = kernel.b * 2.0 ** (g - g0), [], None
        for rows, matrix in kernel.blocks():
            softmin = -log2(times(w, matrix.mT), kernel.wide)
            f = self.damped(0, f0[..., rows] + softmin, self.alpha[..., rows])
            u = f - f0[..., rows]
            if not max(largest(softmin), largest(u)) <= limit:
                return None
            sums = added(sums, times(kernel.a[..., rows] * 2.0**u, matrix))
            parts.append(f)
        assert sums is not None
        softmin = -log2(sums, kernel.wide)
        return (concatenated(parts), g0 + softmin) if largest(softmin) <= limit else None

    def newton(self, f: Array, g: Array, softmin: Array, damping: float) -> Array:
        """Return `g` after a Newton step on the dual, `f` eliminated, damped as by Levenberg."""
        kernel, tiny = self.kernel, torch.finfo(self.kernel.wide).tiny
        plan = kernel.log_kernel.block(slice(None), f, g).exp2_()[0]
        plan *= as_tensor(kernel.a[0]).mT * as_tensor(kernel.b[0])
        asked, found = (
            as_tensor(kernel.b * part)[0, 0]
            for part in (self.kept(1, g + self.beta), 2.0 ** (g - softmin))
        )
        shares = plan / plan.sum(1, keepdim=True).clamp_min(tiny)
        hessian = plan.mT @ shares / -(1.0 + self.ratios[0])
        diagonal = (found + self.ratios[1] * asked) + damping * (found + asked)
        hessian.diagonal().add_(diagonal + tiny)
        step = torch.linalg.solve_ex(hessian, asked - found)[0] / LN2
        return g + as_array(step)

    def eased(self, factor: float) -> Problem:
        """Return the problem whose epsilon is larger by ``1 / factor``."""
        kernel = self.kernel.of(self.kernel.log_kernel.rescaled(factor))
        alpha, beta = self.alpha * factor, self.beta * factor
        ratios = self.ratios[0] / factor, self.ratios[1] / factor
        return Problem(kernel, ratios, alpha, beta, self.symmetric)


@dataclass
class Solved:
    """Potentials in bits, rows exact; the softmin of `f`; the violation that is left."""

    f: Array
    g: Array
    softmin: Array
    violation: float
    n_iter: int


def solve(problem: Problem, g: Array, *, tol: float, max_iter: int) -> Solved:
    """Damped iterations with the best shift; reduced-rank extrapolation after every five.

    A cloud against itself takes the mean of both sides: an error of eigenvalue `t` shrinks to
    ``t (t - 1) / 2``, at most an eighth. In a long tail, Newton steps where they are affordable.
    What raises the violation is given up.
    """
    kernel = problem.kernel
    unit = math.sqrt(float(kernel.a.sum()) * float(kernel.b.sum()))
    window, trial, n_iter, damping = [g], None, 0, 1e-2
    dense = kernel.stored and len(kernel.b[0, 0]) <= _NEWTON_ORDER
    while True:
        f, softmin = problem.step(g)
        n_iter += 1
        residual = 2.0 ** (g - softmin) - problem.kept(1, g + problem.beta)
        violation = float((kernel.b * magnitude(residual)).sum()) / unit
        if n_iter >= max_iter or not violation > tol:
            return Solved(f, g, softmin, violation, n_iter)
        if problem.symmetric:
            g = (f + problem.damped(1, softmin, problem.beta)) / 2.0
            continue
        if trial is not None and violation > trial[0]:
            # Extrapolation was wrong: go on from where it began.
            g, window, trial = trial[1], [trial[1]], None
            damping *= 5.0
            continue
        plain = problem.damped(1, softmin, problem.beta, problem.shift(f, g))
        if dense and n_iter >= _PATIENCE:
            damping = damping if trial is None else max(0.2 * damping, 1e-12)
            trial, g = (violation, plain), problem.newton(f, g, softmin, damping)
            continue
        g, trial = plain, None
        window.append(g)
        if len(window) > _WINDOW:
            trial = violation, g
            g = extrapolated(concatenated(window, 1), kernel.b)
            window = [g]
