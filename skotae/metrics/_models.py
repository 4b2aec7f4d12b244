"""What measures ask of a fitted estimator, of skotae or of scikit-learn: rows in, rows out."""

from __future__ import annotations

import inspect
from typing import Any


def reconstructions_of(estimator: Any, rows: Any) -> Any:
    """Its reconstructions of rows, or None where it makes none."""
    if hasattr(estimator, "reconstruct"):
        return estimator.reconstruct(rows)
    if hasattr(estimator, "transform") and hasattr(estimator, "inverse_transform"):
        return estimator.inverse_transform(estimator.transform(rows))
    return None


def samples_of(estimator: Any, n: int, seed: int) -> Any:
    """New rows; those of scikit-learn's mixtures come with labels, and without a seed."""
    takes = "random_state" in inspect.signature(estimator.sample).parameters
    made = estimator.sample(n, **({"random_state": seed} if takes else {}))
    return made[0] if isinstance(made, tuple) else made
