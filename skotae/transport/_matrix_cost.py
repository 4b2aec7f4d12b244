"""Entropic optimal transport of a cost matrix, differentiable in the costs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_cost,
    check_solver,
    check_weights,
    first_order_only,
    full_precision,
    warn_unless_converged,
)
from skotae.transport.entropic.balanced import Options
from skotae.transport.entropic.shards import Alone
from skotae.transport.entropic.sharp import sharp_sensitivity
from skotae.transport.entropic.solutions import of_cost

_SHARP_TOL = 1e-8  # the plan itself is differentiated


class _CostFunction(torch.autograd.Function):
    """The plan is the gradient with respect to the costs, by the envelope theorem."""

    @staticmethod
    def forward(
        ctx: Any,
        cost: Tensor,
        a: Tensor | None,
        b: Tensor | None,
        epsilon: float,
        relative: bool,
        options: Options,
        report: list[SinkhornInfo],
    ) -> Tensor:
        with full_precision(cost.device):
            solution = of_cost(cost, a, b, epsilon, relative, options)
            plan = solution.plan()
            slope = plan
            value = solution.a @ solution.f + solution.b @ solution.g
            if options.sharp:
                costs = cost.to(plan.dtype)
                value = (plan * costs).sum()
                if solution.epsilon > 0:
                    slope = sharp_sensitivity(plan, costs, solution.epsilon)
        gradients: list[Tensor | None] = [slope.to(cost.dtype)]
        sides = ((a, solution.a, solution.f), (b, solution.b, solution.g))
        for raw, weights, potential in sides:
            # Weights are divided by their sum, so that only differences count.
            gradients.append(
                None
                if raw is None
                else ((potential - weights @ potential) / raw.sum()).to(raw.dtype)
            )
        report.append(solution.info)
        ctx.save_for_backward(cost, a, b, *gradients)
        return value.to(cost.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved[3:]]
        return (*first_order_only("sinkhorn_cost", gradients, saved[:3]), *[None] * 4)


def sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = 0.05,
    relative: bool = True,
    tol: float = 1e-3,
    max_iter: int = 1000,
    a: Tensor | None = None,
    b: Tensor | None = None,
    sharp: bool = False,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SinkhornInfo]:
    r"""Entropic optimal-transport cost of any cost matrix.

    .. math::
        \mathrm{OT}_\varepsilon(C) = \min_{P 1 = a,\; P^\top 1 = b}
        \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b)

    For costs that :func:`sinkhorn_divergence` does not have: the gradient with respect to `cost` is
    the plan, and autograd goes on from there to whatever the costs were computed from. It is not
    debiased; :func:`debias_paired` and :func:`debias_independent` take a function of two clouds,
    which should have an absolute `epsilon`, the same for all terms.

    Parameters
    ----------
    cost : Tensor of shape (n, m)
        Finite costs, of any sign where `relative` is False.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost. No gradient flows through it.
    tol : float, default=1e-3
        L1 marginal violation at which to stop; at most 1e-8 where `sharp`.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    a, b : Tensor of shape (n,) and (m,), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.
    sharp : bool, default=False
        Leave the entropy out of the value, ``<P, C>`` at the entropic plan (eq. 12 of [1]_). The
        plan then moves with the costs, which the gradient follows by implicit differentiation.
    return_info : bool, default=False
        Also return a `SinkhornInfo`.

    Returns
    -------
    value : Tensor of shape ()
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

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, eq. 7 and 12.

    Examples
    --------
    The debiased divergence of a cost of one's own, the distance on a circle:

    >>> import torch
    >>> from skotae.transport import debias_paired, sinkhorn_cost
    >>> x = torch.tensor([[0.1], [3.0]], requires_grad=True)
    >>> def on_a_circle(x, y):
    ...     return sinkhorn_cost(1 - torch.cos(x - y.T), epsilon=0.1, relative=False)
    >>> value = debias_paired(on_a_circle, x, torch.tensor([[6.2], [3.3]]))
    >>> value.backward()
    >>> x.grad.round(decimals=2)
    tensor([[ 0.0900],
            [-0.1500]])
    """
    check_cost(cost)
    check_solver(epsilon, tol, max_iter)
    check_weights("a", a, cost.shape[0])
    check_weights("b", b, cost.shape[1])
    if sharp and any(w is not None and w.requires_grad for w in (a, b)):
        raise ValueError("sharp=True has no gradient for a and b: detach the weights.")
    goal = min(tol, _SHARP_TOL) if sharp else tol
    options = Options(goal, max_iter, 2.0, sharp, math.inf, Alone())
    report: list[SinkhornInfo] = []
    value = _CostFunction.apply(cost, a, b, float(epsilon), relative, options, report)
    warn_unless_converged(report[0], goal, max_iter)
    return (value, report[0]) if return_info else value
