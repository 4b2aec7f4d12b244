"""Shims over entropic transport and barycentres.

Scalings of POT's are ``u = a exp(f / reg)`` and ``v = b exp(g / reg)``.
"""

from __future__ import annotations

from typing import Any

import ot
import torch
from _pot_shims import Missing, back, check_method, given, logarithm, plain, tensor, weights_of

from skotae import transport

METHODS = (
    "sinkhorn",
    "sinkhorn_log",
    "greenkhorn",
    "sinkhorn_stabilized",
    "sinkhorn_epsilon_scaling",
)


def sinkhorn(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    method: str = "sinkhorn",
    numItermax: int = 1000,
    stopThr: float = 1e-9,
    log: bool = False,
    warmstart: Any = None,
    **options: Any,
) -> Any:
    plain(
        options, "verbose", "warn", "tau", "evalStep", "print_period", "epsilon0", "numInnerItermax"
    )
    check_method(method, METHODS)
    costs = given(M)
    second = tensor(b)
    if second is not None and second.ndim == 2:
        parts = [sinkhorn2(a, each, M, reg, method, numItermax, stopThr) for each in second.T]
        values = torch.stack([torch.as_tensor(each).double() for each in parts])
        return (back(values, M), {}) if log else back(values, M)
    if any(isinstance(each, torch.Tensor) and each.requires_grad for each in (a, b, M)):
        raise Missing("a plan that is differentiated")
    weights = weights_of(a, b, costs)
    start = None
    if warmstart is not None:
        start = tuple(
            reg * (given(each) - logarithm(w)) for each, w in zip(warmstart, weights, strict=True)
        )
    how = {
        "epsilon": float(reg),
        "relative": False,
        "tol": max(stopThr, 1e-12),
        "max_iter": numItermax,
    }
    arguments = {"cost": costs, "a": weights[0], "b": weights[1], "potentials_init": start, **how}
    plan = back(weights[0].sum().detach() * transport.sinkhorn_plan(**arguments), M)
    if not log:
        return plan
    f, g, info = transport.sinkhorn_potentials(**arguments)
    logs = [w.log() + each / reg for w, each in zip(weights, (f, g), strict=True)]
    notes = {
        **{name: back(each.exp(), M) for name, each in zip("uv", logs, strict=True)},
        **{f"log_{name}": back(each, M) for name, each in zip("uv", logs, strict=True)},
        "alpha": back(f, M),
        "beta": back(g, M),
        "warmstart": tuple(back(each, M) for each in logs),
        "niter": info.n_iter,
        "n_iter": info.n_iter,
        "err": [info.marginal_violation],
    }
    return plan, notes


def sinkhorn2(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    method: str = "sinkhorn",
    numItermax: int = 1000,
    stopThr: float = 1e-9,
    log: bool = False,
    warmstart: Any = None,
    **options: Any,
) -> Any:
    """<P, M> at the entropic plan."""
    plain(options, "verbose", "warn", "tau", "evalStep", "print_period")
    check_method(method, METHODS[:2] + METHODS[3:4])
    second = tensor(b)
    if second is not None and second.ndim == 2:
        return sinkhorn(a, b, M, reg, method, numItermax, stopThr, log)
    costs = given(M)
    weights = weights_of(a, b, costs)
    value = transport.sinkhorn_cost(
        costs, epsilon=float(reg), relative=False, a=weights[0], b=weights[1], sharp=True
    )
    found = back(weights[0].sum().detach() * value, M)
    if not log:
        return found
    detached = [each.detach() if isinstance(each, torch.Tensor) else each for each in (a, b, M)]
    return found, sinkhorn(*detached, reg, method, numItermax, stopThr, True, warmstart)[1]


def empirical(X_s: Any, X_t: Any, metric: str) -> Any:
    """Costs between points, as POT makes them."""
    return ot.dist(X_s, X_t, metric=metric)


def empirical_sinkhorn(
    X_s: Any,
    X_t: Any,
    reg: float,
    a: Any = None,
    b: Any = None,
    metric: str = "sqeuclidean",
    numIterMax: int = 10000,
    stopThr: float = 1e-9,
    isLazy: bool = False,
    batchSize: Any = 100,
    log: bool = False,
    warmstart: Any = None,
    **options: Any,
) -> Any:
    plain(options, "verbose", "warn")
    plan, notes = sinkhorn(
        a, b, empirical(X_s, X_t, metric), reg, "sinkhorn", numIterMax, stopThr, True, warmstart
    )
    if isLazy and log:
        raise Missing("a lazy plan")
    if isLazy:
        return notes["log_u"], notes["log_v"]
    return (plan, notes) if log else plan


