"""Weights and temperatures that change over a training run."""

from __future__ import annotations


def ramp(progress: float, stop: float, start: float = 0.0) -> float:
    """A straight line in the progress of training, from 0 to 1.

    Parameters
    ----------
    progress : float
        Share of the planned steps that are done.
    stop, start : float
        Where the line ends, and begins.

    Returns
    -------
    share : float
        0 up to `start`, 1 from `stop` on.

    Examples
    --------
    >>> from skotae.base import ramp
    >>> [ramp(t, 0.5) for t in (0.0, 0.25, 0.5, 0.75)]
    [0.0, 0.5, 1.0, 1.0]
    """
    if progress >= stop:
        return 1.0
    return max(0.0, progress - start) / (stop - start)
