"""Problems whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor


def gaussian_in_subspace(
    n_samples: int,
    n_features: int,
    rank: int,
    *,
    noise: float = 0.0,
    random_state: Any = None,
) -> tuple[np.ndarray, float]:
    r"""Gaussian rows near a linear subspace, and the least reconstruction error.

    .. math:: x = Q z + \sigma e, \qquad z \sim \mathcal N(0, I_r), \quad e \sim
        \mathcal N(0, I_n), \quad Q^\top Q = I_r

    Parameters
    ----------
    n_samples : int
        Number of rows.
    n_features : int
        Number of columns n.
    rank : int
        Dimension r of the subspace.
    noise : float, default=0.0
        Standard deviation :math:`\sigma` of what is added.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    error : float
        Expected squared distance of a row from its best reconstruction with r components,
        :math:`(n - r) \sigma^2`.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.testing import gaussian_in_subspace
    >>> X, error = gaussian_in_subspace(50, 6, 2, random_state=0)
    >>> int(np.linalg.matrix_rank(X)), error
    (2, 0.0)
    """
    rng = check_random_state(random_state)
    basis, _ = np.linalg.qr(rng.normal(size=(n_features, rank)))
    X = rng.normal(size=(n_samples, rank)) @ basis.T
    X += noise * rng.normal(size=X.shape)
    return X, (n_features - rank) * noise**2


def linear_gaussian(
    n_samples: int, weights: Any, *, noise: float, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Rows of a linear-Gaussian model, and the exact posterior of their codes.

    .. math::
        x = W z + \sigma e, \qquad
        z | x \sim \mathcal N(S W^\top x / \sigma^2, S), \qquad
        S = (I + W^\top W / \sigma^2)^{-1}

    Parameters
    ----------
    n_samples : int
        Number of rows.
    weights : array-like of shape (n_features, n_components)
        The matrix W.
    noise : float
        Standard deviation :math:`\sigma`.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    means : ndarray of shape (n_samples, n_components)
        Posterior means.
    covariance : ndarray of shape (n_components, n_components)
        Posterior covariance S, the same for all rows.

    Examples
    --------
    >>> from skotae.testing import linear_gaussian
    >>> X, means, covariance = linear_gaussian(5, [[3.0]], noise=1.0, random_state=0)
    >>> covariance.tolist()
    [[0.1]]
    """
    rng = check_random_state(random_state)
    weights = np.asarray(weights, dtype=np.float64)
    Z = rng.normal(size=(n_samples, weights.shape[1]))
    X = Z @ weights.T + noise * rng.normal(size=(n_samples, len(weights)))
    precision = np.eye(weights.shape[1]) + weights.T @ weights / noise**2
    covariance = np.linalg.inv(precision)
    return X, X @ weights @ covariance / noise**2, covariance


def permuted_shift(
    n: int,
    d: int,
    shift: float,
    *,
    dtype: torch.dtype = torch.float64,
    random_state: Any = None,
) -> tuple[Tensor, Tensor, float]:
    r"""A cloud, the same shifted and in another order, and the transport cost between them.

    The best plan moves every point by the shift, so that
    :math:`W_2^2 = |s|^2` exactly, also for the clouds' Gaussian fits.

    Parameters
    ----------
    n : int
        Number of points.
    d : int
        Dimension.
    shift : float
        Length of the shift, along the diagonal.
    dtype : torch.dtype, default=torch.float64
        Of the clouds.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    x, y : Tensor of shape (n, d)
    cost : float
        Squared 2-Wasserstein distance.

    Examples
    --------
    >>> from skotae.divergences import ExactDivergence
    >>> from skotae.testing import permuted_shift
    >>> x, y, cost = permuted_shift(20, 3, 2.0, random_state=0)
    >>> cost, round(float(ExactDivergence(debias="none")(x, y)), 6)
    (4.0, 4.0)
    """
    rng = check_random_state(random_state)
    x = rng.normal(size=(n, d))
    y = rng.permutation(x) + shift / np.sqrt(d)
    return torch.as_tensor(x, dtype=dtype), torch.as_tensor(y, dtype=dtype), float(shift) ** 2


def scaled_normals(
    n: int,
    d: int,
    scale: float,
    *,
    dtype: torch.dtype = torch.float64,
    random_state: Any = None,
) -> tuple[Tensor, Tensor, float]:
    r"""Draws from :math:`s \mathcal N(0, I)` and :math:`\mathcal N(0, I)`, and their distance.

    Parameters
    ----------
    n : int
        Number of draws from each.
    d : int
        Dimension.
    scale : float
        The factor s, which 1 makes the two distributions one.
    dtype : torch.dtype, default=torch.float64
        Of the clouds.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    x, y : Tensor of shape (n, d)
    cost : float
        Squared 2-Wasserstein distance of the distributions, :math:`d (s - 1)^2`.

    Examples
    --------
    >>> from skotae.testing import scaled_normals
    >>> x, y, cost = scaled_normals(100, 4, 0.5, random_state=0)
    >>> x.shape, cost
    (torch.Size([100, 4]), 1.0)
    """
    rng = check_random_state(random_state)
    x, y = scale * rng.normal(size=(n, d)), rng.normal(size=(n, d))
    cost = d * (scale - 1.0) ** 2
    return torch.as_tensor(x, dtype=dtype), torch.as_tensor(y, dtype=dtype), cost
