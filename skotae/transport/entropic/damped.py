"""Damped iterations for batches of unbalanced entropic problems.

Potentials are in bits, that is divided by ``epsilon ln 2``.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace

import torch

from skotae.transport.entropic.arrays import (
    Array,
    added,
    as_array,
    as_tensor,
    concatenated,
    exp2,
    filled,
    largest,
    log2,
    magnitude,
    namespace,
    put,
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
    """Problems in bits, between clouds about their means.

    The whole cost is that of the kernel and ``alpha_i + beta_j``, which is left to the potentials:
    the whole ones are ``f + alpha`` and ``g + beta``.

    Parameters
    ----------
    kernel : Kernel
        With the masses of the points, none of them zero.
    marginals : Marginals
    alpha, beta : array of shape (B, 1, n) and (B, 1, m)
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
        self._missed: Array | None = None  # what was beyond its range
        kernel.absorb(None, None)

    def shift(self, f: Array, g: Array) -> Array:
        """Return the constants that are best added to `f` and taken from `g`."""
        kernel = self.kernel
        return self.marginals.shift(f + self.alpha, kernel.a, g + self.beta, kernel.b)

    def dual(self, f: Array, g: Array, softmin: Array, shift: Array | float = 0.0) -> Array:
        """Return the values (B, 1) of the dual problems, in bits."""
        a, b, marginals = self.kernel.a, self.kernel.b, self.marginals
        earned = marginals.reward(0, f + self.alpha + shift)
        found = marginals.reward(1, g + self.beta - shift) - exp2(g - softmin) / LN2
        return (a @ earned.mT + b @ found.mT)[:, 0]

    def chosen(self, which: list[int]) -> Problem:
        """Return some of a batch."""
        part = copy(self)
        part.kernel = self.kernel.chosen(which)
        part.alpha, part.beta = self.alpha[which], self.beta[which]
        part._misses, part._missed = 0, None
        return part

    def beyond(self) -> list[bool]:
        """Return which of a batch are beyond the range of fast arithmetic, for good."""
        if self._misses < 2 or self._missed is None:
            return [False] * len(self.alpha)
        tops = as_tensor(self._missed).abs().amax((1, 2))
        return (~(tops <= self.kernel.reach)).tolist()

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
        bits = g if kernel.g is None else g - kernel.g
        if not largest(bits) <= limit:
            self._missed = bits
            return None
        w, parts, sums = kernel.b * exp2(bits), [], None
        for rows, matrix in kernel.blocks():
            softmin = -log2(times(w, matrix.mT), kernel.wide)
            f0 = None if kernel.f is None else kernel.f[..., rows]
            f = self.marginals.best(0, added(f0, softmin), self.alpha[..., rows])
            u = f if f0 is None else f - f0
            for each in (softmin, u):
                if not largest(each) <= limit:
                    self._missed = each
                    return None
            sums = added(sums, times(kernel.a[..., rows] * exp2(u), matrix))
            parts.append(f)
        assert sums is not None
        softmin = -log2(sums, kernel.wide)
        if not largest(softmin) <= limit:
            self._missed = softmin
            return None
        return concatenated(parts), added(kernel.g, softmin)

    def newton(self, f: Array, g: Array, softmin: Array, damping: float) -> Array:
        """Return `g` after a Newton step on the dual, `f` eliminated, damped as by Levenberg.

        Of a batch of one.
        """
        kernel, tiny = self.kernel, torch.finfo(self.kernel.wide).tiny
        plan = kernel.log_kernel.block(slice(None), f, g).exp2_()[0]
        plan *= as_tensor(kernel.a[0]).mT * as_tensor(kernel.b[0])
        residual, stiffness = (
            as_tensor(kernel.b * part)[0, 0]
            for part in self.marginals.newton(1, g, self.beta, softmin)
        )
        part = exp2(g - softmin)
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
    """Potentials (B, 1, n) and (B, 1, m) in bits, rows exact; the softmin of `f`; for each problem
    the violation that is left, and how many iterations there were.
    """

    f: Array
    g: Array
    softmin: Array
    violations: list[float]
    n_iter: list[int]


@dataclass
class _Course:
    """Where the iterations on some problems of a batch are.

    Attributes
    ----------
    problem : Problem
    places : list of int
        Of its problems in the batch.
    g : array of shape (B, 1, m)
    window : list of array of shape (B, 1, m)
        The last plain iterates.
    trial : tuple of array, or None
        What an extrapolation has to improve on: violations (B, 1), and the iterate; of a Newton
        step the value (B, 1) too.
    """

    problem: Problem
    places: list[int]
    g: Array
    window: list[Array]
    trial: tuple[Array, Array | None, Array] | None = None
    n_iter: int = 0
    damping: float = 1e-2

    def chosen(self, which: list[int]) -> _Course:
        """Return the course of some of the problems."""
        trial = self.trial
        if trial is not None:
            # Newton's steps are those of a problem alone.
            trial = trial[0][which], None, trial[2][which]
        return replace(
            self,
            problem=self.problem.chosen(which),
            places=[self.places[k] for k in which],
            g=self.g[which],
            window=[g[which] for g in self.window],
            trial=trial,
        )


