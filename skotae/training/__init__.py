"""The training engine: rows in, batches out, steps, epochs and what watches over them."""

from skotae.training._batches import Rows, batch_indices
from skotae.training._history import History
from skotae.training._loop import Trainer
from skotae.training._ramps import ramp
from skotae.training._ranks import current_ranks, data_parallel
from skotae.training.base import Step, Trainable

__all__ = [
    "History",
    "Rows",
    "Step",
    "Trainable",
    "Trainer",
    "batch_indices",
    "current_ranks",
    "data_parallel",
    "ramp",
]
