"""Exact optimal transport: sorting, assignment and network simplex."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from skotae.transport.base import (
    check_clouds,
    check_weights,
    cost_gradients,
    first_order_only,
    normalised_weights,
    pairwise_cost,
)
from skotae.utils.base import as_real

_REDUCE_FROM = 128  # points from which rough potentials pay for themselves
_EPSILON = 0.015  # their regularisation, in units of the mean reduced cost
_ITERATIONS = 20
_RELAXATION = 1.6
_DEEPEST = -60.0  # exponents below are raised to it


class _ExactFunction(torch.autograd.Function):
    """Cost of the optimal plan, a constant of the gradient with respect to the points."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, p: float
    ) -> Tensor:
        cloud_x, cloud_y = x.detach().cpu().double(), y.detach().cpu().double()
        solver = _sorted if x.shape[1] == 1 else _from_costs
        value, grads = solver(cloud_x, cloud_y, a, b, p)
        if not math.isfinite(value.item()):
            grads = {"x": cloud_x, "y": cloud_y, "a": cloud_x[:, 0], "b": cloud_y[:, 0]}
            grads = {name: torch.full_like(grad, math.nan) for name, grad in grads.items()}
            value = torch.full_like(value, math.nan)
        inputs = {"x": x, "y": y, "a": a, "b": b}
        ctx.save_for_backward(
            *inputs.values(),
            *(
                grads[name].to(tensor) if need and tensor is not None else None
                for (name, tensor), need in zip(inputs.items(), ctx.needs_input_grad, strict=False)
            ),
        )
        return value.to(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        # Activation checkpointing makes them anew, once: read once.
        x, y, a, b, *saved = ctx.saved_tensors
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved]
        return (*first_order_only("exact_cost", gradients, (x, y, a, b)), None)


