"""What is off about a fit, said once, with what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skotae.autoencoders.bases.options import ROWS_TO_TELL, rows_in_a_batch
from skotae.exceptions import ConvergenceWarning
from skotae.training._optim import late_share
from skotae.utils._blocks import scattered
from skotae.utils._random import child_seed, make_generator
from skotae.utils._torch import TORCH_DTYPES, ambient

# Enough to tell, and done in a moment.
MAX_ROWS = 512
# Share of the variance by which reconstructions may be worse than the mean. Networks that have
# learned nothing yet give it to within that, as do medians, which other costs than squares ask for.
MARGIN = 0.5
# Of a coordinate of the codes: how many times wider or narrower than the prior, and how many of
# its standard deviations beside it. Four times what defaults were seen to give.
WIDTH, GAP = 4.0, 1.5
# Share of the values of samples that lie outside the range of the training rows by more than a
# tenth of it.
CLIPPED = 0.2

# From a fitted estimator and some of its training rows to what is off, or None.
Check = Callable[[Any, np.ndarray], str | None]


def worse_than_constant(estimator: Any, rows: np.ndarray) -> str | None:
    """Reconstructions further from the rows than the rows' own mean is."""
    if not hasattr(estimator, "reconstruct"):
        return None
    # As it was trained, in float32: no copy of the model for the sake of a glance.
    inference = replace(estimator._inference(np.float32), dtype=rows.dtype)
    reconstructed = inference.decoded(inference.codes(rows))
    x, r = (inference.units.standardised(part).astype(np.float64) for part in (rows, reconstructed))
    constant, error = np.square(x - x.mean(axis=0)).sum(), np.square(x - r).sum()
    # Constant rows leave rounding, of which nothing is to be explained.
    if constant < 1e-6 * x.size or not error > (1 + MARGIN) * constant:
        return None
    return (
        "Reconstructions of the training rows are worse than the mean of these rows: their squared "
        f"error is {error / constant:.3g} times as large. Raise max_iter={estimator.max_iter}, "
        f"change learning_rate_init={estimator.learning_rate_init}, or give the penalty less "
        "weight."
    )


def too_many_components(estimator: Any, rows: np.ndarray) -> str | None:
    """Codes with more coordinates than the rows have, where someone asked for them."""
    p = estimator.n_features_in_
    if not hasattr(estimator, "reconstruct") or (estimator.n_components or 0) <= p:
        return None
    return (
        f"n_components={estimator.n_components} is more than the {p} columns of X: some "
        f"coordinates of the codes have nothing to tell. Choose n_components of {p} at the most."
    )


def codes_beside_prior(estimator: Any, rows: np.ndarray) -> str | None:
    """Coordinates in which codes are elsewhere than the prior, or much wider or narrower."""
    if not hasattr(estimator, "reconstruct") or len(rows) < ROWS_TO_TELL:
        return None
    inference = estimator._inference(np.float32)
    z = inference.codes(rows, child_seed(estimator._seed, "codes"))
    with ambient():
        generator = make_generator(child_seed(estimator._seed, "codes"))
        y = estimator.model_.draw_codes(MAX_ROWS, generator, TORCH_DTYPES[z.dtype]).numpy()
    width, own = y.std(axis=0), z.std(axis=0)
    gap = np.abs(z.mean(axis=0) - y.mean(axis=0))
    off = (own > WIDTH * width) | (width > WIDTH * own) | (gap > GAP * np.maximum(width, own))
    if not off.any():
        return None
    j = int(np.flatnonzero(off)[0])
    weights = (name for name in ("lam", "beta") if hasattr(estimator, name))
    more = "".join(f"raise {name} (now {getattr(estimator, name)!r}), " for name in weights)
    return (
        f"Codes of the training rows do not follow the prior in {off.sum()} of {len(off)} "
        f"coordinates: coordinate {j} has mean {z[:, j].mean():.3g} and standard deviation "
        f"{own[j]:.3g}, draws from the prior {y[:, j].mean():.3g} and {width[j]:.3g}. "
        f"To bring them nearer, {more}raise max_iter={estimator.max_iter} or change "
        f"learning_rate_init={estimator.learning_rate_init}."
    )


