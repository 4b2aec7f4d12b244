"""What is off about a fit, said once, with what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

# Enough to tell, and done in a moment.
MAX_ROWS = 512
# Share of the variance by which reconstructions may be worse than the mean. Networks that have
# learned nothing yet give it to within that, as do medians, which other costs than squares ask for.
MARGIN = 0.5

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


CHECKS: tuple[Check, ...] = (worse_than_constant,)


def diagnose(estimator: Any, X: np.ndarray, *, stacklevel: int = 2) -> None:
    """Warn of what is off about a fitted estimator, judged by some of its training rows."""
    rows = X[:: -(-len(X) // MAX_ROWS)]
    for check in CHECKS:
        if (message := check(estimator, rows)) is not None:
            warnings.warn(message, UserWarning, stacklevel=stacklevel + 1)
