"""Swiss roll, with what it is when unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skotae.utils.base import as_real, as_whole


def make_swiss_roll(
    n_samples: int = 1000, *, noise: float = 0.0, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Make a Swiss roll, and the flat rectangle that it is when unrolled.

    .. math::
        x = (t \cos t,\; h,\; t \sin t), \qquad
        s(t) = \tfrac12 \big( t \sqrt{1 + t^2} + \operatorname{arsinh} t \big)

    with t uniform on :math:`[1.5 \pi, 4.5 \pi]` and h on [0, 21], as in
    :func:`sklearn.datasets.make_swiss_roll`, which returns the angle t. Here it is the
    length s of the curve instead, so that distances along the roll are Euclidean.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples.
    noise : float, default=0.0
        Standard deviation of Gaussian noise on X.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)
        Samples.
    unrolled : ndarray of shape (n_samples, 2)
        Length along the roll from its inner end, and height, without noise.

    Examples
    --------
    >>> from skotae.datasets import make_swiss_roll
    >>> X, unrolled = make_swiss_roll(10, random_state=0)
    >>> X.shape, unrolled.shape
    ((10, 3), (10, 2))
    """
    n_samples, noise = as_whole("n_samples", n_samples), as_real("noise", noise, least=0)
    rng = check_random_state(random_state)
    t = 1.5 * np.pi * (1.0 + 2.0 * rng.uniform(size=n_samples))
    height = 21.0 * rng.uniform(size=n_samples)
    X = np.column_stack([t * np.cos(t), height, t * np.sin(t)])
    X += noise * rng.standard_normal(X.shape)
    return X, np.column_stack([_length(t) - _length(1.5 * np.pi), height])


def _length(t: Any) -> Any:
    """Length of the spiral r = t from its centre to angle t."""
    return 0.5 * (t * np.sqrt(1.0 + t * t) + np.arcsinh(t))
