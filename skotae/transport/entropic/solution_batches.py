"""Batches of plans and potentials: together while iterations are few, the others one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import SinkhornInfo, normalised_weights, widest
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, keep_freed
from skotae.transport.entropic.balanced import Solver
from skotae.transport.entropic.clouds import Cloud, mean_costs, shifts
from skotae.transport.entropic.envelope import chunks
from skotae.transport.entropic.kernel import extended
from skotae.transport.entropic.log_domain import LN2
from skotae.transport.entropic.log_kernel import LogKernel, Matrix, SquaredDistances
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.rounds import EPSILON, Posed, easy, most, rounds, worst
from skotae.transport.entropic.scaling import Scaling
from skotae.transport.entropic.solutions import Solution, in_bits, start_of, supported
from skotae.transport.entropic.solve import kernel_dtype

Inputs = dict[str, Tensor]


@dataclass
class Solutions:
    """The `Solution` of each of some problems of a batch.

    Attributes
    ----------
    places : list of int
        Of the problems in the batch.
    f, g, a, b, plan
        As those of `Solution`, with an axis for the problems in front.
    epsilons : list of float
    infos : list of SinkhornInfo
    """

    places: list[int]
    f: Tensor
    g: Tensor
    a: Tensor
    b: Tensor
    plan: Tensor | None
    epsilons: list[float]
    infos: list[SinkhornInfo]

    def apart(self) -> Iterator[tuple[int, Solution]]:
        """Yield each with its place."""
        for k, place in enumerate(self.places):
            plan = None if self.plan is None else self.plan[k]
            each = self.f[k], self.g[k], self.a[k], self.b[k], plan
            yield place, Solution(*each, self.epsilons[k], self.infos[k])


@dataclass
class _Solved:
    """Problems of one log kernel, solved."""

    result: Scaling

    def apart(self, array: Array) -> Array:
        return array[None]


@dataclass
class _Posed(Posed):
    """Problems of clouds or of cost matrices.

    Attributes
    ----------
    log_kernel : LogKernel
    a, b : array of shape (B, n) and (B, m)
    whole : LogKernel, or None
        With the points without weight in their own places, if there are any.
    offsets : tuple of Tensor of shape (B, n) and (B, m)
        What the potentials have beside those of the log kernel.
    depths : list of float
        Mean exponents of the log kernel, in bits.
    """

    log_kernel: LogKernel
    a: Array
    b: Array
    whole: LogKernel | None
    offsets: tuple[Tensor, Tensor]
    depths: list[float]

    def __call__(self, which: list[int], solver: Solver) -> _Solved:
        """Solve some of them."""
        log_kernel, a, b = self.log_kernel, self.a, self.b
        if len(which) < len(self.places):
            log_kernel, a, b = log_kernel.chosen(which), a[which], b[which]
        depth, symmetric = max(self.depths[k] for k in which), [False] * len(which)
        options = {"depth": depth, "symmetric": symmetric}
        return _Solved(solver(log_kernel, a[:, None], b[:, None], self.options, **options))

    def start(self, inputs: Inputs) -> tuple[Array, Array] | None:
        """Return the potentials to start from."""
        start, weights = self.in_units(start_of(inputs)), (self.a[:, None], self.b[:, None])
        return in_bits(start, self.offsets, self.options, weights)

    def solutions(
        self, which: list[int], done: list[int], result: Scaling, n_iter: int, plans: Tensor | None
    ) -> Solutions:
        """Return those of a round that are done, in their own units."""
        chosen = [which[k] for k in done]
        units, a, b = self.units[chosen], as_tensor(self.a[chosen]), as_tensor(self.b[chosen])
        found = result.f[done], result.g[done]
        if self.whole is not None:
            sides = self.a[chosen][:, None], self.b[chosen][:, None]
            found = extended(self.whole.chosen(chosen), *sides, self.options, *found)
        f, g = (
            (as_tensor(bits[:, 0]) * self.options.bit + offset[chosen]) * units[:, None]
            for bits, offset in zip(found, self.offsets, strict=True)
        )
        shift = ((a * f).sum(1) - (b * g).sum(1))[:, None] / 2
        if plans is not None and len(done) < len(which):
            plans = plans[done]
        violations = worst(_Solved(result))
        return Solutions(
            [self.places[k] for k in chosen],
            f - shift,
            g + shift,
            a,
            b,
            plans,
            (units * self.options.epsilon).tolist(),
            [SinkhornInfo(n_iter, violations[k], True) for k in done],
        )


def solved_together(inputs: Inputs, options: Options, *, plan: bool) -> Iterator[Solutions]:
    """Solve, in chunks that stay in the processor's cache, what is easy of a batch.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Clouds "x" (B, n, d) and "y" (B, m, d), or costs "cost" (B, n, m); weights "a" (B, n) and
        "b" (B, m) unless they are uniform, potentials "f" and "g" to start from if there are any.
    options : Options
    plan : bool
        Whether plans are wanted.

    Yields
    ------
    Solutions
    """
    first = next(iter(inputs.values()))
    size, n = first.shape[:2]
    m = inputs["y"].shape[1] if "y" in inputs else first.shape[2]
    numbers = max(n, m) * (first.shape[2] if "y" in inputs else 1)
    if options.sharp:
        return
    wide, dtype = widest(first), kernel_dtype(first, options.goal, 1.0)
    limit = most(dtype, wide, min(n, m), options)
    keep_freed()
    of_products = "y" in inputs and options.ground.squared
    # A matrix of costs is kept beside its kernel.
    elements = n * m if of_products else 2 * n * m
    for chunk in chunks(size, elements, numbers, wide, options.max_bytes):
        given = {name: tensor[chunk] for name, tensor in inputs.items()}
        posed = (_of_clouds if of_products else _of_costs)(given, dtype, options)
        if posed is None:
            continue
        start = posed.start(given)
        for which, done, problems, n_iter in rounds(
            posed, len(posed.places), limit, posed.options, start
        ):
            plans = problems.result.plan(first.dtype) if plan else None
            found = posed.solutions(which, done, problems.result, n_iter, plans)
            found.places = [chunk.start + place for place in found.places]
            yield found


@np.errstate(all="ignore")
def each_together(inputs: Inputs, options: Options, *, plan: bool) -> list[Solution | None]:
    """Return the solutions of a batch, None of what is to be solved alone."""
    found: list[Solution | None] = [None] * len(next(iter(inputs.values())))
    for solutions in solved_together(inputs, options, plan=plan):
        for place, solution in solutions.apart():
            found[place] = solution
    return found


def _of_clouds(inputs: Inputs, dtype: torch.dtype, options: Options) -> _Posed | None:
    """Pose the problems of clouds, of squared distances; none, unless there are several."""
    wide = widest(inputs["x"])
    x, y = (
        Cloud(as_array(inputs[name], wide), as_array(inputs[w], wide) if w in inputs else None)
        for name, w in (("x", "a"), ("y", "b"))
    )
    means = mean_costs(x, y)
    bits = [options.absolute_epsilon(mean, mean) * LN2 for mean in means]
    places = easy(means, bits)
    if len(places) < 2:
        return None
    units = inputs["x"].new_tensor([bits[k] / 2.0 for k in places], dtype=wide)
    if len(places) < len(means):
        x, y = x.chosen(places), y.chosen(places)
    for cloud in (x, y):
        cloud.multiply(as_array(units**-0.5))
    u, v = x.everywhere(), y.everywhere()
    f, g = map(as_tensor, shifts(u, v))
    return _Posed(
        places,
        units,
        replace(options, epsilon=EPSILON, relative=False),
        SquaredDistances([x], [y], 1.0, dtype),
        x.weights,
        y.weights,
        None if (u, v) == (x, y) else SquaredDistances([u], [v], 1.0, dtype),
        (f, g),
        ((x.spread + y.spread) / 2.0).tolist(),
    )


def _of_costs(inputs: Inputs, dtype: torch.dtype, options: Options) -> _Posed | None:
    """Pose the problems of cost matrices, or of clouds with any other ground cost, likewise."""
    first = next(iter(inputs.values()))
    wide = widest(first)
    if "y" in inputs:
        pairs = zip(inputs["x"].to(wide), inputs["y"].to(wide), strict=True)
        cost = torch.stack([options.ground.costs(x, y) for x, y in pairs])
    else:
        cost = first.to(wide)
    a, b = (
        normalised_weights(inputs.get(name), (len(cost), k), cost)
        for name, k in zip("ab", cost.shape[1:], strict=True)
    )
    # As for one matrix: minima go into the potentials.
    kept = supported(cost, a, b)
    low_f = kept.amin(2, keepdim=True)
    reduced = kept - low_f
    low_g = reduced.amin(1, keepdim=True)
    reduced -= low_g
    finite = cost.sum((1, 2)).isfinite()
    usual: list[float] = reduced.mean((1, 2)).where(finite, math.inf).tolist()
    means = usual
    if options.relative:
        means = (a[:, None] @ cost @ b[..., None])[:, 0, 0].tolist()
    epsilons = [options.absolute_epsilon(*pair) for pair in zip(means, usual, strict=True)]
    places = easy(usual, [epsilon * LN2 for epsilon in epsilons])
    if len(places) < 2:
        return None
    units = cost.new_tensor([epsilons[k] * LN2 / 2.0 for k in places])
    if len(places) < len(means):
        reduced, low_f, low_g, a, b = (each[places] for each in (reduced, low_f, low_g, a, b))
    reduced /= -2.0 * units[:, None, None]
    whole = None
    if kept is not cost:
        whole = Matrix((cost[places] - low_f - low_g) / (-2.0 * units[:, None, None]), dtype)
    return _Posed(
        places,
        units,
        replace(options, epsilon=EPSILON, relative=False),
        Matrix(reduced, dtype),
        as_array(a),
        as_array(b),
        whole,
        (low_f[..., 0] / units[:, None], low_g[:, 0] / units[:, None]),
        [usual[k] / (epsilons[k] * LN2) for k in places],
    )
