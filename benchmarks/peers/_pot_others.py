"""Shims over unbalanced, partial, sliced and Gaussian transport, and over all by POT's `solve`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import torch
from _pot_entropic import empirical, sinkhorn
from _pot_shims import (
    Missing,
    back,
    check_method,
    emd,
    given,
    logarithm,
    plain,
    tensor,
    weights_of,
)
from ot.utils import OTResult

from skotae import transport

METHODS = (
    "sinkhorn",
    "sinkhorn_stabilized",
    "sinkhorn_reg_scaling",
    "sinkhorn_translation_invariant",
)


def unbalanced_parts(
    a: Any, b: Any, M: Any, reg: float, reg_m: Any, reg_type: str, c: Any, warmstart: Any,
    stopThr: float, numItermax: int, kind: str = "kl",
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:  # fmt: skip
    """The plan, the whole value and the logarithms of the scalings.

    Its entropy is relative to `c`, or to ones; ours to the product of the masses: costs change.
    """
    costs = given(M)
    masses = weights_of(a, b, costs)
    product = masses[0][:, None] * masses[1]
    if reg_type.lower() not in ("kl", "entropy"):
        raise ValueError(f"Unknown reg_type = {reg_type}")
    reference = torch.ones_like(product) if reg_type.lower() == "entropy" else product
    reference = reference if c is None else given(c)
    change = reg * (logarithm(product) - logarithm(reference))
    prices = [float(each) for each in np.ravel(np.asarray(reg_m, dtype=float))]
    rho = prices[0] if len(prices) == 1 else tuple(prices)
    if all(math.isinf(price) for price in prices):
        # Its iterations are then balanced ones, of masses of any totals.
        raise Missing("balanced transport by the unbalanced function")
    start = None
    if warmstart is not None:
        # exp(logu) diag(c) exp(logv), as P = a b exp((f + g - C) / reg) with changed costs.
        start = tuple(reg * given(each) for each in warmstart)
    how = {
        "epsilon": float(reg), "rho": rho, "relative": False, "tol": max(stopThr, 1e-12),
        "max_iter": numItermax, "a": masses[0], "b": masses[1], "potentials_init": start,
        "unbalanced_type": kind,
    }  # fmt: skip
    plan = transport.unbalanced_sinkhorn_plan(cost=costs.detach() + change, **how)
    value = transport.unbalanced_sinkhorn_cost(costs + change, **how)
    value = value + reg * (reference.sum() - product.sum())
    f, g, info = transport.unbalanced_sinkhorn_potentials(cost=costs.detach() + change, **how)
    notes = {"logu": back(f / reg, M), "logv": back(g / reg, M), "err": [info.marginal_violation]}
    return plan, value, notes


def sinkhorn_unbalanced(
    a: Any, b: Any, M: Any, reg: float, reg_m: Any, method: str = "sinkhorn", reg_type: str = "kl",
    c: Any = None, warmstart: Any = None, numItermax: int = 1000, stopThr: float = 1e-6,
    log: bool = False, **options: Any,
) -> Any:  # fmt: skip
    plain(options, "verbose", "tau")
    check_method(method, METHODS)
    second = tensor(b)
    if second is not None and second.ndim == 2:
        if log:
            raise Missing("a log of several histograms")
        return sinkhorn_unbalanced2(
            a,
            b,
            M,
            reg,
            reg_m,
            method,
            reg_type,
            c,
            warmstart,
            "linear",
            numItermax,
            stopThr,
            log=log,
        )
    plan, value, notes = unbalanced_parts(
        a, b, M, reg, reg_m, reg_type, c, warmstart, stopThr, numItermax
    )
    notes |= {"cost": back((plan * given(M)).sum(), M), "total_cost": back(value.detach(), M)}
    return (back(plan, M), notes) if log else back(plan, M)


def sinkhorn_unbalanced2(
    a: Any, b: Any, M: Any, reg: float, reg_m: Any, method: str = "sinkhorn", reg_type: str = "kl",
    c: Any = None, warmstart: Any = None, returnCost: str = "linear", numItermax: int = 1000,
    stopThr: float = 1e-6, log: bool = False, **options: Any,
) -> Any:  # fmt: skip
    plain(options, "verbose", "tau")
    check_method(method, METHODS)
    if returnCost not in ("linear", "total"):
        raise ValueError(f"Unknown returnCost = {returnCost}")
    second, costs = tensor(b), given(M)
    columns = [second] if second is None or second.ndim == 1 else list(second.T)
    values: list[torch.Tensor] = []
    for each in columns:
        start = warmstart if len(columns) == 1 else None
        plan, total, notes = unbalanced_parts(
            a, each, M, reg, reg_m, reg_type, c, start, stopThr, numItermax
        )
        values.append(total if returnCost == "total" else (plan * costs).sum())
    result = values[0] if len(columns) == 1 else torch.stack(values)
    return (back(result, M), notes) if log else back(result, M)


def partial_wasserstein(
    a: Any, b: Any, M: Any, m: float | None = None, *, log: bool = False, **options: Any
) -> Any:
    plain(options, "nb_dummies")
    plan = transport.partial_plan(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    cost = float((plan * given(M)).sum())
    found = back(plan, M)
    return (found, {"cost": cost, "partial_w_dist": cost}) if log else found


def partial_wasserstein2(
    a: Any, b: Any, M: Any, m: float | None = None, *, log: bool = False, **options: Any
) -> Any:
    plain(options, "nb_dummies")
    value = transport.partial_cost(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    if not log:
        return back(value, M)
    plan = transport.partial_plan(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    return back(value, M), {"T": back(plan, M), "cost": float(value)}


def gaussians(ms: Any, mt: Any, Cs: Any, Ct: Any) -> list[torch.Tensor]:
    if np.ndim(Cs) != 2 or np.ndim(Ct) != 2:
        raise Missing("batches of Gaussians")
    first, cov1, second, cov2 = (given(each) for each in (ms, Cs, mt, Ct))
    return [first.flatten(), cov1, second.flatten(), cov2]


def bures_wasserstein_mapping(ms: Any, mt: Any, Cs: Any, Ct: Any, log: bool = False) -> Any:
    A, b = transport.gaussian_map(*gaussians(ms, mt, Cs, Ct))
    found = back(A, Cs), back(b, Cs)
    return (*found, {}) if log else found


def bures_wasserstein_distance(
    ms: Any, mt: Any, Cs: Any, Ct: Any, paired: bool = False, log: bool = False, **options: Any
) -> Any:
    plain(options)
    sides = [given(each) for each in (ms, Cs, mt, Ct)]
    single = [side if side.ndim == 1 + k % 2 else None for k, side in enumerate(sides)]
    if None not in single or np.ndim(Cs) == 2 == np.ndim(Ct):
        found = transport.gaussian_wasserstein(*gaussians(ms, mt, Cs, Ct)).sqrt()
        return (back(found, Cs), {}) if log else back(found, Cs)
    # Of batches: all pairs, or those of equal places.
    means, covs, others, other_covs = (
        side if side.ndim == 2 + k % 2 else side[None] for k, side in enumerate(sides)
    )
    table = torch.stack(
        [
            torch.stack(
                [
                    transport.gaussian_wasserstein(m, c, n, d)
                    for n, d in zip(others, other_covs, strict=True)
                ]
            )
            for m, c in zip(means, covs, strict=True)
        ]
    ).sqrt()
    found = table.diagonal() if paired else table
    if not paired:
        for axis, side in ((1, sides[3]), (0, sides[1])):
            found = found.squeeze(axis) if side.ndim == 2 else found
    return (back(found, Cs), {}) if log else back(found, Cs)


def bures_distance(
    Cs: Any, Ct: Any, paired: bool = False, log: bool = False, nx: Any = None
) -> Any:
    first, second = (np.zeros(np.shape(each)[:-1]) for each in (Cs, Ct))
    return bures_wasserstein_distance(first, second, Cs, Ct, paired, log)


def fitted(xs: Any, reg: float, ws: Any, bias: bool) -> tuple[torch.Tensor, torch.Tensor]:
    points, weights = given(xs), tensor(ws)
    mean, cov = transport.fit_gaussian(points, None if weights is None else weights.flatten())
    if not bias:
        raise Missing("Gaussians without a mean")
    return mean, cov + reg * torch.eye(len(cov)).double()


def empirical_bures_wasserstein_mapping(
    xs: Any, xt: Any, reg: float = 1e-6, ws: Any = None, wt: Any = None, bias: bool = True,
    log: bool = False,
) -> Any:  # fmt: skip
    sides = *fitted(xs, reg, ws, bias), *fitted(xt, reg, wt, bias)
    A, b = transport.gaussian_map(*sides)
    found = back(A, xs), back(b[None], xs)
    notes = {"Cs": back(sides[1], xs), "Ct": back(sides[3], xs)}
    return (*found, notes) if log else found


def empirical_bures_wasserstein_distance(
    xs: Any, xt: Any, reg: float = 1e-6, ws: Any = None, wt: Any = None, bias: bool = True,
    log: bool = False,
) -> Any:  # fmt: skip
    sides = *fitted(xs, reg, ws, bias), *fitted(xt, reg, wt, bias)
    found = back(transport.gaussian_wasserstein(*sides).sqrt(), xs)
    return (found, {"Cs": back(sides[1], xs), "Ct": back(sides[3], xs)}) if log else found


def sliced_wasserstein_distance(
    X_s: Any, X_t: Any, a: Any = None, b: Any = None, n_projections: int = 50, p: float = 2,
    projections: Any = None, seed: Any = None, log: bool = False, scaler: Any = None,
) -> Any:  # fmt: skip
    plain({"scaler": scaler})
    x, y = given(X_s), given(X_t)
    if x.shape[1] != y.shape[1]:
        raise ValueError("X_s and X_t must have the same number of dimensions")
    if projections is None:
        projections = ot.sliced.get_random_projections(x.shape[1], n_projections, seed)
    ways = given(projections)
    masses = tensor(a), tensor(b)
    value = transport.sliced_wasserstein(
        x, y, directions=ways.T / ways.norm(dim=0)[:, None], p=p, a=masses[0], b=masses[1]
    )
    found = back(value ** (1 / p), X_s)
    if log:
        raise Missing("the cost along each direction")
    return found


def max_sliced_wasserstein_distance(
    X_s: Any, X_t: Any, a: Any = None, b: Any = None, n_projections: int = 50, p: float = 2,
    projections: Any = None, seed: Any = None, log: bool = False, scaler: Any = None,
) -> Any:  # fmt: skip
    """The maximum over all directions, where POT takes that over some."""
    plain({"scaler": scaler, "log": log, "projections": projections})
    x, y = given(X_s), given(X_t)
    if x.shape[1] != y.shape[1]:
        raise ValueError("X_s and X_t must have the same number of dimensions")
    generator = torch.Generator().manual_seed(seed if isinstance(seed, int) else 0)
    value = transport.max_sliced_wasserstein(
        x, y, p=p, generator=generator, a=tensor(a), b=tensor(b)
    )
    return back(value ** (1 / p), X_s)


def solve(
    M: Any, a: Any = None, b: Any = None, reg: Any = None, c: Any = None, reg_type: Any = "KL",
    unbalanced: Any = None, unbalanced_type: str = "KL", method: Any = None,
    potentials_init: Any = None, **options: Any,
) -> OTResult:  # fmt: skip
    plain(options, "n_threads", "max_iter", "tol", "verbose")
    if potentials_init is not None:
        raise Missing("potentials to start from")
    if not isinstance(reg_type, str):
        raise Missing("a regulariser of one's own")
    if reg_type.lower() not in ("kl", "entropy", "l2") or unbalanced_type.lower() not in (
        "kl",
        "tv",
        "l2",
    ):
        raise NotImplementedError(f"{reg_type}, {unbalanced_type}")
    if method is not None or "l2" in (
        reg_type.lower() * bool(reg),
        unbalanced_type.lower() * (unbalanced is not None),
    ):
        raise Missing("a method, or quadratic penalties")
    costs = given(M)
    weights = weights_of(a, b, costs)
    if not reg:
        if unbalanced is not None:
            raise Missing("unbalanced transport without entropy")
        plan, notes = emd(a, b, M, log=True)
        value = (
            transport.exact_cost(cost=costs, a=weights[0], b=weights[1]) * weights[0].sum().detach()
        )
        return result(back(value, M), plan, costs, (notes["u"], notes["v"]), M)
    if unbalanced is None:
        if c is not None:
            raise Missing("a reference measure in balanced transport")
        plan, notes = sinkhorn(
            *(detached(each) for each in (a, b, M)),
            reg,
            stopThr=options.get("tol") or 1e-9,
            numItermax=options.get("max_iter") or 1000,
            log=True,
        )
        value = transport.sinkhorn_cost(
            costs, epsilon=float(reg), relative=False, tol=1e-9, a=weights[0], b=weights[1]
        )
        if reg_type.lower() == "entropy":
            value = value + reg * sum((w * logarithm(w)).sum() for w in weights)
        return result(back(value, M), plan, costs, (notes["log_u"], notes["log_v"]), M)
    plan, value, notes = unbalanced_parts(
        a, b, M, float(reg), unbalanced, reg_type, c, None, 1e-9, 5000, unbalanced_type.lower()
    )
    return result(back(value, M), back(plan, M), costs, (notes["logu"], notes["logv"]), M)


def detached(each: Any) -> Any:
    return each.detach() if isinstance(each, torch.Tensor) else each


def result(value: Any, plan: Any, costs: torch.Tensor, potentials: Any, like: Any) -> OTResult:
    linear = back((given(plan) * costs).sum(), like)
    return OTResult(potentials, value, linear, None, plan, {}, ot.backend.get_backend(like))


def solve_sample(
    X_a: Any, X_b: Any, a: Any = None, b: Any = None, metric: str = "sqeuclidean", reg: Any = None,
    lazy: bool = False, method: Any = None, debias: bool = False, **options: Any,
) -> OTResult:  # fmt: skip
    if lazy or method is not None or debias:
        raise Missing("lazy plans, or a method")
    return solve(empirical(X_a, X_b, metric), a, b, reg, **options)
