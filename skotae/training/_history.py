"""The course of a training."""

from __future__ import annotations

from collections.abc import Mapping


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


def print_epoch(
    name: str, epoch: int, n_epochs: int, terms: Mapping[str, float], times: str
) -> None:
    """A line about an epoch: the name of what is trained, its terms, times."""
    values = "  ".join(f"{term} {value:.4g}" for term, value in terms.items())
    print(f"[{name}] epoch {epoch}/{n_epochs}  {values}  ({times})")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as far as they are there."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
