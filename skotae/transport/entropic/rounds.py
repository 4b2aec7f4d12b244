"""Batches solved together, in rounds of more and more iterations on fewer and fewer problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from skotae.transport.entropic.arrays import Array, as_tensor
from skotae.transport.entropic.balanced import Solver
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_domain import LN2
from skotae.transport.entropic.log_kernel import LogKernel
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.scaling import Scaling, scale
from skotae.transport.entropic.solutions import Start
from skotae.transport.entropic.solve import DEEP, FLAT, HOLLOW, PATIENCE, SINGLE_STEPS

# The epsilon of problems that share one, each in units of its own, in which one bit costs two.
EPSILON = 2.0 / LN2

_FIRST = 25  # iterations before problems that are done leave the others


@dataclass
class Posed:
    """Problems of a batch that are solved together.

    Attributes
    ----------
    places : list of int
        Of the problems in the batch, or in a chunk of it.
    units : Tensor of shape (B,)
        Of their costs.
    options : Options
        In these units: with an absolute epsilon, the same for all.
    """

    places: list[int]
    units: Tensor
    options: Options

    def in_units(self, start: Start) -> Start:
        """Return potentials to start from, of the whole batch, in the units of the problems."""
        if start is None:
            return None
        f, g = (each[self.places].to(self.units) / self.units[:, None] for each in start)
        return f, g


class Solved(Protocol):
    """What is solved of a batch: `Problems` of clouds, or those of one log kernel."""

    result: Scaling

    def apart(self, array: Array) -> Array:
        """Return what is stacked along the first axis for each term, and each of its batch."""


P = TypeVar("P", bound=Solved)


def easy(means: list[float], bits: list[float]) -> list[int]:
    """Return which problems, of so large costs and bits of so much, need plain iterations alone."""
    return [
        k
        for k, (mean, bit) in enumerate(zip(means, bits, strict=True))
        if mean > 0.0 and FLAT < mean / bit <= DEEP
    ]


def most(dtype: torch.dtype, wide: torch.dtype, order: int, options: Options) -> int:
    """Return how many plain iterations are worth it, in a dtype, for problems of some order."""
    steps = SINGLE_STEPS if dtype != wide else max(PATIENCE, order)
    return min(options.max_iter, steps)


def rounds(
    pose: Callable[[list[int], Solver], P],
    size: int,
    limit: int,
    options: Options,
    start: tuple[Array, Array] | None = None,
) -> Iterator[tuple[list[int], list[int], P, int]]:
    """Solve a batch of problems, as many as need no more than plain iterations in one dtype.

    Parameters
    ----------
    pose : callable
        Solves some problems of the batch by a given solver.
    size : int
        B, the number of problems.
    limit : int
        Iterations after which the rest is given up.
    options : Options
        With an absolute epsilon, the same for all.
    start : tuple of array of shape (B, 1, n) and (B, 1, m), optional
        Potentials in bits to start from, where problems are of one term.

    Yields
    ------
    which : list of int
        Problems of the batch that the round is about.
    done : list of int
        Those of them, counted within `which`, whose terms have all reached the tolerance.
    problems : Solved
    n_iter : int
        Iterations they have had.
    """
    todo = [([*range(size)], *(start or (None, None)), 0)]
    while todo:
        which, f, g, spent = todo.pop()
        solver = partial(_scaled, f=f, g=g, limit=min(_FIRST + spent, limit - spent))
        try:
            problems = pose(which, solver)
        except FloatingPointError:
            # One of them, at least, is beyond the range of the dtype: find out which.
            half = len(which) // 2
            for part in (which[:half], which[half:]) if half else ():
                first, second = (None, None) if start is None else (each[part] for each in start)
                todo.append((part, first, second, 0))
            continue
        spent += problems.result.n_iter
        violations = worst(problems)
        done = [k for k, violation in enumerate(violations) if violation <= options.tol]
        if done:
            yield which, done, problems, spent
        rest = [k for k, violation in enumerate(violations) if not violation <= options.tol]
        if rest and spent < limit:
            f, g = (
                problems.apart(array)[:, rest].reshape(-1, *array.shape[1:])
                for array in (problems.result.f, problems.result.g)
            )
            todo.append(([which[k] for k in rest], f, g, spent))


def worst(problems: Solved) -> list[float]:
    """Return the marginal violation of each of a batch, over the terms."""
    violations = as_tensor(problems.apart(problems.result.violations))
    found: list[float] = violations.amax((0, 2)).tolist()
    return found


def _scaled(
    log_kernel: LogKernel,
    a: Array,
    b: Array,
    options: Options,
    *,
    depth: float,
    symmetric: list[bool],
    f: Array | None,
    g: Array | None,
    limit: int,
) -> Scaling:
    """Iterate up to a limit, in one dtype, or raise FloatingPointError where it is left."""
    kernel = Kernel(log_kernel, a, b, options, symmetric)
    if f is None and depth > HOLLOW and kernel.dtype != kernel.wide and not any(symmetric):
        f, g = kernel.log_maxima()
    result = scale(kernel, tol=options.tol, max_iter=limit, f=f, g=g)
    if result is None:
        raise FloatingPointError("a problem of the batch has left the range of the dtype")
    return result
