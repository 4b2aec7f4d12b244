"""A value and, by the envelope theorem, its gradient in one pass; nothing is unrolled."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    first_order_only,
    full_precision,
    gathered,
    is_beyond,
    widest,
)
from skotae.transport.entropic.arrays import Array, as_tensor

_ELEMENTS = 2**19  # of the kernels of problems that are solved together
_NUMBERS = 2**16  # of a side of them


@dataclass
class Outcome:
    """A value, or those of a batch, with gradients by input name, and how the solves ended."""

    value: float | Array
    gradients: dict[str, Tensor]
    info: SinkhornInfo


Problem = Callable[[dict[str, Tensor], set[str]], Outcome]


class Batch:
    """The outcomes of a batch of problems, as they come.

    Parameters
    ----------
    inputs : dict of str to Tensor
        With as many axes before those of one problem as `outer` says.
    wanted : set of str
    outer : int

    Attributes
    ----------
    inputs : dict of str to Tensor
        With one axis for all problems.
    values : Tensor of shape (B,)
        In the widest dtype.
    gradients : dict of str to Tensor
    infos : list of SinkhornInfo or None
        None of a problem without an outcome.
    """

    def __init__(self, inputs: dict[str, Tensor], wanted: set[str], outer: int):
        first = next(iter(inputs.values()))
        self._shape, self.wanted = first.shape[:outer], wanted
        size = math.prod(self._shape)
        self.inputs = {
            name: tensor.detach().reshape(size, *tensor.shape[outer:])
            for name, tensor in inputs.items()
        }
        self.values = torch.zeros(size, dtype=widest(first), device=first.device)
        self.gradients = {name: torch.zeros_like(self.inputs[name]) for name in wanted}
        self.infos: list[SinkhornInfo | None] = [None] * size

    def put(
        self,
        places: list[int],
        values: Array,
        gradients: dict[str, Tensor],
        infos: list[SinkhornInfo],
    ) -> None:
        """Set the outcomes of some problems."""
        self.values[places] = as_tensor(values)
        for name, gradient in gradients.items():
            target = self.gradients[name]
            target[places] = gradient.to(target.dtype)
        for place, info in zip(places, infos, strict=True):
            self.infos[place] = info

    def fill(self, problem: Problem) -> None:
        """Solve, one by one, what has no outcome yet."""
        for k, info in enumerate(self.infos):
            if info is None:
                given = {name: tensor[k] for name, tensor in self.inputs.items()}
                outcome = problem(given, self.wanted)
                self.values[k], self.infos[k] = float(outcome.value), outcome.info
                for name in self.wanted:
                    self.gradients[name][k] = outcome.gradients[name]

    def outcome(self) -> Outcome:
        """Return all as one."""
        info = gathered([info for info in self.infos if info is not None])
        gradients = {
            name: gradient.reshape(*self._shape, *gradient.shape[1:])
            for name, gradient in self.gradients.items()
        }
        return Outcome(self.values.reshape(self._shape), gradients, info)


def chunks(
    size: int, elements: int, numbers: int, dtype: torch.dtype, max_bytes: float
) -> Iterator[slice]:
    """Yield problems to solve together, whose kernels stay in the processor's cache.

    Parameters
    ----------
    size : int
        Number of problems.
    elements : int
        Of the kernels of one.
    numbers : int
        Of a side of one.
    dtype : torch.dtype
        Of the kernels.
    max_bytes : float
        Of all kernels.
    """
    together = int(min(_ELEMENTS, max_bytes // dtype.itemsize)) // elements
    together = min(together, _NUMBERS // numbers)
    if together >= 2:
        for start in range(0, size, together):
            yield slice(start, min(start + together, size))


@dataclass
class _Call:
    """What is no tensor in a call: the function's name, its problem, and where its report goes."""

    name: str
    problem: Problem
    batches: Problem | None
    names: tuple[str, ...]
    ndim: int  # of the first input of one problem
    wanted: set[str]
    report: list[SinkhornInfo]

    def outcome(self, inputs: dict[str, Tensor]) -> Outcome:
        """Solve the problem, or each of a batch."""
        outer = inputs[self.names[0]].ndim - self.ndim
        if not outer:
            return self.problem(inputs, self.wanted)
        if self.batches is not None:
            return self.batches(inputs, self.wanted)
        batch = Batch(inputs, self.wanted, outer)
        batch.fill(self.problem)
        return batch.outcome()


