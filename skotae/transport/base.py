"""What the transport functions share: checks, costs, debiasing, gradients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skotae.exceptions import ConvergenceWarning
from skotae.transport.ground import Ground, check_ground
from skotae.utils._torch import check_readable, check_tensor
from skotae.utils.base import as_real, as_whole, brief

WeightedPair = tuple[str, str, float]

# What a debiased value is the sum of: pairs of clouds, or of their halves, each with its weight.
DEBIASING: dict[str, tuple[WeightedPair, ...]] = {
    "none": (("x", "y", 1.0),),
    "paired": (("x", "y", 1.0), ("x", "x", -0.5), ("y", "y", -0.5)),
    "independent": (
        ("x0", "y0", 0.25),
        ("x0", "y1", 0.25),
        ("x1", "y0", 0.25),
        ("x1", "y1", 0.25),
        ("x0", "x1", -0.5),
        ("y0", "y1", -0.5),
    ),
}
WEIGHTS = {"x": "a", "y": "b"}  # names of the clouds and of their weights


@dataclass(frozen=True)
class SinkhornInfo:
    """How a Sinkhorn solve ended.

    Attributes
    ----------
    n_iter : int
        Iterations, the largest number over the problems of a debiased value.
    marginal_violation : float
        Largest L1 distance between a plan's marginals and the weights.
    converged : bool
        Whether `marginal_violation` is at most `tol`, and the value in the range of its dtype.
    problems : tuple of SinkhornInfo
        Of a batch, the figures of each of its problems, of which the others are the largest, and
        whether all converged. Empty where there is no batch.
    """

    n_iter: int
    marginal_violation: float
    converged: bool
    problems: tuple[SinkhornInfo, ...] = ()


def gathered(each: Sequence[SinkhornInfo]) -> SinkhornInfo:
    """Return the figures of a batch from those of its problems."""
    return SinkhornInfo(
        max((one.n_iter for one in each), default=0),
        largest(0.0, *(one.marginal_violation for one in each)),
        all(one.converged for one in each),
        tuple(each),
    )


def check_cost(cost: Tensor, *, batches: bool = False) -> None:
    """Raise ValueError unless `cost` is a matrix, or a batch, of floating-point numbers."""
    check_tensor(cost, "cost")
    wrong = cost.ndim < 2 or (cost.ndim > 2 and not batches) or 0 in cost.shape[-2:]
    if wrong or not cost.is_floating_point():
        form = "matrix, or a batch of them" if batches else "matrix"
        raise ValueError(
            f"cost must be a non-empty floating-point {form}, got shape "
            f"{tuple(cost.shape)} and dtype {cost.dtype}."
        )


def check_clouds(
    x: Tensor, y: Tensor, *, may_be_empty: bool = False, batches: bool = False, names: Any = "xy"
) -> None:
    """Raise ValueError unless `x` (n, d) and `y` (m, d) are clouds in one space.

    Or batches of them, of one shape (..., n, d) and (..., m, d), where these are allowed.
    """
    both = " and ".join(names)
    for name, cloud in zip(names, (x, y), strict=True):
        check_tensor(cloud, name)
        if cloud.ndim < 2 or (cloud.ndim > 2 and not batches):
            shape = tuple(cloud.shape)
            form = "(points, features)" + (" or (batch, points, features)" if batches else "")
            raise ValueError(f"{name} must have shape {form}, got {shape}.")
        if not cloud.is_floating_point():
            raise ValueError(f"{name} must be of a floating-point dtype, got {cloud.dtype}.")
        if cloud.shape[-1] == 0 or (cloud.shape[-2] == 0 and not may_be_empty):
            raise ValueError(f"{name} is empty: its shape is {tuple(cloud.shape)}.")
    if x.shape[-1] != y.shape[-1]:
        sizes = f"{x.shape[-1]} and {y.shape[-1]}"
        raise ValueError(f"{both} must have the same number of features, got {sizes}.")
    if x.shape[:-2] != y.shape[:-2]:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{both} must be as many clouds, got shapes {shapes}: expand one of them.")
    if x.device != y.device:
        raise ValueError(f"{both} must be on one device, got {x.device} and {y.device}.")


def check_weights(name: str, weights: Tensor | None, points: int) -> None:
    """Raise ValueError unless `weights` is None or `points` non-negative numbers, not all zero."""
    check_weight_shape(name, weights, (points,))
    check_weight_values(name, weights)


def check_weight_shape(name: str, weights: Tensor | None, *shapes: tuple[int, ...]) -> None:
    """Raise ValueError unless `weights` is None or a tensor of one of the shapes."""
    if weights is None:
        return
    if isinstance(weights, Tensor) and tuple(weights.shape) in shapes:
        return check_readable(weights, name)
    shape = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
    form = " or ".join(map(str, dict.fromkeys(shapes)))
    raise ValueError(f"{name} must be a tensor of shape {form}, got {shape}.")


def check_weight_values(name: str, weights: Tensor | None) -> None:
    """Raise ValueError unless `weights` is None or not negative, of positive sum along rows."""
    if weights is None or weights.numel() == 0:
        return
    values = weights.detach()
    total = values.sum(-1, dtype=widest(values))
    if bool((values < 0).any()) or not bool(((total > 0) & total.isfinite()).all()):
        raise ValueError(
            f"{name} must be finite, non-negative, of positive sum, itself finite, got values from "
            f"{float(values.min()):g} to {float(values.max()):g}."
        )


def check_slope(name: str, weights: Tensor | None, wanted: bool) -> None:
    """Raise ValueError where a gradient of sharp values is `wanted` for weights of zero."""
    if wanted and weights is not None and bool((weights == 0).any()):
        raise ValueError(
            f"sharp=True has no gradient for {name} where it is zero: leave these points out, or "
            "detach the weights."
        )


def check_clouds_or_cost(
    x: Tensor | None,
    y: Tensor | None,
    cost: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    *,
    batches: bool = False,
) -> tuple[int, ...]:
    """Return the shape (n, m) of a problem, or (..., n, m) of a batch where these are allowed.

    Raises
    ------
    ValueError
        Unless there are either two clouds or a cost alone, and weights of fitting lengths.
    """
    if cost is None:
        if x is None:
            raise ValueError("Either x or cost must be given, got neither.")
        if y is None:
            raise ValueError("x must be given with y, got x alone.")
        check_clouds(x, y, batches=batches)
        shape = (*x.shape[:-1], y.shape[-2])
    else:
        if x is not None or y is not None:
            raise ValueError("cost must be given alone, got x or y as well.")
        check_cost(cost, batches=batches)
        shape = tuple(cost.shape)
    *batch, n, m = shape
    for name, weights, points in (("a", a, n), ("b", b, m)):
        check_weight_shape(name, weights, (points,), (*batch, points))
        check_weight_values(name, weights)
    return shape


def warn_unless_converged(
    info: SinkhornInfo,
    tol: float,
    max_iter: int,
    dtype: torch.dtype = torch.float64,
    names: str = "x and y",
) -> None:
    """Warn of problems that missed `tol`, and of values that `dtype` does not hold."""
    if info.converged:
        return
    solved = [one for one in info.problems or (info,) if not math.isnan(one.marginal_violation)]
    missed = [one for one in solved if not one.converged and one.marginal_violation > tol]
    if len([one for one in solved if not one.converged]) > len(missed):
        warn_beyond(dtype, names, stacklevel=4)
    if missed:
        where = f" in {len(missed)} of {len(info.problems)} problems" if info.problems else ""
        worst = max(missed, key=lambda one: one.marginal_violation)
        warnings.warn(
            f"Sinkhorn stopped after {worst.n_iter} iterations (max_iter={max_iter}) with marginal "
            f"violation {worst.marginal_violation:.1e} > tol={tol:g}{where}. Increase `max_iter`, "
            "`epsilon` or `tol`.",
            ConvergenceWarning,
            stacklevel=3,
        )


def is_beyond(value: float, dtype: torch.dtype) -> bool:
    """Whether a number is finite, but not in a dtype."""
    held = torch.finfo(dtype)
    return math.isfinite(value) and abs(value) > held.max * (1.0 + held.eps / 4.0)


def warn_beyond(dtype: torch.dtype, names: str, *, stacklevel: int = 3) -> None:
    """Warn that a value is infinite because it is out of range."""
    way_out = "" if dtype == torch.float64 else ", or pass float64"
    warnings.warn(
        f"A value is beyond the range of {dtype}, and infinite: rescale {names}{way_out}.",
        RuntimeWarning,
        stacklevel=stacklevel,
    )


def warn_if_infinite(value: Tensor, names: str) -> None:
    """The same, of a value that is; not where reading it would wait for a device."""
    if value.device.type == "cpu" and bool(value.detach().isinf()):
        warn_beyond(value.dtype, names, stacklevel=4)


def within_range(result: Tensor, dtype: torch.dtype, what: str, names: str) -> Tensor:
    """Return a result in a dtype, or raise ValueError where it is infinite; NaN is passed on."""
    narrow = result.to(dtype)
    if math.isfinite(narrow.sum().item()):  # isinf() of a matrix is slow
        return narrow
    if bool(narrow.isinf().any()):
        most = result.nan_to_num(0.0, math.inf, -math.inf).abs().max().item()
        raise ValueError(
            f"{names} must be such that the {what} is in the range of {dtype}, got {most:.3g}: "
            "rescale, or pass float64."
        )
    return narrow


def check_solver(
    epsilon: float, tol: float, max_iter: int, p: float = 2, metric: str = "minkowski"
) -> tuple[float, float, int, Ground]:
    """The options of a solver as Python's numbers, and the ground cost, or a ValueError."""
    return (
        as_real("epsilon", epsilon, above=0),
        as_real("tol", tol, above=0),
        as_whole("max_iter", max_iter),
        check_ground(p, metric),
    )


