"""The Sinkhorn solver: fast arithmetic first, slower and safer arithmetic where it misses."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from skotae.transport import _kernel, _log_domain, _newton
from skotae.transport._kernel import Scaling, build_kernel, widest

_DEEP = 160.0  # bits of mean exponent from which epsilon is annealed, in float64
_SINGLE_STEPS = 200  # float32 iterations before float64 takes over
_PATIENCE = 300  # iterations before Newton steps, for up to 128 points
_NEWTON_ORDER = 1024  # largest dense Newton system
_NEWTON_STEPS = 100


def solve(
    log_kernel: Tensor, a: Tensor, b: Tensor, *, tol: float, max_iter: int, depth: float
) -> Scaling:
    """Solve a batch of entropic problems, falling back to slower arithmetic where needed.

    Parameters
    ----------
    log_kernel : Tensor of shape (B, n, m)
        ``-cost / epsilon * log2(e)``, float32 or float64.
    a, b : Tensor of shape (B, n) and (B, m)
        Weights of sum one.
    tol : float
        L1 marginal violation to reach.
    max_iter : int
    depth : float
        Mean of ``-log_kernel``.

    Returns
    -------
    Scaling
    """
    wide = widest(log_kernel)
    row, column = a[:, None].to(log_kernel.dtype), b[:, None].to(log_kernel.dtype)
    order = min(log_kernel.shape[1:])
    spent, f, g = 0, None, None

    def scaled(limit: int) -> Scaling | None:
        nonlocal spent, f, g
        limit = max(1, min(limit, max_iter - spent))
        attempt = _kernel.scale(log_kernel, row, column, tol=tol, max_iter=limit, f=f, g=g)
        if attempt is not None:
            spent, f, g = spent + attempt.n_iter, attempt.f, attempt.g
        return attempt

    def solved(attempt: Scaling | None) -> bool:
        return attempt is not None and (
            spent >= max_iter or not attempt.violation.amax().item() > tol
        )

    result = None
    if depth <= _DEEP and log_kernel.dtype != wide:
        result = scaled(_SINGLE_STEPS)
    if not solved(result):
        log_kernel, row, column = log_kernel.to(wide), row.to(wide), column.to(wide)
        if f is None and depth > _DEEP:
            f, g, n_iter = _log_domain.anneal(log_kernel, row, column, depth=depth)
            spent += n_iter
        # A Newton step costs as much as some iterations, the more the larger the problem.
        result = scaled(int(_PATIENCE * max(1.0, order / 128)))
    if not solved(result):
        if f is None or g is None:
            f, g, n_iter = _log_domain.anneal(log_kernel, row, column, depth=depth)
            spent += n_iter
        f, g, violation, n_iter = _polish(
            log_kernel, row, column, f, g, tol=tol, max_iter=max_iter - spent
        )
        spent += n_iter
        polished = _assemble(log_kernel, row, column, g, violation)
        result = polished if solved(polished) else scaled(max_iter) or polished
    assert result is not None
    result.n_iter = spent
    return result


def _polish(
    log_kernel: Tensor, a: Tensor, b: Tensor, f: Tensor, g: Tensor, *, tol: float, max_iter: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Finish the problems that miss `tol`: Newton on the smaller side, or else the log domain."""
    f = _log_domain.row_update(log_kernel, b, g)
    f, g, violation, n_iter = _log_domain.iterate(log_kernel, a, b, f, tol=tol, max_iter=1)
    open_ = (violation > tol).nonzero()[:, 0]
    if max_iter <= n_iter or len(open_) == 0:
        return f, g, violation, n_iter
    part, a, b = log_kernel[open_], a[open_], b[open_]
    options: dict[str, Any] = {"tol": tol, "max_iter": min(max_iter - n_iter, _NEWTON_STEPS)}
    if min(log_kernel.shape[1:]) > _NEWTON_ORDER:
        f_part, g_part, missed, steps = _log_domain.iterate(part, a, b, f[open_], **options)
    elif part.shape[1] <= part.shape[2]:
        f_part, g_part, missed, steps = _newton.newton(part, a, b, f[open_], **options)
    else:
        g_part, f_part, missed, steps = _newton.newton(part.mT, b, a, g[open_], **options)
    f, g = f.index_copy(0, open_, f_part), g.index_copy(0, open_, g_part)
    return f, g, violation.index_copy(0, open_, missed), n_iter + steps


def _assemble(log_kernel: Tensor, a: Tensor, b: Tensor, g: Tensor, violation: Tensor) -> Scaling:
    """Return the scaling of given column potentials, with exact row sums."""
    f = _log_domain.row_update(log_kernel, b, g)
    return Scaling(build_kernel(log_kernel, f, g), a, b, f, g, violation, 0)


def solve_symmetric(
    log_kernel: Tensor, a: Tensor, *, tol: float, max_iter: int, depth: float
) -> Scaling:
    """Solve a batch of problems of clouds against themselves; parameters as in `solve`."""
    if depth <= _DEEP:
        row = a[:, None].to(log_kernel.dtype)
        result = _kernel.scale_symmetric(log_kernel, row, tol=tol, max_iter=min(max_iter, 40))
        if result is not None:
            return result
    return solve(log_kernel, a, a, tol=tol, max_iter=max_iter, depth=depth)
