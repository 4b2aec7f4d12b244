"""Transport along directions: the mean over them, and where they come from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import (
    check_clouds,
    check_weights,
    normalised_weights,
    saved_gradients,
    widest,
)
from skotae.transport.linear.line import transport_rows
from skotae.utils._torch import check_tensor


class SlicedFunction(torch.autograd.Function):
    """Mean over directions (L, d), with `shares` (L,) if they are not equal.

    The sorting permutations are constants of the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        directions: Tensor,
        a: Tensor | None,
        b: Tensor | None,
        p: float,
        shares: Tensor | None,
    ) -> Tensor:
        needs_x, needs_y, needs_directions, *needs_weights = ctx.needs_input_grad[:5]
        wanted = needs_x or needs_directions, needs_y or needs_directions, *needs_weights
        with torch.autocast(x.device.type, enabled=False):
            # Sums of far-away clouds need the centre removed; it cancels in every difference.
            centre = y.detach().mean(0)
            clouds = [cloud.detach() - centre for cloud in (x, y)]
            px, py = (directions @ cloud.T for cloud in clouds)
            masses = shared_out(a, b, x, y)
            values, grads = transport_rows(px, py, p, *masses, wanted=wanted)
            share = 1.0 / len(directions)
            if shares is not None:
                grads = [None if grad is None else grad * shares[:, None] for grad in grads]
                share = 1.0
            saved: list[Tensor | None] = [None] * 5
            grad_x, grad_y, *potentials = grads
            if needs_x and grad_x is not None:
                saved[0] = grad_x.T @ directions * share
            if needs_y and grad_y is not None:
                saved[1] = grad_y.T @ directions * share
            if needs_directions and grad_x is not None and grad_y is not None:
                saved[2] = (grad_x @ clouds[0] + grad_y @ clouds[1]) * share
            for k, raw, mass, potential in zip((3, 4), (a, b), masses, potentials, strict=True):
                if raw is not None and mass is not None and potential is not None:
                    # Weights are divided by their sum, so that only differences count.
                    mean = potential.sum(0) * share
                    saved[k] = ((mean - mean @ mass) / raw.detach().sum()).to(raw)
            ctx.save_for_backward(x, y, directions, a, b, *saved)
            return values.mean() if shares is None else values @ shares

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return (*saved_gradients("A sliced distance", ctx, grad_output), None, None)


def shared_out(
    a: Tensor | None, b: Tensor | None, x: Tensor, y: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return weights of sum one, in the widest dtype; none where all are equal."""
    if a is None and b is None:
        return None, None
    like = torch.empty(0, dtype=widest(x), device=x.device)
    return normalised_weights(a, len(x), like), normalised_weights(b, len(y), like)


def random_directions(count: int, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return directions (count, d), uniform on the sphere."""
    device = x.device if generator is None else generator.device
    try:
        directions = torch.randn(count, x.shape[1], generator=generator, device=device)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise MemoryError(
            f"{count} directions of {x.shape[1]} features are more than there is memory for: take "
            "fewer, as n_projections or n_starts."
        ) from error
    return torch.nn.functional.normalize(directions.to(x), dim=1)


def unit_directions(directions: Tensor, x: Tensor) -> Tensor:
    """Return given directions, each divided by its length."""
    check_tensor(directions, "directions")
    if not directions.is_floating_point():
        raise ValueError(f"directions must be a floating-point tensor, got {directions.dtype}.")
    if directions.ndim != 2 or len(directions) == 0 or directions.shape[1] != x.shape[1]:
        raise ValueError(
            f"directions must have shape (directions, {x.shape[1]}), got {tuple(directions.shape)}."
        )
    wide = directions.to(device=x.device, dtype=widest(x))
    lengths = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    if not bool(((lengths > 0) & lengths.isfinite()).all()):
        raise ValueError("directions must be finite and none of them zero.")
    return (wide / lengths).to(x)


def check_slices(x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None) -> None:
    """Raise ValueError unless clouds and weights are such as can be projected and compared."""
    check_clouds(x, y)
    if x.dtype != y.dtype:
        raise ValueError(f"x and y must have one dtype, got {x.dtype} and {y.dtype}.")
    check_weights("a", a, len(x))
    check_weights("b", b, len(y))
