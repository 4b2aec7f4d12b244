"""Pairs of clouds, and the gradients and values that the solvers are held against."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.transport import sinkhorn_potentials

FAMILIES = ("clusters", "matched")


def make_clouds(family: str, n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codes x and draws y from N(0, I), n points each, float32.

    "clusters": x from ten Gaussians of standard deviation 0.3 with centres from N(0, I), like
    the codes of data in classes. "matched": x from N(0.1, 0.9² I), like codes at the end of a
    training.
    """
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.randn(2, n, d, generator=generator)
    if family == "matched":
        return 0.9 * x + 0.1, y
    centres = torch.randn(10, d, generator=generator)
    labels = torch.randint(10, (n,), generator=generator)
    return centres[labels] + 0.3 * x, y


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|² of clouds whose mean is not far from 0."""
    cost = x @ y.T
    cost *= -2
    cost += x.square().sum(1)[:, None]
    cost += y.square().sum(1)
    return cost.clamp_(min=0)


@dataclass(frozen=True)
class Reference:
    """Divergence and gradient in float64, from plans with the right marginals."""

    epsilon: float  # absolute
    value: float
    gradient: Tensor
    violation: float  # L1, the largest of both marginals of the three plans


@dataclass(frozen=True)
class _Term:
    value: float
    plan: Tensor
    violation: float


def certified_reference(x: Tensor, y: Tensor, epsilon: float) -> Reference:
    """Debiased divergence and its gradient for x, certified by the marginals of the plans.

    ``exp((f_i + g_j - C_ij) / eps) / (n m)`` with uniform marginals is the optimal plan,
    whatever found f and g. Both marginals are computed here, from costs that are computed here.
    The gradient is that of the envelope theorem: the plans are held constant.
    """
    x, y = x.detach().double(), y.detach().double()
    cost = squared_distances(x, y)
    eps = epsilon * cost.mean().item()
    xy = _cross_term(x, y, cost, eps)
    xx = _self_term(squared_distances(x, x).fill_diagonal_(0), eps)
    yy = _self_term(squared_distances(y, y).fill_diagonal_(0), eps)
    return Reference(
        epsilon=eps,
        value=xy.value - (xx.value + yy.value) / 2,
        gradient=_cost_gradient(x, y, xy.plan) - _cost_gradient(x, x, (xx.plan + xx.plan.T) / 2),
        violation=max(xy.violation, xx.violation, yy.violation),
    )


def _cost_gradient(x: Tensor, y: Tensor, plan: Tensor) -> Tensor:
    return 2 * (x * plan.sum(1)[:, None] - plan @ y)


def _soft_minimum(cost: Tensor, g: Tensor, eps: float) -> Tensor:
    """Potential of the rows that makes the rows of the plan exact."""
    return eps * (math.log(cost.shape[1]) - torch.logsumexp((g - cost) / eps, 1))


def _term(cost: Tensor, f: Tensor, g: Tensor, eps: float) -> _Term:
    n, m = cost.shape
    plan = torch.exp((f[:, None] + g - cost) / eps) / (n * m)
    rows, columns = plan.sum(1), plan.sum(0)
    violation = max((rows - 1 / n).abs().sum().item(), (columns - 1 / m).abs().sum().item())
    dual = f.mean() + g.mean() - eps * (plan.sum() - 1)
    return _Term(dual.item(), plan, violation)


def _cross_term(x: Tensor, y: Tensor, cost: Tensor, eps: float) -> _Term:
    """Potentials of the package, and Newton steps on g where they are not good enough.

    The error of the columns is the gradient of the dual; with exact rows, its derivative is
    the Schur complement below, which is singular for constants: a constant is added.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the marginals will tell
        _, g, _ = sinkhorn_potentials(x, y, epsilon=eps, relative=False, tol=1e-7)
    n, m = cost.shape
    best = None
    for _ in range(8):
        term = _term(cost, _soft_minimum(cost, g, eps), g, eps)
        if best is None or term.violation < best.violation:
            best = term
        if best.violation <= 1e-10:
            break
        columns = term.plan.sum(0)
        schur = columns.diag() - n * term.plan.T @ term.plan + 1 / m**2
        g = g + eps * torch.linalg.solve(schur, 1 / m - columns)
    return best


def _self_term(cost: Tensor, eps: float) -> _Term:
    """A cloud against itself: the mean of old and new potential halves the error at least."""
    f = torch.zeros(len(cost), dtype=cost.dtype)
    for _ in range(60):
        new = _soft_minimum(cost, f, eps)
        done = (new - f).abs().max() <= 1e-10 * eps
        f = (f + new) / 2
        if done:
            break
    return _term(cost, f, f, eps)


@dataclass(frozen=True)
class PlainRun:
    """What plain Sinkhorn iterations from zero potentials need for an L1 violation of `tol`."""

    n_iter: int
    l2: float  # L2 norm of the marginal error when its L1 norm is `tol`


def run_plain(x: Tensor, y: Tensor, eps: float, tol: float, max_iter: int = 3000) -> PlainRun:
    """Run them, in float64. Solvers that stop at an L2 norm get theirs from here."""
    kernel = torch.exp(squared_distances(x.detach().double(), y.detach().double()) / -eps)
    n, m = kernel.shape
    transposed = kernel.T.contiguous()
    u = kernel.new_ones(n)
    back = transposed @ u
    n_iter, l1 = 0, math.inf
    while n_iter < max_iter and l1 > tol:
        n_iter += 1
        v = 1 / (m * back)
        u = 1 / (n * (kernel @ v))
        back = transposed @ u
        error = v * back - 1 / m
        l1 = error.abs().sum().item()
    l2 = tol * error.norm().item() / l1 if l1 > 1e-9 else tol / math.sqrt(m)
    return PlainRun(n_iter, l2 if math.isfinite(l2) else tol / math.sqrt(m))
