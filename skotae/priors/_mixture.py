"""Gaussian-mixture prior with means that are far apart."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.linalg import helmert
from scipy.optimize import minimize
from torch import Tensor

from skotae.priors.base import (
    BasePrior,
    check_points,
    check_weights,
    device_of,
    draw_index,
    positive,
    weighted_moments,
)
from skotae.utils.base import as_whole


class GaussianMixturePrior(BasePrior):
    r"""Mixture of normal distributions of equal width.

    .. math:: p(z) = \sum_{k=1}^K w_k\, \mathcal N(z;\, \mu_k,\, \sigma^2 I)

    The means are the corners of a regular simplex about 0, mutually equidistant, where
    :math:`K \le d + 1`. Where K is larger there is none; they are then spread evenly by
    mutual repulsion, with the mean distance of nearest neighbours in the place of the
    common distance.

    Parameters
    ----------
    n_mixtures : int >= 1, default=10
        Number K of components; not used if `means` is given.
    means : array-like of shape (n_mixtures, n_components), default=None
        Means :math:`\mu_k`, in the place of those that `separation` gives.
    scale : float > 0, default=1.0
        Standard deviation :math:`\sigma` of a component.
    separation : float > 0, default=4.0
        Distance of the means, in units of `scale`.
    weights : array-like of shape (n_mixtures,), default=None
        Weights :math:`w_k`, up to a factor; None is equal weights.

    References
    ----------
    Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein distance.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import GaussianMixturePrior
    >>> prior = GaussianMixturePrior(n_mixtures=3, scale=0.5)
    >>> torch.pdist(prior.component_means(2)).round(decimals=6).tolist()
    [2.0, 2.0, 2.0]
    >>> prior.sample(5, 2, torch.Generator().manual_seed(0), component=1).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        n_mixtures: int = 10,
        means: Any = None,
        scale: float = 1.0,
        separation: float = 4.0,
        weights: Any = None,
    ):
        self.n_mixtures = n_mixtures
        self.means = means
        self.scale = scale
        self.separation = separation
        self.weights = weights

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        positive(self, "scale")
        if self.means is None:
            positive(self, "separation")
            as_whole("n_mixtures", self.n_mixtures, of=type(self).__name__)
        check_weights(self, self.weights, len(self.component_means(d)))

    def component_means(self, d: int) -> Tensor:
        """Means of the components, a float64 tensor of shape (n_mixtures, d)."""
        if self.means is not None:
            return check_points(self, "means", d)
        distance = positive(self, "separation") * positive(self, "scale")
        return distance * torch.tensor(_spread(int(self.n_mixtures), int(d)))

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        component: int | None = None,
    ) -> Tensor:
        """Draw codes.

        Parameters
        ----------
        n : int
            Number of codes.
        d : int
            Dimension of a code.
        generator : torch.Generator, default=None
            Source of randomness; torch's global generator is used only for None.
        dtype : torch.dtype, default=torch.float32
            Of the result.
        component : int, default=None
            Number of the component to draw from; None draws from the mixture.

        Returns
        -------
        z : Tensor of shape (n, d)
            On the device of `generator`.
        """
        if component is None:
            return self.sample_with_component(n, d, generator, dtype=dtype)[0]
        self.check_dimension(d)
        means = self.component_means(d)
        if not 0 <= component < len(means):
            raise ValueError(
                f"component={component!r}; expected an integer from 0 to {len(means) - 1}."
            )
        mean = means[component].to(device_of(generator), dtype)
        return mean + self._noise(n, d, generator, dtype)

    def sample_with_component(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor]:
        """Draw codes, and say which component each of them is from.

        Returns
        -------
        z : Tensor of shape (n, d)
        component : Tensor of shape (n,), int64
        """
        self.check_dimension(d)
        means = self.component_means(d)
        k = draw_index(check_weights(self, self.weights, len(means)), n, generator)
        return means.to(k.device, dtype)[k] + self._noise(n, d, generator, dtype), k

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d)."""
        d = z.shape[-1]
        means = self.component_means(d)
        weights = check_weights(self, self.weights, len(means)).to(z)
        scale = positive(self, "scale")
        gap = (z[..., None, :] - means.to(z)) / scale
        constant = d * (math.log(scale) + 0.5 * math.log(2 * math.pi))
        return (weights.log() - 0.5 * gap.square().sum(-1)).logsumexp(-1) - constant

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        means = self.component_means(d)
        mean, between = weighted_moments(means, check_weights(self, self.weights, len(means)))
        return mean, between + positive(self, "scale") ** 2 * torch.eye(d, dtype=torch.float64)

    def _noise(
        self, n: int, d: int, generator: torch.Generator | None, dtype: torch.dtype
    ) -> Tensor:
        noise = torch.randn(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return noise.mul_(positive(self, "scale"))


@lru_cache(maxsize=64)
def _spread(k: int, d: int) -> np.ndarray:
    """k points in d dimensions about 0, at distance 1 from their nearest neighbours."""
    points: np.ndarray
    if k == 1:
        points = np.zeros((1, d))
    elif k <= d + 1:
        # Rows of the identity are equidistant; this is a basis of the plane they lie in.
        points = np.pad(helmert(k).T / math.sqrt(2), [(0, 0), (0, d - k + 1)])
    elif d == 1:
        points = np.arange(k)[:, None] - (k - 1) / 2.0
    else:
        points = _repelled(k, d)
    points.setflags(write=False)
    return points


def _repelled(k: int, d: int) -> np.ndarray:
    """Minimum of sum |x_i - x_j|^-8 + sum |x_i|^2, the best of some fixed starts."""
    rng = np.random.default_rng(0)
    upper = np.triu_indices(k, 1)

    def energy(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(k, d)
        gap = x[upper[0]] - x[upper[1]]
        square = np.maximum((gap * gap).sum(1), 1e-4)
        push = square**-4.0
        pull = (-8.0 * push / square)[:, None] * gap
        gradient = 2.0 * x
        np.add.at(gradient, upper[0], pull)
        np.add.at(gradient, upper[1], -pull)
        return push.sum() + (x * x).sum(), gradient.ravel()

    width = k ** (1.0 / d)
    starts = [rng.uniform(-width, width, k * d) for _ in range(5 if k <= 50 else 1)]
    results = [minimize(energy, x, jac=True, method="L-BFGS-B") for x in starts]
    points = min(results, key=lambda result: result.fun).x.reshape(k, d)
    points = points - points.mean(axis=0)
    distance = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(k, np.inf))
    return points / distance.min(axis=1).mean()
