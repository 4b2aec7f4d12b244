"""Batches of debiased values: together while iterations are few, the others one by one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import WEIGHTS, SinkhornInfo, check_weight_values
from skotae.transport.entropic.arrays import as_array, as_tensor, keep_freed
from skotae.transport.entropic.balanced import Problems, Solver
from skotae.transport.entropic.clouds import Cloud, mean_costs
from skotae.transport.entropic.debiased import accumulate, evaluate, part_of, plan, together
from skotae.transport.entropic.envelope import Batch, Outcome, chunks
from skotae.transport.entropic.log_domain import LN2
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.rounds import EPSILON, easy, most, rounds, worst
from skotae.transport.entropic.solve import kernel_dtype

_FEW = 16  # problems, up to which calls cost more than iterations


@np.errstate(all="ignore")
def evaluate_batch(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Evaluate each problem of a batch as `evaluate` does a single one.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Clouds "x" (..., n, d) and "y" (..., m, d), weights "a" (..., n) and "b" (..., m) unless
        they are uniform.
    wanted : set of str
    options : Options

    Returns
    -------
    Outcome
        With values of shape (...).
    """
    for name in WEIGHTS.values():
        check_weight_values(name, inputs.get(name))
    batch = Batch(inputs, wanted, inputs["x"].ndim - 2)
    _solve_together(batch, options)
    batch.fill(partial(evaluate, options=options))
    return batch.outcome()


def _solve_together(batch: Batch, options: Options) -> None:
    """Evaluate, in chunks that stay in the processor's cache, what is easy."""
    (size, n, d), m = batch.inputs["x"].shape, batch.inputs["y"].shape[1]
    elements = n * m if options.debias == "none" else max(n, m) ** 2
    if not options.ground.squared or options.sharp:
        return
    dtype = kernel_dtype(batch.inputs["x"], options.goal, 1.0)
    keep_freed()
    # Up to four terms of a problem are solved at once.
    for chunk in chunks(size, 4 * elements, max(n, m) * d, dtype, options.max_bytes):
        _solve_chunk(batch, chunk, dtype, options)


def _solve_chunk(batch: Batch, chunk: slice, dtype: torch.dtype, options: Options) -> None:
    wide, device = batch.values.dtype, batch.values.device
    arrays = {name: as_array(t[chunk], wide) for name, t in batch.inputs.items()}
    x, y = (Cloud(arrays[name], arrays.get(weights)) for name, weights in WEIGHTS.items())
    means = mean_costs(x, y)
    bits = [options.absolute_epsilon(mean, mean) * LN2 for mean in means]
    kept = easy(means, bits)
    if len(kept) < 2:
        return
    # Each in units in which one bit costs two, so that all have the same epsilon.
    bit = as_array(torch.tensor([bits[k] for k in kept], dtype=wide, device=device))
    square = bit / 2.0
    root = square**0.5
    if len(kept) < len(means):
        arrays = {name: array[kept] for name, array in arrays.items()}
        x, y = x.chosen(kept), y.chosen(kept)
    # Terms of different kinds wait for each other where that saves more than it costs.
    size = together(max(means[k] / bits[k] for k in kept)) if len(kept) <= _FEW else 0
    rows, groups = plan(options.debias, x.points.shape[1], y.points.shape[1], size)
    clouds = {part: part_of(x if part[0] == "x" else y, part, rows, arrays) for part in rows}
    for cloud in {id(cloud): cloud for cloud in clouds.values()}.values():
        cloud.multiply(1 / root)
    # What is no longer needed makes room, here and below, for what stays in the cache.
    gradients = {name: 0.0 * arrays[name] for name in batch.wanted}
    arrays = {name: array for name, array in arrays.items() if name not in WEIGHTS}
    del x, y
    unit = replace(options, epsilon=EPSILON, relative=False)
    values = as_tensor(0.0 * bit)
    solved: list[list[tuple[int, float]]] = [[] for _ in kept]
    for terms in groups:
        left, right = [clouds[i] for i, _, _ in terms], [clouds[j] for _, j, _ in terms]
        order = min(left[0].points.shape[1], right[0].points.shape[1])
        limit = most(dtype, wide, order, options)
        pose = partial(_posed, left, right, dtype, unit)
        for which, done, problems, n_iter in rounds(pose, len(kept), limit, unit):
            chosen = [which[k] for k in done]
            for (_, _, coefficient), cost in zip(terms, problems.values(), strict=True):
                values[chosen] += as_tensor(coefficient * cost[done])
            if len(done) == len(kept):
                accumulate(gradients, problems, terms, rows, arrays)
            else:
                some = {name: array[which] for name, array in arrays.items()}
                parts = {name: 0.0 * gradient[which] for name, gradient in gradients.items()}
                accumulate(parts, problems, terms, rows, some)
                for name, part in parts.items():
                    as_tensor(gradients[name])[chosen] += as_tensor(part[done])
            violations = worst(problems)
            for k in done:
                solved[which[k]].append((n_iter, violations[k]))
            del problems
    ready = [k for k, found in enumerate(solved) if len(found) == len(groups)]
    places = [chunk.start + kept[k] for k in ready]
    batch.values[places] = (values * as_tensor(square))[ready]
    for name, gradient in gradients.items():
        gradient *= root[:, None, None] if name in WEIGHTS else square[:, None]
        found, target = as_tensor(gradient), batch.gradients[name]
        if len(ready) == len(means):
            target[chunk] = found
        else:
            target[places] = found[ready].to(target.dtype)
    for k, place in zip(ready, places, strict=True):
        n_iter = max(number for number, _ in solved[k])
        violation = max(violation for _, violation in solved[k])
        batch.infos[place] = SinkhornInfo(n_iter, violation, True)


def _posed(
    x: list[Cloud],
    y: list[Cloud],
    dtype: torch.dtype,
    options: Options,
    which: list[int],
    solver: Solver,
) -> Problems:
    """Return the problems of some of a batch."""
    if len(which) < len(x[0].points):
        # One object for one cloud: that is how a problem of a cloud against itself is told.
        kept = {id(cloud): cloud.chosen(which) for cloud in [*x, *y]}
        x, y = ([kept[id(cloud)] for cloud in clouds] for clouds in (x, y))
    return Problems(x, y, dtype, options, solver)
