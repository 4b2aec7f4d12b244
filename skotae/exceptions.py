"""Exceptions and warnings of skotae."""

from sklearn.exceptions import ConvergenceWarning, NotFittedError

__all__ = [
    "CheckpointError",
    "ConvergenceWarning",
    "CorruptFileError",
    "InconsistentVersionWarning",
    "NonFiniteLossError",
    "NotFittedError",
    "PersistenceError",
    "ProcessLostError",
    "UnsavableError",
    "UntrustedError",
    "VersionError",
]


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
        Epoch in which the term stopped being finite, counted as in ``n_iter_``: from 1, with
        those of earlier fits that it goes on from.
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


class InconsistentVersionWarning(UserWarning):
    """An estimator was pickled by another version of skotae.

    Parameters
    ----------
    name : str
        Name of the estimator's class.
    written_by : str or None
        Version that pickled it; None for one from before versions were recorded.
    read_by : str
        Version that unpickles it.
    """

    def __init__(self, name: str, written_by: str | None, read_by: str):
        self.name = name
        self.written_by = written_by
        self.read_by = read_by
        super().__init__(
            f"This {name} was pickled by skotae {written_by or '(unknown)'} and is read by "
            f"{read_by}: results may differ. Fit it again, or save it with its save method, "
            "whose files later versions read."
        )

    def __reduce__(self):
        return type(self), (self.name, self.written_by, self.read_by)


class PersistenceError(ValueError):
    """An estimator could not be saved, or a file could not be loaded.

    The subclasses tell why; catching this one catches them all. What goes wrong with the
    disk itself (no such folder, no right to write, no space) is an :class:`OSError`.
    """


class UnsavableError(PersistenceError):
    """A value that a file without code cannot hold; the message names it and a way out."""


class CorruptFileError(PersistenceError):
    """The file is damaged, cut short, not by skotae, or asks for what no estimator needs."""


class UntrustedError(PersistenceError):
    """The file names code of the user's own that `trusted` does not list."""


class VersionError(PersistenceError):
    """The file has a layout that this version of skotae does not read."""


class CheckpointError(ValueError):
    """The checkpoints in a folder are of another fit; the message names what differs."""


class ProcessLostError(RuntimeError):
    """One of the processes that train a model together has ended, or can no longer be reached.

    Parameters
    ----------
    rank, size : int
        Number of the process that tells of it, from 0, and number of processes.
    reason : str
        What ``torch.distributed`` said.
    """

    def __init__(self, rank: int, size: int, reason: str):
        self.rank = rank
        self.size = size
        self.reason = reason
        super().__init__(
            f"Process {rank} of {size} can no longer train together with the others: one of them "
            f"has ended, or cannot be reached ({reason}). Look for the first error among the "
            "processes, and start them again; a fit with callbacks.Checkpoint goes on from where "
            "it was."
        )

    def __reduce__(self):
        return type(self), (self.rank, self.size, self.reason)
