"""Entropic optimal transport of a cost matrix, differentiable in the costs."""

from __future__ import annotations

from functools import partial
from typing import Literal, overload

import numpy as np
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_cost,
    check_slope,
    check_solver,
    check_start,
    check_weight_shape,
    check_weight_values,
    warn_unless_converged,
)
from skotae.transport.entropic.arrays import as_array
from skotae.transport.entropic.envelope import Batch, Outcome, differentiable
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.sharp import sharp_sensitivity
from skotae.transport.entropic.solution_batches import solved_together
from skotae.transport.entropic.solutions import of_cost, start_of


def _evaluate(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Return the value and its gradients: with respect to the costs the plan, by the envelope."""
    for name in ("a", "b"):
        check_weight_values(name, inputs.get(name))
        check_slope(name, inputs.get(name), options.sharp and name in wanted)
    cost, wants_cost = inputs["cost"], "cost" in wanted
    weights = inputs.get("a"), inputs.get("b")
    wants_plan, start = options.sharp or wants_cost, start_of(inputs)
    solution = of_cost(cost, *weights, options, plan=wants_plan, start=start)
    value, slope = solution.a @ solution.f + solution.b @ solution.g, solution.plan
    f, g = solution.f, solution.g
    if options.sharp and slope is not None:
        costs = cost.to(slope.dtype)
        value = (slope * costs).sum()
        if wanted and solution.epsilon > 0:
            slope, f, g = sharp_sensitivity(slope, costs, solution.epsilon)
    gradients = {} if slope is None else {"cost": slope.to(cost.dtype)}
    sides = (("a", solution.a, f), ("b", solution.b, g))
    for name, shares, potential in sides:
        if name in wanted:
            gradients[name] = _change(potential, shares, inputs[name])
    return Outcome(value.item(), gradients, solution.info)


def _change(potential: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient for weights: they are divided by their sum, so only differences count."""
    mean = (shares * potential).sum(-1, keepdim=True)
    return ((potential - mean) / weights.sum(-1, keepdim=True)).to(weights.dtype)


@np.errstate(all="ignore")
def _evaluate_batch(inputs: dict[str, Tensor], wanted: set[str], *, options: Options) -> Outcome:
    """Evaluate each problem of a batch as `_evaluate` does a single one."""
    for name in ("a", "b"):
        check_weight_values(name, inputs.get(name))
    batch = Batch(inputs, wanted, inputs["cost"].ndim - 2)
    for found in solved_together(batch.inputs, options, plan="cost" in wanted):
        values = (found.a * found.f).sum(1) + (found.b * found.g).sum(1)
        gradients = {} if found.plan is None else {"cost": found.plan}
        for name, shares, potential in (("a", found.a, found.f), ("b", found.b, found.g)):
            if name in wanted:
                gradients[name] = _change(potential, shares, batch.inputs[name][found.places])
        batch.put(found.places, as_array(values), gradients, found.infos)
    batch.fill(partial(_evaluate, options=options))
    return batch.outcome()


@overload
def sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    sharp: bool = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: Literal[False] = ...,
) -> Tensor: ...


@overload
def sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    sharp: bool = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: Literal[True],
) -> tuple[Tensor, SinkhornInfo]: ...


@overload
def sinkhorn_cost(
    cost: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    sharp: bool = ...,
    potentials_init: tuple[Tensor, Tensor] | None = ...,
    return_info: bool,
) -> Tensor | tuple[Tensor, SinkhornInfo]: ...


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
    potentials_init: tuple[Tensor, Tensor] | None = None,
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
    cost : Tensor of shape (n, m), or (B, n, m)
        Finite costs, of any sign where `relative` is False. The problems of a batch are solved
        together, as for `sinkhorn_potentials`, or one by one where `sharp`.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost. No gradient flows through it.
    tol : float, default=1e-3
        L1 marginal violation at which to stop; at most 1e-8 where `sharp`.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    a, b : Tensor of shape (n,) and (m,), or (B, n) and (B, m), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.
    sharp : bool, default=False
        Leave the entropy out of the value, ``<P, C>`` at the entropic plan (eq. 12 of [1]_). The
        plan then moves with the costs, which the gradient follows by implicit differentiation; for
        weights, of those that are not zero.
    potentials_init : tuple of Tensor of the shapes of `a` and `b`, optional
        Potentials to start from, as for `sinkhorn_potentials`. Value and gradient are the same,
        within `tol`.
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
    check_cost(cost, batches=True)
    epsilon, tol, max_iter, _ = check_solver(epsilon, tol, max_iter)
    *batch, n, m = cost.shape
    check_weight_shape("a", a, (n,), (*batch, n))
    check_weight_shape("b", b, (m,), (*batch, m))
    a, b = (w if w is None else w.expand(*batch, w.shape[-1]) for w in (a, b))
    options = Options(epsilon, relative, tol, max_iter, sharp=sharp)
    problem = partial(_evaluate, options=options)
    batches = partial(_evaluate_batch, options=options)
    f, g = check_start(potentials_init, (*batch, n), (*batch, m))
    given = {"cost": cost, "a": a, "b": b, "f": f, "g": g}
    value, info = differentiable("sinkhorn_cost", problem, batches, 2, **given)
    warn_unless_converged(info, options.goal, max_iter, cost.dtype, "cost")
    return (value, info) if return_info else value
