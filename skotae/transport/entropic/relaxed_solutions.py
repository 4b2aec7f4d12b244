"""The solution of one unbalanced problem, of two clouds or of a cost matrix, and its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import check_weight_values, masses_of
from skotae.transport.entropic.arrays import Array, as_array, as_tensor
from skotae.transport.entropic.envelope import Outcome
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_domain import log2_sum_exp2
from skotae.transport.entropic.log_kernel import Matrix
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.relaxed import (
    Masses,
    Relaxed,
    Term,
    sides_of,
)
from skotae.transport.entropic.solutions import (
    Solution,
    Start,
    finite_costs,
    finite_mean,
    start_of,
    unit_cost,
)


class MatrixTerm(Relaxed):
    """The problems of cost matrices (B, n, m), of finite entries."""

    def __init__(self, cost: Tensor, x: Masses, y: Masses, options: Options, start: Start):
        # Minima of rows and columns go into the potentials.
        matrix = cost[:, x.index][:, :, y.index]
        low_x = matrix.amin(2, keepdim=True)
        matrix = matrix - low_x
        low_y = matrix.amin(1, keepdim=True)
        matrix -= low_y
        bit = options.bit
        # Less the offsets of both sides: all rows or columns, of those with mass there.
        self._costs = cost[:, :, y.index] - low_y, (cost[:, x.index] - low_x).mT
        log_kernel = Matrix(matrix / -bit, matrix.dtype)
        size = len(cost)
        kernel = Kernel(log_kernel, x.kept[:, None], y.kept[:, None], options, [False] * size)
        alpha, beta = as_array(low_x.mT / bit), as_array(low_y / bit)
        depth = matrix.mean((1, 2)).max().item() / bit
        super().__init__(x, y, options, (kernel, alpha, beta, depth), start)

    def _softmin(self, side: int, potential: Array) -> tuple[Array, Array]:
        weights = as_tensor(self.masses[1 - side].kept).log2()[:, None] + as_tensor(potential)
        softmin = -log2_sum_exp2(weights - self._costs[side] / self.options.bit, 2).mT
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
    given = {"x": x, "y": y, "a": a, "b": b}
    inputs = {name: tensor[None] for name, tensor in given.items() if tensor is not None}
    sides, (mean,), (usual,) = sides_of(inputs, options)
    flat = options.relative and finite_mean(mean, options.ground) == 0.0
    term = Term(sides["x"], sides["y"], _in_units(options, mean, usual), _batch_of_one(start))
    return solutions(term, [0.0 if flat else 1.0], wants_plan=plan)[0]


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
    term, flat = _solved(cost, a, b, options, start)
    return solutions(term, [0.0 if flat else 1.0], wants_plan=plan)[0]


@np.errstate(all="ignore")
def evaluate_relaxed_cost(
    inputs: dict[str, Tensor], wanted: set[str], *, options: Options
) -> Outcome:
    """Return the unbalanced value of a cost matrix, and its gradients: for the costs, the plan."""
    for name in ("a", "b"):
        check_weight_values(name, inputs.get(name))
    given = inputs["cost"], inputs.get("a"), inputs.get("b")
    term, flat = _solved(*given, options, start_of(inputs))
    values, gradients = value_of_cost(term, wanted)
    if flat:
        # Any plan has the same costs; what masses are worth has a unit of zero.
        values = 0.0 * values
        gradients |= {name: 0.0 * gradients[name] for name in gradients.keys() & {"a", "b"}}
    tensors = {name: each[0].to(inputs[name].dtype) for name, each in gradients.items()}
    return Outcome(float(values[0]), tensors, term.infos()[0])


def value_of_cost(term: MatrixTerm, wanted: set[str]) -> tuple[Array, dict[str, Tensor]]:
    """Return the values (B,) of cost matrices, and their gradients, in the widest dtype."""
    epsilon, (x, y) = term.options.epsilon, term.masses
    # The terms leave the product of masses out.
    values = term.values() + epsilon * x.totals * y.totals
    gradients = {"cost": plans(term)} if "cost" in wanted else {}
    if wanted & {"a", "b"}:
        for name, slope, other in zip("ab", term.mass_gradients(), (y, x), strict=True):
            if name in wanted:
                gradients[name] = as_tensor(slope + epsilon * other.totals[:, None])
    return values, gradients


def _solved(
    cost: Tensor, a: Tensor | None, b: Tensor | None, options: Options, start: Start
) -> tuple[MatrixTerm, bool]:
    """Return the solved problem, and whether its unit, the mean cost, is zero."""
    matrix = finite_costs(cost.detach())
    x, y = (
        Masses(as_array(masses_of(None if w is None else w[None], (1, k), matrix)))
        for w, k in zip((a, b), cost.shape, strict=True)
    )
    row, column = (as_tensor(side.masses / side.totals)[0] for side in (x, y))
    mean = unit_cost(row, matrix, column, options)
    flat = options.relative and mean == 0.0
    options = _in_units(options, mean, (row @ matrix.abs() @ column).item())
    return MatrixTerm(matrix[None], x, y, options, _batch_of_one(start)), flat


def _batch_of_one(start: Start) -> Start:
    return None if start is None else (start[0][None], start[1][None])


def _in_units(options: Options, mean: float, usual: float) -> Options:
    """Return absolute options; where costs are zero any unit gives the same plan."""
    flat = options.relative and mean == 0.0
    return replace(options, relative=False) if flat else options.absolute(mean, usual)


def plans(term: Relaxed) -> Tensor:
    """Return the plans (B, n, m), zero where there is no mass."""
    x, y = term.masses
    kept = as_tensor(x.kept).new_empty(*x.kept.shape, y.kept.shape[1])
    for rows, block in term.plan_blocks():
        kept[:, rows] = block
    if x.full and y.full:
        return kept
    columns = kept.new_zeros(*x.kept.shape, y.masses.shape[1])
    columns[:, :, y.index] = kept
    plan = kept.new_zeros(*x.masses.shape, y.masses.shape[1])
    plan[:, x.index] = columns
    return plan


def solutions(term: Relaxed, units: list[float], *, wants_plan: bool) -> list[Solution]:
    """Return the solutions of a batch, each in units of its own."""
    masses = [as_tensor(side.masses) for side in term.masses]
    potentials = [as_tensor(each) * term.options.bit for each in term.whole_potentials()]
    found = plans(term) if wants_plan else [None] * len(units)
    epsilon = term.options.epsilon
    return [
        Solution(f * unit, g * unit, a, b, plan, epsilon * unit, info)
        for f, g, a, b, plan, unit, info in zip(
            *potentials, *masses, found, units, term.infos(), strict=True
        )
    ]
