"""Unbalanced entropic problems between clouds: values and gradients."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import (
    DEBIASING,
    WEIGHTS,
    SinkhornInfo,
    check_weight_values,
    gathered,
    masses_of,
    widest,
)
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, exp2, put
from skotae.transport.entropic.clouds import Cloud, mean_costs
from skotae.transport.entropic.damped import Problem, Solved, solve
from skotae.transport.entropic.envelope import Outcome
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_kernel import between
from skotae.transport.entropic.marginals import KINDS
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.scaling import levels
from skotae.transport.entropic.solutions import Start, in_bits
from skotae.transport.entropic.solve import PATIENCE
from skotae.transport.ground import Ground

_LEVEL_TOL, _LEVEL_STEPS = 1e-2, 20  # of a level of epsilon, before it is halved


class Masses:
    """The masses (B, n) of one side, and those that are not zero: of a batch, all."""

    def __init__(self, masses: Array):
        self.masses, self.totals = masses, masses.sum(-1)
        self.full = bool((masses > 0).all())
        self.rows: slice | Array = slice(None) if self.full else (masses > 0)[0]
        self.kept = masses[:, self.rows]

    @property
    def index(self) -> slice | Tensor:
        """The same rows, of a tensor."""
        return self.rows if isinstance(self.rows, slice) else as_tensor(self.rows)


class Side(Masses):
    """Clouds (B, n, d), their masses, and the part of them whose masses are not zero."""

    def __init__(self, points: Array, masses: Array, ground: Ground):
        super().__init__(masses)
        # About the bulk of the points: about the mean, an outlier would cost them their digits.
        whole, kept = as_tensor(points), as_tensor(points[:, self.rows])
        squares = (whole - kept.median(1, keepdim=True).values).square().sum(2)
        unit = squares[:, self.index].median(1, keepdim=True).values
        weights = masses / as_array(1.0 + squares / (unit + torch.finfo(squares.dtype).tiny))
        self.whole = Cloud(points, weights, ground)
        self.cloud = self.whole
        if not self.full:
            self.cloud = Cloud(points[:, self.rows], weights[:, self.rows], ground)


class Relaxed(ABC):
    """A solved batch of problems: costs less ``epsilon`` times the product of the masses."""

    def __init__(
        self,
        x: Masses,
        y: Masses,
        options: Options,
        posed: tuple[Kernel, Array, Array, float],
        start: Start = None,
    ):
        self.masses, self.options = (x, y), options
        kernel, alpha, beta, depth = posed
        low = min(options.rhos)
        if options.epsilon > sys.float_info.max * low:
            raise ValueError(
                f"rho must be in the range of float64 beside epsilon, got {low:g} for an "
                f"epsilon of {options.epsilon:g} in units of the cost."
            )
        ratios = options.epsilon / options.rhos[0], options.epsilon / options.rhos[1]
        marginals = KINDS[options.unbalanced_type](ratios)
        problem = Problem(kernel, marginals, alpha, beta, x is y)
        g, spent = 0.0 * beta, [0] * len(beta)
        cold = [*range(len(beta))]
        if start is not None:
            first = self._from(problem, start)
            spent = first.n_iter
            # Where it is of no help it is forgotten.
            cold = [k for k in cold if not first.violations[k] <= _LEVEL_TOL]
            g = first.g
        *easier, _ = [1.0] if x is y else levels(depth)
        if cold and easier:
            put(g, (cold,), self._annealed(problem, cold, easier, spent))
        elif cold:
            put(g, (cold,), 0.0)
        limits = [max(1, options.max_iter - steps) for steps in spent]
        self.problem = problem
        self.solution = solve(problem, g, tol=options.tol, limits=limits)
        self.n_iter = [a + b for a, b in zip(spent, self.solution.n_iter, strict=True)]
        self._shift: Array | float = 0.0
        if marginals.translated:
            self._shift = problem.shift(self.solution.f, self.solution.g)

    def _annealed(
        self, problem: Problem, which: list[int], easier: list[float], spent: list[int]
    ) -> Array:
        """Return `g` of some problems from those of larger epsilons; count what is `spent`."""
        part = problem if len(which) == len(spent) else problem.chosen(which)
        g = 0.0 * part.beta
        for factor in easier:
            limits = [max(1, min(_LEVEL_STEPS, self.options.max_iter - spent[k])) for k in which]
            level = solve(part.eased(factor), g, tol=_LEVEL_TOL, limits=limits)
            g = 2.0 * level.g
            for k, steps in zip(which, level.n_iter, strict=True):
                spent[k] += steps
        return g

    def _from(self, problem: Problem, start: tuple[Tensor, Tensor]) -> Solved:
        """Return what iterations from potentials (B, n) and (B, m) come to."""
        (x, y), options = self.masses, self.options
        whole = start[0][:, x.index], start[1][:, y.index]
        offsets = as_tensor(problem.alpha[:, 0]), as_tensor(problem.beta[:, 0])
        found = in_bits(whole, (offsets[0] * options.bit, offsets[1] * options.bit), options)
        g = 0.0 * problem.beta if found is None else found[1]
        limits = [min(PATIENCE, options.max_iter)] * len(g)
        return solve(problem, g, tol=options.tol, limits=limits)

    def values(self) -> Array:
        """Return the values (B,) of the dual problems."""
        solution = self.solution
        dual = self.problem.dual(solution.f, solution.g, solution.softmin, self._shift)
        return dual[:, 0] * self.options.bit

    def infos(self) -> list[SinkhornInfo]:
        """Return how the solves ended."""
        return [
            SinkhornInfo(n_iter, violation, violation <= self.options.tol)
            for n_iter, violation in zip(self.n_iter, self.solution.violations, strict=True)
        ]

    def whole_potentials(self) -> tuple[Array, Array]:
        """Return the potentials of all points, in bits; best ones where there is no mass."""
        sides = (self._everywhere(side) for side in (0, 1))
        (f, alpha, _), (g, beta, _) = sides
        return (f + alpha + self._shift)[:, 0], (g + beta - self._shift)[:, 0]

    def _everywhere(self, side: int) -> tuple[Array, Array, Array | None]:
        """Return the potential of a side, at the points without mass too, the part of the cost
        that it lacks, and its softmin if that is at hand.
        """
        problem, solution = self.problem, self.solution
        own, part = (solution.g, problem.beta) if side else (solution.f, problem.alpha)
        if self.masses[side].full:
            return own, part, solution.softmin if side else None
        softmin, offset = self._softmin(side, solution.f if side else solution.g)
        # Without mass the best for what the potential of the other side is in the end.
        shift = -self._shift if side else self._shift
        best = as_tensor(problem.marginals.best(side, softmin, offset, -shift) - shift)
        kept = self.masses[side].index
        best[..., kept] = as_tensor(own + part) - as_tensor(offset)[..., kept]
        return as_array(best), offset, softmin

    @abstractmethod
    def _softmin(self, side: int, potential: Array) -> tuple[Array, Array]:
        """Return the softmin at all points of a side, and the part of the cost that it lacks."""

    def mass_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the masses of both sides."""
        f, g = map(self._mass_gradient, (0, 1), self.whole_potentials())
        return f, g

    def _mass_gradient(self, side: int, whole: Array) -> Array:
        potential, _, softmin = self._everywhere(side)
        if softmin is None:
            softmin = self.problem.kernel.log_rows(self.solution.g)
        found = exp2(potential - softmin)[:, 0]
        earned = self.problem.marginals.reward(side, whole)
        return self.options.bit * earned - self.options.epsilon * found

    def plan_blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows, of those with mass, and the plans there between points with mass."""
        kernel, (x, y) = self.problem.kernel, self.masses
        kernel.absorb(self.solution.f, self.solution.g)
        a, b = as_tensor(x.kept), as_tensor(y.kept)
        for rows, block in kernel.blocks():
            yield rows, a[:, rows, None] * as_tensor(block) * b[:, None]


class Term(Relaxed):
    """The problems of two batches of clouds."""

    def __init__(self, x: Side, y: Side, options: Options, start: Start = None):
        self.x, self.y = x, y
        super().__init__(x, y, options, _posed(x.cloud, y.cloud, x.kept, y.kept, options), start)

    def _softmin(self, side: int, potential: Array) -> tuple[Array, Array]:
        here, there = (self.x, self.y) if side == 0 else (self.y, self.x)
        posed = _posed(here.whole.everywhere(), there.cloud, here.masses, there.kept, self.options)
        return posed[0].log_rows(potential), posed[1]

    def point_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the points with mass: those of ``<P, C>`` at the plan."""
        u, v, ground = self.x.cloud, self.y.cloud, self.options.ground
        x, y = as_tensor(u.points + (u.centre - v.centre)[:, None]), as_tensor(v.points)
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        # Only squared costs have gradients of a batch at once.
        each: list[slice | int] = [slice(None)] if ground.squared else [*range(len(x))]
        for rows, plans in self.plan_blocks():
            for k in each:
                above, below = ground.gradients(x[k, ..., rows, :], y[k], plans[k], plans[k])
                assert above is not None and below is not None
                grad_x[k, ..., rows, :] = above
                grad_y[k] += below
        return as_array(grad_x), as_array(grad_y)


