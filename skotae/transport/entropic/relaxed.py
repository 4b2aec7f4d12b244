"""Unbalanced entropic problems between clouds: values and gradients."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import (
    DEBIASING,
    WEIGHTS,
    SinkhornInfo,
    check_weight_values,
    largest,
    widest,
)
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, filled
from skotae.transport.entropic.clouds import Cloud, mean_cost
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
    """The masses of one side, and those that are not zero."""

    def __init__(self, masses: Array):
        self.masses, self.total = masses, float(masses.sum())
        self.full = bool((masses > 0).all())
        self.rows: slice | Array = slice(None) if self.full else masses > 0
        self.kept = masses[self.rows]

    @property
    def index(self) -> slice | Tensor:
        """The same rows, of a tensor."""
        return self.rows if isinstance(self.rows, slice) else as_tensor(self.rows)


class Side(Masses):
    """A cloud, its masses, and the part of it whose masses are not zero."""

    def __init__(self, points: Array, masses: Array, ground: Ground):
        super().__init__(masses)
        # About the bulk of the points: about the mean, an outlier would cost them their digits.
        found = as_tensor(points[self.rows])
        squares = (as_tensor(points) - found.median(0).values).square().sum(1)
        unit = squares[as_tensor(masses) > 0].median() + torch.finfo(squares.dtype).tiny
        weights = masses / as_array(1.0 + squares / unit)
        self.whole = Cloud(points, weights, ground)
        self.cloud = self.whole
        if not self.full:
            self.cloud = Cloud(points[self.rows], weights[self.rows], ground)


class Relaxed(ABC):
    """A solved problem: the cost less ``epsilon`` times the product of the masses."""

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
        least = min(options.rhos)
        if options.epsilon > sys.float_info.max * least:
            raise ValueError(
                f"rho must be in the range of float64 beside epsilon, got {least:g} for an "
                f"epsilon of {options.epsilon:g} in units of the cost."
            )
        ratios = options.epsilon / options.rhos[0], options.epsilon / options.rhos[1]
        marginals = KINDS[options.unbalanced_type](ratios)
        problem = Problem(kernel, marginals, alpha, beta, x is y)
        spent, g = 0, 0.0 * beta
        *easier, _ = [1.0] if x is y else levels(depth)
        if start is not None:
            first = self._from(problem, start)
            spent = first.n_iter
            # Where it is of no help it is forgotten.
            if first.violation <= _LEVEL_TOL:
                g, easier = first.g, []
        for factor in easier:
            limit = max(1, min(_LEVEL_STEPS, options.max_iter - spent))
            level = solve(problem.eased(factor), g, tol=_LEVEL_TOL, max_iter=limit)
            spent, g = spent + level.n_iter, 2.0 * level.g
        left = max(1, options.max_iter - spent)
        self.problem, self.solution = problem, solve(problem, g, tol=options.tol, max_iter=left)
        self.n_iter = spent + self.solution.n_iter
        self._shift = 0.0
        if marginals.translated:
            self._shift = problem.shift(self.solution.f, self.solution.g)
        self._f = (self.solution.f + alpha + self._shift)[0, 0]
        self._g = (self.solution.g + beta - self._shift)[0, 0]

    def _from(self, problem: Problem, start: tuple[Tensor, Tensor]) -> Solved:
        """Return what iterations from potentials come to."""
        (x, y), options = self.masses, self.options
        whole = start[0][x.index], start[1][y.index]
        offsets = as_tensor(problem.alpha[0, 0]), as_tensor(problem.beta[0, 0])
        found = in_bits(whole, (offsets[0] * options.bit, offsets[1] * options.bit), options)
        g = 0.0 * problem.beta if found is None else found[1]
        limit = min(PATIENCE, options.max_iter)
        return solve(problem, g, tol=options.tol, max_iter=limit)

    def value(self) -> float:
        """Return the value of the dual problem."""
        solution = self.solution
        dual = self.problem.dual(solution.f, solution.g, solution.softmin, self._shift)
        return dual * self.options.bit

    def whole_potentials(self) -> tuple[Array, Array]:
        """Return the potentials of all points, in bits; best ones where there is no mass."""
        sides = (self._everywhere(side) for side in (0, 1))
        (f, alpha, _), (g, beta, _) = sides
        return (f + alpha + self._shift)[0, 0], (g + beta - self._shift)[0, 0]

    def _everywhere(self, side: int) -> tuple[Array, Array, Array | None]:
        """Return the potential of a side, at the points without mass too, the part of the cost
        that it lacks, and its softmin if that is at hand.
        """
        problem, solution = self.problem, self.solution
        if not self.masses[side].full:
            softmin, offset = self._softmin(side, solution.f if side else solution.g)
            return problem.marginals.best(side, softmin, offset), offset, softmin
        if side:
            return solution.g, problem.beta, solution.softmin
        return solution.f, problem.alpha, None

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
        found = 2.0 ** (potential - softmin)[0, 0]
        earned = self.problem.marginals.reward(side, whole)
        return self.options.bit * earned - self.options.epsilon * found

    def plan_blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows, of those with mass, and the plan there between points with mass."""
        kernel, (x, y) = self.problem.kernel, self.masses
        kernel.absorb(self.solution.f, self.solution.g)
        a, b = as_tensor(x.kept), as_tensor(y.kept)
        for rows, block in kernel.blocks():
            yield rows, a[rows, None] * as_tensor(block)[0] * b


