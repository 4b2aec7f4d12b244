"""Unbalanced entropic transport of a cost matrix, differentiable in the costs."""

from __future__ import annotations

from functools import partial
from typing import Literal, overload

from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_cost,
    check_solver,
    check_start,
    check_unbalanced,
    check_weight_shape,
    warn_unless_converged,
)
from skotae.transport.entropic.envelope import differentiable
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.relaxed_batches import evaluate_relaxed_costs
from skotae.transport.entropic.relaxed_solutions import evaluate_relaxed_cost


@overload
def unbalanced_sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    rho: float | tuple[float, float] = ...,
    unbalanced_type: str = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: Literal[False] = ...,
) -> Tensor: ...


@overload
def unbalanced_sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    rho: float | tuple[float, float] = ...,
    unbalanced_type: str = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: Literal[True],
) -> tuple[Tensor, SinkhornInfo]: ...


@overload
def unbalanced_sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    rho: float | tuple[float, float] = ...,
    unbalanced_type: str = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: bool,
) -> Tensor | tuple[Tensor, SinkhornInfo]: ...


def unbalanced_sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = 0.05,
    rho: float | tuple[float, float] = 1.0,
    unbalanced_type: str = "kl",
    relative: bool = True,
    tol: float = 1e-6,
    max_iter: int = 1000,
    a: Tensor | None = None,
    b: Tensor | None = None,
    potentials_init: tuple[Tensor, Tensor] | None = None,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SinkhornInfo]:
    r"""Unbalanced entropic optimal-transport cost of any cost matrix.

    .. math::
        \min_{P \ge 0} \langle P, C \rangle
        + \rho\, \mathrm{KL}(P 1 \,|\, a) + \rho\, \mathrm{KL}(P^\top 1 \,|\, b)
        + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b)

    where :math:`\mathrm{KL}(p \,|\, q) = \sum p \log (p / q) - p + q`. It is to
    :func:`unbalanced_sinkhorn_divergence` what :func:`sinkhorn_cost` is to
    :func:`sinkhorn_divergence`: the gradient with respect to `cost` is the plan, and it is not
    debiased.

    Parameters
    ----------
    cost : Tensor of shape (n, m) or (B, n, m)
        Finite costs, of any sign where `relative` is False.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    rho : float or pair of float, default=1.0
        Price of mass created or destroyed, in the same units. Two of them are that of the rows and
        that of the columns; where one is infinite its marginal is exact (semi-relaxed transport).
    unbalanced_type : {"kl", "tv"}, default="kl"
        What `rho` is the price of: the Kullback-Leibler divergence of the formula, or the total
        variation :math:`\sum |p - q|`, in the place of KL in both marginal terms. With the latter
        mass is kept whole where transport costs less than the sum of both prices and given up
        whole where it costs more, but for what the entropy smooths.
    relative : bool, default=True
        Multiply `epsilon` and `rho` by the mean cost, over normalised weights. No gradient flows
        through it.
    tol : float, default=1e-6
        As for `unbalanced_sinkhorn_divergence`.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    a, b : Tensor of shape (n,) and (m,), or (B, n) and (B, m), optional
        Masses of the rows and columns, not negative and not normalised; by default uniform, of sum
        one. Differentiable.
    potentials_init : tuple of Tensor of the shapes of `a` and `b`, optional
        Potentials to start from, as for `sinkhorn_potentials`.
    return_info : bool, default=False
        Also return a `SinkhornInfo`.

    Returns
    -------
    value : Tensor of shape (), or (B,)
        In the dtype of `cost`.
    info : SinkhornInfo
        Only if `return_info`.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, or a cost is not finite.
    RuntimeError
        When differentiated twice.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.
    RuntimeWarning
        If the value is beyond the range of the dtype of `cost`; it is then infinite, and
        `converged` False.

    References
    ----------
    .. [1] Chizat, Peyre, Schmitzer and Vialard (2018), Scaling algorithms for unbalanced optimal
       transport problems, Mathematics of Computation 87.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import unbalanced_sinkhorn_cost
    >>> cost = torch.tensor([[0.0, 1.0], [50.0, 60.0]], requires_grad=True)
    >>> value = unbalanced_sinkhorn_cost(cost, epsilon=0.1, rho=2.0, relative=False)
    >>> value.backward()
    >>> cost.grad.sum(1).round(decimals=2)  # of the plan: the second row is not worth its costs
    tensor([0.6300, 0.0000])
    """
    check_cost(cost, batches=True)
    epsilon, tol, max_iter, _ = check_solver(epsilon, tol, max_iter)
    prices, unbalanced_type = check_unbalanced(rho, unbalanced_type)
    *batch, n, m = cost.shape
    check_weight_shape("a", a, (n,), (*batch, n))
    check_weight_shape("b", b, (m,), (*batch, m))
    a, b = (w if w is None else w.expand(*batch, w.shape[-1]) for w in (a, b))
    f, g = check_start(potentials_init, (*batch, n), (*batch, m))
    options = Options(
        epsilon,
        relative,
        tol,
        max_iter,
        rho=1.0,
        prices=prices,
        unbalanced_type=unbalanced_type,
    )
    problem = partial(evaluate_relaxed_cost, options=options)
    batches = partial(evaluate_relaxed_costs, options=options)
    value, info = differentiable(
        "unbalanced_sinkhorn_cost", problem, batches, 2, cost=cost, a=a, b=b, f=f, g=g
    )
    warn_unless_converged(info, tol, max_iter, cost.dtype, "cost")
    return (value, info) if return_info else value
