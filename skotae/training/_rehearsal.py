"""A step before the first one, taken to see what comes of it, and undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from skotae.training._batches import Rows, batch_indices
from skotae.training._state import TrainingState
from skotae.training.base import Step, Trainable, total
from skotae.utils._random import GlobalStream, child_seed

# Two passes of the same numbers through the same weights may differ by rounding.
ROUNDING = 1e-4


class Rehearsed(Protocol):
    """What a rehearsal asks of a `Trainer`, whose file imports this one."""

    model: Trainable
    rows: Rows
    seed: int
    batch_size: int
    state: TrainingState
    draws: tuple[bool, bool]

    def generator(self, stream: str, device: Any = None) -> torch.Generator: ...

    def not_finite(self) -> str | None: ...


def rehearse(trainer: Rehearsed) -> None:
    """Take a step and look at it, then undo it: what cannot be trained fails before training.

    Parameters
    ----------
    trainer : Trainer
        Before its first step. Its `draws` is told: whether networks draw from torch's global
        generator in training, and in evaluation mode.

    Raises
    ------
    ValueError
        If no gradient reaches a part that has weights, if a network whose outputs are finite in
        training gives others in evaluation mode, or if a step cannot be undone.
    """
    model, generator = trainer.model, trainer.generator
    index = _first(trainer)
    batch = trainer.rows[index]

    def step(training: bool) -> Step:
        return _step(trainer, index, training)

    def outputs() -> dict[str, Tensor]:
        model.eval()
        with torch.no_grad(), _stream(trainer).borrowed():
            return dict(model.outputs(batch, generator("validation")))

    start = outputs()
    model.train()
    stream = _stream(trainer)
    before = stream.states
    with stream.borrowed():
        loss = total(model.terms(batch, step(True)))
        if loss.requires_grad:
            loss.backward()
        reached = {id(p) for p in model.parameters() if p.grad is not None}
        if len(trainer.state.optimisers) > 1:
            total(model.inner_terms(batch, step(True))).backward()
    in_training = _moved(before, stream)
    model.zero_grad(set_to_none=True)
    model.load_state(trainer.state.good.weights)
    _check_reached(model, reached)
    _check_undone(start, outputs())
    before = stream.states
    with torch.no_grad(), stream.borrowed():
        total(model.terms(batch, step(False)))
        model.outputs(batch, generator("validation"))
    trainer.draws = in_training, _moved(before, stream)
    bad = trainer.not_finite()
    model.load_state(trainer.state.good.weights)
    if bool(loss.isfinite()) and bad is not None:
        raise ValueError(
            f"The {bad} gives values that are not finite in evaluation mode, although the "
            "loss is finite in training mode; look at what it does where self.training is "
            "False."
        )


def terms_by_batch(trainer: Rehearsed) -> Iterator[Mapping[str, Tensor]]:
    """The terms of all rows in training mode, a mini-batch at a time, for the weights of now."""
    trainer.model.train()
    for index in batch_indices(torch.arange(len(trainer.rows)), trainer.batch_size):
        with _stream(trainer).borrowed():
            terms = trainer.model.terms(trainer.rows[index], _step(trainer, index, True))
        yield terms


def _first(trainer: Rehearsed) -> Tensor:
    return torch.arange(min(len(trainer.rows), trainer.batch_size))


def _step(trainer: Rehearsed, index: Tensor, training: bool) -> Step:
    # In evaluation mode as at the end, where what begins later has begun.
    progress = 1.0 - training
    generator = trainer.generator("validation")
    return Step(generator, index, len(trainer.rows), progress, training=training)


def _check_reached(model: Trainable, reached: set[int]) -> None:
    for name, part in model.named_children():
        # A cost with a scale of its own learns that, also where its decoder learns nothing.
        part = getattr(part, "net", part)
        weights = [p for p in part.parameters() if p.requires_grad]
        if weights and name not in model.inner and not reached & {*map(id, weights)}:
            raise ValueError(
                f"No gradient of the loss reaches the weights of the {name}: it would not "
                "be trained. Expected networks, costs and divergences made of torch "
                "operations, without detach(), item() or NumPy on the way."
            )


def _check_undone(start: dict[str, Tensor], end: dict[str, Tensor]) -> None:
    """Outputs before a pass in training mode, and after its state has been taken back."""
    for name, values in start.items():
        if not bool(values.isfinite().all()):
            continue  # of which there is another error
        slack = ROUNDING * float(values.abs().max())
        if not torch.allclose(end[name], values, rtol=0, atol=slack):
            raise ValueError(
                f"The {name} keeps something of its calls that is not in its state_dict(), and "
                "that a pickle, a file or a step back would lose; expected parameters, buffers "
                "with persistent=True, or get_extra_state() and set_extra_state()."
            )


def _stream(trainer: Rehearsed) -> GlobalStream:
    return GlobalStream(child_seed(trainer.seed, "validation"), trainer.rows.device)


def _moved(before: list[Tensor], stream: GlobalStream) -> bool:
    return any(not torch.equal(*pair) for pair in zip(before, stream.states, strict=True))
