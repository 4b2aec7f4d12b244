"""What the files of the engine share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Step:
    """What an objective may want to know about the step it is computed for.

    Attributes
    ----------
    generator : torch.Generator
        The only source of noise in a step; on the device of the batch.
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
    """

    generator: torch.Generator
    rows: Tensor
    n_rows: int
    progress: float = 0.0
    training: bool = True
    batch: int = 0
    n_batches: int = 1

    @property
    def elapsed(self) -> float:
        """Share of the planned steps that are done; 0 where an earlier fit goes on."""
        return self.progress % 1.0


Objective = Callable[[Tensor, Step], Mapping[str, Tensor]]


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The loss: the sum of its named terms."""
    return torch.stack([*terms.values()]).sum()
