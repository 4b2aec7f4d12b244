"""What the files of the engine share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Step:
    """What an objective may want to know about the step it is computed for.

    Attributes
    ----------
    generator : torch.Generator
        The only source of noise in a step; on the device of the batch.
    prior_generator : torch.Generator
        The source of draws from the prior; `generator` if it is not given.
    rows : Tensor of shape (batch_size,), int64
        Row numbers of the batch within the training data, on the CPU.
    n_rows : int
        Number of rows of the training data.
    progress : float
        Share of the planned steps that are done, in [0, 1); 1 where training goes on
        from an earlier fit.
    training : bool
        False on the validation split.
    batch : int
        Number of the mini-batch in the epoch, from 0.
    n_batches : int
        Number of mini-batches in the epoch.
    codes : Tensor or None
        Codes of the batch, where `Trainable.inner_terms` has left them for `Trainable.terms`.
    """

    generator: torch.Generator
    rows: Tensor
    n_rows: int
    progress: float = 0.0
    training: bool = True
    batch: int = 0
    n_batches: int = 1
    prior_generator: torch.Generator = None  # type: ignore[assignment]
    codes: Tensor | None = None

    def __post_init__(self) -> None:
        self.prior_generator = self.prior_generator or self.generator


class Trainable(nn.Module, ABC):
    """A module as the engine sees it: all that training changes, and what is minimised.

    Attributes
    ----------
    inner : tuple of str
        Names of the children that learn from `inner_terms` alone (discriminators, dual
        potentials); the rest of the module learns from `terms`.
    n_inner : int
        Steps on `inner_terms` before each step on `terms`.
    betas : tuple of float
        Decay of Adam's moments.
    """

    inner: tuple[str, ...] = ()
    n_inner = 1
    betas = (0.9, 0.999)

    @abstractmethod
    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimised; their means over an epoch make up `history`."""

    def inner_terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Named terms whose sum the children called `inner` minimise."""
        return {}

    def decaying(self) -> list[nn.Parameter]:
        """Weights that decay, if any do."""
        return []

    def outputs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """What the module will be asked for once it is trained, for a batch, by name."""
        return {}

    def costs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """The same of what says how good it is, by the names of terms."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over a ``state_dict``, from any moment of a training run.

        A buffer that is None in one of the two and a tensor in the other becomes what it is
        in `state`: such are there for a part of a module's life only.
        """
        for prefix, part in self.named_modules():
            for name in part._buffers.keys() - part._non_persistent_buffers_set:
                kept = state.get(f"{prefix}.{name}" if prefix else name)
                if (kept is None) != (getattr(part, name) is None):
                    setattr(part, name, None if kept is None else torch.empty_like(kept))
        self.load_state_dict(state)


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The loss: the sum of its named terms."""
    return torch.stack([*terms.values()]).sum()
