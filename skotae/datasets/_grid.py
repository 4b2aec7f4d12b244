"""Twenty-five Gaussians on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skotae.utils.base import as_real, as_whole


def make_gaussian_grid(
    n_samples: int = 7500,
    *,
    scale: float = 0.05,
    random_state: Any = None,
    return_means: bool = False,
) -> tuple[np.ndarray, ...]:
    r"""Make 25 Gaussians on a grid in the plane.

    .. math:: x \sim \mathcal N(\mu_y,\, s^2 I), \qquad \mu_y \in \{-2, -1, 0, 1, 2\}^2

    Parameters
    ----------
    n_samples : int, default=7500
        Number of samples, shared out equally among the Gaussians; what is left over goes
        to the first ones.
    scale : float, default=0.05
        Standard deviation :math:`s` of a coordinate within a Gaussian.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise and of the order of the samples.
    return_means : bool, default=False
        Whether the means are returned too.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        Samples, in random order.
    y : ndarray of shape (n_samples,), int64
        Number of the Gaussian of each sample, 0 to 24.
    means : ndarray of shape (25, 2)
        Means of the Gaussians; only if `return_means`.

    References
    ----------
    Hao and Shafto (2023), Coupled variational auto-encoder, ICML, section 5.

    Examples
    --------
    >>> from skotae.datasets import make_gaussian_grid
    >>> X, y, means = make_gaussian_grid(100, random_state=0, return_means=True)
    >>> X.shape, y.shape, means.shape
    ((100, 2), (100,), (25, 2))
    """
    n_samples, scale = as_whole("n_samples", n_samples), as_real("scale", scale, least=0)
    rng = check_random_state(random_state)
    ticks = np.arange(-2.0, 3.0)
    means = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    y = rng.permutation(np.arange(n_samples) % len(means)).astype(np.int64)
    X = means[y] + scale * rng.standard_normal((n_samples, 2))
    return (X, y, means) if return_means else (X, y)
