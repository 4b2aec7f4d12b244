"""Values and gradients of the entropic problems that make up a debiased Sinkhorn value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.transport.base import (
    Scaling,
    SinkhornInfo,
    cost_gradients,
    debias_terms,
    mean_cost,
    normalised_weights,
    pairwise_cost,
    solve,
    solve_symmetric,
    widest,
)

_LN2 = math.log(2.0)


@dataclass(frozen=True)
class Options:
    """Arguments of `sinkhorn_divergence` that are not tensors."""

    epsilon: float
    relative: bool
    tol: float
    max_iter: int
    p: float
    debias: str
    sharp: bool


@dataclass
class Outcome:
    """A debiased value, its gradients by input name, and how the solves ended."""

    value: Tensor
    gradients: dict[str, Tensor]
    info: SinkhornInfo


@dataclass
class _Batch:
    """Problems of one shape: clouds (B, n, d), (B, m, d), weights (B, n), (B, m)."""

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    same: bool


def evaluate(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, options: Options, wanted: set[str]
) -> Outcome:
    """Return the debiased value of two clouds and its gradients for the `wanted` inputs.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
    a, b : Tensor of shape (n,) and (m,), or None
    options : Options
    wanted : set of str
        Among "x", "y", "a", "b".

    Returns
    -------
    Outcome
        In float64 where the device has it.
    """
    wide = widest(x)
    points = {"x": x.detach().to(wide), "y": y.detach().to(wide)}
    raw = {"x": a, "y": b}
    full = {name: normalised_weights(raw[name], len(points[name]), points[name]) for name in "xy"}
    mean = mean_cost(points["x"], points["y"], full["x"], full["y"], options.p)
    inputs = {"x": x, "y": y, "a": a, "b": b}
    gradients = {
        name: torch.zeros(tensor.shape, dtype=wide, device=tensor.device)
        for name in wanted
        if (tensor := inputs[name]) is not None
    }
    value = torch.zeros((), dtype=wide, device=x.device)
    if not math.isfinite(mean):
        for gradient in gradients.values():
            gradient.fill_(math.nan)
        return Outcome(value + math.nan, gradients, SinkhornInfo(0, math.nan, False))
    if mean == 0.0 and options.relative:
        return Outcome(value, gradients, SinkhornInfo(0, 0.0, True))
    # Below 1e-12 of the mean cost float64 cannot tell the plan from an unregularised one.
    epsilon = max(options.epsilon * (mean if options.relative else 1.0), 1e-12 * mean)
    depth = mean / epsilon / _LN2
    exacting = x.dtype == torch.float64 or options.tol < 2e-5 or options.sharp or depth > 160
    dtype = wide if exacting else torch.float32

    clouds, terms = debias_terms(options.debias, len(x), len(y))
    sizes = [rows.stop - rows.start for _, rows in clouds]
    groups: dict[tuple[int, int, bool], list[tuple[int, int, float]]] = {}
    for i, j, coefficient in terms:
        groups.setdefault((sizes[i], sizes[j], i == j), []).append((i, j, coefficient))
    n_iter, violation = 0, 0.0
    for (_, _, same), members in groups.items():
        left, right = [clouds[i] for i, _, _ in members], [clouds[j] for _, j, _ in members]
        batch = _Batch(
            torch.stack([points[name][rows] for name, rows in left]),
            torch.stack([points[name][rows] for name, rows in right]),
            torch.stack([_part(full[name], rows) for name, rows in left]),
            torch.stack([_part(full[name], rows) for name, rows in right]),
            same,
        )
        values, (grad_x, grad_y), (grad_a, grad_b), result = _solve(batch, epsilon, dtype, options)
        n_iter = max(n_iter, result.n_iter)
        violation = max(violation, result.violation.amax().item())
        for k, (_, _, coefficient) in enumerate(members):
            value = value + coefficient * values[k]
            for (name, rows), grad, potential in (
                (left[k], grad_x, grad_a),
                (right[k], grad_y, grad_b),
            ):
                if name in gradients:
                    gradients[name][rows] += coefficient * grad[k]
                weight = "a" if name == "x" else "b"
                if weight in gradients:
                    total = raw[name][rows].detach().sum().to(wide)  # type: ignore[index]
                    gradients[weight][rows] += coefficient * potential[k] / total
    return Outcome(value, gradients, SinkhornInfo(n_iter, violation, violation <= options.tol))


def _part(weights: Tensor, rows: slice) -> Tensor:
    part = weights[rows]
    return part / part.sum()


def _solve(
    batch: _Batch, epsilon: float, dtype: torch.dtype, options: Options
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor], Scaling]:
    """Return values, point gradients, weight gradients and the scaling of a batch."""
    squared = options.p == 2
    if squared:
        # Centring changes the potentials only: the shift returns in the value and the gradient.
        centre_x, centre_y = batch.a[:, None] @ batch.x, batch.b[:, None] @ batch.y
        shift = centre_x - centre_y
        centred_x, centred_y = batch.x - centre_x, batch.y - centre_y
        unit = math.sqrt(2.0 / (epsilon * _LN2))
        x, y = (centred_x * unit).to(dtype), (centred_y * unit).to(dtype)
        norm_x, norm_y = x.square().sum(2) / 2, y.square().sum(2) / 2
        log_kernel = torch.baddbmm(norm_x[:, :, None], x, y.mT, beta=-1).sub_(norm_y[:, None])
        depth = ((batch.a * norm_x).sum(1) + (batch.b * norm_y).sum(1)).amax().item()
    else:
        shift = torch.zeros_like(batch.x[:, :1])
        cost = torch.stack(
            [pairwise_cost(u, v, options.p) for u, v in zip(batch.x, batch.y, strict=True)]
        )
        depth = cost.mean((1, 2)).amax().item() / epsilon / _LN2
        log_kernel = (cost / (-epsilon * _LN2)).to(dtype)
    tol = min(options.tol, 1e-8) if options.sharp else options.tol
    arguments = {"tol": tol, "max_iter": options.max_iter, "depth": depth}
    if batch.same:
        result = solve_symmetric(log_kernel, batch.a, **arguments)  # type: ignore[arg-type]
    else:
        result = solve(log_kernel, batch.a, batch.b, **arguments)  # type: ignore[arg-type]

    wide = batch.x.dtype
    a, b = batch.a, batch.b
    f, g = result.f[:, 0] * (epsilon * _LN2), result.g[:, 0] * (epsilon * _LN2)
    values = (a * f).sum(1) + (b * g).sum(1) + shift.square().sum((1, 2))
    if squared:  # the potentials of the clouds where they are
        f = f + 2 * (centred_x @ shift.mT)[:, :, 0]
        g = g - 2 * (centred_y @ shift.mT)[:, :, 0]
    kernel, left, right = result.kernel, result.left, result.right
    right_last = b[:, None].to(kernel.dtype) / torch.bmm(left, kernel)  # exact column sums
    weight_gradients = (f - (a * f).sum(1, keepdim=True), g - (b * g).sum(1, keepdim=True))
    if squared and not options.sharp:
        mean_y = torch.bmm(kernel, right.mT * y).mul_(left.mT).to(wide)
        mean_x = torch.bmm(kernel.mT, left.mT * x).mul_(right_last.mT).to(wide)
        grad_x = 2 * (a[:, :, None] * (centred_x + shift) - mean_y / unit)
        grad_y = 2 * (b[:, :, None] * (centred_y - shift) - mean_x / unit)
        return values, (grad_x, grad_y), weight_gradients, result
    scaled = left.mT * kernel
    by_rows, by_columns = (scaled * right).to(wide), (scaled * right_last).to(wide)
    pairs = []
    for k in range(len(a)):
        if options.sharp:
            plan = by_rows[k]
            cost_k = pairwise_cost(centred_x[k], centred_y[k]) if squared else cost[k]
            values[k] = (plan * cost_k).sum() + shift[k].square().sum()
            sensitivity = sharp_sensitivity(plan, cost_k, epsilon)
            pairs.append(cost_gradients(sensitivity, batch.x[k], batch.y[k], options.p))
        else:
            pairs.append(
                (
                    cost_gradients(by_rows[k], batch.x[k], batch.y[k], options.p)[0],
                    cost_gradients(by_columns[k], batch.x[k], batch.y[k], options.p)[1],
                )
            )
    grad_x, grad_y = (torch.stack([pair[side] for pair in pairs]) for side in (0, 1))
    return values, (grad_x, grad_y), weight_gradients, result


def sharp_sensitivity(plan: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    """Return ``d <P, C> / dC`` where the plan `P` moves with `C`.

    Differentiating ``P 1 = a`` and ``P^T 1 = b`` gives
    ``P_ij (1 + (phi_i + psi_j - C_ij) / epsilon)`` with
    ``[[diag(a), P], [P^T, diag(b)]] (phi, psi) = ((C * P) 1, (C * P)^T 1)``: a symmetric system,
    singular along (1, -1) but consistent, solved through its Schur complement.
    """
    a, b = plan.sum(1), plan.sum(0)
    inverse_b = torch.where(b > 0, 1 / b, torch.zeros_like(b))
    work = plan * cost
    alpha, beta = work.sum(1), work.sum(0) * inverse_b
    # Scaling by a^(-1/2) makes the spectrum lie in [0, 1]; sqrt(a) spans the null space.
    root = a.sqrt()
    inverse_root = torch.where(root > 0, 1 / root, torch.zeros_like(root))
    half = plan * inverse_root[:, None] * inverse_b.sqrt()
    schur = torch.outer(root, root) - half @ half.T
    schur.diagonal().add_(1.0)
    rhs = (alpha - plan @ beta) * inverse_root
    factor, failed = torch.linalg.cholesky_ex(schur)
    if failed.item() == 0 and factor.diagonal().amin().item() > 1e-6:
        solution = torch.cholesky_solve(rhs[:, None], factor)[:, 0]
    else:  # a nearly disconnected plan: the least-norm solution
        spectrum, vectors = torch.linalg.eigh(schur)
        keep = spectrum > 1e-12
        inverse = torch.where(keep, 1 / spectrum.clamp_min(1e-12), torch.zeros_like(spectrum))
        solution = vectors @ (inverse * (vectors.T @ rhs))
    phi = solution * inverse_root
    psi = beta - (plan.T @ phi) * inverse_b
    return plan * (1 + (phi[:, None] + psi - cost) / epsilon)
