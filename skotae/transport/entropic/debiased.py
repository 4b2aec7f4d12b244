"""A debiased Sinkhorn value as a sum of entropic problems."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import (
    DEBIASING,
    WEIGHTS,
    SinkhornInfo,
    WeightedPair,
    check_clouds,
    check_slope,
    check_weight_values,
    largest,
    parts,
    widest,
)
from skotae.transport.entropic.arrays import (
    Array,
    as_array,
    as_tensor,
    dot,
    is_small,
    keep_freed,
)
from skotae.transport.entropic.balanced import Problems
from skotae.transport.entropic.clouds import Cloud, mean_cost
from skotae.transport.entropic.envelope import Outcome
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.solve import SINGLE_STEPS, kernel_dtype
from skotae.utils.base import brief

_SHALLOW = 64.0  # bits of mean exponent up to which iterations are few
_TOGETHER = 2**20  # elements of a kernel, times the mean exponent, of different problems at once
_COMPILED = 2**18  # elements of a kernel up to which machine code is faster, on one thread
_TURNS = 2**18  # elements of a kernel from which problems of one kind take turns


@np.errstate(over="ignore", invalid="ignore")
def evaluate(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Return the debiased value of two clouds and its gradients for the `wanted` inputs.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Clouds "x" (n, d) and "y" (m, d), and their weights "a" and "b" unless they are uniform.
    wanted : set of str
        Among "x", "y", "a", "b".
    options : Options

    Returns
    -------
    Outcome
        Gradients in the dtypes of the inputs.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all of them, or of a half, are zero.
    """
    wide = widest(inputs["x"])
    for weights in WEIGHTS.values():
        check_weight_values(weights, inputs.get(weights))
        check_slope(weights, inputs.get(weights), options.sharp and weights in wanted)
    keep_freed()
    if (outcome := _by_machine_code(inputs, wanted, options)) is not None:
        return outcome
    arrays = {name: as_array(tensor, wide) for name, tensor in inputs.items()}
    x, y = (
        Cloud(arrays[name], arrays.get(weights), options.ground)
        for name, weights in WEIGHTS.items()
    )
    mean = mean_cost(x, y)
    if not math.isfinite(mean):
        nothing = {name: torch.full_like(inputs[name], math.nan) for name in wanted}
        return Outcome(math.nan, nothing, SinkhornInfo(0, math.nan, False))
    gradients = {name: 0.0 * arrays[name] for name in wanted}
    value, n_iter, violation = 0.0, 0, 0.0
    if mean > 0.0 or not options.relative:
        options = options.absolute(mean, mean)
        depth = mean / options.bit
        dtype = kernel_dtype(inputs["x"], options.goal, depth)
        rows, groups = plan(options.debias, len(x.points), len(y.points), together(depth))
        clouds = {part: part_of(x if part[0] == "x" else y, part, rows, arrays) for part in rows}
        for terms in groups:
            left, right = [clouds[i] for i, _, _ in terms], [clouds[j] for _, j, _ in terms]
            problems = Problems(left, right, dtype, options)
            n_iter = max(n_iter, problems.result.n_iter)
            violation = largest(violation, problems.result.violation)
            for (_, _, coefficient), cost in zip(terms, problems.values(), strict=True):
                value += coefficient * float(cost)
            accumulate(gradients, problems, terms, rows, arrays)
    tensors = {
        name: as_tensor(gradient, inputs[name].dtype) for name, gradient in gradients.items()
    }
    return Outcome(value, tensors, SinkhornInfo(n_iter, violation, violation <= options.tol))


