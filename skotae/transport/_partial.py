"""Exact transport of a part of the mass: its cost and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from skotae.transport.base import SinkhornInfo, check_clouds_or_cost, in_double, warn_beyond
from skotae.transport.entropic.envelope import Outcome, differentiable
from skotae.transport.ground import Ground, check_ground
from skotae.transport.linear.plans import of_cost
from skotae.utils.base import as_real

_CRUMB = 1e-14  # share of the largest entry of a plan that is nothing but rounding
_SLACK = 1e-9  # share by which rounding of sums may make the mass larger than all there is


def partial_cost(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    mass: float | None = None,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> Tensor:
    r"""Least cost at which a part of the mass is transported.

    .. math::
        \min_{P \ge 0} \sum_{ij} P_{ij} C_{ij}, \qquad
        P 1 \le a,\; P^\top 1 \le b,\; \sum_{ij} P_{ij} = s

    Which points take part is chosen too: those that are cheap, so that outliers are left out. A
    network simplex (POT) solves it in float64 on the CPU, with a row and a column more that what is
    left of either side costs nothing to go to.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d), optional
        Clouds. Non-finite points give NaN.
    cost : Tensor of shape (n, m), optional
        Any finite costs instead of clouds, of any sign. The gradient is the plan.
    mass : float, optional
        Mass `s` to transport, above 0 and at most the smaller of the sums of `a` and `b`, which is
        the default.
    p : float, default=2
        Power of the distance between points of clouds that is their cost, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between points of clouds, as for :func:`exact_cost`.
    a, b : Tensor of shape (n,) and (m,), optional
        Masses of the points, not negative and not normalised; by default uniform, of sum one.
        Differentiable.

    Returns
    -------
    Tensor of shape ()
        In the dtype and on the device of `x` or `cost`; differentiable once. Where several plans
        or potentials are optimal, the gradient is that of one of them.

    Raises
    ------
    ValueError
        If a shape, dtype, mass or option is invalid, or an entry of `cost` is not finite.
    RuntimeError
        When differentiated twice.

    Warns
    -----
    RuntimeWarning
        If the value is beyond the range of its dtype; it is then infinite.

    References
    ----------
    .. [1] Caffarelli and McCann (2010), Free boundaries in optimal transport and Monge-Ampere
       obstacle problems, section 2.
    .. [2] Chapel, Alaya and Gasso (2020), Partial optimal transport with applications on
       positive-unlabeled learning, proposition 1.

    Examples
    --------
    Four fifths of the mass, and the outlier is left alone:

    >>> import torch
    >>> from skotae.transport import partial_cost
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]], requires_grad=True)
    >>> value = partial_cost(x, x.detach()[:4] + 0.5, mass=0.8)
    >>> value.backward()
    >>> round(value.item(), 3), x.grad[4].item()
    (0.2, 0.0)
    """
    check_clouds_or_cost(x, y, cost, a, b)
    problem = partial(_evaluate, mass=mass, ground=check_ground(p, metric))
    inputs = {"x": x, "y": y} if cost is None else {"cost": cost}
    value, info = differentiable("partial_cost", problem, **inputs, a=a, b=b)
    if not info.converged:
        warn_beyond(value.dtype, " and ".join(inputs))
    return value


def partial_plan(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    mass: float | None = None,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> Tensor:
    r"""Optimal plan of the transport of a part of the mass.

    Parameters
    ----------
    x, y, cost, mass, p, metric, a, b
        As for :func:`partial_cost`.

    Returns
    -------
    Tensor of shape (n, m)
        Of sum `mass`, with rows and columns of at most `a` and `b`. Without gradient, in the dtype
        and on the device of the input.

    Raises
    ------
    ValueError
        If a shape, dtype, mass or option is invalid, or a cost is not finite.

    References
    ----------
    .. [1] Chapel, Alaya and Gasso (2020), Partial optimal transport with applications on
       positive-unlabeled learning, proposition 1.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import partial_plan
    >>> x, y = torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [90.0]])
    >>> partial_plan(x, y, mass=0.5)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    check_clouds_or_cost(x, y, cost, a, b)
    given = {"x": x, "y": y, "cost": cost, "a": a, "b": b}
    inputs = {name: in_double(tensor) for name, tensor in given.items() if tensor is not None}
    found = _solved(inputs, mass, check_ground(p, metric))
    like = x if cost is None else cost
    if found is None or like is None:
        raise ValueError(f"x and y must be finite, with costs in the range of float64 for p={p:g}.")
    return found.plan.to(like)


