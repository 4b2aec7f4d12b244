"""The course of a training."""

from __future__ import annotations


class History(dict[str, list[float]]):
    """A dict of each term's values, one for each epoch, that prints in a line.

    It is a dict in all else; ``dict(history)`` prints in full.

    Examples
    --------
    >>> from skotae.training import History
    >>> History(loss=[1.5, 0.75, 0.5], reconstruction=[1.25, 0.5, 0.25])
    <History of 3 epochs: loss 1.5 -> 0.5, reconstruction 1.25 -> 0.25>
    """

    def __repr__(self) -> str:
        try:
            n_epochs = max(map(len, self.values()), default=0)
            courses = [f"{name} {_course(values)}".rstrip() for name, values in self.items()]
        except (TypeError, ValueError):  # Somebody has put something else into it.
            return super().__repr__()
        what = f"History of {n_epochs} epoch{'s' * (n_epochs != 1)}"
        return f"<{what}: {', '.join(courses)}>" if courses else f"<{what}>"

    def copy(self) -> History:
        """With lists of its own, which the epochs to come are added to."""
        return History({name: [*values] for name, values in self.items()})


def _course(values: list[float]) -> str:
    ends = values if len(values) < 2 else (values[0], values[-1])
    return " -> ".join(f"{value:.3g}" for value in ends)