def empirical_sinkhorn2(
    X_s: Any,
    X_t: Any,
    reg: float,
    a: Any = None,
    b: Any = None,
    metric: str = "sqeuclidean",
    numIterMax: int = 10000,
    stopThr: float = 1e-9,
    isLazy: bool = False,
    batchSize: Any = 100,
    log: bool = False,
    warmstart: Any = None,
    **options: Any,
) -> Any:
    plain(options, "verbose", "warn")
    costs = empirical(X_s, X_t, metric)
    return sinkhorn2(a, b, costs, reg, "sinkhorn", numIterMax, stopThr, log, warmstart)


def empirical_sinkhorn_divergence(
    X_s: Any,
    X_t: Any,
    reg: float,
    a: Any = None,
    b: Any = None,
    metric: str = "sqeuclidean",
    **options: Any,
) -> Any:
    """Of <P, M> at the entropic plans, without the entropy."""
    plain(options, "verbose", "warn", "numIterMax", "stopThr")
    powers = {"sqeuclidean": 2, "euclidean": 1}
    if metric not in powers:
        raise Missing(f"metric {metric}")
    found = transport.sinkhorn_divergence(
        given(X_s),
        given(X_t),
        epsilon=float(reg),
        relative=False,
        p=powers[metric],
        metric="euclidean",
        a=tensor(a),
        b=tensor(b),
        sharp=True,
    )
    return back(found.clamp_min(0), X_s)


# Barycentres.


def barycenter(
    A: Any, M: Any, reg: float, weights: Any = None, method: str = "sinkhorn", log: bool = False,
    debias: str = "none", **options: Any,
) -> Any:  # fmt: skip
    plain(options, "numItermax", "stopThr", "verbose", "warn", "tau")
    check_method(method, METHODS[:2] + METHODS[3:4])
    histograms = given(A).T
    found = transport.fixed_support_barycenter(
        histograms / histograms.sum(1, keepdim=True),
        given(M),
        epsilon=float(reg),
        relative=False,
        weights=tensor(weights),
        debias=debias,
        max_iter=options.get("numItermax", 10_000),
        tol=max(options.get("stopThr", 1e-4), 1e-5),
    )
    result = back(found, A)
    return (result, {"err": [0.0], "niter": 1}) if log else result


def barycenter_debiased(*arguments: Any, **options: Any) -> Any:
    if options.get("method") == "sinkhorn_stabilized":
        raise ValueError("Unknown method 'sinkhorn_stabilized'.")
    return barycenter(*arguments, debias="paired", **options)


def convolutional_barycenter2d(
    A: Any, reg: float, weights: Any = None, method: str = "sinkhorn", log: bool = False,
    debias: str = "none", **options: Any,
) -> Any:  # fmt: skip
    plain(options, "numItermax", "stopThr", "verbose", "warn", "stabThr")
    check_method(method, METHODS[:2])
    images = given(A)
    if images.shape[1] != images.shape[2]:
        raise Missing("images that are not square")
    # Its steps are 1 / (n - 1), ours 1.
    found = transport.fixed_support_barycenter(
        images,
        epsilon=float(reg) * (images.shape[1] - 1) ** 2,
        relative=False,
        weights=tensor(weights),
        debias=debias,
        max_iter=options.get("numItermax", 10_000),
        tol=max(options.get("stopThr", 1e-4), 1e-5),
    )
    result = back(found, A)
    return (result, {"err": [0.0], "niter": 1}) if log else result


def convolutional_barycenter2d_debiased(*arguments: Any, **options: Any) -> Any:
    return convolutional_barycenter2d(*arguments, debias="paired", **{"stopThr": 1e-3, **options})


def free_support_barycenter(
    measures_locations: Any,
    measures_weights: Any,
    X_init: Any,
    b: Any = None,
    weights: Any = None,
    numItermax: int = 100,
    log: bool | None = None,
    reg: float | None = None,
    **options: Any,
) -> Any:
    plain(options, "stopThr", "numThreads", "verbose", "numInnerItermax")
    found = transport.free_support_barycenter(
        [given(each) for each in measures_locations],
        [given(each) for each in measures_weights],
        given(X_init),
        tensor(b),
        tensor(weights),
        max_iter=numItermax,
        epsilon=reg,
        relative=False,
    )
    result = back(found, X_init)
    return (result, {"displacement_square_norms": []}) if log else result


def free_support_sinkhorn_barycenter(
    measures_locations: Any,
    measures_weights: Any,
    X_init: Any,
    reg: float,
    *rest: Any,
    **options: Any,
) -> Any:
    return free_support_barycenter(
        measures_locations, measures_weights, X_init, *rest, reg=float(reg), **options
    )