def clipped_samples(estimator: Any, rows: np.ndarray) -> str | None:
    """Samples of which much is cut off at the range of the training rows."""
    if not getattr(estimator, "clip", False):
        return None
    generator = make_generator(child_seed(estimator._seed, "codes"))
    with ambient():
        inference = replace(estimator._inference(np.float32), dtype=rows.dtype)
        codes = estimator._drawn_codes(MAX_ROWS, generator, np.dtype(np.float32))
        samples = inference.decoded(codes.numpy())
    low, high = estimator.data_min_, estimator.data_max_
    with np.errstate(over="ignore"):
        reach = high / 10 - low / 10
        out = ((samples < low - reach) | (samples > high + reach))[:, reach > 0]
    if not out.size or out.mean() <= CLIPPED:
        return None
    return (
        f"{out.mean():.0%} of the values that are drawn lie far outside the range of the training "
        "rows, and `sample` clips them. Give the penalty more weight, raise "
        f"max_iter={estimator.max_iter}, or set clip=False to see them."
    )


def unused_components(estimator: Any, rows: np.ndarray) -> str | None:
    """Components of a mixture that no row belongs to."""
    if not hasattr(estimator, "predict_proba"):
        return None
    k = estimator.n_mixtures_
    used = np.unique(estimator.labels_)
    if len(used) == k or len(estimator.labels_) < ROWS_TO_TELL * k:
        return None
    return (
        f"{k - len(used)} of {k} components are no row's most probable one. Choose a smaller "
        f"n_mixtures={estimator.n_mixtures_}, or another random_state."
    )


CHECKS: tuple[Check, ...] = (worse_than_constant, too_many_components)
# Of what takes some steps to come about.
LATER_CHECKS: tuple[Check, ...] = (codes_beside_prior, clipped_samples, unused_components)
LEAST_STEPS = 100


def still_falling(estimator: Any, losses: Sequence[float]) -> str | None:
    """A loss that falls in the second half of the steps as it does in the first."""
    # "auto" is a budget, of which nothing is promised.
    share = None if estimator.max_iter == "auto" else late_share(losses, estimator.learning_rate)
    if share is None:
        return None
    return (
        f"The training loss was still falling after max_iter={estimator.max_iter} epochs: "
        f"{share:.0%} of its fall was in the second half of the steps. Raise max_iter, or "
        f"learning_rate_init={estimator.learning_rate_init}."
    )


def diagnose(
    estimator: Any, X: np.ndarray, losses: Sequence[float] = (), *, stacklevel: int = 2
) -> None:
    """Warn of what is off about a fitted estimator.

    Parameters
    ----------
    estimator : estimator
    X : ndarray of shape (n_samples, n_features)
        Its training rows, some of which are looked at.
    losses : sequence of float
        Loss of each epoch, of a fit that went on to the last one.
    stacklevel : int
        Whose line the warning is said to be from.
    """
    rows = X[scattered(len(X), -(-len(X) // MAX_ROWS))]
    if not (rows != rows[0]).any():
        # What is always the same has no codes to speak of.
        return
    if (message := still_falling(estimator, losses)) is not None:
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)
    n_batches = len(X) / rows_in_a_batch(estimator.batch_size, estimator._batch_rule, len(X))
    trained = estimator.n_iter_ * n_batches >= LEAST_STEPS
    for check in (*CHECKS, *(LATER_CHECKS if trained else ())):
        if (message := check(estimator, rows)) is not None:
            warnings.warn(message, UserWarning, stacklevel=stacklevel + 1)
            if check is worse_than_constant:
                # The rest follows from it.
                break