def solve(problem: Problem, g: Array, *, tol: float, limits: list[int]) -> Solved:
    """Damped iterations with the best shift; reduced-rank extrapolation after every five.

    A cloud against itself takes the mean of both sides: an error of eigenvalue `t` shrinks to
    ``t (t - 1) / 2``, at most an eighth. In a long tail, Newton steps where they are affordable.
    What makes things worse is given up. Of a batch, what is done leaves the others, and what needs
    slower arithmetic, or Newton steps, goes on without them.

    Parameters
    ----------
    problem : Problem
    g : array of shape (B, 1, m)
        Start.
    tol : float
    limits : list of int
        Iterations that each problem may have.
    """
    size, n = problem.alpha.shape[0], problem.alpha.shape[2]
    g = problem.marginals.within(1, g, problem.beta)
    f = filled((size, 1, n), 0.0, like=g)
    result = Solved(f, 0.0 * g, 0.0 * g, [math.inf] * size, [0] * size)
    todo = [_Course(problem, [*range(size)], g, [g])]
    while todo:
        todo += _followed(todo.pop(), result, tol, limits)
    return result


def _followed(course: _Course, result: Solved, tol: float, limits: list[int]) -> list[_Course]:
    """Iterate until all are done, or are better off in parts, which are returned."""
    problem, places = course.problem, course.places
    kernel, marginals = problem.kernel, problem.marginals
    unit = (kernel.a.sum(-1) * kernel.b.sum(-1)) ** 0.5
    rest = [*range(len(places))]
    while True:
        g = course.g
        f, softmin = problem.step(g)
        course.n_iter += 1
        found = exp2(g - softmin)
        residual = found - marginals.asked(1, g, problem.beta, found)
        violation = (kernel.b @ magnitude(residual).mT)[:, 0] / unit
        left, n_iter = violation[:, 0].tolist(), course.n_iter
        done = [k for k in rest if n_iter >= limits[places[k]] or not left[k] > tol]
        if done:
            at = [places[k] for k in done]
            for target, array in ((result.f, f), (result.g, g), (result.softmin, softmin)):
                put(target, (at,), array[done])
            for k in done:
                result.violations[places[k]], result.n_iter[places[k]] = left[k], n_iter
            rest = [k for k in rest if k not in done]
            if not rest:
                return []
        _advance(course, f, softmin, violation, tol)
        if len(places) == 1:
            continue
        if course.n_iter >= _PATIENCE:
            return [course.chosen([k]) for k in rest]
        slow = problem.beyond()
        groups = [[k for k in rest if slow[k] == kind] for kind in (False, True)]
        if all(groups) or 2 * len(rest) <= len(places):
            return [course.chosen(group) for group in groups if group]


def _advance(course: _Course, f: Array, softmin: Array, violation: Array, tol: float) -> None:
    """Set the next `g`."""
    problem, g, trial = course.problem, course.g, course.trial
    kernel, marginals, beta = problem.kernel, problem.marginals, problem.beta
    if problem.symmetric:
        course.g = (f + marginals.best(1, softmin, beta)) / 2.0
        return
    newton = course.n_iter >= _PATIENCE and len(g) == 1
    newton = newton and kernel.stored and kernel.shape[2] <= _NEWTON_ORDER
    value = problem.dual(f, g, softmin) if newton else None
    course.trial = None
    if trial is not None:
        before, value_before, start = trial
        # Extrapolation may be wrong. Steps of Newton's may raise the violation on their way.
        worse = (violation > (0.5 if newton else 1.0) * before) & (violation > tol)
        if value is not None:
            # There is none of an extrapolation: what comes of it is then taken.
            worse &= ~(value > value_before) if value_before is not None else False
        is_worse = bool(worse.any())
        if newton:
            factor = 5.0 if is_worse else 0.2
            course.damping = min(max(course.damping * factor, 1e-12), 1e3)
        if is_worse:
            # Those go on from where it began.
            g = start
            if not worse.all():
                plain = marginals.best(1, softmin, beta, problem.shift(f, course.g))
                g = namespace(kernel.device).where(worse[..., None], start, plain)
            course.g, course.window = g, [g]
            return
    plain = marginals.best(1, softmin, beta, problem.shift(f, g))
    if newton:
        course.trial = violation, value, plain
        course.g = problem.newton(f, g, softmin, course.damping)
        return
    course.g = plain
    course.window.append(plain)
    if len(course.window) > _WINDOW:
        course.trial = violation, value, plain
        iterates = concatenated(course.window, 1)
        course.g = marginals.within(1, extrapolated(iterates, kernel.b), beta)
        course.window = [course.g]
