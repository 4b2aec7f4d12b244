"""Entropic optimal transport: the plan and the dual potentials."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_clouds_or_cost,
    check_solver,
    full_precision,
    warn_unless_converged,
)
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.solutions import Solution, of_clouds, of_cost
from skotae.utils.base import as_real


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
    max_memory: float = 256,
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
    max_memory : float, default=256
        Mebibytes, as for `sinkhorn_divergence`.

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
    max_memory = as_real("max_memory", max_memory, above=0)
    epsilon, tol, max_iter, p = check_solver(epsilon, tol, max_iter, p)
    options = Options(epsilon, relative, tol, max_iter, p, max_bytes=max_memory * 2.0**20)
    solution, dtype = _solve(x, y, cost, a, b, options)
    warn_unless_converged(solution.info, tol, max_iter)
    return solution.f.to(dtype), solution.g.to(dtype), solution.info


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
    >>> sinkhorn_plan(x, x, epsilon=0.01).round(decimals=6)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    epsilon, tol, max_iter, p = check_solver(epsilon, tol, max_iter, p)
    options = Options(epsilon, relative, tol, max_iter, p)
    solution, dtype = _solve(x, y, cost, a, b, options, plan=True)
    warn_unless_converged(solution.info, tol, max_iter)
    assert solution.plan is not None
    return solution.plan.to(dtype)


@torch.no_grad()
def _solve(
    x: Tensor | None,
    y: Tensor | None,
    cost: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    options: Options,
    *,
    plan: bool = False,
) -> tuple[Solution, torch.dtype]:
    """Return the solution, and the dtype of the inputs."""
    y = x if y is None and cost is None else y
    check_clouds_or_cost(x, y, cost, a, b)
    given = x if cost is None else cost
    assert given is not None
    with full_precision(given.device):
        if cost is not None:
            return of_cost(cost, a, b, options, plan=plan), given.dtype
        assert y is not None
        return of_clouds(given, y, a, b, options, plan=plan), given.dtype