def evaluate_shared(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Evaluate the clouds of all ranks of a group, of which `inputs` are the rows of this one.

    Points are few beside the entries of a kernel: every rank has all of them, and the same result.
    The kernels' rows are shared out. Gradients are those of the rows of this rank.
    """
    everywhere = {name: options.shards.points(tensor.detach()) for name, tensor in inputs.items()}
    whole = {name: tensor for name, (tensor, _) in everywhere.items()}
    check_clouds(whole["x"], whole["y"])
    outcome = evaluate(whole, wanted, options=options)
    here = {name: gradient[everywhere[name][1]] for name, gradient in outcome.gradients.items()}
    return replace(outcome, gradients=here)


def _by_machine_code(
    inputs: dict[str, Tensor], wanted: set[str], options: Options
) -> Outcome | None:
    """Return the outcome of a small problem in float32, or None where that is not enough."""
    if os.environ.get("SKOTAE_COMPILED") != "1":
        return None
    x, y = inputs["x"], inputs["y"]
    n, m = x.shape[0], y.shape[0]
    elements = max(n, m) ** 2
    if not (
        x.device.type == "cpu"
        and options.shards.alone
        and kernel_dtype(x, options.goal, 1.0) == torch.float32
        and kernel_dtype(y, options.goal, 1.0) == torch.float32
        and 2 <= min(n, m)
        and elements <= _COMPILED
        and is_small(elements)
        and options.ground.squared
        and not options.sharp
        and wanted <= WEIGHTS.keys()
        and 64 * elements <= options.max_bytes  # as if all terms were in float64
    ):
        return None
    a, b = inputs.get("a"), inputs.get("b")
    if not all(w is None or bool((w > 0).all()) for w in (a, b)):
        return None
    if (solve := machine_code()) is None:
        return None
    value, grad_x, grad_y, n_iter, violation = solve(
        np.ascontiguousarray(as_array(x, torch.float32)),
        np.ascontiguousarray(as_array(y, torch.float32)),
        _uniform(n) if a is None else np.ascontiguousarray(as_array(a, torch.float64)),
        _uniform(m) if b is None else np.ascontiguousarray(as_array(b, torch.float64)),
        options.epsilon,
        bool(options.relative),
        options.tol,
        min(options.max_iter, SINGLE_STEPS),
        *_tables(options.debias, n, m),
        "x" in wanted,
        "y" in wanted,
    )
    if n_iter == 0:
        return None
    gradients = {}
    if "x" in wanted:
        gradients["x"] = as_tensor(grad_x, x.dtype)
    if "y" in wanted:
        gradients["y"] = as_tensor(grad_y, y.dtype)
    return Outcome(value, gradients, SinkhornInfo(n_iter, violation, True))


@cache
def machine_code() -> Callable[..., tuple[float, Array, Array, int, float]] | None:
    """Return `compiled.solve`, ready to be used; None, with a warning, where numba is of no use."""
    point, share = np.zeros((2, 1), np.float32), np.ones(2)
    failure = "is not installed"
    try:
        from skotae.transport.entropic.compiled import njit, solve

        if njit is not None:
            tables = _tables("none", 2, 2)
            solve(point, point, share, share, 1.0, True, 1.0, 1, *tables, True, True)
            return solve
    except Exception as error:  # of whatever kind: the usual way is always there
        failure = f"fails with {brief(error)}"
    warnings.warn(
        f"SKOTAE_COMPILED=1 has no effect: numba {failure}. Expected what "
        'pip install "skotae[compiled]" installs, or the variable unset.',
        RuntimeWarning,
        stacklevel=2,
    )
    return None


@lru_cache(maxsize=64)
def _uniform(n: int) -> Array:
    """Return the weights of a cloud without any; not to be written to."""
    return np.full(n, 1.0 / n)


@lru_cache(maxsize=64)
def _tables(debias: str, n: int, m: int) -> tuple[Array, Array, Array]:
    """Return the parts, the terms and their coefficients, as `compiled.solve` wants them."""
    rows, small = plan(debias, n, m, together(1.0))
    _, large = plan(debias, n, m, 0)
    slices = {"x": slice(0, n), "y": slice(0, m)} | rows
    names = list(slices)
    parts: list[tuple[int, int, int, int]] = []
    for name, some in slices.items():
        before = sum(stop - start for _, start, stop, _ in parts)
        parts.append((int(name[0] == "y"), some.start, some.stop, before))
    ends = []
    for groups in (small, large):
        stops = np.cumsum([len(group) for group in groups])
        ends.append([stop for stop, group in zip(stops, groups, strict=True) for _ in group])
    terms = [term for group in small for term in group]
    table = [
        (names.index(i), names.index(j), *stop)
        for (i, j, _), stop in zip(terms, zip(*ends, strict=True), strict=True)
    ]
    return np.array(parts), np.array(table), np.array([factor for *_, factor in terms])


def together(depth: float) -> int:
    """Return the size of kernel up to which different problems are solved together, or zero."""
    halvings = max(0, math.ceil(math.log2(max(depth, 1.0))))
    return _TOGETHER >> halvings if depth <= _SHALLOW else 0


@lru_cache(maxsize=64)
def plan(
    debias: str, n: int, m: int, limit: int
) -> tuple[dict[str, slice], tuple[tuple[WeightedPair, ...], ...]]:
    """Return the rows of the parts of a debiased value, and its terms in groups to solve together.

    Small problems wait for each other, which saves calls, unless one of them needs many more
    iterations than the others; large ones take turns in one memory.
    """
    rows = parts(debias, n, m)
    sizes = {part: some.stop - some.start for part, some in rows.items()}
    groups: dict[tuple[int, ...], list[WeightedPair]] = {}
    for k, (i, j, coefficient) in enumerate(DEBIASING[debias]):
        elements = sizes[i] * sizes[j]
        kind = -1 if i != j or elements <= limit else -2
        key = (sizes[i], sizes[j], k if elements > _TURNS else kind)
        groups.setdefault(key, []).append((i, j, coefficient))
    return rows, tuple(map(tuple, groups.values()))


def part_of(cloud: Cloud, part: str, rows: dict[str, slice], arrays: dict[str, Array]) -> Cloud:
    """Return the rows of a cloud, or of a batch, that are a part; itself if it is the whole."""
    some, weights = rows[part], arrays.get(WEIGHTS[part[0]])
    if some == slice(0, cloud.points.shape[-2]):
        return cloud
    if weights is not None and not (weights[..., some].sum(-1) > 0).all():
        raise ValueError(
            f"{WEIGHTS[part[0]]} is zero on half of {part[0]}, rows {some.start} to "
            f"{some.stop - 1}, and debias='independent' compares halves: give both positive "
            "weights, or use 'paired'."
        )
    points = arrays[part[0]][..., some, :]
    return Cloud(points, None if weights is None else weights[..., some], cloud.ground)


def accumulate(
    gradients: dict[str, Array],
    problems: Problems,
    terms: Sequence[WeightedPair],
    rows: dict[str, slice],
    arrays: dict[str, Array],
) -> None:
    """Add the gradients of the problems of some terms to those of the inputs."""
    if "x" in gradients or "y" in gradients:
        pairs = problems.gradients(
            [left[0] in gradients for left, _, _ in terms],
            [right[0] in gradients for _, right, _ in terms],
        )
        for (*names, coefficient), pair in zip(terms, pairs, strict=True):
            for part, gradient in zip(names, pair, strict=True):
                if part[0] in gradients and gradient is not None:
                    total = gradients[part[0]][..., rows[part], :]
                    total += coefficient * gradient
    if "a" in gradients or "b" in gradients:
        for (*names, coefficient), potentials in zip(terms, problems.potentials(), strict=True):
            for part, potential in zip(names, potentials, strict=True):
                name = WEIGHTS[part[0]]
                if name in gradients:
                    # Weights are divided by their sum, so that only differences count.
                    weights = arrays[name][..., rows[part]]
                    total = gradients[name][..., rows[part]]
                    mass = weights.sum(-1)[..., None]
                    mean = dot(weights, potential)[..., None] / mass
                    total += coefficient * ((potential - mean) / mass)
