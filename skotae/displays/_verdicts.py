"""What a fit looks like, in words, by rules that are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skotae.training._optim import late_share

MIN_EPOCHS = 10
# Share of the whole fall of the loss that the last fifth of training brings, if it still falls.
SHARE = 0.05
# Share of the variance that a model which is no better than the mean may seem to explain.
NOTHING = 0.02


@dataclass(frozen=True)
class Verdict:
    """A finding: a word, whether it is as one would wish, and a sentence.

    Attributes
    ----------
    name : str
        A word or two to tell verdicts apart by.
    good : bool or None
        Whether it is as one would wish; None where the rule does not tell.
    text : str
        The finding, with the numbers that it rests on.
    """

    name: str
    good: bool | None
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def training_verdict(
    history: Mapping[str, Any],
    constant: Mapping[str, float] | None = None,
    nats: Mapping[str, float] | None = None,
    schedule: str = "constant",
) -> Verdict:
    """How training ended, by its losses.

    - *collapsed*: over the last fifth of the epochs, a reconstruction term is no better than
      what the mean of the rows would cost, to within 2 % of that; of a likelihood, to within
      0.01 nats a column, which is as much of the variance.
    - *still falling*: the mean loss of the last fifth lies below that of the fifth before by more
      than 5 % of the whole fall since the first epoch, and by more than two standard errors, or
      45 % of the fall is in the second half of the steps by their size, of which `fit` warns;
      *rising*: the last fifth lies above the one before, likewise. The validation loss is judged
      where there is one.
    - *flat* otherwise; *too few epochs* below ten.

    Parameters
    ----------
    history : mapping of str to sequence of float
        ``history_``.
    constant : mapping of str to float, optional
        For reconstruction terms, the cost of the mean of the rows.
    nats : mapping of str to float, optional
        For terms that are likelihoods, what 0.01 nats a column are.
    schedule : str, default="constant"
        Of the learning rate.

    Returns
    -------
    verdict : Verdict
    """
    watched = "validation_loss"
    curve = np.asarray(history.get(watched, []), dtype=float)
    curve = curve[np.isfinite(curve)]
    if len(curve) < MIN_EPOCHS:
        watched, curve = "loss", np.asarray(history["loss"], dtype=float)
    if len(curve) < MIN_EPOCHS:
        return Verdict("too few epochs", None, f"{len(curve)} epochs are too few to tell.")
    fifth = len(curve) // 5
    for term, level in (constant or {}).items():
        end = float(np.nanmean(np.asarray(history[term], dtype=float)[-fifth:]))
        margin = (nats or {}).get(term, NOTHING * abs(level))
        if level - end <= margin:
            return Verdict(
                "collapsed",
                False,
                f"{term} ends at {end:.3g}, no better than the mean of the rows ({level:.3g}). "
                "Give the other terms less weight, or train longer.",
            )
    before, last = curve[-2 * fifth : -fifth], curve[-fifth:]
    fall = before.mean() - last.mean()
    whole = np.abs(curve - last.mean()).max()
    error = np.sqrt((_noise(before) + _noise(last)) / fifth)
    settled = abs(fall) <= max(SHARE * whole, 2 * error)
    late = late_share(curve, schedule)
    if late is not None and (settled or fall > 0):
        text = f"{late:.0%} of the fall of {watched} is in the second half of the steps"
        return Verdict("still falling", False, f"{text}: raise max_iter or the rate.")
    if settled:
        return Verdict("flat", True, f"{watched} has settled at {last.mean():.3g}.")
    share = f"{abs(fall) / whole:.0%} of its whole range in the last fifth of {len(curve)} epochs"
    if fall > 0:
        return Verdict(
            "still falling", False, f"{watched} has fallen by {share}: raise max_iter or the rate."
        )
    advice = "stop earlier" if watched != "loss" else "lower learning_rate_init"
    return Verdict("rising", False, f"{watched} has risen by {share}: {advice}.")


def _noise(x: np.ndarray) -> float:
    """Variance of values about their trend, from their differences."""
    return float(0.5 * np.square(np.diff(x)).mean()) if len(x) > 1 else 0.0
