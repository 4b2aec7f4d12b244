"""The solution of one unbalanced problem, of two clouds or of a cost matrix, and its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import SinkhornInfo, check_weight_values, widest
from skotae.transport.entropic.arrays import Array, as_array, as_tensor
from skotae.transport.entropic.clouds import Cloud, mean_cost
from skotae.transport.entropic.envelope import Outcome
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_domain import log2_sum_exp2
from skotae.transport.entropic.log_kernel import Matrix
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.relaxed import Masses, Relaxed, Side, Term
from skotae.transport.entropic.solutions import (
    Solution,
    Start,
    finite_costs,
    finite_mean_cost,
    start_of,
    unit_cost,
)


class _MatrixTerm(Relaxed):
    """The problem of a cost matrix, of finite entries."""

    def __init__(self, cost: Tensor, x: Masses, y: Masses, options: Options, start: Start):
        # Minima of rows and columns go into the potentials.
        matrix = cost[x.index][:, y.index]
        low_x = matrix.amin(1)
        matrix = matrix - low_x[:, None]
        low_y = matrix.amin(0)
        matrix -= low_y
        bit = options.bit
        # In bits, less the offsets of both sides: all rows or columns, of those with mass there.
        self._costs = (
            (cost[:, y.index] - low_y) / bit,
            (cost[x.index] - low_x[:, None]).mT / bit,
        )
        log_kernel = Matrix((matrix / -bit)[None], matrix.dtype)
        kernel = Kernel(log_kernel, x.kept[None, None], y.kept[None, None], options, [False])
        alpha, beta = (as_array(low[None, None] / bit) for low in (low_x, low_y))
        posed = kernel, alpha, beta, matrix.mean().item() / bit
        super().__init__(x, y, options, posed, start)

    def _softmin(self, side: int, potential: Array) -> tuple[Array, Array]:
        weights = as_tensor(self.masses[1 - side].kept).log2() + as_tensor(potential)[0, 0]
        softmin = -log2_sum_exp2((weights - self._costs[side])[None], 2).mT
        return as_array(softmin), as_array(torch.zeros_like(softmin))


@np.errstate(all="ignore")
def relaxed_of_clouds(
    x: Tensor,
    y: Tensor,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    *,
    plan: bool = False,
    start: Start = None,
) -> Solution:
    """Solve the unbalanced problem of two clouds, and return its `plan` where it is wanted.

    Raises
    ------
    ValueError
        If a point is not finite.
    """
    wide = widest(x)
    points = [as_array(cloud, wide) for cloud in (x, y)]
    masses = [_given(w, len(each), x) for each, w in zip(points, (a, b), strict=True)]
    sides = [Side(*each, options.ground) for each in zip(points, masses, strict=True)]
    clouds = [Cloud(*each, options.ground) for each in zip(points, masses, strict=True)]
    mean = finite_mean_cost(clouds[0], clouds[1])
    usual = mean_cost(sides[0].whole, sides[1].whole)
    flat = options.relative and mean == 0.0
    options = _in_units(options, mean, usual)
    return _solution(Term(sides[0], sides[1], options, start), flat, wants_plan=plan)


@np.errstate(all="ignore")
def relaxed_of_cost(
    cost: Tensor,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    *,
    plan: bool = False,
    start: Start = None,
) -> Solution:
    """Solve the unbalanced problem of a cost matrix, and return its `plan` where it is wanted.

    Raises
    ------
    ValueError
        If a cost is not finite, or their mean is negative where `epsilon` is relative to it.
    """
    return _solution(*_solved(cost, a, b, options, start), wants_plan=plan)


@np.errstate(all="ignore")
def evaluate_relaxed_cost(
    inputs: dict[str, Tensor], wanted: set[str], *, options: Options
) -> Outcome:
    """Return the unbalanced value of a cost matrix, and its gradients: for the costs, the plan."""
    cost = inputs["cost"]
    for name in ("a", "b"):
        check_weight_values(name, inputs.get(name))
    term, flat = _solved(cost, inputs.get("a"), inputs.get("b"), options, start_of(inputs))
    solution = _solution(term, flat, wants_plan="cost" in wanted)
    unit = 0.0 if flat else 1.0
    # The terms leave the product of masses out.
    x, y = term.masses
    value = unit * (term.value() + term.options.epsilon * x.total * y.total)
    gradients = {} if solution.plan is None else {"cost": solution.plan.to(cost.dtype)}
    slopes = zip("ab", term.mass_gradients(), (y, x), strict=True)
    for name, slope, other in slopes:
        if name in wanted:
            whole = as_tensor(slope) + term.options.epsilon * other.total
            gradients[name] = (unit * whole).to(inputs[name].dtype)
    return Outcome(value, gradients, solution.info)


def _solved(
    cost: Tensor, a: Tensor | None, b: Tensor | None, options: Options, start: Start
) -> tuple[_MatrixTerm, bool]:
    """Return the solved problem, and whether its unit, the mean cost, is zero."""
    matrix = finite_costs(cost.detach())
    x, y = (Masses(_given(w, k, matrix)) for w, k in zip((a, b), cost.shape, strict=True))
    row, column = (as_tensor(side.masses) / side.total for side in (x, y))
    mean = unit_cost(row, matrix, column, options)
    flat = options.relative and mean == 0.0
    options = _in_units(options, mean, (row @ matrix.abs() @ column).item())
    return _MatrixTerm(matrix, x, y, options, start), flat


def _given(masses: Tensor | None, points: int, like: Tensor) -> Array:
    """Return masses, by default uniform of sum one, in the widest dtype."""
    if masses is None:
        masses = torch.full((points,), 1.0 / points, dtype=widest(like), device=like.device)
    return as_array(masses.to(like.device), widest(like))


def _in_units(options: Options, mean: float, usual: float) -> Options:
    """Return absolute options; where costs are zero any unit gives the same plan."""
    flat = options.relative and mean == 0.0
    return replace(options, relative=False) if flat else options.absolute(mean, usual)


def _solution(term: Relaxed, flat: bool, *, wants_plan: bool) -> Solution:
    x, y = (as_tensor(side.masses) for side in term.masses)
    f, g = (as_tensor(each) * term.options.bit for each in term.whole_potentials())
    plan = None
    if wants_plan:
        kept = x.new_empty(len(term.masses[0].kept), len(term.masses[1].kept))
        for rows, block in term.plan_blocks():
            kept[rows] = block
        plan = x.new_zeros(len(x), len(y))
        columns = plan.new_zeros(len(kept), len(y))
        columns[:, term.masses[1].index] = kept
        plan[term.masses[0].index] = columns
    violation = term.solution.violation
    info = SinkhornInfo(term.n_iter, violation, violation <= term.options.tol)
    unit = 0.0 if flat else 1.0
    return Solution(f * unit, g * unit, x, y, plan, term.options.epsilon, info)
