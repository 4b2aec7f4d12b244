"""A debiased Sinkhorn value as a sum of entropic problems."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_clouds,
    check_weights,
    debias_terms,
    first_order_only,
    full_precision,
    widest,
)
from skotae.transport.entropic.arrays import Array, as_array, as_tensor
from skotae.transport.entropic.balanced import LN2, Options, Problems
from skotae.transport.entropic.clouds import Cloud, mean_cost
from skotae.transport.entropic.solve import kernel_dtype

_SHALLOW = 64.0  # bits of mean exponent up to which iterations are few
_TOGETHER = 2**20  # elements of a kernel, times the mean exponent, of different problems at once
_TURNS = 2**18  # elements of a kernel from which problems of one kind take turns


@dataclass
class Outcome:
    """A debiased value, its gradients by input name, and how the solves ended."""

    value: float
    gradients: dict[str, Tensor]
    info: SinkhornInfo


class EnvelopeFunction(torch.autograd.Function):
    """Value and, by the envelope theorem, gradient in one pass; nothing is unrolled."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        a: Tensor | None,
        b: Tensor | None,
        problem: Callable[[dict[str, Tensor | None], set[str]], Outcome],
        report: list[SinkhornInfo],
        name: str,
    ) -> Tensor:
        inputs = {"x": x, "y": y, "a": a, "b": b}
        needed = zip(inputs, ctx.needs_input_grad, strict=False)
        with full_precision(x.device):
            outcome = problem(inputs, {key for key, need in needed if need})
        report.append(outcome.info)
        ctx.name = name
        ctx.save_for_backward(x, y, a, b, *(outcome.gradients.get(key) for key in inputs))
        return x.new_full((), outcome.value)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved[4:]]
        return (*first_order_only(ctx.name, gradients, saved[:4]), None, None, None)


def evaluate(
    inputs: dict[str, Any],
    wanted: set[str],
    *,
    epsilon: float,
    relative: bool,
    debias: str,
    options: Options,
) -> Outcome:
    """Return the debiased value of two clouds and its gradients for the `wanted` inputs.

    Parameters
    ----------
    inputs : dict
        Clouds "x" (n, d) and "y" (m, d), and their weights "a" and "b", or None.
    wanted : set of str
        Among "x", "y", "a", "b".
    epsilon : float
    relative : bool
    debias : str
    options : Options

    Returns
    -------
    Outcome
        Gradients in the dtypes of the inputs.
    """
    wide = widest(inputs["x"])
    arrays: dict[str, Array] = {
        name: None if tensor is None else as_array(tensor, wide) for name, tensor in inputs.items()
    }
    points: dict[str, Array] = {"x": arrays["x"], "y": arrays["y"]}
    weights: dict[str, Array] = {"x": arrays["a"], "y": arrays["b"]}
    whole = {name: Cloud(points[name], weights[name]) for name in "xy"}
    mean = mean_cost(whole["x"], whole["y"], options.p)
    if not math.isfinite(mean):
        nothing = {name: torch.full_like(inputs[name], math.nan) for name in wanted}
        return Outcome(math.nan, nothing, SinkhornInfo(0, math.nan, False))
    gradients = {name: 0.0 * arrays[name] for name in wanted}
    value, n_iter, violation = 0.0, 0, 0.0
    if mean > 0.0 or not relative:
        # Below 1e-12 of the mean cost float64 cannot tell the plan from an unregularised one.
        epsilon = max(epsilon * (mean if relative else 1.0), 1e-12 * mean)
        depth = mean / (epsilon * LN2)
        dtype = wide if options.sharp else kernel_dtype(inputs["x"], options.tol, depth)
        sides, groups = _plan(debias, len(points["x"]), len(points["y"]), _together(depth))
        clouds = [_part(whole, points, weights, name, rows) for name, rows in sides]
        for members in groups:
            left, right = [clouds[i] for i, _, _ in members], [clouds[j] for _, j, _ in members]
            problems = Problems(left, right, epsilon, dtype, options)
            n_iter = max(n_iter, problems.result.n_iter)
            violation = max(violation, problems.result.violation)
            for (_, _, coefficient), cost in zip(members, problems.values(), strict=True):
                value += coefficient * cost
            _accumulate(gradients, problems, members, sides, weights)
    tensors = {
        name: as_tensor(gradient, inputs[name].dtype) for name, gradient in gradients.items()
    }
    return Outcome(value, tensors, SinkhornInfo(n_iter, violation, violation <= options.tol))


