"""The solution of one entropic problem, of two clouds or of a cost matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_clouds_or_cost,
    check_start,
    full_precision,
    gathered,
    normalised_weights,
    widest,
    within_range,
)
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, largest
from skotae.transport.entropic.balanced import Problems, Solver
from skotae.transport.entropic.clouds import (
    Cloud,
    cost_between,
    mean_cost,
    shifts,
    within_support,
)
from skotae.transport.entropic.kernel import extended
from skotae.transport.entropic.log_kernel import Matrix
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.solve import Scaling, kernel_dtype, solve
from skotae.transport.ground import Ground

Start = tuple[Tensor, Tensor] | None  # potentials

_LOST = 1e-18  # of a cost: an epsilon that rounding tells from none no longer


@dataclass(frozen=True)
class Solution:
    """Potentials of equal means, and the plan, in the widest dtype; how the solve ended.

    All is its own: nothing of it is in memory that the next problem uses again.

    Attributes
    ----------
    f, g : Tensor of shape (n,) and (m,)
    a, b : Tensor of shape (n,) and (m,)
        Weights of sum one.
    plan : Tensor of shape (n, m), or None
        With exact rows; None where it was not asked for. In the dtype of the inputs where problems
        of a batch were solved together.
    epsilon : float
        In units of the cost.
    info : SinkhornInfo
    """

    f: Tensor
    g: Tensor
    a: Tensor
    b: Tensor
    plan: Tensor | None
    epsilon: float
    info: SinkhornInfo


@np.errstate(over="ignore", invalid="ignore")
def of_clouds(
    x: Tensor,
    y: Tensor,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    *,
    plan: bool = False,
    start: Start = None,
) -> Solution:
    """Solve the problem of two clouds, and return its `plan` where it is wanted.

    From potentials to start with, if there are any.

    Raises
    ------
    ValueError
        If a point is not finite.
    """
    wide = widest(x)
    clouds = [
        Cloud(as_array(points, wide), None if w is None else as_array(w, wide), options.ground)
        for points, w in ((x, a), (y, b))
    ]
    mean = finite_mean(mean_cost(clouds[0], clouds[1]), options.ground)
    row, column = (as_tensor(cloud.weights) for cloud in clouds)
    options = options.absolute(mean, mean)
    if options.epsilon == 0.0:  # all points with weight are equal
        first, second = clouds
        f = cost_between(first.everywhere(), second)[:, 0].where(row == 0, 0.0)
        g = cost_between(first, second.everywhere())[0].where(column == 0, 0.0)
        return _solution(f, g, row, column, None, options, plan)
    dtype = kernel_dtype(x, options.goal, mean / options.bit)
    problems = Problems(
        [clouds[0]], [clouds[1]], dtype, options, _from(start, wide, clouds, options)
    )
    f, g = (as_tensor(potential) for potential in problems.potentials()[0])
    return _solution(f, g, row, column, problems.result, options, plan)


def of_cost(
    cost: Tensor,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    *,
    plan: bool = False,
    start: Start = None,
) -> Solution:
    """Solve the problem of a cost matrix, and return its `plan` where it is wanted.

    From potentials to start with, if there are any.

    Raises
    ------
    ValueError
        If a cost is not finite, or their mean is negative where `epsilon` is relative to it.
    """
    matrix = finite_costs(cost)
    row, column = (
        normalised_weights(w, k, matrix) for w, k in zip((a, b), cost.shape, strict=True)
    )
    mean = unit_cost(row, matrix, column, options)
    # Row and column minima go into the potentials before epsilon divides what is left. All in
    # one matrix, beside that of the caller.
    kept = supported(matrix, row, column)
    offset_f = kept.amin(1)
    reduced = torch.sub(kept, offset_f[:, None], out=None if kept is cost else kept)
    offset_g = reduced.amin(0)
    reduced -= offset_g
    reduced_mean = reduced.mean().item()
    options = options.absolute(mean, reduced_mean)
    bit, f, g, result = options.bit, offset_f, offset_g, None
    weights = as_array(row[None, None]), as_array(column[None, None])
    if bit > 0.0 and reduced_mean > 0.0:
        depth = reduced_mean / bit
        log_kernel = Matrix(reduced.div_(-bit)[None], kernel_dtype(cost, options.goal, depth))
        begin = in_bits(start, (f, g), options, weights)
        result = solve(log_kernel, *weights, options, depth=depth, start=begin)
        f = as_tensor(result.f)[0, 0] * bit + f
        g = as_tensor(result.g)[0, 0] * bit + g
    if kept is not matrix:
        f, g = _everywhere(matrix, f, g, weights, options)
    if result is None:  # any plan is optimal: that of the weights
        options = replace(options, epsilon=0.0)
    return _solution(f, g, row, column, result, options, plan)


def _everywhere(
    matrix: Tensor, f: Tensor, g: Tensor, weights: tuple[Array, Array], options: Options
) -> tuple[Tensor, Tensor]:
    """Return the potentials of a cost matrix, of points without weight too."""
    gaps = matrix - f[:, None] - g
    bit = options.bit or max(_LOST * gaps.abs().max().item(), torch.finfo(gaps.dtype).tiny)
    log_kernel = Matrix((gaps / -bit)[None], gaps.dtype)
    more = extended(log_kernel, *weights, options, *(0.0 * each for each in weights))
    more_f, more_g = (as_tensor(bits)[0, 0] * bit for bits in more)
    return f + more_f, g + more_g


def supported(costs: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return costs (..., n, m) with the rows and columns of points without weight replaced.

    Themselves where all points have weight.
    """
    kept = within_support(costs, a)
    columns = within_support(turned := kept.mT, b)
    return kept if columns is turned else columns.mT