def _from_costs(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, p: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return value and gradients from the matrix of costs."""
    matching = a is None and b is None and len(x) == len(y)
    # Shifts of whole clouds change squared costs by terms of rows and of columns alone.
    centred = matching and p == 2
    cost = pairwise_cost(x - x.mean(0), y - y.mean(0)) if centred else pairwise_cost(x, y, p)
    if not math.isfinite(cost.sum().item()):  # isfinite() of a matrix is slow
        return cost.new_full((), math.nan), {}
    if matching:
        order = torch.from_numpy(_assign(cost))
        gap = x - y[order]
        slope = gap.sign() * gap.abs().pow(p - 1) * (p / len(x))
        grads = {"x": slope, "y": torch.empty_like(y).index_copy_(0, order, -slope)}
        return gap.abs().pow(p).sum() / len(x), grads
    plan, f, g = _simplex(cost, a, b)
    grad_x, grad_y = cost_gradients(plan, x, y, p)
    grads = {"x": grad_x, "y": grad_y, "a": _weight_gradient(f, a), "b": _weight_gradient(g, b)}
    return (plan * cost).sum(), grads


def _assign(cost: Tensor) -> np.ndarray:
    """Return the optimal permutation; writes into `cost`.

    The costs less any row and column potentials have the same optimum; with nearly dual ones they
    are nearly zero along it, and the assignment's shortest paths become short.
    """
    if len(cost) >= _REDUCE_FROM:
        f, g = _rough_potentials(cost)
        cost.sub_(f[:, None]).sub_(g)
        cost.sub_(cost.amin(1, keepdim=True)).sub_(cost.amin(0))
    return linear_sum_assignment(cost.numpy())[1]


def _rough_potentials(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column potentials, from some overrelaxed Sinkhorn iterations.

    How good they are decides about speed only: hence single precision, no stopping rule, and the
    minima of rows and columns where the iterations leave its range.
    """
    f = cost.amin(1)
    reduced = cost - f[:, None]
    g = reduced.amin(0)
    unit = _EPSILON * reduced.sub_(g).mean().item()
    if unit <= 0:
        return f, g
    kernel = reduced.div_(-unit).float().clamp_min_(_DEEPEST).exp_()  # subnormals are slow
    u, v = kernel.new_ones(1, len(f)), kernel.new_ones(1, len(g))
    for _ in range(_ITERATIONS):
        v = v * (u @ kernel).mul_(v).pow_(-_RELAXATION)
        u = u * (v @ kernel.T).mul_(u).pow_(-_RELAXATION)
    fine = math.isfinite((u.log().sum() + v.log().sum()).item())
    return (f + unit * u[0].double().log(), g + unit * v[0].double().log()) if fine else (f, g)


def _simplex(cost: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the optimal plan and the dual potentials of weighted or unequal clouds."""
    import ot

    row = normalised_weights(a, cost.shape[0], cost).numpy()
    column = normalised_weights(b, cost.shape[1], cost).numpy()
    unit = cost.mean().item() or 1.0  # the solver's tolerance is absolute
    costs = (cost / unit).numpy()
    plan, log = ot.emd(row, column, costs, numItermax=10_000_000, log=True)
    f, g = (torch.from_numpy(log[name]) * unit for name in "uv")
    # What a point without weight would cost is left open by the solver: the least there is.
    none_x, none_y = torch.from_numpy(row == 0), torch.from_numpy(column == 0)
    f[none_x] = (cost[none_x] - g).masked_fill_(none_y, math.inf).amin(1)
    g[none_y] = (cost[:, none_y] - f[:, None]).amin(0)
    return torch.from_numpy(plan), f, g


def _sorted(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, p: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return value and gradients in one dimension, where sorting is optimal.

    The plan is a staircase from the first to the last pair of sorted points; every step goes to
    the next x or the next y, by which the cost changes as the potential of that point.
    """
    (x, order_x), (y, order_y) = x[:, 0].sort(), y[:, 0].sort()
    n, m = len(x), len(y)
    levels = torch.cat(
        (
            normalised_weights(a, n, x)[order_x].cumsum(0)[:-1],
            normalised_weights(b, m, y)[order_y].cumsum(0)[:-1],
        )
    )
    levels, steps = levels.sort(stable=True)
    along_x = torch.cat((steps.new_zeros(1, dtype=torch.bool), steps < n - 1))
    i = along_x.cumsum(0)
    j = torch.arange(n + m - 1) - i
    mass = torch.cat((levels.new_zeros(1), levels, levels.new_ones(1))).clamp_max_(1.0).diff()
    gap = x[i] - y[j]
    cost = gap.abs().pow(p)
    slope = gap.sign() * gap.abs().pow(p - 1) * (p * mass)
    rise = cost.diff(prepend=cost.new_zeros(1))
    f = torch.cat((cost[:1], rise[along_x])).cumsum(0)
    g = torch.cat((cost.new_zeros(1), rise[1:][~along_x[1:]])).cumsum(0)
    back_x, back_y = order_x.argsort(), order_y.argsort()
    grads = {
        "x": torch.zeros_like(x).index_add_(0, i, slope)[back_x, None],
        "y": torch.zeros_like(y).index_add_(0, j, -slope)[back_y, None],
        "a": _weight_gradient(f[back_x], a),
        "b": _weight_gradient(g[back_y], b),
    }
    return mass @ cost, grads


def _weight_gradient(potential: Tensor, raw: Tensor | None) -> Tensor:
    """Return the gradient with respect to weights before their division by their sum."""
    if raw is None:
        return potential
    weights = raw.detach().cpu().double()
    total = weights.sum()
    return (potential - potential @ weights / total) / total


def exact_cost(
    x: Tensor,
    y: Tensor,
    *,
    p: float = 2,
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> Tensor:
    r"""Exact optimal-transport cost between two point clouds.

    .. math::
        \min_{P 1 = a,\; P^\top 1 = b} \sum_{ij} P_{ij} C_{ij},
        \qquad C_{ij} = \sum_k |x_{ik} - y_{jk}|^p

    Sorting in one dimension, in memory of n + m; else an assignment for equal sizes and uniform
    weights (scipy), or a network simplex (POT). Computed in float64 on the CPU.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds. Non-finite points give NaN.
    p : float, default=2
        Power of the cost, at least 1.
    a, b : Tensor of shape (n,) and (m,), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.

    Returns
    -------
    Tensor of shape ()
        In the dtype and on the device of `x`; differentiable once.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or `p` is invalid.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, section 3.3 (the Hungarian autoencoder).
    .. [2] Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import exact_cost
    >>> x = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> value = exact_cost(x, torch.tensor([[3.0], [2.0]]))
    >>> value.backward()
    >>> value.item(), x.grad.tolist()
    (4.0, [[-2.0], [-2.0]])
    """
    check_clouds(x, y)
    p = as_real("p", p, least=1)
    check_weights("a", a, len(x))
    check_weights("b", b, len(y))
    return _ExactFunction.apply(x, y, a, b, p)