def evaluate_shared(
    inputs: dict[str, Any], wanted: set[str], *, options: Options, **arguments: Any
) -> Outcome:
    """Evaluate the clouds of all ranks of a group, of which `inputs` are the rows of this one.

    Points are few beside the entries of a kernel: every rank has all of them, and the same result.
    The kernels' rows are shared out. Gradients are those of the rows of this rank.
    """
    everywhere = {
        name: (None, slice(0, 0)) if tensor is None else options.shards.points(tensor.detach())
        for name, tensor in inputs.items()
    }
    whole: dict[str, Any] = {name: tensor for name, (tensor, _) in everywhere.items()}
    check_clouds(whole["x"], whole["y"])
    check_weights("a", whole["a"], len(whole["x"]))
    check_weights("b", whole["b"], len(whole["y"]))
    outcome = evaluate(whole, wanted, options=options, **arguments)
    here = {name: gradient[everywhere[name][1]] for name, gradient in outcome.gradients.items()}
    return replace(outcome, gradients=here)


def _together(depth: float) -> int:
    """Return the size of kernel up to which different problems are solved together, or zero."""
    halvings = max(0, math.ceil(math.log2(max(depth, 1.0))))
    return _TOGETHER >> halvings if depth <= _SHALLOW else 0


@lru_cache(maxsize=64)
def _plan(
    debias: str, n: int, m: int, together: int
) -> tuple[list[tuple[str, slice]], list[list[tuple[int, int, float]]]]:
    """Return the sub-clouds of a debiased value, and its terms in groups to be solved together.

    Small problems wait for each other, which saves calls, unless one of them needs many more
    iterations than the others; large ones take turns in one memory.
    """
    sides, terms = debias_terms(debias, n, m)
    sizes = [rows.stop - rows.start for _, rows in sides]
    groups: dict[tuple[int, ...], list[tuple[int, int, float]]] = {}
    for k, (i, j, coefficient) in enumerate(terms):
        elements = sizes[i] * sizes[j]
        kind = -1 if i != j or elements <= together else -2
        key = (sizes[i], sizes[j], k if elements > _TURNS else kind)
        groups.setdefault(key, []).append((i, j, coefficient))
    return sides, list(groups.values())


def _part(
    whole: dict[str, Cloud],
    points: dict[str, Array],
    weights: dict[str, Array],
    name: str,
    rows: slice,
) -> Cloud:
    if rows == slice(0, len(points[name])):
        return whole[name]
    return Cloud(points[name][rows], None if weights[name] is None else weights[name][rows])


def _accumulate(
    gradients: dict[str, Array],
    problems: Problems,
    members: list[tuple[int, int, float]],
    sides: list[tuple[str, slice]],
    weights: dict[str, Array],
) -> None:
    """Add the gradients of problems (i, j, coefficient) to those of the inputs."""
    if "x" in gradients or "y" in gradients:
        want_x = [sides[i][0] in gradients for i, _, _ in members]
        want_y = [sides[j][0] in gradients for _, j, _ in members]
        pairs = problems.gradients(want_x, want_y)
        for (i, j, coefficient), pair in zip(members, pairs, strict=True):
            for side, gradient in zip((i, j), pair, strict=True):
                name, rows = sides[side]
                if name in gradients:
                    gradients[name][rows] += coefficient * gradient
    if "a" in gradients or "b" in gradients:
        for (i, j, coefficient), potentials in zip(members, problems.potentials(), strict=True):
            for side, potential in zip((i, j), potentials, strict=True):
                cloud, rows = sides[side]
                name = {"x": "a", "y": "b"}[cloud]
                if name in gradients:
                    # Weights are divided by their sum, so that only differences count.
                    part = weights[cloud][rows]
                    total = part.sum()
                    change = (potential - part @ potential / total) / total
                    gradients[name][rows] += coefficient * change
