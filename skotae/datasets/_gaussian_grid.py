"""The 25 Gaussians."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def make_gaussian_grid(
    n_samples: int = 7500, *, scale: float = 0.05, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Mixture of 25 Gaussians with means on :math:`\{-2, -1, 0, 1, 2\}^2`.

    Parameters
    ----------
    n_samples : int, default=7500
        Number of rows, spread evenly over the modes.
    scale : float, default=0.05
        Standard deviation of a coordinate within a mode.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float64
    y : ndarray of shape (n_samples,), int64
        Mode of each row; the mean of mode k is ``(k // 5 - 2, k % 5 - 2)``.

    References
    ----------
    Hao and Shafto (2023), Coupled variational auto-encoder, ICML, section 5.

    Examples
    --------
    >>> from skotae.datasets import make_gaussian_grid
    >>> X, y = make_gaussian_grid(100, random_state=0)
    >>> X.shape, int(y.max())
    ((100, 2), 24)
    """
    rng = check_random_state(random_state)
    means = np.array([*product(range(-2, 3), repeat=2)], dtype=np.float64)
    y = rng.permutation(np.arange(n_samples) % len(means))
    return means[y] + scale * rng.normal(size=(n_samples, 2)), y
