"""Costs between the points of two clouds, and what a plan makes of them."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 2**22  # elements of a (rows, m, d) block of differences


def pairwise_cost(x: Tensor, y: Tensor, p: float = 2) -> Tensor:
    """Return ``C_ij = sum_k |x_ik - y_jk|^p``, shape (n, m); for ``p = 2`` from centred clouds."""
    if p == 2:
        centre = y.mean(0)
        x, y = x - centre, y - centre
        cost = torch.addmm((x * x).sum(1, keepdim=True), x, y.T, alpha=-2.0)
        return cost.add_((y * y).sum(1)).clamp_min_(0.0)
    rows = max(1, _BLOCK // max(1, y.numel()))
    return torch.cat(
        [(x[i : i + rows, None] - y).abs_().pow_(p).sum(2) for i in range(0, len(x), rows)]
    )


def cost_gradients(plan: Tensor, x: Tensor, y: Tensor, p: float = 2) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``sum_ij plan_ij |x_i - y_j|^p`` with respect to `x` and `y`."""
    if p == 2:
        centre = y.mean(0)
        x, y = x - centre, y - centre
        grad_x = 2 * (plan.sum(1, keepdim=True) * x - plan @ y)
        grad_y = 2 * (plan.sum(0)[:, None] * y - plan.T @ x)
        return grad_x, grad_y
    grad_x, grad_y = torch.empty_like(x), torch.zeros_like(y)
    rows = max(1, _BLOCK // max(1, y.numel()))
    for i in range(0, len(x), rows):
        block = x[i : i + rows, None] - y
        block = block.sign() * block.abs().pow_(p - 1) * (p * plan[i : i + rows, :, None])
        grad_x[i : i + rows] = block.sum(1)
        grad_y -= block.sum(0)
    return grad_x, grad_y