class Term(Relaxed):
    """The problem of two clouds."""

    def __init__(self, x: Side, y: Side, options: Options, start: Start = None):
        self.x, self.y = x, y
        super().__init__(x, y, options, _posed(x.cloud, y.cloud, x.kept, y.kept, options), start)

    def _softmin(self, side: int, potential: Array) -> tuple[Array, Array]:
        here, there = (self.x, self.y) if side == 0 else (self.y, self.x)
        posed = _posed(here.whole, there.cloud, here.masses, there.kept, self.options)
        return posed[0].log_rows(potential), posed[1]

    def point_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the points with mass: those of ``<P, C>`` at the plan."""
        u, v, ground = self.x.cloud, self.y.cloud, self.options.ground
        x, y = as_tensor(u.points + (u.centre - v.centre)), as_tensor(v.points)
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        for rows, plan in self.plan_blocks():
            above, below = ground.gradients(x[rows], y, plan, plan)
            assert above is not None and below is not None
            grad_x[rows] = above
            grad_y += below
        return as_array(grad_x), as_array(grad_y)


def _posed(
    x: Cloud, y: Cloud, a: Array, b: Array, options: Options
) -> tuple[Kernel, Array, Array, float]:
    """Return the kernel, both parts of the cost it lacks, and its mean exponent, in bits."""
    log_kernel, depth = between([x], [y], widest(as_tensor(x.points)), options)
    kernel = Kernel(log_kernel, a[None, None], b[None, None], options, [x is y])
    alpha, beta = (filled((1, 1, len(masses)), 0.0, like=masses) for masses in (a, b))
    if x.ground.squared:
        shift = x.centre - y.centre
        half = float(shift @ shift) / 2.0
        alpha += (2.0 * (x.points @ shift) + half) / options.bit
        beta += (half - 2.0 * (y.points @ shift)) / options.bit
    return kernel, alpha, beta, depth


@np.errstate(all="ignore")
def evaluate_relaxed(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Return the unbalanced value and its gradients, as `evaluate` does the balanced one."""
    wide = widest(inputs["x"])
    for weights in WEIGHTS.values():
        check_weight_values(weights, inputs.get(weights))
    arrays = {name: as_array(tensor, wide) for name, tensor in inputs.items()}
    sides, clouds = {}, []
    for name, weights in WEIGHTS.items():
        points = arrays[name]
        uniform = filled((len(points),), 1.0 / len(points), like=points)
        sides[name] = Side(points, arrays.get(weights, uniform), options.ground)
        clouds.append(Cloud(points, sides[name].masses, options.ground))
    x, y = sides["x"], sides["y"]
    gradients = {name: torch.zeros_like(inputs[name], dtype=wide) for name in wanted}
    mean = mean_cost(clouds[0], clouds[1])
    value, n_iter, violation = 0.0, 0, 0.0
    if not math.isfinite(mean):
        value = violation = math.nan
        gradients = {name: gradient + math.nan for name, gradient in gradients.items()}
    elif mean > 0.0 or not options.relative:
        options = options.absolute(mean, mean_cost(x.whole, y.whole))
        if options.debias == "none":
            # The products of masses, which the terms leave out, cancel in a paired value.
            value = options.epsilon * x.total * y.total
            for name, other in (("a", y), ("b", x)):
                if name in wanted:
                    gradients[name] += options.epsilon * other.total
        for *pair, coefficient in DEBIASING[options.debias]:
            term = Term(sides[pair[0]], sides[pair[1]], options)
            value += coefficient * term.value()
            n_iter = max(n_iter, term.n_iter)
            violation = largest(violation, term.solution.violation)
            if wanted & {WEIGHTS[name] for name in pair}:
                for name, gradient in zip(pair, term.mass_gradients(), strict=True):
                    if WEIGHTS[name] in wanted:
                        gradients[WEIGHTS[name]] += coefficient * as_tensor(gradient)
            if wanted & {*pair}:
                for name, gradient in zip(pair, term.point_gradients(), strict=True):
                    if name in wanted:
                        gradients[name][sides[name].index] += coefficient * as_tensor(gradient)
    tensors = {name: gradient.to(inputs[name].dtype) for name, gradient in gradients.items()}
    return Outcome(value, tensors, SinkhornInfo(n_iter, violation, violation <= options.tol))
