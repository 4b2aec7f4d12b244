"""Exceptions and warnings of skotae."""

from sklearn.exceptions import ConvergenceWarning, NotFittedError

__all__ = ["ConvergenceWarning", "NonFiniteLossError", "NotFittedError"]


class NonFiniteLossError(FloatingPointError):
    """Training produced a loss that is not finite, and smaller steps did not help.

    The estimator was rolled back to the last weights with a finite loss each time, so
    nothing that was learned is lost; the message names the term of the loss, the epoch
    and the parameter that most likely has to change.

    Parameters
    ----------
    term : str
        Name of the term of the objective, a key of ``history_``.
    epoch : int
        Epoch, counted from 0, in which the term stopped being finite.
    advice : str
        What to change.
    """

    def __init__(self, term: str, epoch: int, advice: str):
        self.term = term
        self.epoch = epoch
        self.advice = advice
        super().__init__(
            f"The loss term {term!r} is not finite in epoch {epoch}, also after smaller "
            f"steps from the last good weights. {advice}"
        )

    def __reduce__(self):
        return type(self), (self.term, self.epoch, self.advice)
