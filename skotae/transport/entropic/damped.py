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
from skotae.transport.entropic.marginals import Marginals
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
    marginals : Marginals
    alpha, beta : array of shape (1, 1, n) and (1, 1, m)
    symmetric : bool
    """

    def __init__(
        self,
        kernel: Kernel,
        marginals: Marginals,
        alpha: Array,
        beta: Array,
        symmetric: bool,
    ):
        self.kernel, self.marginals, self.symmetric = kernel, marginals, symmetric
        self.alpha, self.beta = alpha, beta
        self._misses = 0  # in a row, of fast arithmetic
        kernel.absorb(None, None)

    def shift(self, f: Array, g: Array) -> float:
        """Return the constant that is best added to `f` and taken from `g`."""
        kernel = self.kernel
        return self.marginals.shift(f + self.alpha, kernel.a, g + self.beta, kernel.b)

    def dual(self, f: Array, g: Array, softmin: Array, shift: float = 0.0) -> float:
        """Return the value of the dual problem, in bits."""
        a, b, marginals = self.kernel.a, self.kernel.b, self.marginals
        earned = a * marginals.reward(0, f + self.alpha + shift)
        found = marginals.reward(1, g + self.beta - shift) - 2.0 ** (g - softmin) / LN2
        return float(earned.sum() + (b * found).sum())

    def step(self, g: Array) -> tuple[Array, Array]:
        """Return the `f` that is best for `g`, and the softmin of `f`, in one pass."""
        found = self._quick(g) if self._misses < 2 else None
        if found is not None:
            self._misses = 0
            return found
        f = self.marginals.best(0, self.kernel.log_rows(g), self.alpha)
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
            f = self.marginals.best(0, f0[..., rows] + softmin, self.alpha[..., rows])
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
        residual, stiffness = (
            as_tensor(kernel.b * part)[0, 0]
            for part in self.marginals.newton(1, g, self.beta, softmin)
        )
        part = 2.0 ** (g - softmin)
        found, asked = (
            as_tensor(kernel.b * each)[0, 0]
            for each in (part, self.marginals.asked(1, g, self.beta, part))
        )
        shares = plan / plan.sum(1, keepdim=True).clamp_min(tiny)
        response = self.marginals.response(0, f, self.alpha)
        shares *= response if isinstance(response, float) else as_tensor(response)[0].mT
        hessian = plan.mT @ -shares
        diagonal = (found + stiffness) + damping * (found + asked)
        hessian.diagonal().add_(diagonal + tiny)
        step = torch.linalg.solve_ex(hessian, residual)[0] / LN2
        return self.marginals.within(1, g + as_array(step), self.beta)

    def eased(self, factor: float) -> Problem:
        """Return the problem whose epsilon is larger by ``1 / factor``."""
        kernel = self.kernel.of(self.kernel.log_kernel.rescaled(factor))
        alpha, beta = self.alpha * factor, self.beta * factor
        return Problem(kernel, self.marginals.eased(factor), alpha, beta, self.symmetric)


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
    What makes things worse is given up.
    """
    kernel, marginals, beta = problem.kernel, problem.marginals, problem.beta
    unit = math.sqrt(float(kernel.a.sum()) * float(kernel.b.sum()))
    g = marginals.within(1, g, beta)
    window, trial, n_iter, damping = [g], None, 0, 1e-2
    dense = kernel.stored and len(kernel.b[0, 0]) <= _NEWTON_ORDER
    while True:
        f, softmin = problem.step(g)
        n_iter += 1
        found = 2.0 ** (g - softmin)
        residual = found - marginals.asked(1, g, beta, found)
        violation = float((kernel.b * magnitude(residual)).sum()) / unit
        if n_iter >= max_iter or not violation > tol:
            return Solved(f, g, softmin, violation, n_iter)
        if problem.symmetric:
            g = (f + marginals.best(1, softmin, beta)) / 2.0
            continue
        newton = dense and n_iter >= _PATIENCE
        value = problem.dual(f, g, softmin) if newton else -math.inf
        if trial is not None:
            # Extrapolation may be wrong. Steps of Newton's may raise the violation on their way.
            good = not violation > (0.5 if newton else 1.0) * trial[0] or value > trial[1]
            if newton:
                damping = min(max(damping * (0.2 if good else 5.0), 1e-12), 1e3)
            if not good:
                # Go on from where it began.
                g, window, trial = trial[2], [trial[2]], None
                continue
        plain = marginals.best(1, softmin, beta, problem.shift(f, g))
        if newton:
            trial, g = (violation, value, plain), problem.newton(f, g, softmin, damping)
            continue
        g, trial = plain, None
        window.append(g)
        if len(window) > _WINDOW:
            trial = violation, value, g
            g = marginals.within(1, extrapolated(concatenated(window, 1), kernel.b), beta)
            window = [g]