def check_rho(rho: float | tuple[float, float]) -> tuple[float, float]:
    """The prices of mass in x and in y, or a ValueError; one of a pair may be infinite."""
    if not isinstance(rho, (tuple, list)):
        return (as_real("rho", rho, above=0),) * 2
    if len(rho) != 2 or all(price == math.inf for price in rho):
        raise ValueError(
            f"rho must be one number, or two of which one is finite, got {brief(rho)}."
        )
    first, second = (
        math.inf if price == math.inf else as_real("rho", price, above=0) for price in rho
    )
    return first, second


def check_unbalanced(
    rho: float | tuple[float, float], unbalanced_type: str
) -> tuple[tuple[float, float], str]:
    """The prices of mass, and what is paid for, or a ValueError."""
    if unbalanced_type not in ("kl", "tv"):
        raise ValueError(f"unbalanced_type must be 'kl' or 'tv', got {brief(unbalanced_type)}.")
    return check_rho(rho), unbalanced_type


def check_start(
    start: tuple[Tensor, Tensor] | None, *shapes: tuple[int, ...]
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The potentials to start from, without gradient, or a ValueError if they are not of shapes."""
    if start is None:
        return None, None
    if not isinstance(start, (tuple, list)) or len(start) != 2:
        raise ValueError(f"potentials_init must be two tensors, got {brief(start)}.")
    for potential, shape in zip(start, shapes, strict=True):
        given = potential.shape if isinstance(potential, Tensor) else type(potential).__name__
        if given != shape:
            raise ValueError(f"potentials_init must be of shapes {shapes}, got {brief(given)}.")
        check_readable(potential, "potentials_init")
    return start[0].detach(), start[1].detach()


def check_debias(debias: str, *, known: Iterable[str] = DEBIASING) -> None:
    if debias not in (known := tuple(known)):
        raise ValueError(
            f"debias must be one of {', '.join(map(repr, known))}, got {brief(debias)}."
        )


def largest(*values: float) -> float:
    """Return the largest value; NaN, which `max` may lose, if one is."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which autocast does not lower the precision of products."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


class _FirstOrderOnly(torch.autograd.Function):
    """Identity on a gradient that refuses, by name, to be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(name: str, gradient: Tensor, *sources: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.name = inputs[0]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            f"{ctx.name} cannot be differentiated twice: its gradient is a closed form that "
            "autograd does not see through."
        )


def in_double(tensor: Tensor) -> Tensor:
    """Return the numbers of a tensor for a solver of the CPU in float64, without gradient."""
    return tensor.detach().cpu().double()


def saved_gradients(name: str, ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients that a forward pass saved after its inputs, times that of its value."""
    # Activation checkpointing makes them anew, once: read once.
    half = len(saved := ctx.saved_tensors) // 2
    gradients = [None if each is None else grad_output * each for each in saved[half:]]
    return first_order_only(name, gradients, saved[:half])


def first_order_only(
    name: str, gradients: Sequence[Tensor | None], sources: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of a backward pass, such that a second derivative raises.

    `torch.autograd.function.once_differentiable` would drop the second-order term in silence
    where the incoming gradient is a constant.
    """
    if not torch.is_grad_enabled():
        return tuple(gradients)
    given = [source for source in sources if source is not None]
    return tuple(
        None if gradient is None else _FirstOrderOnly.apply(name, gradient.detach(), *given)
        for gradient in gradients
    )


def parts(debias: str, n: int, m: int) -> dict[str, slice]:
    """Return the rows of the clouds, or halves, that a debiased value compares, by their names.

    A single point is its own second half.
    """
    rows: dict[str, slice] = {}
    for cloud, points in (("x", n), ("y", m)):
        half = points // 2
        if debias == "independent":
            rows |= {f"{cloud}0": slice(0, max(half, 1)), f"{cloud}1": slice(half, points)}
        else:
            rows[cloud] = slice(0, points)
    return rows


def masses_of(weights: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return `weights` (n,) or (B, n), or uniform ones of sum one, in the dtype of `like`."""
    if weights is None:
        return like.new_full(shape, 1.0 / shape[-1])
    return weights.detach().to(like)


def normalised_weights(
    weights: Tensor | None, shape: int | tuple[int, ...], like: Tensor
) -> Tensor:
    """Return the same, divided by their sums."""
    masses = masses_of(weights, (shape,) if isinstance(shape, int) else shape, like)
    return masses if weights is None else masses / masses.sum(-1, keepdim=True)


def widest(holder: Any) -> torch.dtype:
    """Return float64, or float32 where the device of `holder` has no float64 (MPS)."""
    return torch.float32 if holder.device.type == "mps" else torch.float64
