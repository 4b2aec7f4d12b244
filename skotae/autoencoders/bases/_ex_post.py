"""A Gaussian mixture of the codes of training rows, fitted after the training."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import ShuffleSplit
from torch import Tensor

from skotae.autoencoders.bases.codes import whitening
from skotae.priors.base import draw_index
from skotae.utils._torch import tensor_of

# Numbers of components that are tried, if the points are enough for them.
LADDER = (1, 2, 5, 10, 20, 40)
# Least variance of a component in any direction, relative to that of all points: it is never
# narrow enough to give one point back.
LEAST_VARIANCE = 0.02
# Points, for each coordinate, that the covariance of all components counts for in that of each.
SHARED = 0.5
# Points for each component, at the least; and as many as are shared.
LEAST_POINTS = 10
# Points farther from the middle than so many times its radius are left out, if they are fewer
# than the second: more are a group.
FAR, FEW = 10.0, 5


def fit_mixture(u: np.ndarray, units: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    r"""Mixture of Gaussians of points u (n, q), with the number that held-out points ask for.

    The numbers of components 1, 2, 5, 10, 20, 40 are tried in turn as long as the mean
    log-likelihood of points that were held out rises, and as there are 10 points for each, and
    half as many as coordinates. The EM algorithm starts from k-means. A covariance of few points
    is drawn to that within all components, which counts for as many points as half the
    coordinates, as in [3]_.

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
    .. [3] Fraley and Raftery (2007), Bayesian regularization for normal mixture estimation and
       model-based clustering, Journal of Classification.
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
        own = back / np.abs(back).max()
        model = _fitted(v, own, _number(v, own, random_state), random_state)
    factors = np.linalg.cholesky(model.covariances_)
    return {
        "weights": model.weights_,
        "means": model.means_ @ back + centre,
        "factors": back.T @ factors,
    }


def _number(v: np.ndarray, own: np.ndarray, random_state: int) -> int:
    """The number of components with the best likelihood of held-out points."""
    n = len(v)
    if 0.8 * n < LADDER[1] * LEAST_POINTS:
        return 1
    # Fewer points are split more often.
    splits = ShuffleSplit(max(1, min(3, 1000 // n)), test_size=0.2, random_state=random_state)
    parts = [(v[train], v[test]) for train, test in splits.split(v)]
    chosen, best = 1, -np.inf
    least = max(LEAST_POINTS, SHARED * v.shape[1])
    for k in LADDER:
        if k * least > len(parts[0][0]) and k > 1:
            break
        found = [_fitted(train, own, k, random_state).score(test) for train, test in parts]
        if np.mean(found) > best:
            chosen, best = k, np.mean(found)
        elif k > 2 * chosen:
            # The next number may be better where two components were no better than one.
            break
    return chosen


def _fitted(v: np.ndarray, own: np.ndarray, k: int, random_state: int) -> GaussianMixture:
    """Of whitened points v (n, q); `own` (q, q) takes them to where the points are of one unit."""
    model = GaussianMixture(k, reg_covar=LEAST_VARIANCE, tol=1e-2, max_iter=30)
    if k == 1:
        # What the iterations would come to, in a twentieth of their time.
        weights, means, covariances = _moments([v])
        return _with(model, weights, means, covariances)
    with warnings.catch_warnings():
        # A few steps more or less are nothing that a user could change.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Whitened, points are no farther apart in directions that groups differ in than in others.
        groups = KMeans(k, n_init=3, random_state=random_state).fit_predict(v @ own)
        weights, means, covariances = _moments([v[groups == j] for j in np.unique(groups)])
        model.set_params(
            n_components=len(weights),
            weights_init=weights,
            means_init=means,
            precisions_init=np.linalg.inv(covariances),
        ).fit(v)
    n_each = len(v) * model.weights_[:, None, None]
    shared = SHARED * v.shape[1]
    within = np.tensordot(model.weights_, model.covariances_, 1)
    covariances = (n_each * model.covariances_ + shared * within) / (n_each + shared)
    return _with(model, model.weights_, model.means_, covariances)


def _moments(groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, means and covariances of groups of points."""
    sizes = np.array([len(group) for group in groups])
    least = LEAST_VARIANCE * np.eye(groups[0].shape[1])
    covariances = [np.cov(group.T, ddof=0).reshape(least.shape) + least for group in groups]
    return sizes / sizes.sum(), np.stack([g.mean(axis=0) for g in groups]), np.stack(covariances)


def _with(
    model: GaussianMixture, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> GaussianMixture:
    """The model with given parameters, and what `score` makes of them."""
    model.weights_, model.means_, model.covariances_ = weights, means, covariances
    model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(1, 2)
    return model


def draw(mixture: dict[str, np.ndarray], n: int, generator: torch.Generator) -> Tensor:
    """n points of the mixture, in float64, from a generator of the CPU."""
    weights, means, factors = (tensor_of(mixture[name]) for name in ("weights", "means", "factors"))
    k = draw_index(weights, n, generator)
    noise = torch.randn(n, means.shape[1], generator=generator, dtype=torch.float64)
    u = means[k]
    for j, factor in enumerate(factors):
        u[k == j] += noise[k == j] @ factor.T
    return u
