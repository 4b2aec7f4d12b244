"""A value and, by the envelope theorem, its gradient in one pass; nothing is unrolled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import SinkhornInfo, first_order_only, full_precision


@dataclass
class Outcome:
    """A value, its gradients by input name, and how the solves ended."""

    value: float
    gradients: dict[str, Tensor]
    info: SinkhornInfo


Problem = Callable[[dict[str, Tensor], set[str]], Outcome]


class _Envelope(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        name: str,
        problem: Problem,
        report: list[SinkhornInfo],
        names: tuple[str, ...],
        first: Tensor,
        *others: Tensor | None,
    ) -> Tensor:
        tensors = (first, *others)
        inputs = zip(names, tensors, strict=True)
        given = {key: tensor for key, tensor in inputs if tensor is not None}
        needed = zip(names, ctx.needs_input_grad[4:], strict=True)
        with full_precision(first.device):
            outcome = problem(given, {key for key, need in needed if need})
        report.append(outcome.info)
        ctx.name = name
        ctx.save_for_backward(*tensors, *(outcome.gradients.get(key) for key in names))
        # Not new_full, which refuses what is beyond the range of the dtype.
        return torch.tensor(outcome.value, dtype=first.dtype, device=first.device)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        half = len(saved := ctx.saved_tensors) // 2
        inputs, saved = saved[:half], saved[half:]
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved]
        return (None, None, None, None, *first_order_only(ctx.name, gradients, inputs))


def differentiable(
    name: str, problem: Problem, **inputs: Tensor | None
) -> tuple[Tensor, SinkhornInfo]:
    """Return the value of a problem, differentiable once, and how the solves ended.

    Parameters
    ----------
    name : str
        Of the public function, for the error of a second derivative.
    problem : callable
        Function of the inputs that are there, and of the names of those whose gradients are wanted,
        that returns an `Outcome`, with gradients in the dtypes of the inputs and of their own
        memory: they are kept until the backward pass.
    **inputs : Tensor or None
        The first is there, and has the dtype of the value.
    """
    report: list[SinkhornInfo] = []
    value = _Envelope.apply(name, problem, report, tuple(inputs), *inputs.values())
    return value, report[0]
