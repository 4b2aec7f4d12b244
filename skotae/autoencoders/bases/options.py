"""What of a fit depends on the numbers of rows and of features."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from skotae.priors.base import BasePrior
from skotae.training import current_ranks
from skotae.utils._random import child_seed, draw_seed, make_generator

# So many rows, or codes, tell something of a distribution; of a mixture, for each component.
ROWS_TO_TELL = 20
# weight_decay="auto": so much over the number of rows, and never more than the other.
DECAY, MOST_DECAY = 1000.0, 10.0


def dimension(n_components: int | None, prior: BasePrior, n_features: int) -> int:
    """Dimension of the codes; None is 8, or fewer for fewer features, if the prior allows it."""
    if n_components is not None:
        return n_components
    least = prior.min_components
    usual = max(min(8, n_features), least)
    try:
        prior.check_dimension(usual)
    except ValueError:
        # The prior has a dimension of its own.
        return least
    return usual


def epochs(estimator: Any, n: int) -> int:
    """Number of epochs over n rows.

    "auto" is one number of them for few rows, fewer for more, and not fewer than have
    `_auto_steps` mini-batches in all.
    """
    if estimator.max_iter != "auto":
        return int(estimator.max_iter)
    n_batches = -(-n // rows_in_a_batch(estimator.batch_size, estimator._batch_rule, n))
    most, few_rows = estimator._epoch_rule
    usual = round(most * min(1.0, (few_rows / n) ** 0.5))
    return max(1, usual, -(-estimator._auto_steps // n_batches))


def rows_in_a_batch(batch_size: Any, auto_batch: tuple[int, int, int], n: int) -> int:
    """Number of rows; "auto" is a power of two near a share of n, between two others.

    Those of all processes: a number is of each, "auto" is what one alone would take.
    """
    if batch_size != "auto":
        return int(batch_size) * current_ranks().size
    share, low, high = auto_batch
    return int(np.clip(2 ** round(np.log2(n / share)), low, high))


def fit_seed(random_state: Any) -> int:
    """One integer seed, which of several processes the first has drawn."""
    seed = draw_seed(random_state)
    return current_ranks().first(lambda: seed)


def trainer_options(
    params: SimpleNamespace,
    auto_batch: tuple[int, int, int],
    n: int,
    seed: int,
    incremental: bool,
) -> dict[str, Any]:
    """Options of the trainer for n rows, from parameters and the seed of the first training."""
    # An estimator of one's own need not have the second.
    decay = getattr(params, "weight_decay", 0.0)
    if decay == "auto":
        # The fewer rows, the closer to where the networks start. Of how many rows a chunk is
        # one is not known.
        decay = 0.0 if incremental else min(MOST_DECAY, DECAY / n)
    options: dict[str, Any] = {
        "batch_size": rows_in_a_batch(params.batch_size, auto_batch, n),
        "learning_rate_init": params.learning_rate_init,
        "learning_rate": "constant" if incremental else params.learning_rate,
        "weight_decay": float(decay),
    }
    if not hasattr(params, "early_stopping"):
        return options
    options |= {"tol": params.tol, "n_iter_no_change": params.n_iter_no_change}
    if params.early_stopping and not incremental:
        options["held_out"] = held_out_rows(params.validation_fraction, n, seed)
    return options


def held_out_rows(fraction: float, n: int, seed: int) -> torch.Tensor:
    """Numbers of the rows, of n, that early stopping watches.

    With the seed of the first training they are the same in a fit and in those that go on from it:
    what has been trained on tells nothing of rows that have not.
    """
    n_held_out = int(np.ceil(fraction * n))
    if n_held_out < 2 or n - n_held_out < 2:
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction} splits {n} rows into "
            f"{n - n_held_out} and {n_held_out}; expected two rows at the least in each part."
        )
    order = torch.randperm(n, generator=make_generator(child_seed(seed, "held out")))
    return order[:n_held_out]