def _from(start: Start, wide: torch.dtype, clouds: list[Cloud], options: Options) -> Solver:
    """Return the solver that starts from potentials of the clouds where they are."""
    if start is None:
        return solve
    f, g = (as_tensor(offset, wide) for offset in shifts(*(each.everywhere() for each in clouds)))
    weights = clouds[0].weights[None, None], clouds[1].weights[None, None]
    return partial(solve, start=in_bits(start, (f, g), options, weights))


def in_bits(
    start: Start,
    offsets: tuple[Tensor, Tensor],
    options: Options,
    weights: tuple[Array, Array] | None = None,
) -> tuple[Array, Array] | None:
    """Return potentials (B, 1, n) and (B, 1, m) in bits, less those offsets, if all are finite.

    Of potentials (n,) and (m,), or (B, n) and (B, m); of points that have `weights`, if some of
    them, (B, 1, n) and (B, 1, m), are zero.
    """
    if start is None:
        return None
    if not all(bool(each.isfinite().all()) for each in start):
        raise ValueError("potentials_init must be finite, got NaN or infinite values.")
    f, g = (
        as_array(((each.to(offset) - offset) / options.bit).reshape(-1, 1, each.shape[-1]))
        for each, offset in zip(start, offsets, strict=True)
    )
    if weights is not None:
        f, g = (
            as_array(within_support(as_tensor(bits).mT, as_tensor(shares)[:, 0]).mT)
            for bits, shares in zip((f, g), weights, strict=True)
        )
    return (f, g) if np.isfinite(largest(f) + largest(g)) else None


def start_of(inputs: dict[str, Tensor]) -> Start:
    """Return the potentials among the inputs of a differentiable problem."""
    return (inputs["f"], inputs["g"]) if "f" in inputs else None


def finite_mean(mean: float, ground: Ground) -> float:
    """Return the mean cost of two clouds, or raise ValueError if it is not finite."""
    if not math.isfinite(mean):
        raise ValueError(
            "x or y must be finite, with costs in the range of float64, got a mean cost of "
            f"{mean} for p={ground.p:g}."
        )
    return mean


def finite_costs(cost: Tensor) -> Tensor:
    """Return a matrix in the widest dtype, or raise ValueError if a cost is not finite."""
    matrix = cost.to(widest(cost))
    if not math.isfinite(matrix.sum().item()):  # isfinite() of a matrix is slow
        raise ValueError("cost must be finite, got NaN or infinite values.")
    return matrix


