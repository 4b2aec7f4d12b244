"""Entropic optimal transport: the plan and the dual potentials."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_clouds,
    check_positive,
    check_solver,
    check_weights,
    mean_cost,
    normalised_weights,
    pairwise_cost,
    solve,
    warn_unless_converged,
    widest,
)

_LN2 = math.log(2.0)


@dataclass
class _Solution:
    """Potentials and plan in the dtype of the input, and how the solve ended."""

    f: Tensor
    g: Tensor
    plan: Tensor
    info: SinkhornInfo


def sinkhorn_potentials(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    epsilon: float = 0.05,
    relative: bool = True,
    tol: float = 1e-3,
    max_iter: int = 1000,
    p: float = 2,
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> tuple[Tensor, Tensor, SinkhornInfo]:
    r"""Dual potentials of entropic optimal transport, of two clouds or of a cost matrix.

    .. math::
        P_{ij} = a_i b_j \exp\bigl((f_i + g_j - C_{ij}) / \varepsilon\bigr)

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d), optional
        Clouds; without `y`, `x` against itself.
    cost : Tensor of shape (n, m), optional
        Any finite cost instead of clouds.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost, which must then not be negative.
    tol : float, default=1e-3
        L1 marginal violation at which to stop.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    p : float, default=2
        Power of the cost between clouds.
    a, b : Tensor of shape (n,) and (m,), optional
        Weights, divided by their sum; uniform by default.

    Returns
    -------
    f, g : Tensor of shape (n,) and (m,)
        Without gradient, in the dtype of the input, with rows of the plan exact and equal means
        ``<a, f> = <b, g>``.
    info : SinkhornInfo

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, or a cost is not finite.

    References
    ----------
    .. [1] Peyre and Cuturi (2019), Computational optimal transport, eq. 4.30.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import sinkhorn_potentials
    >>> f, g, info = sinkhorn_potentials(cost=torch.zeros(2, 3), epsilon=1.0, relative=False)
    >>> f.tolist(), g.tolist(), info.converged
    ([0.0, 0.0], [0.0, 0.0, 0.0], True)
    """
    solution = _solve(x, y, cost, epsilon, relative, tol, max_iter, p, a, b)
    warn_unless_converged(solution.info, tol, max_iter)
    return solution.f, solution.g, solution.info


def sinkhorn_plan(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    epsilon: float = 0.05,
    relative: bool = True,
    tol: float = 1e-3,
    max_iter: int = 1000,
    p: float = 2,
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> Tensor:
    r"""Entropic transport plan ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon)``.

    Parameters
    ----------
    x, y, cost, epsilon, relative, tol, max_iter, p, a, b
        As for `sinkhorn_potentials`.

    Returns
    -------
    Tensor of shape (n, m)
        Without gradient; its rows sum to `a`, its columns to `b` within `tol`.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, or a cost is not finite.

    References
    ----------
    .. [1] Cuturi (2013), Sinkhorn distances, lemma 2.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import sinkhorn_plan
    >>> x = torch.tensor([[0.0], [1.0]])
    >>> sinkhorn_plan(x, x, epsilon=0.01)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    solution = _solve(x, y, cost, epsilon, relative, tol, max_iter, p, a, b)
    warn_unless_converged(solution.info, tol, max_iter)
    return solution.plan


@torch.no_grad()
def _solve(
    x: Tensor | None,
    y: Tensor | None,
    cost: Tensor | None,
    epsilon: float,
    relative: bool,
    tol: float,
    max_iter: int,
    p: float,
    a: Tensor | None,
    b: Tensor | None,
) -> _Solution:
    check_solver(epsilon, tol, max_iter)
    check_positive("p", p, minimum=1.0)
    if cost is None:
        if x is None:
            raise ValueError("Either x or cost must be given, got neither.")
        y = x if y is None else y
        check_clouds(x, y)
        dtype, wide = x.dtype, widest(x)
        x, y = x.to(wide), y.to(wide)
        matrix = pairwise_cost(x, y, p)
        name = "x or y"
    else:
        if x is not None or y is not None:
            raise ValueError("cost must be given alone, got x or y as well.")
        if cost.ndim != 2 or cost.numel() == 0 or not cost.is_floating_point():
            raise ValueError(
                "cost must be a non-empty floating-point matrix, got shape "
                f"{tuple(cost.shape)} and dtype {cost.dtype}."
            )
        dtype, wide = cost.dtype, widest(cost)
        matrix = cost.to(wide)
        name = "cost"
    if not math.isfinite(matrix.sum().item()):
        raise ValueError(f"{name} must be finite, got NaN or infinite values.")
    n, m = matrix.shape
    check_weights("a", a, n)
    check_weights("b", b, m)
    row, column = normalised_weights(a, n, matrix), normalised_weights(b, m, matrix)
    # Row and column minima go into the potentials before epsilon divides what is left.
    offset_f = matrix.amin(1)
    offset_g = (matrix - offset_f[:, None]).amin(0)
    reduced = matrix - offset_f[:, None] - offset_g
    if relative:
        mean = (
            mean_cost(x, y, row, column, p)
            if x is not None and y is not None
            else ((row @ matrix @ column).item())
        )
        if mean < 0:
            raise ValueError(
                f"relative=True needs a cost of non-negative mean, got {mean:.3g}: "
                "pass relative=False and an absolute epsilon."
            )
        epsilon = epsilon * mean
    reduced_mean = reduced.mean().item()
    unit = max(epsilon, 1e-12 * reduced_mean) * _LN2
    if unit == 0.0:  # all costs are equal
        plan = torch.outer(row, column).to(dtype)
        f, g, info = offset_f, offset_g, SinkhornInfo(0, 0.0, True)
    else:
        depth = reduced_mean / unit
        single = dtype != torch.float64 and tol >= 2e-5 and depth <= 160
        log_kernel = (reduced / -unit)[None].to(torch.float32 if single else wide)
        result = solve(log_kernel, row[None], column[None], tol=tol, max_iter=max_iter, depth=depth)
        violation = result.violation.amax().item()
        info = SinkhornInfo(result.n_iter, violation, violation <= tol)
        f, g = result.f[0, 0] * unit + offset_f, result.g[0, 0] * unit + offset_g
        plan = (result.left[0].T * result.kernel[0] * result.right[0]).to(dtype)
    shift = (row @ f - column @ g) / 2
    return _Solution((f - shift).to(dtype), (g + shift).to(dtype), plan, info)
