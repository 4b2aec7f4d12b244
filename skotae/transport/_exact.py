"""Exact optimal transport: assignment and network simplex."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from skotae.transport._arrays import as_tensor
from skotae.transport._log_kernel import Matrix
from skotae.transport._solve import solve
from skotae.transport.base import (
    check_clouds,
    check_positive,
    check_weights,
    cost_gradients,
    first_order_only,
    normalised_weights,
    pairwise_cost,
)

_REDUCE_FROM = 192  # points from which the Sinkhorn reduction pays for itself


class _ExactFunction(torch.autograd.Function):
    """Cost of the optimal plan, a constant of the gradient with respect to the points."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, p: float
    ) -> Tensor:
        cloud_x, cloud_y = x.detach().cpu().double(), y.detach().cpu().double()
        cost = pairwise_cost(cloud_x, cloud_y, p)
        grads: dict[str, Tensor] = {}
        if not math.isfinite(cost.sum().item()):  # isfinite() of a matrix is slow
            value = cost.new_full((), math.nan)
            grads = {"x": cloud_x * math.nan, "y": cloud_y * math.nan}
            grads |= {"a": cost[:, 0] * math.nan, "b": cost[0] * math.nan}
        elif a is None and b is None and len(x) == len(y):
            order = torch.from_numpy(_assign(cost))
            gap = cloud_x - cloud_y[order]
            value = gap.abs().pow(p).sum() / len(x)
            grads["x"] = gap.sign() * gap.abs().pow(p - 1) * (p / len(x))
            grads["y"] = torch.empty_like(cloud_y).index_copy_(0, order, -grads["x"])
        else:
            plan, potentials = _simplex(cost, a, b)
            value = (plan * cost).sum()
            grads["x"], grads["y"] = cost_gradients(plan, cloud_x, cloud_y, p)
            for name, raw, potential in (("a", a, potentials[0]), ("b", b, potentials[1])):
                if raw is not None:
                    weights = raw.detach().cpu().double()
                    total = weights.sum()
                    grads[name] = (potential - potential @ weights / total) / total
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
        inputs, saved = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved]
        return (*first_order_only("exact_cost", gradients, inputs), None)


def _assign(cost: Tensor) -> np.ndarray:
    """Return the optimal permutation.

    The costs less any row and column potentials have the same optimum; with Sinkhorn's they are
    nearly zero along it, and the assignment's shortest paths become short.
    """
    n = len(cost)
    mean = cost.mean().item()
    if n >= _REDUCE_FROM and mean > 0:
        unit = 0.01 * mean * math.log(2.0)
        log_kernel = Matrix((cost / -unit)[None], torch.float32)
        weights = np.full((1, 1, n), 1.0 / n)
        result = solve(log_kernel, weights, weights, tol=0.01, max_iter=20, depth=mean / unit)
        potentials = as_tensor(result.f.mT + result.g)[0]
        if math.isfinite(potentials.sum().item()):
            cost = torch.addcmul(cost, potentials, cost.new_tensor(-unit))
    return linear_sum_assignment(cost.numpy())[1]


def _simplex(
    cost: Tensor, a: Tensor | None, b: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the optimal plan and the dual potentials of weighted or unequal clouds."""
    import ot

    row = normalised_weights(a, cost.shape[0], cost).numpy()
    column = normalised_weights(b, cost.shape[1], cost).numpy()
    plan, log = ot.emd(row, column, cost.numpy(), numItermax=10_000_000, log=True)
    return torch.from_numpy(plan), (torch.from_numpy(log["u"]), torch.from_numpy(log["v"]))


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

    An assignment for equal sizes and uniform weights (scipy), a network simplex otherwise (POT).
    Computed in float64 on the CPU.

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
    check_positive("p", p, minimum=1.0)
    check_weights("a", a, len(x))
    check_weights("b", b, len(y))
    return _ExactFunction.apply(x, y, a, b, p)