def unit_cost(row: Tensor, matrix: Tensor, column: Tensor, options: Options) -> float:
    """Return the mean cost if `epsilon` is relative to it, which a negative one cannot be."""
    mean = (row @ matrix @ column).item() if options.relative else math.nan
    if mean < 0:
        raise ValueError(
            f"relative=True needs a cost of non-negative mean, got {mean:.3g}: "
            "pass relative=False and an absolute epsilon."
        )
    return mean


def _solution(
    f: Tensor,
    g: Tensor,
    a: Tensor,
    b: Tensor,
    result: Scaling | None,
    options: Options,
    wants_plan: bool,
) -> Solution:
    """Return a solution; that of equal costs if there is no result."""
    shift, plan, info = (a @ f - b @ g) / 2, None, SinkhornInfo(0, 0.0, True)
    if wants_plan:
        plan = torch.outer(a, b) if result is None else result.plan()[0]
    if result is not None:
        # Scalings that left the range are as far from the marginals as can be.
        violation = math.inf if math.isnan(result.violation) else result.violation
        info = SinkhornInfo(result.n_iter, violation, violation <= options.goal)
    return Solution(f - shift, g + shift, a, b, plan, options.epsilon, info)


@dataclass
class Found:
    """The solutions of a problem, or of a batch, of some shape (..., n, m)."""

    solutions: list[Solution]
    shape: tuple[int, ...]
    like: Tensor
    names: str  # of the inputs that results are in units of

    @property
    def info(self) -> SinkhornInfo:
        infos = [solution.info for solution in self.solutions]
        return infos[0] if len(self.shape) == 2 else gathered(infos)

    def potentials(self) -> tuple[Tensor, Tensor]:
        f, g = ([getattr(one, name) for one in self.solutions] for name in ("f", "g"))
        return self._stacked("potential", f, -2), self._stacked("potential", g, -1)

    def plan(self) -> Tensor:
        plans = [one.plan for one in self.solutions if one.plan is not None]
        return self._stacked("plan", plans, -2, -1)

    def _stacked(self, what: str, parts: list[Tensor], *axes: int) -> Tensor:
        """Return parts that have some axes of the problem, in the dtype of the inputs.

        Raises
        ------
        ValueError
            If they are beyond its range.
        """
        shape = self.shape[:-2] + tuple(self.shape[axis] for axis in axes)
        if not parts:
            return self.like.new_empty(shape)
        found = within_range(torch.stack(parts), self.like.dtype, what, self.names)
        return found.reshape(shape)


@torch.no_grad()
def solve_each(
    x: Tensor | None,
    y: Tensor | None,
    cost: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    start: Start,
    *,
    plan: bool = False,
    solvers: tuple[Callable[..., Solution], Callable[..., Solution]] = (of_clouds, of_cost),
    together: Callable[..., list[Solution | None]] | None = None,
) -> Found:
    """Solve one problem, or each of a batch, of clouds or of costs, by the solver of either.

    What of a batch is solved `together` is left out.

    Raises
    ------
    ValueError
        If inputs, weights or potentials to start from do not fit.
    """
    shape = check_clouds_or_cost(x, y, cost, a, b, batches=True)
    given = {"cost": cost} if x is None or y is None else {"x": x, "y": y}
    *batch, n, m = shape
    size = math.prod(batch)
    first, second = check_start(start, (*batch, n), (*batch, m))
    inputs = {name: t.reshape(-1, *t.shape[-2:]) for name, t in given.items() if t is not None}
    for name, side, points in (("a", a, n), ("b", b, m), ("f", first, n), ("g", second, m)):
        if side is not None:
            inputs[name] = side.expand(*batch, points).reshape(-1, points)
    like = next(iter(inputs.values()))
    solutions: list[Solution | None] = [None] * size
    with full_precision(like.device):
        if batch and together is not None:
            solutions = together(inputs, options, plan=plan)
        for k in [k for k, solution in enumerate(solutions) if solution is None]:
            one = {name: tensor[k] for name, tensor in inputs.items()}
            clouds = [one.pop(name) for name in given]
            solver, sides = solvers[cost is not None], (one.get("a"), one.get("b"))
            solutions[k] = solver(*clouds, *sides, options, plan=plan, start=start_of(one))
    names = " and ".join(given)
    return Found([one for one in solutions if one is not None], shape, like, names)