@dataclass(frozen=True)
class _Found:
    """An optimal plan, and the derivatives of its cost by the masses, in float64."""

    cost: Tensor
    plan: Tensor
    a: Tensor
    b: Tensor


def _evaluate(
    inputs: dict[str, Tensor], wanted: set[str], *, mass: float | None, ground: Ground
) -> Outcome:
    """Return the value and its gradients: those of the cost of the plan, and the potentials."""
    doubles = {name: in_double(tensor) for name, tensor in inputs.items()}
    found = _solved(doubles, mass, ground)
    info = SinkhornInfo(0, 0.0, True)
    if found is None:
        nothing = {name: torch.full_like(inputs[name], torch.nan) for name in wanted}
        return Outcome(torch.nan, nothing, info)
    slopes = {"cost": found.plan, "a": found.a, "b": found.b}
    if wanted & {"x", "y"}:
        i, j = found.plan.nonzero(as_tuple=True)
        gap = doubles["x"][i] - doubles["y"][j]
        pulls = ground.along(gap)[1] * found.plan[i, j, None]
        slopes["x"] = torch.zeros_like(doubles["x"]).index_add_(0, i, pulls)
        slopes["y"] = torch.zeros_like(doubles["y"]).index_add_(0, j, -pulls)
    gradients = {name: slopes[name].to(inputs[name]) for name in wanted}
    return Outcome(float((found.plan * found.cost).sum()), gradients, info)


def _solved(inputs: dict[str, Tensor], mass: float | None, ground: Ground) -> _Found | None:
    """Return the optimal plan, or None where a cost between clouds is not finite."""
    cost = inputs.get("cost")
    if cost is None:
        cost = ground.fine_costs(inputs["x"], inputs["y"])
        if not bool(cost.isfinite().all()):
            return None
    n, m = cost.shape
    a = inputs.get("a", cost.new_full((n,), 1.0 / n))
    b = inputs.get("b", cost.new_full((m,), 1.0 / m))
    total_a, total_b = a.sum().item(), b.sum().item()
    least = min(total_a, total_b)
    moved = least if mass is None else as_real("mass", mass, above=0)
    if moved > least * (1.0 + _SLACK):
        raise ValueError(
            f"mass must be at most {least:g}, the smaller of the sums of a and b, got {moved:g}."
        )
    moved = min(moved, least)
    # No point takes more than all. Beside masses that are larger by far it would be lost.
    most_a, most_b = a.clamp(max=moved), b.clamp(max=moved)
    # Another row and column take what is not moved, for nothing: all costs are then above it, and
    # what would go from this row to this column is dearest.
    low = cost.min()
    whole = cost.new_zeros(n + 1, m + 1)
    whole[:n, :m] = cost - low
    whole[n, m] = 2.0 * whole.max() or 1.0
    rows = torch.cat([most_a, (most_b.sum() - moved).clamp(min=0)[None]])
    columns = torch.cat([most_b, (most_a.sum() - moved).clamp(min=0)[None]])
    found = of_cost(whole, rows, columns, potentials=True)
    plan = found.dense(n + 1, m + 1)[:n, :m]
    assert found.f is not None and found.g is not None
    # The solver leaves crumbs of its roundings, and its total has no more digits than the weights.
    plan[plan < _CRUMB * plan.max()] = 0.0
    plan *= moved / plan.sum()
    of_a, of_b = found.f[:n] + found.g[m], found.g[:m] + found.f[n]
    return _Found(cost, plan, of_a.where(a <= moved, 0.0), of_b.where(b <= moved, 0.0))
