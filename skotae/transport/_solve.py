"""The Sinkhorn solver: fast arithmetic first, slower and safer arithmetic where it misses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skotae.transport._arrays import Array, as_array, as_tensor, widest
from skotae.transport._kernel import Kernel
from skotae.transport._log_kernel import LogKernel
from skotae.transport._newton import newton
from skotae.transport._scaling import Scaling, anneal, iterate, scale
from skotae.transport._shards import Alone

_DEEP = 160.0  # bits of mean exponent from which epsilon is annealed, in float64
_HOLLOW = 64.0  # bits from which some rows are far from every column
_SINGLE_TOL = 2e-5  # marginal violation that float32 reaches
MAX_BYTES = 256 * 2.0**20  # of a kernel that is stored
_SINGLE_STEPS = 200  # float32 iterations before float64 takes over
_PATIENCE = 300  # iterations before Newton steps, for up to 128 points
_NEWTON_ORDER = 1024  # largest dense Newton system
_NEWTON_STEPS = 100


def kernel_dtype(inputs: Tensor, tol: float, depth: float) -> torch.dtype:
    """Return the dtype in which to begin: float32 where it suffices, or else the widest."""
    precise = inputs.dtype == torch.float64 or tol < _SINGLE_TOL or depth > _DEEP
    return widest(inputs) if precise else torch.float32


def solve(
    log_kernel: LogKernel,
    a: Array,
    b: Array,
    *,
    tol: float,
    max_iter: int,
    depth: float,
    symmetric: list[bool] | None = None,
    max_bytes: float = MAX_BYTES,
    shards: Alone | None = None,
) -> Scaling:
    """Solve a batch of entropic problems, falling back to slower arithmetic where needed.

    Parameters
    ----------
    log_kernel : LogKernel
        ``-cost / epsilon * log2(e)``, of shape (B, n, m).
    a, b : array of shape (B, 1, n) and (B, 1, m)
        Weights of sum one, in the widest dtype.
    tol : float
        L1 marginal violation to reach.
    max_iter : int
    depth : float
        Mean of ``-log_kernel``.
    symmetric : list of bool, optional
        Which problems are of a cloud against itself; none by default.
    max_bytes : float
        Of a kernel that is stored.
    shards : Alone or Group, optional

    Returns
    -------
    Scaling
    """
    with np.errstate(all="ignore"):
        kernel = Kernel(
            log_kernel,
            a,
            b,
            symmetric=symmetric or [False] * len(a),
            max_bytes=max_bytes,
            shards=shards or Alone(),
        )
        return _solve(kernel, tol=tol, max_iter=max_iter, depth=depth)


def _solve(kernel: Kernel, *, tol: float, max_iter: int, depth: float) -> Scaling:
    wide = widest(kernel)
    spent, f, g = 0, None, None

    def scaled(limit: int) -> Scaling | None:
        nonlocal spent, f, g
        attempt = scale(kernel, tol=tol, max_iter=max(1, min(limit, max_iter - spent)), f=f, g=g)
        if attempt is not None:
            spent, f, g = spent + attempt.n_iter, attempt.f, attempt.g
        return attempt

    def solved(attempt: Scaling | None) -> bool:
        return attempt is not None and (spent >= max_iter or not attempt.violation > tol)

    # A cloud against itself has ones on the diagonal, however deep the rest.
    deep = depth > _DEEP and not all(kernel.symmetric)
    result = None
    if not deep and kernel.dtype != wide:
        if depth > _HOLLOW and not any(kernel.symmetric):
            f, g = kernel.log_maxima()
        result = scaled(_SINGLE_STEPS)
    if not solved(result):
        kernel = kernel.of(kernel.log_kernel.astype(wide))
        if f is None and deep:
            f, g, n_iter = anneal(kernel, depth=depth)
            spent += n_iter
        # A Newton step costs as much as some iterations, the more the larger the problem.
        order = min(kernel.shape[1:])
        result = scaled(int(_PATIENCE * max(1.0, order / 128)))
    if not solved(result):
        if f is None or g is None:
            f, g, n_iter = anneal(kernel, depth=depth)
            spent += n_iter
        polished = _polished(kernel, f, g, tol=tol, max_iter=max_iter - spent)
        spent, f, g = spent + polished.n_iter, polished.f, polished.g
        result = polished if solved(polished) else scaled(max_iter) or polished
    assert result is not None
    result.n_iter = spent
    return result


def _polished(kernel: Kernel, f: Array, g: Array, *, tol: float, max_iter: int) -> Scaling:
    """Finish a batch that misses `tol`: Newton on the smaller side, or else the log domain."""
    f, g, violation, n_iter = iterate(kernel, kernel.log_rows(g), tol=tol, max_iter=1)
    left = min(max_iter - n_iter, _NEWTON_STEPS)
    if left > 0 and violation > tol:
        _, n, m = kernel.shape
        if min(n, m) > _NEWTON_ORDER or not kernel.stored:
            f, g, violation, steps = iterate(kernel, f, tol=tol, max_iter=left)
        else:
            matrix = kernel.log_kernel.block()
            row, column = (as_tensor(weights) for weights in kernel.weights)
            if n <= m:
                first, second, violation, steps = newton(
                    matrix, row, column, as_tensor(f), tol=tol, max_iter=left
                )
            else:
                second, first, violation, steps = newton(
                    matrix.mT, column, row, as_tensor(g), tol=tol, max_iter=left
                )
            f, g = as_array(first), as_array(second)
        n_iter += steps
    f = kernel.log_rows(g)
    kernel.absorb(f, g)
    rows, columns = kernel.step(kernel.b)
    return Scaling(kernel, kernel.b, kernel.joined(rows), columns, f, g, violation, n_iter)


__all__ = ["MAX_BYTES", "Scaling", "kernel_dtype", "solve"]
