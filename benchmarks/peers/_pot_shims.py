"""Shims with the signatures of POT's functions over those of skotae: what they share; exact ones.

They are thin: what they do beside the call is a change of names, kinds and conventions, each of
which is said where it is made. What has no equivalent raises `Missing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse

from skotae import transport


class Missing(Exception):
    """What a call asks for has no equivalent."""


def tensor(value: Any) -> torch.Tensor | None:
    """A tensor of float64, or None of nothing and of an empty list, which mean uniform weights."""
    if sparse.issparse(value) or (isinstance(value, torch.Tensor) and value.is_sparse):
        raise Missing("sparse costs")
    if value is None or len(value) == 0:
        return None
    if isinstance(value, (np.ndarray, list, tuple)):
        return torch.as_tensor(np.asarray(value, dtype=float))
    if not isinstance(value, torch.Tensor):
        raise Missing(f"arrays of {type(value).__module__}")
    return value.double()


def given(value: Any) -> torch.Tensor:
    found = tensor(value)
    assert found is not None
    return found


def back(result: torch.Tensor, like: Any) -> Any:
    """In the kind and dtype of an argument."""
    if isinstance(like, torch.Tensor):
        return result.to(like)
    return result.numpy().astype(np.asarray(like).dtype) if result.ndim else float(result)


def plain(options: dict[str, Any], *known: str) -> None:
    """Raise Missing if an option is given that has no equivalent; some change no result."""
    asked = {name for name, value in options.items() if value is not None and value is not False}
    other = asked - set(known)
    if other:
        raise Missing(f"options {sorted(other)}")


def weights_of(a: Any, b: Any, M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sides = (tensor(a), tensor(b))
    return tuple(  # type: ignore[return-value]
        torch.full((n,), 1 / n).double() if side is None else side
        for side, n in zip(sides, M.shape, strict=True)
    )


def logarithm(weights: torch.Tensor) -> torch.Tensor:
    return weights.clamp_min(1e-300).log()


def check_method(method: str, known: tuple[str, ...]) -> None:
    if method.lower() not in known:
        raise ValueError(f"Unknown method '{method}'.")


def emd(a: Any, b: Any, M: Any, *_: Any, log: bool = False, **options: Any) -> Any:
    plain(options, "numItermax", "numThreads", "center_dual", "check_marginals")
    costs, weights = given(M), tensor(a)
    for side, points in ((weights, len(costs)), (tensor(b), costs.shape[1])):
        assert side is None or len(side) == points, "Dimension mismatch"
    if weights is not None and tensor(b) is not None:
        # Its sums must agree; ours are made to.
        assert torch.isclose(weights.sum(), given(b).sum(), rtol=1e-6), "sums differ"
    plan, f, g = transport.exact_plan(cost=costs, a=weights, b=tensor(b), return_potentials=True)
    total = 1.0 if weights is None else weights.sum().detach()
    found = back(total * plan, M)
    value = back((total * plan * costs).sum(), M)
    notes = {"cost": value, "u": back(f, M), "v": back(g, M), "warning": None, "result_code": 1}
    return (found, notes) if log else found


def emd2(a: Any, b: Any, M: Any, *_: Any, log: bool = False, **options: Any) -> Any:
    plain(
        options,
        *("numItermax", "numThreads", "center_dual", "check_marginals", "processes"),
        *("return_matrix",),
    )
    costs, weights, second = given(M), tensor(a), tensor(b)
    if second is not None and second.ndim == 2:
        found = [emd2(a, each, M, log=log, **options) for each in second.T]
        return found if log else np.array([float(each) for each in found])
    total = 1.0 if weights is None else weights.sum().detach()
    value = back(total * transport.exact_cost(cost=costs, a=weights, b=second), M)
    if not log:
        return value
    plan, notes = emd(a, b, M, log=True)
    return value, {**notes, "G": plan}


def emd2_1d(
    x_a: Any,
    x_b: Any,
    a: Any = None,
    b: Any = None,
    metric: str = "sqeuclidean",
    p: float = 1.0,
    **options: Any,
) -> Any:
    plain(options, "dense")
    plan_of = emd_1d(x_a, x_b, a, b, metric, p, log=True)[1]
    return back(torch.as_tensor(plan_of["cost"]).double(), x_a)


def emd_1d(
    x_a: Any,
    x_b: Any,
    a: Any = None,
    b: Any = None,
    metric: str = "sqeuclidean",
    p: float = 1.0,
    dense: bool = True,
    log: bool = False,
    check_marginals: bool = True,
) -> Any:
    powers = {"sqeuclidean": 2.0, "euclidean": 1.0, "cityblock": 1.0, "minkowski": p}
    if metric not in powers:
        raise Missing(f"metric {metric}")
    if not dense:
        raise Missing("sparse plans")
    x, y = given(x_a), given(x_b)
    assert all(each.ndim == 1 or each.shape[1] == 1 for each in (x, y)), (
        "emd_1d is of one dimension"
    )
    x, y = x.reshape(-1, 1), y.reshape(-1, 1)
    # Its cost of "minkowski" is |x - y|^p, and it takes no root.
    power = powers[metric]
    weights = tensor(a), tensor(b)
    plan = transport.exact_plan(x, y, p=power, a=weights[0], b=weights[1])
    total = 1.0 if weights[0] is None else weights[0].sum().detach()
    cost = (total * plan * (x - y.T).abs().pow(power)).sum()
    found = back(total * plan, x_a)
    return (found, {"cost": back(cost, x_a)}) if log else found


def wasserstein_1d(
    u_values: Any,
    v_values: Any,
    u_weights: Any = None,
    v_weights: Any = None,
    p: float = 1,
    require_sort: bool = True,
    return_plans: bool = False,
) -> Any:
    if return_plans or not require_sort or p < 1:
        raise Missing("plans, sorted values, or p below 1")
    u, v = given(u_values), given(v_values)
    sides = tensor(u_weights), tensor(v_weights)
    if u.ndim == 1:
        u, v = u[:, None], v[:, None]
    ones = torch.ones(1, 1).double()
    found = []
    for k in range(u.shape[1]):
        a, b = (w if w is None or w.ndim == 1 else w[:, k] for w in sides)
        found.append(
            transport.sliced_wasserstein(
                u[:, k : k + 1], v[:, k : k + 1], directions=ones, p=p, a=a, b=b
            )
        )
    return back(torch.stack(found) if np.ndim(u_values) > 1 else found[0], u_values)