def _posed(
    x: Cloud, y: Cloud, a: Array, b: Array, options: Options
) -> tuple[Kernel, Array, Array, float]:
    """Return the kernel, both parts of the cost it lacks, and its mean exponent, in bits."""
    size = len(a)
    clouds = ([x], [y]) if x.ground.squared else (_singly(x), _singly(y))
    log_kernel, depth = between(*clouds, widest(as_tensor(x.points)), options)
    kernel = Kernel(log_kernel, a[:, None], b[:, None], options, [x is y] * size)
    alpha, beta = (0.0 * masses[:, None] for masses in (a, b))
    if x.ground.squared and x is not y:
        shift = (x.centre - y.centre)[..., None]
        half = (shift.mT @ shift) / 2.0
        alpha += (2.0 * (x.points @ shift) + half).mT / options.bit
        beta += (half - 2.0 * (y.points @ shift)).mT / options.bit
    return kernel, alpha, beta, depth


def _singly(cloud: Cloud) -> list[Cloud]:
    return [cloud.chosen(k) for k in range(len(cloud.points))]


def total(
    sides: dict[str, Side], wanted: set[str], options: Options
) -> tuple[Array, dict[str, Tensor], list[SinkhornInfo]]:
    """Return the debiased values (B,) of batches of clouds, gradients, and how the solves ended.

    In the widest dtype, with an absolute `epsilon`.
    """
    x, y = sides["x"], sides["y"]
    values = 0.0 * x.totals
    gradients = {}
    for name, weights in WEIGHTS.items():
        if name in wanted:
            gradients[name] = torch.zeros_like(as_tensor(sides[name].whole.points))
        if weights in wanted:
            gradients[weights] = torch.zeros_like(as_tensor(sides[name].masses))
    if options.debias == "none":
        # The products of masses, which the terms leave out, cancel in a paired value.
        values = options.epsilon * x.totals * y.totals
        for weights, other in (("a", y), ("b", x)):
            if weights in wanted:
                gradients[weights] += as_tensor(options.epsilon * other.totals)[:, None]
    solved = []
    for *pair, coefficient in DEBIASING[options.debias]:
        term = Term(sides[pair[0]], sides[pair[1]], options)
        values = values + coefficient * term.values()
        solved.append(term.infos())
        if wanted & {WEIGHTS[name] for name in pair}:
            for name, gradient in zip(pair, term.mass_gradients(), strict=True):
                if WEIGHTS[name] in wanted:
                    gradients[WEIGHTS[name]] += coefficient * as_tensor(gradient)
        if wanted & {*pair}:
            for name, gradient in zip(pair, term.point_gradients(), strict=True):
                if name in wanted:
                    index = sides[name].index
                    gradients[name][:, index] += coefficient * as_tensor(gradient)
    # All terms of a value have one report.
    infos = [replace(gathered(each), problems=()) for each in zip(*solved, strict=True)]
    return values, gradients, infos


