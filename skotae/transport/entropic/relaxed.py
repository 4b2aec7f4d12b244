"""Unbalanced entropic problems: damped iterations, values and gradients.

Potentials are in bits, that is divided by ``epsilon ln 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from skotae.transport.base import cost_gradients, widest
from skotae.transport.entropic.arrays import (
    Array,
    as_array,
    as_tensor,
    concatenated,
    filled,
    log2,
    times,
)
from skotae.transport.entropic.clouds import Cloud, mean_cost
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_kernel import LogKernel, Matrix, PowerDistances, SquaredDistances
from skotae.transport.entropic.scaling import extrapolated, levels
from skotae.transport.entropic.shards import Alone

_LN2 = math.log(2.0)
_WINDOW = 5  # plain iterations between two extrapolations
_PATIENCE = 200  # iterations before Newton steps
_NEWTON_ORDER = 1024  # largest dense Newton system
_LEVEL_TOL, _LEVEL_STEPS = 1e-2, 20  # of a level of epsilon, before it is halved


class _Problem:
    """One problem in bits, between clouds about their means.

    The whole cost is that of the kernel and ``alpha_i + beta_j``, which is left to the potentials:
    the whole ones are ``f + alpha`` and ``g + beta``.

    Parameters
    ----------
    kernel : Kernel
        Of one problem, with the masses of the points, none of them zero.
    ratio : float
        ``epsilon / rho``.
    alpha, beta : array of shape (1, 1, n) and (1, 1, m)
    symmetric : bool
    """

    def __init__(self, kernel: Kernel, ratio: float, alpha: Array, beta: Array, symmetric: bool):
        self.kernel, self.ratio, self.symmetric = kernel, ratio, symmetric
        self.alpha, self.beta = alpha, beta
        self._theta = 1.0 / (1.0 + ratio)
        self._misses = 0  # in a row, of fast arithmetic
        kernel.absorb(None, None)

    def damped(self, softmin: Array, offset: Array, shift: float = 0.0) -> Array:
        """Return ``theta * (softmin + offset - shift) - offset``, without cancellation."""
        return self._theta * (softmin - shift) - (1.0 - self._theta) * offset

    def kept(self, whole: Array) -> Array:
        """Return ``exp(-f / rho)``, the part of each mass that is transported."""
        return 2.0 ** (-self.ratio * whole)

    def shift(self, f: Array, g: Array) -> float:
        """Return the constant that is best added to `f` and taken from `g`."""
        tops, sums = [], []
        pairs = ((f + self.alpha, self.kernel.a), (g + self.beta, self.kernel.b))
        for whole, masses in pairs:
            low = float(whole.min())
            tops.append(-self.ratio * low)
            sums.append(math.log2(float((masses * self.kept(whole - low)).sum())))
        return (tops[0] - tops[1] + sums[0] - sums[1]) / (2.0 * self.ratio)

    def step(self, g: Array) -> tuple[Array, Array]:
        """Return the `f` that is best for `g`, and the softmin of `f`, in one pass."""
        found = self._quick(g) if self._misses < 2 else None
        if found is not None:
            self._misses = 0
            return found
        f = self.damped(self.kernel.log_rows(g), self.alpha)
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
        if not _largest(g - g0) <= limit:
            return None
        w, parts, sums = kernel.b * 2.0 ** (g - g0), [], None
        for rows, matrix in kernel.blocks():
            softmin = -log2(times(w, matrix.mT), kernel.wide)
            f = self.damped(f0[..., rows] + softmin, self.alpha[..., rows])
            u = f - f0[..., rows]
            if not max(_largest(softmin), _largest(u)) <= limit:
                return None
            part = times(kernel.a[..., rows] * 2.0**u, matrix)
            sums = part if sums is None else sums + part
            parts.append(f)
        softmin = -log2(sums, kernel.wide)
        return (concatenated(parts), g0 + softmin) if _largest(softmin) <= limit else None

    def newton(self, f: Array, g: Array, softmin: Array, damping: float) -> Array:
        """Return `g` after a Newton step on the dual, `f` eliminated, damped as by Levenberg."""
        kernel, tiny = self.kernel, torch.finfo(self.kernel.wide).tiny
        plan = kernel.log_kernel.block(slice(None), f, g).exp2_()[0]
        plan *= as_tensor(kernel.a[0]).mT * as_tensor(kernel.b[0])
        asked, found = (
            as_tensor(kernel.b * part)[0, 0]
            for part in (self.kept(g + self.beta), 2.0 ** (g - softmin))
        )
        shares = plan / plan.sum(1, keepdim=True).clamp_min(tiny)
        hessian = plan.mT @ shares * -self._theta
        diagonal = (found + self.ratio * asked) + damping * (found + asked)
        hessian.diagonal().add_(diagonal + tiny)
        step = torch.linalg.solve_ex(hessian, asked - found)[0] / _LN2
        return g + as_array(step)

    def eased(self, factor: float) -> _Problem:
        """Return the problem whose epsilon is larger by ``1 / factor``."""
        kernel = self.kernel.of(self.kernel.log_kernel.rescaled(factor))
        alpha, beta = self.alpha * factor, self.beta * factor
        return _Problem(kernel, self.ratio / factor, alpha, beta, self.symmetric)


@dataclass
class _Solution:
    """Potentials in bits, rows exact; the softmin of `f`; the violation that is left."""

    f: Array
    g: Array
    softmin: Array
    violation: float
    n_iter: int


def _solve(problem: _Problem, g: Array, *, tol: float, max_iter: int) -> _Solution:
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
        residual = 2.0 ** (g - softmin) - problem.kept(g + problem.beta)
        violation = float((kernel.b * abs(residual)).sum()) / unit
        if n_iter >= max_iter or not violation > tol:
            return _Solution(f, g, softmin, violation, n_iter)
        if problem.symmetric:
            g = (f + problem.damped(softmin, problem.beta)) / 2.0
            continue
        if trial is not None and violation > trial[0]:
            # Extrapolation was wrong: go on from where it began.
            g, window, trial = trial[1], [trial[1]], None
            damping *= 5.0
            continue
        plain = problem.damped(softmin, problem.beta, problem.shift(f, g))
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


def _largest(bits: Array) -> float:
    return float(abs(bits).max())


@dataclass(frozen=True)
class Options:
    """How the problems of a value are posed and solved, in units of the cost."""

    epsilon: float
    rho: float
    tol: float
    max_iter: int
    p: float
    max_bytes: float


def _posed(
    x: Cloud, y: Cloud, a: Array, b: Array, options: Options
) -> tuple[Kernel, Array, Array, float]:
    """Return the kernel, both parts of the cost it lacks, and its mean exponent, in bits."""
    bit, wide = options.epsilon * _LN2, widest(as_tensor(x.points))
    alpha, beta = (filled((1, 1, len(masses)), 0.0, like=masses) for masses in (a, b))
    log_kernel: LogKernel
    if options.p == 2:
        shift = x.centre - y.centre
        half = float(shift @ shift) / 2.0
        alpha += (2.0 * (x.points @ shift) + half) / bit
        beta += (half - 2.0 * (y.points @ shift)) / bit
        log_kernel = SquaredDistances([x], [y], math.sqrt(2.0 / bit), wide)
        depth = (x.spread + y.spread) / bit
    else:
        log_kernel = PowerDistances([x], [y], options.p, 1.0 / bit, wide)
        if len(a) * len(b) * wide.itemsize <= options.max_bytes:
            log_kernel = Matrix(log_kernel.block(), wide)
        depth = mean_cost(x, y, options.p) / bit
    kernel = Kernel(
        log_kernel,
        a[None, None],
        b[None, None],
        symmetric=[x is y],
        max_bytes=options.max_bytes,
        shards=Alone(),
    )
    return kernel, alpha, beta, depth


class Side:
    """A cloud, its masses, and the part of it whose masses are not zero."""

    def __init__(self, points: Array, masses: Array):
        self.masses, self.total = masses, float(masses.sum())
        self.full = bool((masses > 0).all())
        self.rows = slice(None) if self.full else masses > 0
        self.kept = masses[self.rows]
        # About the bulk of the points: about the mean, an outlier would cost them their digits.
        found = as_tensor(points[self.rows])
        squares = (as_tensor(points) - found.median(0).values).square().sum(1)
        unit = squares[as_tensor(masses) > 0].median() + torch.finfo(squares.dtype).tiny
        weights = masses / as_array(1.0 + squares / unit)
        self.whole = Cloud(points, weights)
        self.cloud = self.whole if self.full else Cloud(points[self.rows], weights[self.rows])


class Term:
    """The cost between two clouds, less ``epsilon`` times the product of their masses."""

    def __init__(self, x: Side, y: Side, options: Options):
        self.x, self.y, self.options = x, y, options
        kernel, alpha, beta, depth = _posed(x.cloud, y.cloud, x.kept, y.kept, options)
        problem = _Problem(kernel, options.epsilon / options.rho, alpha, beta, x is y)
        spent, g = 0, 0.0 * beta
        *easier, _ = [1.0] if x is y else levels(depth)
        for factor in easier:
            limit = max(1, min(_LEVEL_STEPS, options.max_iter - spent))
            start = _solve(problem.eased(factor), g, tol=_LEVEL_TOL, max_iter=limit)
            spent, g = spent + start.n_iter, 2.0 * start.g
        if easier:
            kernel.absorb(None, None)  # the levels have used its memory
        left = max(1, options.max_iter - spent)
        self.problem, self.solution = problem, _solve(problem, g, tol=options.tol, max_iter=left)
        self.n_iter = spent + self.solution.n_iter
        self._shift = problem.shift(self.solution.f, self.solution.g)
        self._f = (self.solution.f + alpha + self._shift)[0, 0]
        self._g = (self.solution.g + beta - self._shift)[0, 0]

    def value(self) -> float:
        """Return the value of the dual problem."""
        transported = self.x.kept @ self.problem.kept(self.solution.f + self.problem.alpha)[0, 0]
        lost = self.x.kept @ self._lost(self._f) + self.y.kept @ self._lost(self._g)
        return float(self.options.rho * lost - self.options.epsilon * transported)

    def _lost(self, whole: Array) -> Array:
        """Return ``1 - exp(-f / rho)``, without cancellation."""
        return as_array(-torch.expm1(as_tensor(whole) * (-self.problem.ratio * _LN2)))

    def mass_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the masses of both clouds."""
        f = self._everywhere(self.x, self.y, self._f, self.solution.g, self._shift)
        g = self._everywhere(self.y, self.x, self._g, self.solution.f, -self._shift)
        scale, epsilon = self.options.rho + self.options.epsilon, self.options.epsilon
        return scale * self._lost(f) - epsilon, scale * self._lost(g) - epsilon

    def _everywhere(
        self, side: Side, other: Side, whole: Array, potential: Array, shift: float
    ) -> Array:
        """Return the whole potential of a side at the points without mass too."""
        if side.full:
            return whole
        kernel, offset, *_ = _posed(side.whole, other.cloud, side.masses, other.kept, self.options)
        return (self.problem.damped(kernel.log_rows(potential), offset) + offset + shift)[0, 0]

    def point_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the points with mass: those of ``<P, C>`` at the plan."""
        kernel, u, v = self.problem.kernel, self.x.cloud, self.y.cloud
        kernel.absorb(self.solution.f, self.solution.g)
        x, y = as_tensor(u.points + (u.centre - v.centre)), as_tensor(v.points)
        a, b = as_tensor(self.x.kept), as_tensor(self.y.kept)
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        for rows, block in kernel.blocks():
            plan = a[rows, None] * as_tensor(block)[0] * b
            grad_x[rows], part = cost_gradients(plan, x[rows], y, self.options.p)
            grad_y += part
        return as_array(grad_x), as_array(grad_y)
