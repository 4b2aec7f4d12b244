"""A Gaussian mixture of the codes of training rows, fitted after the training."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import ShuffleSplit
from torch import Tensor

from skotae.autoencoders.bases.codes import whitening
from skotae.autoencoders.bases.options import ROWS_TO_TELL
from skotae.priors.base import draw_index
from skotae.utils._torch import tensor_of

# Numbers of components that are tried, if the points are enough for them.
LADDER = (1, 2, 5, 10, 20, 40)
# Least variance of a component in any direction, relative to that of all points: it is never
# narrow enough to give one point back.
LEAST_VARIANCE = 0.02
# Points farther from the middle than so many times its radius are left out, if they are fewer
# than the second: more are a group.
FAR, FEW = 10.0, 5


def fit_mixture(u: np.ndarray, units: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    r"""Mixture of Gaussians of points u (n, q), with the number that held-out points ask for.

    The numbers of components 1, 2, 5, 10, 20, 40 are tried in turn as long as the mean
    log-likelihood of points that were held out rises, and as there are 20 points for each, and
    as many as coordinates.

    Parameters
    ----------
    u : ndarray of shape (n, q)
    units : dict
        The `middle` of the points.
    seed : int

    Returns
    -------
    mixture : dict
        ``"weights"`` (k,), ``"means"`` (k, q) and ``"factors"`` (k, q, q), each with its
        transpose a covariance; float64.

    References
    ----------
    .. [1] Ghosh, Sajjadi, Vergari, Black and Schölkopf (2020), From variational to
       deterministic autoencoders, ICLR, section 4.
    .. [2] Dai and Wipf (2019), Diagnosing and enhancing VAE models, ICLR, section 4.
    """
    u = u[np.isfinite(u).all(axis=1)].astype(np.float64)
    length = np.linalg.norm((u - units["centre"]) @ units["axes"], axis=1)
    far = length > FAR * max(float(units["radius"]), np.sqrt(u.shape[1]))
    if np.count_nonzero(far) < FEW:
        u = u[~far]
    centre = u.mean(axis=0) if len(u) else units["centre"]
    unit = np.abs(u - centre).max(initial=0.0)
    if unit == 0:
        factors = np.zeros((1, len(centre), len(centre)))
        return {"weights": np.ones(1), "means": centre[None], "factors": factors}
    # In units in which no square leaves the range.
    axes = whitening(np.cov((u - centre).T / unit, ddof=0).reshape(len(centre), -1)) / unit
    v = (u - centre) @ axes
    back = np.linalg.inv(axes)
    random_state = seed % 2**32
    # These are NumPy arrays, whatever the user works with.
    with config_context(array_api_dispatch=False, skip_parameter_validation=True):
        model = _fitted(v, _number(v, random_state), random_state)
    factors = np.linalg.cholesky(model.covariances_)
    return {
        "weights": model.weights_,
        "means": model.means_ @ back + centre,
        "factors": back.T @ factors,
    }


def _number(v: np.ndarray, random_state: int) -> int:
    """The number of components with the best likelihood of held-out points."""
    n = len(v)
    if 0.8 * n < LADDER[1] * ROWS_TO_TELL:
        return 1
    # Fewer points are split more often.
    splits = ShuffleSplit(max(1, min(3, 1000 // n)), test_size=0.2, random_state=random_state)
    parts = [(v[train], v[test]) for train, test in splits.split(v)]
    chosen, best = 1, -np.inf
    for k in LADDER:
        # With fewer points than coordinates a component has no covariance of its own.
        if k * max(ROWS_TO_TELL, v.shape[1]) > len(parts[0][0]) and k > 1:
            break
        value = np.mean([_fitted(train, k, random_state).score(test) for train, test in parts])
        if value > best:
            chosen, best = k, value
        elif k > 2 * chosen:
            # The next number may be better where two components were no better than one.
            break
    return chosen


def _fitted(v: np.ndarray, k: int, random_state: int) -> GaussianMixture:
    model = GaussianMixture(
        k,
        reg_covar=LEAST_VARIANCE,
        tol=1e-2,
        max_iter=30,
        init_params="k-means++",
        random_state=random_state,
    )
    if k == 1:
        # What the iterations would come to, in a twentieth of their time.
        model.weights_, model.means_ = np.ones(1), v.mean(axis=0, keepdims=True)
        covariance = np.cov(v.T, ddof=0).reshape(1, v.shape[1], -1)
        model.covariances_ = covariance + LEAST_VARIANCE * np.eye(v.shape[1])
        factor = np.linalg.cholesky(model.covariances_)
        model.precisions_cholesky_ = np.linalg.inv(factor).swapaxes(1, 2)
        return model
    with warnings.catch_warnings():
        # A few steps more or less are nothing that a user could change.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(v)


def draw(mixture: dict[str, np.ndarray], n: int, generator: torch.Generator) -> Tensor:
    """n points of the mixture, in float64, from a generator of the CPU."""
    weights, means, factors = (tensor_of(mixture[name]) for name in ("weights", "means", "factors"))
    k = draw_index(weights, n, generator)
    noise = torch.randn(n, means.shape[1], generator=generator, dtype=torch.float64)
    u = means[k]
    for j, factor in enumerate(factors):
        u[k == j] += noise[k == j] @ factor.T
    return u
