"""Optimal plans by sorting, assignment and network simplex, in float64 on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from skotae.transport.base import normalised_weights
from skotae.transport.ground import Ground
from skotae.transport.linear.line import staircases

_REDUCE_FROM = 128  # points from which rough potentials pay for themselves
_EPSILON = 0.015  # their regularisation, in units of the mean reduced cost
_ITERATIONS = 20
_RELAXATION = 1.6
_DEEPEST = -60.0  # exponents below are raised to it
_DEAR = 1e3  # beyond so many times what is usual, costs do not count for it
_SAMPLE = 4096  # costs that tell what is usual
_USUAL = 0.1  # quantile of the costs that it is
_RANGE = 1e6  # in which the network simplex tells costs apart, to some 1e-9 of the least
_ROUNDING = 1e-13  # share of a cost that is nothing but rounding
_CRUMB = 1e-12  # share of a weight that is nothing but rounding of their sums


@dataclass(frozen=True)
class Plan:
    """An optimal plan as a list of entries, and the dual potentials.

    Attributes
    ----------
    i, j, mass : Tensor of shape (k,)
        Rows, columns and masses; no pair is there twice.
    f, g : Tensor of shape (n,) and (m,), or None
        With ``f_i + g_j <= C_ij``, and equality where there is mass; None if not asked for.
    """

    i: Tensor
    j: Tensor
    mass: Tensor
    f: Tensor | None = None
    g: Tensor | None = None

    def dense(self, n: int, m: int) -> Tensor:
        """Return the plan as a matrix (n, m)."""
        plan = self.mass.new_zeros(n, m)
        plan[self.i, self.j] = self.mass
        return plan


def of_clouds(
    x: Tensor,
    y: Tensor,
    a: Tensor | None,
    b: Tensor | None,
    ground: Ground,
    *,
    potentials: bool,
) -> Plan | None:
    """Return the plan of two clouds, or None where a cost is not finite."""
    if x.shape[1] == 1:
        return _of_line(x, y, a, b, ground)
    # Shifts of whole clouds change squared costs by terms of rows and of columns alone. About
    # their own means, whatever is far away is near what it goes to.
    centre_x, centre_y = _mean(x, a), _mean(y, b)
    shift = centre_x - centre_y
    u, v = (x - centre_x, y - centre_y) if ground.squared else (x, y)
    cost = ground.fine_costs(u, v)
    if not math.isfinite(cost.sum().item()):  # isfinite() of a matrix is slow
        return None
    plan = _solved(cost, a, b, potentials=potentials)
    if not ground.squared or plan.f is None or plan.g is None:
        return plan
    half = shift @ shift / 2.0
    f, g = plan.f + 2.0 * (u @ shift) + half, plan.g - 2.0 * (v @ shift) + half
    return Plan(plan.i, plan.j, plan.mass, f, g)


def _mean(x: Tensor, weights: Tensor | None) -> Tensor:
    return x.mean(0) if weights is None else normalised_weights(weights, len(x), x) @ x


def of_cost(cost: Tensor, a: Tensor | None, b: Tensor | None, *, potentials: bool) -> Plan:
    """Return the plan of a cost matrix.

    Raises
    ------
    ValueError
        If a cost is not finite.
    """
    if not math.isfinite(cost.sum().item()):
        raise ValueError("cost must be finite, of a finite sum, got NaN or infinite values.")
    return _solved(cost.clone(), a, b, potentials=potentials)


def _of_line(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, ground: Ground
) -> Plan | None:
    (sorted_x, order_x), (sorted_y, order_y) = x[:, 0].sort(), y[:, 0].sort()
    row = normalised_weights(a, len(x), x)[order_x]
    stairs = staircases(row[None], normalised_weights(b, len(y), y)[None, order_y])
    i, j = stairs.i[0], stairs.j[0]
    cost = ground.along((sorted_x[i] - sorted_y[j])[:, None])[0]
    if not math.isfinite(cost.sum().item()):
        return None
    f, g = (potential[0] for potential in stairs.potentials(cost[None]))
    return Plan(order_x[i], order_y[j], stairs.mass[0], f[order_x.argsort()], g[order_y.argsort()])


def _solved(cost: Tensor, a: Tensor | None, b: Tensor | None, *, potentials: bool) -> Plan:
    """Return the plan of a matrix that may be written to."""
    if a is None and b is None and cost.shape[0] == cost.shape[1] and not potentials:
        order = torch.from_numpy(_assign(cost))
        mass = torch.full((len(cost),), 1.0 / len(cost), dtype=cost.dtype)
        return Plan(torch.arange(len(cost)), order, mass)
    return _simplex(cost, a, b)


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
    crumbs, f = _ROUNDING * _usual(cost), cost.amin(1)
    reduced = cost - f[:, None]
    g = reduced.amin(0)
    mean = reduced.sub_(g).mean().item()
    # Not that of costs beside which all others are nothing.
    unit = _EPSILON * min(mean, _DEAR * (_usual(reduced, crumbs) or mean))
    if unit <= 0:
        return f, g
    kernel = reduced.div_(-unit).float().clamp_min_(_DEEPEST).exp_()  # subnormals are slow
    u, v = kernel.new_ones(1, len(f)), kernel.new_ones(1, len(g))
    for _ in range(_ITERATIONS):
        v = v * (u @ kernel).mul_(v).pow_(-_RELAXATION)
        u = u * (v @ kernel.T).mul_(u).pow_(-_RELAXATION)
    fine = math.isfinite((u.log().sum() + v.log().sum()).item())
    return (f + unit * u[0].double().log(), g + unit * v[0].double().log()) if fine else (f, g)


def _simplex(cost: Tensor, a: Tensor | None, b: Tensor | None) -> Plan:
    """Return the plan and potentials of any weights; writes into `cost`."""
    row = normalised_weights(a, cost.shape[0], cost)
    column = normalised_weights(b, cost.shape[1], cost)
    has_x, has_y = row > 0, column > 0
    # Minima of rows and columns go into the potentials: the solver's tolerance is absolute.
    crumbs = _ROUNDING * _usual(cost)
    low_f = cost.amin(1)
    low_g = cost.sub_(low_f[:, None]).amin(0)
    cost.sub_(low_g)
    solved = cost[has_x][:, has_y]
    inner = _in_range(solved, row[has_x], column[has_y], _RANGE * _usual(solved, crumbs))
    assert inner.f is not None and inner.g is not None
    places_x, places_y = has_x.nonzero()[:, 0], has_y.nonzero()[:, 0]
    f, g = torch.zeros_like(row), torch.zeros_like(column)
    f[has_x], g[has_y] = inner.f, inner.g
    # What a point without weight would cost is left open by the solver: the least there is.
    f[~has_x] = (cost[~has_x][:, has_y] - g[has_y]).amin(1)
    g[~has_y] = (cost[:, ~has_y] - f[:, None]).amin(0)
    return Plan(places_x[inner.i], places_y[inner.j], inner.mass, f + low_f, g + low_g)


def _in_range(cost: Tensor, a: Tensor, b: Tensor, cap: float) -> Plan:
    """Return the plan and potentials of positive weights.

    The solver's tolerance is a share of the largest cost, beside which all others may be nothing.
    Where there are such costs they are cut off at a cap, which rises while the plan needs any of
    them: one that does without those that are cut is optimal all the same.
    """
    most = cost.max().item()
    while 0.0 < cap < most:
        plan = _emd(cost.clamp(max=cap), a, b)
        whole, beyond = torch.minimum(a[plan.i], b[plan.j]), cost[plan.i, plan.j] > cap
        if not bool((beyond & (plan.mass > _CRUMB * whole)).any()):
            kept = ~beyond
            return Plan(plan.i[kept], plan.j[kept], plan.mass[kept], plan.f, plan.g)
        cap *= _RANGE
    return _emd(cost, a, b)


def _emd(cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Return what the network simplex finds for costs in units of their mean."""
    import ot

    unit = cost.mean().item() or 1.0
    found, log = ot.emd(
        a.numpy(), b.numpy(), (cost / unit).numpy(), numItermax=10_000_000, log=True
    )
    plan = torch.from_numpy(found)
    i, j = plan.nonzero(as_tuple=True)
    f, g = (torch.from_numpy(log[name]) * unit for name in "uv")
    return Plan(i, j, plan[i, j], f, g)


def _usual(cost: Tensor, least: float = 0.0) -> float:
    """Return a low quantile of the costs above the least, 0 where there are none."""
    step = max(1, cost.numel() // _SAMPLE)
    while math.gcd(step, cost.shape[1]) > 1:
        step += 1  # from all columns alike
    some = cost.flatten()[::step]
    some = some[some > least]
    return some.kthvalue(1 + int(_USUAL * len(some))).values.item() if len(some) else 0.0
