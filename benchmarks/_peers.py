"""The Sinkhorn divergence by other means, each at its best; every one returns a tensor.

All take clouds x (which wants a gradient) and y in float32 and the absolute epsilon; a cost is
``|x_i - y_j|²``. Where a `report` is given, the marginal violation or the number of iterations
goes into it; it is not given when time is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

Report = dict[str, Any]
PAIRS = ("xy", "xx", "yy")
SHARE = {"xy": 1.0, "xx": -0.5, "yy": -0.5}


def ours(x: Tensor, y: Tensor, epsilon: float, report: Report | None = None) -> Tensor:
    """With all options at their defaults; `epsilon` is relative here."""
    from skotae.transport import sinkhorn_divergence

    if report is None:
        return sinkhorn_divergence(x, y, epsilon=epsilon)
    value, info = sinkhorn_divergence(x, y, epsilon=epsilon, return_info=True)
    report.update(n_iter=info.n_iter, violation=info.marginal_violation)
    return value


@cache
def _samples_loss(eps: float, scaling: float) -> Callable[[Tensor, Tensor], Tensor]:
    from geomloss import SamplesLoss

    # Its cost is halved: so are epsilon (blur²) here, and the value, which is doubled below.
    return SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(eps / 2), scaling=scaling, backend="tensorized"
    )


def geomloss(
    x: Tensor, y: Tensor, eps: float, scaling: float, report: Report | None = None
) -> Tensor:
    return 2 * _samples_loss(eps, scaling)(x, y)


def pot_solve_sample(
    x: Tensor, y: Tensor, eps: float, tol: float, max_iter: int, report: Report | None = None
) -> Tensor:
    """POT's own divergence. `tol` is the L2 norm of the marginal error for all three problems."""
    import ot

    result = ot.solve_sample(
        x,
        y,
        metric="sqeuclidean",
        reg=eps,
        reg_type="KL",
        debias=True,
        grad="envelope",
        tol=tol,
        max_iter=max_iter,
    )
    if report is not None:
        plans = [result.log[name].plan for name in ("res_ab", "res_aa", "res_bb")]
        report["violation"] = max(_violation(plan) for plan in plans)
    return result.value


class _Envelope(torch.autograd.Function):
    """Value and gradient of `solve`, which has both at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, solve: Callable[..., Any]) -> Tensor:
        value, gradient = solve(x.detach(), y)
        ctx.save_for_backward(gradient)
        return x.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return grad_output * gradient, None, None


def pot_log(
    x: Tensor,
    y: Tensor,
    eps: float,
    stops: Mapping[str, float],
    max_iter: int,
    report: Report | None = None,
) -> Tensor:
    """`ot.sinkhorn` in the log domain, on torch tensors: NumPy's logsumexp is slower."""

    def solve(x: Tensor, y: Tensor) -> tuple[float, Tensor]:
        weights = x.new_full((len(x),), 1 / len(x))
        return _three_problems(x, y, eps, weights, "sinkhorn_log", stops, max_iter, report)

    return _Envelope.apply(x, y, solve)


def pot_by_hand(
    x: Tensor,
    y: Tensor,
    eps: float,
    stops: Mapping[str, float],
    max_iter: int,
    dtype: type,
    reduce: bool = False,
    report: Report | None = None,
) -> Tensor:
    """`ot.sinkhorn` with matrix-vector products, on NumPy arrays: nothing of POT is faster.

    `reduce` takes the minima of rows and columns out of the cost, so that no row or column of
    the kernel vanishes; it makes up for that in the value.
    """

    def solve(x: Tensor, y: Tensor) -> tuple[float, Tensor]:
        points, draws = (cloud.numpy().astype(dtype, copy=False) for cloud in (x, y))
        weights = np.full(len(points), 1 / len(points), dtype)
        value, gradient = _three_problems(
            points, draws, eps, weights, "sinkhorn", stops, max_iter, report, reduce
        )
        return value, torch.from_numpy(gradient).to(x.dtype)

    return _Envelope.apply(x, y, solve)


def _three_problems(
    x: Any,
    y: Any,
    eps: float,
    weights: Any,
    method: str,
    stops: Mapping[str, float],
    max_iter: int,
    report: Report | None,
    reduce: bool = False,
) -> tuple[float, Any]:
    """Value from the potentials, gradient from the plans, of arrays or tensors alike.

    The last half-iteration makes the rows of a plan exact, so that in
    ``2 (x · row sums - P y)`` the first part cancels between the two problems that matter.
    """
    import ot

    n = len(x)
    value, gradient = 0.0, 0.0
    for pair in PAIRS:
        left, right = (x if letter == "x" else y for letter in pair)
        cost = left @ right.T
        cost *= -2
        cost += (left * left).sum(1)[:, None]
        cost += (right * right).sum(1)
        if reduce and pair == "xy":  # the others have zeros on their diagonal
            rows = cost.min(1)
            cost -= rows[:, None]
            columns = cost.min(0)
            cost -= columns
            value += float(rows.mean() + columns.mean())
        plan, log = ot.sinkhorn(
            weights,
            weights,
            cost,
            eps,
            method=method,
            stopThr=stops[pair],
            numItermax=max_iter,
            log=True,
        )
        if method == "sinkhorn_log":
            potentials = log["log_u"].mean() + log["log_v"].mean()
        else:
            potentials = np.log(log["u"]).mean() + np.log(log["v"]).mean()
        value += SHARE[pair] * eps * (float(potentials) + 2 * math.log(n))
        if pair != "yy":
            gradient = gradient - (2 if pair == "xy" else -2) * (plan @ right)
        if report is not None:
            report["violation"] = max(report.get("violation", 0.0), _violation(plan))
    return value, gradient


def _violation(plan: Any) -> float:
    return max(float(abs(plan.sum(axis) - 1 / plan.shape[axis - 1]).sum()) for axis in (0, 1))


def unrolled(
    x: Tensor, y: Tensor, eps: float, tol: float, max_iter: int, report: Report | None = None
) -> Tensor:
    """Log-domain iterations, differentiated through all of them.

    The change of a potential is the marginal error, so that the test costs next to nothing. A
    cloud against itself takes the mean of the old and the new potential, which converges in some
    ten iterations. Potentials are in units of eps.
    """
    log_n = math.log(len(x))
    total, counts = 0.0, {}
    for pair in PAIRS:
        left, right = (x if letter == "x" else y for letter in pair)
        cost = torch.addmm(right.square().sum(1), left, right.T, alpha=-2)
        scaled = (cost + left.square().sum(1)[:, None]) / -eps
        f = x.new_zeros(len(x))
        g = f
        for i in range(max_iter):
            if pair == "xy":
                g = log_n - torch.logsumexp(scaled + f[:, None], 0)
                new = log_n - torch.logsumexp(scaled + g, 1)
                error = _relative_change(f, new)
                f = new
            else:
                g = f
                new = log_n - torch.logsumexp(scaled + f, 1)
                error = _relative_change(f, new)
                f = (f + new) / 2
            counts[pair] = i + 1
            if error <= tol:
                break
        total = total + SHARE[pair] * eps * (new.mean() + g.mean())
    if report is not None:
        report["n_iter"] = counts
    return total


@torch.no_grad()
def _relative_change(old: Tensor, new: Tensor) -> float:
    """L1 marginal error of the plan of the old potential; rows sum to exp(old - new) / n."""
    return torch.expm1(old - new).abs_().mean().item()
