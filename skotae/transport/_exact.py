"""Exact optimal transport: its cost, its plan and its dual potentials."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

import torch
from torch import Tensor

from skotae.transport.base import (
    check_clouds_or_cost,
    in_double,
    is_beyond,
    normalised_weights,
    saved_gradients,
    warn_beyond,
    within_range,
)
from skotae.transport.ground import Ground, check_ground
from skotae.transport.linear.plans import of_clouds, of_cost

Solved = tuple[Tensor, dict[str, Tensor]]
# Of tensors by name, and whether any needs a gradient.
Problem = Callable[[dict[str, Tensor], bool], Solved]


class _ExactFunction(torch.autograd.Function):
    """Cost of the optimal plan, a constant of the gradient with respect to the points."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, names: tuple[str, ...], *inputs: Tensor | None
    ) -> Tensor:
        given = dict(zip(names, inputs, strict=True))
        doubles = {name: in_double(tensor) for name, tensor in given.items() if tensor is not None}
        needed = ctx.needs_input_grad[2:]
        value, gradients = problem(doubles, any(needed))
        if not math.isfinite(value.item()):
            gradients = {name: torch.full_like(each, math.nan) for name, each in doubles.items()}
            value = torch.full_like(value, math.nan)
        ctx.save_for_backward(
            *inputs,
            *(
                gradients[name].to(tensor) if need and tensor is not None else None
                for (name, tensor), need in zip(given.items(), needed, strict=True)
            ),
        )
        first = inputs[0]
        assert first is not None
        if is_beyond(value.item(), first.dtype):
            warn_beyond(first.dtype, "cost" if names[0] == "cost" else "x and y")
        return value.to(first)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *saved_gradients("exact_cost", ctx, grad_output))


def _between(inputs: dict[str, Tensor], needed: bool, *, ground: Ground) -> Solved:
    """Return value and gradients of two clouds."""
    x, y, a, b = (inputs.get(name) for name in ("x", "y", "a", "b"))
    assert x is not None and y is not None
    plan = of_clouds(x, y, a, b, ground, potentials=False)
    if plan is None:
        return x.new_full((), math.nan), {}
    cost, slope = ground.along(x[plan.i] - y[plan.j])
    value = plan.mass @ cost
    if not needed:
        return value, {}
    slope = slope * plan.mass[:, None]
    gradients = {
        "x": torch.zeros_like(x).index_add_(0, plan.i, slope),
        "y": torch.zeros_like(y).index_add_(0, plan.j, -slope),
        **_weight_gradients(inputs, {"a": plan.f, "b": plan.g}),
    }
    return value, gradients


def _of_matrix(inputs: dict[str, Tensor], needed: bool) -> Solved:
    """Return value and gradients of a cost matrix."""
    cost = inputs["cost"]
    plan = of_cost(cost, inputs.get("a"), inputs.get("b"), potentials=False)
    value = plan.mass @ cost[plan.i, plan.j]
    if not needed:
        return value, {}
    gradients = _weight_gradients(inputs, {"a": plan.f, "b": plan.g})
    return value, {"cost": plan.dense(*cost.shape), **gradients}


def _weight_gradients(
    inputs: dict[str, Tensor], potentials: dict[str, Tensor | None]
) -> dict[str, Tensor]:
    """Return the gradients with respect to weights before their division by their sum."""
    gradients = {}
    for name, potential in potentials.items():
        if name in inputs and potential is not None:
            total = inputs[name].sum()
            gradients[name] = (potential - potential @ inputs[name] / total) / total
    return gradients


