"""The Sinkhorn solver: fast arithmetic first, slower and safer arithmetic where it misses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import widest
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, magnitude
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_kernel import LogKernel
from skotae.transport.entropic.newton import newton
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.scaling import Scaling, anneal, iterate, levels, scale

DEEP = 160.0  # bits of mean exponent from which epsilon is annealed, in float64
FLAT = 1e-2  # bits below which the entropy is large beside the cost
HOLLOW = 64.0  # bits from which some rows are far from every column
_SINGLE_TOL = 2e-5  # marginal violation that float32 reaches
SINGLE_STEPS = 200  # float32 iterations before float64 takes over
PATIENCE = 100  # iterations before Newton steps, or as many as there are points
_NEWTON_ORDER = 1024  # largest dense Newton system
_NEWTON_STEPS = 100
_LEVEL_TOL = 1e-2  # marginal violation before epsilon is halved


def kernel_dtype(inputs: Tensor, tol: float, depth: float) -> torch.dtype:
    """Return the dtype in which to begin: float32 where it suffices, or else the widest."""
    precise = inputs.dtype == torch.float64 or tol < _SINGLE_TOL or not FLAT < depth <= DEEP
    return widest(inputs) if precise else torch.float32


@np.errstate(all="ignore")
def solve(
    log_kernel: LogKernel,
    a: Array,
    b: Array,
    options: Options,
    *,
    depth: float,
    symmetric: list[bool] | None = None,
    start: tuple[Array, Array] | None = None,
) -> Scaling:
    """Solve a batch of entropic problems, falling back to slower arithmetic where needed.

    Parameters
    ----------
    log_kernel : LogKernel
        ``-cost / epsilon * log2(e)``, of shape (B, n, m).
    a, b : array of shape (B, 1, n) and (B, 1, m)
        Weights of sum one, in the widest dtype.
    options : Options
    depth : float
        Mean of ``-log_kernel``.
    symmetric : list of bool, optional
        Which problems are of a cloud against itself; none by default.
    start : tuple of array of shape (B, 1, n) and (B, 1, m), optional
        Potentials in bits to start from. Where they are of no help they are forgotten.

    Returns
    -------
    Scaling
    """
    tol, max_iter = options.goal, options.max_iter
    kernel = Kernel(log_kernel, a, b, options, symmetric or [False] * len(a))
    wide = kernel.wide
    spent = 0
    f, g = (None, None) if start is None else start

    def scaled(limit: int) -> Scaling | None:
        nonlocal spent, f, g
        attempt = scale(kernel, tol=tol, max_iter=max(1, min(limit, max_iter - spent)), f=f, g=g)
        if attempt is not None:
            spent, f, g = spent + attempt.n_iter, attempt.f, attempt.g
        return attempt

    def solved(attempt: Scaling | None) -> bool:
        return attempt is not None and (spent >= max_iter or not attempt.violation > tol)

    # A cloud against itself has ones on the diagonal, however deep the rest.
    deep = depth > DEEP and not all(kernel.symmetric)
    if start is not None:
        warm = kernel.of(kernel.log_kernel.astype(wide)) if deep else kernel
        result = scale(warm, tol=tol, max_iter=min(PATIENCE, max_iter), f=f, g=g)
        f = g = None
        if result is not None:
            spent, f, g = result.n_iter, result.f, result.g
            if solved(result):
                return result
    if not deep and kernel.dtype != wide:
        if f is None and depth > HOLLOW and not any(kernel.symmetric):
            f, g = kernel.log_maxima()
        result = scaled(SINGLE_STEPS)
        if result is not None and solved(result):
            return result if result.n_iter == spent else replace(result, n_iter=spent)
    kernel = kernel.of(kernel.log_kernel.astype(wide))
    order = min(kernel.shape[1:])
    dense = order <= _NEWTON_ORDER and kernel.stored and kernel.shards.alone
    if deep:
        f, g, steps = _annealed(kernel, dense, tol=tol, depth=depth, max_iter=max_iter)
        spent += steps
    # A Newton step costs as much as some iterations, the more the larger the problem.
    result = scaled(max(PATIENCE, order) - spent if dense else max_iter)
    if not solved(result):
        if f is None or g is None:
            f, g, steps = anneal(kernel, depth=depth)
            spent += steps
        left = max(1, min(max_iter - spent, _NEWTON_STEPS))
        if dense:
            f, g, steps = _by_newton(kernel, f, g, tol=tol, max_iter=left)
        else:
            f, g, steps = iterate(kernel, f, tol=tol, max_iter=left)
        spent += steps
        result = scaled(max_iter) or _settled(kernel, f, g)
    assert result is not None
    return replace(result, n_iter=spent)


def _annealed(
    kernel: Kernel, dense: bool, *, tol: float, depth: float, max_iter: int
) -> tuple[Array, Array, int]:
    """Start from large epsilon: with some Newton steps at each level where they are affordable."""
    if not dense:
        return anneal(kernel, depth=depth)
    spent = 0
    f, g = (0.0 * weights for weights in kernel.weights)
    for factor in levels(depth):
        easier = kernel.of(kernel.log_kernel.rescaled(factor))
        goal = tol if factor == 1.0 else max(tol, _LEVEL_TOL)
        left = max(1, min(max_iter - spent, _NEWTON_STEPS))
        f, g, steps = _by_newton(easier, f, g, tol=goal, max_iter=left)
        spent += steps
        if factor < 1.0:
            f, g = 2.0 * f, 2.0 * g
    return f, g, spent


def _by_newton(
    kernel: Kernel, f: Array, g: Array, *, tol: float, max_iter: int
) -> tuple[Array, Array, int]:
    """Return potentials in bits after Newton steps on the smaller side."""
    _, n, m = kernel.shape
    matrix = kernel.log_kernel.block()
    row, column = (as_tensor(weights) for weights in kernel.weights)
    if n <= m:
        first, second, steps = newton(matrix, row, column, as_tensor(f), tol=tol, max_iter=max_iter)
    else:
        second, first, steps = newton(
            matrix.mT, column, row, as_tensor(g), tol=tol, max_iter=max_iter
        )
    return as_array(first), as_array(second), steps


def _settled(kernel: Kernel, f: Array, g: Array) -> Scaling:
    """Return the scaling of given potentials, for whatever they are worth."""
    kernel.absorb(kernel.log_rows(g), g)
    rows, columns = kernel.step(kernel.b)
    violations = magnitude(kernel.b * columns - kernel.b).sum(-1)
    worst = float(violations.max())
    return Scaling(kernel, kernel.b, kernel.joined(rows), columns, f, g, violations, worst, 0)
