"""Batches of unbalanced problems: together, and what is out of the ordinary one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import (
    WEIGHTS,
    check_weight_values,
    masses_of,
    normalised_weights,
    widest,
)
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, keep_freed
from skotae.transport.entropic.envelope import Batch, Outcome, chunks
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.relaxed import (
    Masses,
    Side,
    Term,
    evaluate_relaxed,
    sides_of,
    total,
)
from skotae.transport.entropic.relaxed_solutions import (
    MatrixTerm,
    evaluate_relaxed_cost,
    solutions,
    value_of_cost,
)
from skotae.transport.entropic.rounds import EPSILON, Posed
from skotae.transport.entropic.solutions import Solution, Start, start_of

Inputs = dict[str, Tensor]


class _Posed(Posed):
    """Unbalanced problems of clouds or of cost matrices."""

    @property
    def scales(self) -> Array:
        """The units."""
        return as_array(self.units)

    def sides(self, inputs: Inputs) -> tuple[dict[str, Side], Array]:
        """Return the clouds in these units, and what their points are multiplied by."""
        ground, wide = self.options.ground, widest(inputs["x"])
        factors, sides = self.scales ** (-1.0 / ground.p), {}
        for name, weights in WEIGHTS.items():
            points = as_array(inputs[name][self.places], wide) * factors[:, None, None]
            given = inputs[weights][self.places] if weights in inputs else None
            masses = as_array(masses_of(given, points.shape[:2], as_tensor(points)))
            sides[name] = Side(points, masses, ground)
        return sides, factors

    def matrices(self, inputs: Inputs, start: Start) -> MatrixTerm:
        """Solve the problems of cost matrices."""
        cost = inputs["cost"][self.places]
        cost = cost.to(widest(cost)) / self.units[:, None, None]
        given = (inputs[name][self.places] if name in inputs else None for name in "ab")
        x, y = (
            Masses(as_array(masses_of(masses, (len(cost), k), cost)))
            for masses, k in zip(given, cost.shape[1:], strict=True)
        )
        return MatrixTerm(cost, x, y, self.options, self.in_units(start))


def _posed(inputs: Inputs, options: Options, elements: int, numbers: int) -> Iterator[_Posed]:
    """Yield problems that can be solved together, with so many `elements` of a kernel each, and
    `numbers` of a side.

    All but those that have points without mass, infinite or negative costs, or an epsilon that is
    out of proportion to the cost.
    """
    first = next(iter(inputs.values()))
    # Of one bit, the price of mass beside it is the same for all.
    rho = options.rho / options.epsilon * EPSILON
    unit = replace(options, epsilon=EPSILON, rho=rho, relative=False)
    if not 0.0 < unit.rho < math.inf or not min(unit.rhos) > 0.0:
        return
    keep_freed()
    for chunk in chunks(len(first), elements, numbers, widest(first), options.max_bytes):
        full = [True] * (chunk.stop - chunk.start)
        for name in WEIGHTS.values():
            if name in inputs:
                positive = (inputs[name][chunk] > 0).all(1).tolist()
                full = [each and more for each, more in zip(full, positive, strict=True)]
        whole = [chunk.start + k for k, each in enumerate(full) if each]
        places, units = [], []
        for k, mean, usual in zip(whole, *_mean_costs(inputs, whole, options), strict=True):
            epsilon = options.absolute_epsilon(mean, usual)
            asked = options.epsilon * mean if options.relative else options.epsilon
            if 0.0 < mean < math.inf and 0.0 < epsilon == asked:
                places.append(k)
                units.append(epsilon / EPSILON)
        if len(places) > 1:
            found = torch.tensor(units, dtype=widest(first), device=first.device)
            yield _Posed(places, found, unit)


def _mean_costs(
    inputs: Inputs, places: list[int], options: Options
) -> tuple[list[float], list[float]]:
    """Return the mean costs of some problems, and what their costs usually are."""
    given = {name: tensor[places] for name, tensor in inputs.items()}
    if "x" in inputs:
        return sides_of(given, options)[1:]
    cost = given["cost"].to(widest(given["cost"]))
    a, b = (
        masses_of(given.get(name), (len(cost), k), cost)
        for name, k in zip("ab", cost.shape[1:], strict=True)
    )
    # Uniform ones too, as those of a problem alone: to the last digit.
    row, column = normalised_weights(a, a.shape, cost), normalised_weights(b, b.shape, cost)
    usual, mean = (
        (row[:, None] @ each @ column[..., None])[:, 0, 0] for each in (cost.abs(), cost)
    )
    # Those of an absolute epsilon may be of any sign.
    mean = mean if options.relative else usual
    return torch.where(cost.sum((1, 2)).isfinite(), mean, math.inf).tolist(), usual.tolist()


@np.errstate(all="ignore")
def evaluate_relaxed_batch(inputs: Inputs, wanted: set[str], *, options: Options) -> Outcome:
    """Evaluate each problem of a batch as `evaluate_relaxed` does a single one."""
    for weights in WEIGHTS.values():
        check_weight_values(weights, inputs.get(weights))
    batch = Batch(inputs, wanted, inputs["x"].ndim - 2)
    (n, d), m = batch.inputs["x"].shape[1:], batch.inputs["y"].shape[1]
    elements = n * m if options.debias == "none" else max(n, m) ** 2
    for posed in _posed(batch.inputs, options, elements, max(n, m) * d):
        sides, factors = posed.sides(batch.inputs)
        values, gradients, infos = total(sides, wanted, posed.options)
        for name, gradient in gradients.items():
            slope = posed.scales if name in WEIGHTS.values() else posed.scales * factors
            gradient *= as_tensor(slope).view(-1, *[1] * (gradient.ndim - 1))
        batch.put(posed.places, values * posed.scales, gradients, infos)
    batch.fill(partial(evaluate_relaxed, options=options))
    return batch.outcome()


@np.errstate(all="ignore")
def evaluate_relaxed_costs(inputs: Inputs, wanted: set[str], *, options: Options) -> Outcome:
    """Evaluate each matrix of a batch as `evaluate_relaxed_cost` does a single one."""
    for weights in WEIGHTS.values():
        check_weight_values(weights, inputs.get(weights))
    batch = Batch(inputs, wanted, inputs["cost"].ndim - 2)
    n, m = batch.inputs["cost"].shape[1:]
    for posed in _posed(batch.inputs, options, n * m, max(n, m)):
        term = posed.matrices(batch.inputs, start_of(batch.inputs))
        values, gradients = value_of_cost(term, wanted)
        for name in wanted & {*WEIGHTS.values()}:
            gradients[name] *= posed.units[:, None]
        batch.put(posed.places, values * posed.scales, gradients, term.infos())
    batch.fill(partial(evaluate_relaxed_cost, options=options))
    return batch.outcome()


@np.errstate(all="ignore")
def relaxed_together(inputs: Inputs, options: Options, *, plan: bool) -> list[Solution | None]:
    """Return the solutions of a batch of clouds or of costs, None of what is to be solved alone."""
    first = next(iter(inputs.values()))
    found: list[Solution | None] = [None] * len(first)
    start = start_of(inputs)
    if "x" in inputs:
        (n, d), m = first.shape[1:], inputs["y"].shape[1]
        numbers = max(n, m) * d
    else:
        n, m = first.shape[1:]
        numbers = max(n, m)
    for posed in _posed(inputs, options, n * m, numbers):
        term: Term | MatrixTerm
        if "x" in inputs:
            sides, _ = posed.sides(inputs)
            term = Term(sides["x"], sides["y"], posed.options, posed.in_units(start))
        else:
            term = posed.matrices(inputs, start)
        solved = solutions(term, posed.units.tolist(), wants_plan=plan)
        for place, solution in zip(posed.places, solved, strict=True):
            found[place] = solution
    return found