@np.errstate(all="ignore")
def evaluate_relaxed(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Return the unbalanced value and its gradients, as `evaluate` does the balanced one."""
    for weights in WEIGHTS.values():
        check_weight_values(weights, inputs.get(weights))
    sides, (mean,), (usual,) = sides_of({k: t[None] for k, t in inputs.items()}, options)
    if not math.isfinite(mean):
        nothing = {name: torch.full_like(inputs[name], math.nan) for name in wanted}
        return Outcome(math.nan, nothing, SinkhornInfo(0, math.nan, False))
    if not mean > 0.0 and options.relative:
        nothing = {name: torch.zeros_like(inputs[name]) for name in wanted}
        return Outcome(0.0, nothing, SinkhornInfo(0, 0.0, True))
    values, gradients, (info,) = total(sides, wanted, options.absolute(mean, usual))
    tensors = {name: each[0].to(inputs[name].dtype) for name, each in gradients.items()}
    return Outcome(float(values[0]), tensors, info)


def sides_of(
    inputs: dict[str, Tensor], options: Options
) -> tuple[dict[str, Side], list[float], list[float]]:
    """Return the sides of a batch, its mean costs, and its costs in the bulk of the points."""
    wide, sides, clouds = widest(inputs["x"]), {}, []
    for name, weights in WEIGHTS.items():
        points = as_array(inputs[name], wide)
        masses = as_array(masses_of(inputs.get(weights), points.shape[:2], as_tensor(points)))
        sides[name] = Side(points, masses, options.ground)
        clouds.append(Cloud(points, masses, options.ground))
    means = mean_costs(clouds[0], clouds[1])
    return sides, means, mean_costs(sides["x"].whole, sides["y"].whole)