def exact_cost(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
) -> Tensor:
    r"""Exact optimal-transport cost between two point clouds, or of a cost matrix.

    .. math::
        \min_{P 1 = a,\; P^\top 1 = b} \sum_{ij} P_{ij} C_{ij},
        \qquad C_{ij} = \sum_k |x_{ik} - y_{jk}|^p

    Sorting in one dimension, in memory of n + m; else an assignment for equal sizes and uniform
    weights (scipy), or a network simplex (POT). Computed in float64 on the CPU.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d), optional
        Clouds. Non-finite points give NaN.
    cost : Tensor of shape (n, m), optional
        Any finite costs instead of clouds, of any sign. The gradient is the plan.
    p : float, default=2
        Power of the distance between points of clouds that is their cost, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between points of clouds: the `p`-norm of their difference, as in the formula, or
        the Euclidean one, so that :math:`C_{ij} = \|x_i - y_j\|_2^p`. The same for ``p=2``.
    a, b : Tensor of shape (n,) and (m,), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.

    Returns
    -------
    Tensor of shape ()
        In the dtype and on the device of `x` or `cost`; differentiable once. Where several plans
        or potentials are optimal, the gradient is that of one of them.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, or an entry of `cost` is not finite.

    Warns
    -----
    RuntimeWarning
        If the value is beyond the range of its dtype; it is then infinite.

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
    >>> exact_cost(cost=torch.tensor([[1.0, 0.0], [5.0, 3.0]]))
    tensor(2.)
    """
    check_clouds_or_cost(x, y, cost, a, b)
    ground = check_ground(p, metric)
    if cost is not None:
        return _ExactFunction.apply(_of_matrix, ("cost", "a", "b"), cost, a, b)
    problem = partial(_between, ground=ground)
    return _ExactFunction.apply(problem, ("x", "y", "a", "b"), x, y, a, b)


@overload
def exact_plan(
    x: Tensor | None = ...,
    y: Tensor | None = ...,
    *,
    cost: Tensor | None = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_potentials: Literal[False] = ...,
) -> Tensor: ...


@overload
def exact_plan(
    x: Tensor | None = ...,
    y: Tensor | None = ...,
    *,
    cost: Tensor | None = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_potentials: Literal[True],
) -> tuple[Tensor, Tensor, Tensor]: ...


@overload
def exact_plan(
    x: Tensor | None = ...,
    y: Tensor | None = ...,
    *,
    cost: Tensor | None = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_potentials: bool,
) -> Tensor | tuple[Tensor, Tensor, Tensor]: ...


def exact_plan(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
    return_potentials: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    r"""Optimal plan of exact transport, with its dual potentials if they are asked for.

    The potentials solve the dual problem

    .. math::
        \max_{f_i + g_j \le C_{ij}} \sum_i a_i f_i + \sum_j b_j g_j,

    whose value is that of :func:`exact_cost`, and :math:`f_i + g_j = C_{ij}` where
    :math:`P_{ij} > 0` (complementary slackness).

    Parameters
    ----------
    x, y, cost, p, metric, a, b
        As for :func:`exact_cost`.
    return_potentials : bool, default=False
        Also return `f` and `g`. They come from the network simplex, which for equal sizes and
        uniform weights is slower than the assignment.

    Returns
    -------
    plan : Tensor of shape (n, m)
        Without gradient, in the dtype and on the device of the input; at most ``n + m - 1`` entries
        are not zero.
    f, g : Tensor of shape (n,) and (m,)
        Only if `return_potentials`. Without gradient, of equal means ``<a, f> = <b, g>``.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, a cost is not finite, or a result is
        beyond the range of its dtype.

    References
    ----------
    .. [1] Peyre and Cuturi (2019), Computational optimal transport, section 3.3.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import exact_plan
    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [1.0], [2.0]])
    >>> a = torch.tensor([2.0, 1.0])
    >>> plan, f, g = exact_plan(x, y, a=a, return_potentials=True)
    >>> plan
    tensor([[0.0000, 0.3333, 0.3333],
            [0.3333, 0.0000, 0.0000]])
    >>> f[:, None] + g <= (x - y.T) ** 2 + 1e-6
    tensor([[True, True, True],
            [True, True, True]])
    """
    n, m = check_clouds_or_cost(x, y, cost, a, b)
    ground = check_ground(p, metric)
    row, column = (None if weights is None else in_double(weights) for weights in (a, b))
    if cost is not None:
        first = cost
        found = of_cost(in_double(cost), row, column, potentials=return_potentials)
    else:
        assert x is not None and y is not None
        first = x
        solved = of_clouds(
            in_double(x), in_double(y), row, column, ground, potentials=return_potentials
        )
        if solved is None:
            raise ValueError(
                f"x and y must be finite, with costs in the range of float64 for p={ground.p:g}."
            )
        found = solved
    plan = found.dense(n, m).to(first)
    if not return_potentials:
        return plan
    f, g = found.f, found.g
    assert f is not None and g is not None
    shift = (normalised_weights(row, n, f) @ f - normalised_weights(column, m, g) @ g) / 2.0
    names = "x and y" if cost is None else "cost"
    f, g = (within_range(each, first.dtype, "potential", names) for each in (f - shift, g + shift))
    return plan, f.to(first), g.to(first)
