"""The training engine: rows in, batches out, steps, epochs and what watches over them."""

from skotae.training._batches import Rows, batch_indices
from skotae.training._loop import Step, Trainer

__all__ = ["Rows", "Step", "Trainer", "batch_indices"]