class _Envelope(torch.autograd.Function):
    """The value and, beside it, the gradients that are wanted, in the order of the inputs."""

    @staticmethod
    def forward(call: _Call, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        inputs = zip(call.names, tensors, strict=True)
        given = {key: tensor for key, tensor in inputs if tensor is not None}
        first = given[call.names[0]]
        with full_precision(first.device):
            outcome = call.outcome(given)
        info = outcome.info
        if isinstance(outcome.value, float):
            # Not new_full, which refuses what is beyond the range of the dtype.
            value = torch.tensor(outcome.value, dtype=first.dtype, device=first.device)
            if is_beyond(outcome.value, first.dtype):
                info = replace(info, converged=False)
        else:
            values = as_tensor(outcome.value)
            value = values.to(first.dtype)
            if value.dtype != values.dtype:
                lost = (value.isinf() & values.isfinite()).flatten().tolist()
                each = zip(info.problems, lost, strict=True)
                info = gathered([replace(o, converged=o.converged and not out) for o, out in each])
        call.report.append(info)
        return value, *(outcome.gradients[key] for key in call.names if key in call.wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call = inputs[0]
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output[1:])

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        call, saved = ctx.call, ctx.saved_tensors
        if grad_output is None:
            return (None,) * (1 + len(call.names))
        inputs, found = saved[: len(call.names)], iter(saved[len(call.names) :])
        gradients: list[Tensor | None] = []
        for key in call.names:
            gradient = next(found) if key in call.wanted else None
            if gradient is not None:
                inner = (1,) * (gradient.ndim - grad_output.ndim) if grad_output.ndim else ()
                factor = grad_output.reshape(grad_output.shape + inner) if inner else grad_output
                gradient = factor * gradient
            gradients.append(gradient)
        return (None, *first_order_only(call.name, gradients, inputs))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: _Call, *tensors: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Hand the whole batch on, as another axis in front."""
        batched = [
            None
            if tensor is None
            else tensor.expand(info.batch_size, *tensor.shape)
            if dim is None
            else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, in_dims[1:], strict=True)
        ]
        # Below this level of transforms gradients may be wanted that were not above it.
        within = replace(
            call, wanted=call.wanted | _wanted(dict(zip(call.names, batched, strict=True)))
        )
        value, *gradients = _Envelope.apply(within, *batched)
        keys = [key for key in call.names if key in within.wanted]
        kept = [g for key, g in zip(keys, gradients, strict=True) if key in call.wanted]
        return (value, *kept), (0,) * (1 + len(kept))


class _AsGiven(inspect.Signature):
    """What torch binds the arguments of each call to: none is left out, or given by its name."""

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        return SimpleNamespace(args=args, kwargs=kwargs, apply_defaults=_nothing)


def _nothing() -> None:
    """There are no defaults."""


# Finding the signature and binding to it take a third of the time of a call that does nothing.
_Envelope.forward.__signature__ = _AsGiven()  # type: ignore[attr-defined]


def _wanted(inputs: dict[str, Tensor | None]) -> set[str]:
    """Return the names of the inputs that require a gradient."""
    if not torch.is_grad_enabled():
        return set()
    return {key for key, tensor in inputs.items() if tensor is not None and tensor.requires_grad}


def differentiable(
    name: str,
    problem: Problem,
    batches: Problem | None = None,
    ndim: int | None = None,
    **inputs: Tensor | None,
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
    batches : callable, optional
        The same for inputs with more axes in front: given ones, or those that ``torch.func.vmap``
        makes. Without it they are solved one by one.
    ndim : int, optional
        Axes of the first input of one problem; by default all that it has.
    **inputs : Tensor or None
        The first is there, and has the dtype of the value.
    """
    # An optimiser's step is enough for torch.compile to be there.
    evaluated = _never_compiled() if "torch._dynamo" in sys.modules else _differentiable
    return evaluated(name, problem, batches, ndim, inputs)


@cache
def _never_compiled() -> Callable[..., tuple[Tensor, SinkhornInfo]]:
    """Return what torch.compile goes on after: it would take NumPy's arrays for tensors."""
    return torch.compiler.disable(_differentiable)


def _differentiable(
    name: str,
    problem: Problem,
    batches: Problem | None,
    ndim: int | None,
    inputs: dict[str, Tensor | None],
) -> tuple[Tensor, SinkhornInfo]:
    names, (first, *others) = tuple(inputs), inputs.values()
    assert first is not None
    call = _Call(name, problem, batches, names, ndim or first.ndim, _wanted(inputs), [])
    value, *_ = _Envelope.apply(call, first, *others)
    return value, call.report[0]
