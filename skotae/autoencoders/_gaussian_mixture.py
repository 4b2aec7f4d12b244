"""Gaussian-mixture Wasserstein autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skotae.autoencoders._base import BaseAutoencoder
from skotae.autoencoders._docs import shared_documentation
from skotae.autoencoders._inference import check_count, in_dtype, infer
from skotae.autoencoders._modules import MAX_LOG_SCALE, MIN_LOG_SCALE
from skotae.divergences import MMD
from skotae.priors import GaussianMixturePrior
from skotae.training import Rows, Step
from skotae.utils._random import draw_seed
from skotae.utils._sklearn import Interval


@shared_documentation
class GMWAE(BaseAutoencoder):
    r"""Gaussian-mixture Wasserstein autoencoder: a discrete and a continuous code.

    .. math::
        \min\; \mathbb E_x \sum_k q(k|x)\, \mathbb E_{z \sim q(z|k,x)}\, c(x, G(z))
        + \lambda\, \mathrm{MMD}^2\Big(\mathbb E_x \sum_k q(k|x) q(z|k,x),\;
        \sum_k p(k) p(z|k)\Big),

    with the prior :math:`p(k) = 1/K`, :math:`p(z|k) = \mathcal N(\mu^0_k, \sigma_0^2 I)`
    whose means are mutually equidistant at :math:`4 \sigma_0` (as far apart as possible
    where :math:`K > d + 1`) and the posterior
    :math:`q(k|x) = \pi_k(x)`, :math:`q(z|k,x) = \mathcal N(\mu_k(x), \mathrm{diag}\,
    \sigma_k^2(x))`. The expectation over :math:`k` is exact; the kernel of
    the discrepancy (eq. 6) sees :math:`z`. The posterior moments start
    at those of the prior: the network learns the difference.

    Parameters
    ----------
    {n_components}
    n_mixtures : int, default=10
        Number K of components.
    lam : float, default=0.03
        Weight :math:`\lambda` of the maximum mean discrepancy.
    separation : float, default=4.0
        Distance of two means in units of :math:`\sigma_0 = 1`.
    {cost}
    {networks}
    {clip}
    {training}

    Attributes
    ----------
    {attributes}
    n_mixtures_ : int
        Number of components.
    labels_ : ndarray of shape (n_samples,)
        Component of each training row.

    See Also
    --------
    sklearn.mixture.GaussianMixture : A mixture in data space.

    References
    ----------
    .. [1] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 3 to 8.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import GMWAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = GMWAE(n_components=2, n_mixtures=3, max_iter=20, random_state=0).fit(X)
    >>> model.predict_proba(X).shape, model.sample(4, component=1, random_state=0).shape
    ((150, 3), (4, 4))
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "n_mixtures": [Interval(Integral, 1, None, closed="left")],
        "lam": [Interval(Real, 0, None, closed="left")],
        "separation": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_mixtures: int = 10,
        lam: float = 0.03,
        separation: float = 4.0,
        cost: Any = "sqeuclidean",
        cost_scale: Any = "auto",
        encoder: Any = None,
        decoder: Any = None,
        hidden_layer_sizes: Any = (256, 256),
        activation: str = "relu",
        clip: bool = True,
        batch_size: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.002,
        max_iter: int = 200,
        tol: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        device: Any = "auto",
        random_state: Any = None,
        verbose: Any = False,
    ):
        self.n_components = n_components
        self.n_mixtures = n_mixtures
        self.lam = lam
        self.separation = separation
        self.cost = cost
        self.cost_scale = cost_scale
        self.encoder = encoder
        self.decoder = decoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.clip = clip
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # A mini-batch has n_mixtures codes for each row.
    _auto_batch = (16, 32, 128)
    _advice = {"penalty": "Lower lam or learning_rate_init."}
    prior_: GaussianMixturePrior

    def _resolve_prior(self) -> GaussianMixturePrior:
        return GaussianMixturePrior(n_mixtures=self.n_mixtures, separation=self.separation)

    def _build(self, X: np.ndarray) -> None:
        k, d = self.n_mixtures, self.n_components_
        if k > len(X):
            raise ValueError(
                f"n_mixtures={k} is more than the {len(X)} rows of X; expected at most as many."
            )
        self.n_mixtures_ = k
        self.encoder_ = MixtureEncoder(
            self._network("encoder", self.n_features_in_, k * (2 * d + 1)),
            self.prior_.component_means(d),
        )
        self.decoder_ = self._decoder()

    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        share, mean, log_scale = self.encoder_.moments(batch)
        noise = torch.randn(mean.shape, generator=step.generator, device=mean.device)
        z = mean + log_scale.exp() * noise
        n, k, d = z.shape
        decoder = self.decoder_
        raw = decoder.net(z.reshape(n * k, d)).reshape(n, k, -1)
        cost = decoder.cost.from_raw(batch[:, None, :], raw)
        draws = self.prior_.sample(n, d, step.generator)
        weights = (share / n).reshape(-1)
        penalty = MMD()(z.reshape(n * k, d), draws, weights=weights)
        return {
            "reconstruction": (share * cost).sum(1).mean() / self.cost_scale_,
            "penalty": self.lam * penalty,
        }

    def _encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            return self.encoder_(x)
        share, mean, log_scale = self.encoder_.moments(x)
        k = torch.multinomial(share, 1, generator=generator)[:, 0]
        rows = torch.arange(len(x), device=x.device)
        noise = torch.randn(
            len(x), mean.shape[2], generator=generator, device=x.device, dtype=x.dtype
        )
        return mean[rows, k] + log_scale[rows, k].exp() * noise

    def _after_fit(self, rows: Rows) -> None:
        self.labels_ = self._proba(rows.X).argmax(axis=1)

    def _proba(self, X: np.ndarray) -> np.ndarray:
        model = in_dtype(self, X.dtype)
        return infer(lambda x: model.encoder_.moments(x)[0], self._standardised(X), model.device_)

    def predict_proba(self, X):
        """Posterior probability of each component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_mixtures)
            q(k|x).
        """
        return self._proba(self._check(X))

    def predict(self, X):
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return self._proba(self._check(X)).argmax(axis=1)

    def fit_predict(self, X, y=None):
        """Fit, and return the component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return self.fit(X, y).labels_

    def sample(self, n_samples=1, *, component=None, random_state=None):
        """New rows: decoded draws from the prior, or from one of its components.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        component : int or None, default=None
            Number of the component to draw from; None draws from the mixture.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
        """
        if component is None:
            return super().sample(n_samples, random_state=random_state)
        check_is_fitted(self)
        check_count("n_samples", n_samples, 1)
        if not isinstance(component, Integral) or not 0 <= int(component) < self.n_mixtures_:
            raise ValueError(
                f"component={component!r}; expected an integer from 0 to {self.n_mixtures_ - 1}."
            )
        seed = draw_seed(random_state)
        return self._frame(self._generate(n_samples, seed, self._dtype, component=int(component)))

    def _draw_codes(
        self,
        n: int,
        generator: torch.Generator,
        dtype: torch.dtype,
        component: int | None = None,
    ) -> Tensor:
        return self.prior_.sample(
            n, self.n_components_, generator, dtype=dtype, component=component
        )


class MixtureEncoder(nn.Module):
    """q(k|x) and the moments of q(z|k,x), as differences from those of the prior."""

    prior_means: Tensor

    def __init__(self, net: nn.Module, prior_means: Tensor):
        super().__init__()
        self.net = net
        self.register_buffer("prior_means", prior_means.to(torch.float32))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q(k|x) of shape (n, K), means and log-scales of shape (n, K, d)."""
        k, d = self.prior_means.shape
        out = self.net(x)
        share = out[:, :k].softmax(1)
        shift, log_scale = out[:, k:].reshape(-1, k, 2 * d).chunk(2, dim=2)
        return share, self.prior_means + shift, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Posterior mean of z."""
        share, mean, _ = self.moments(x)
        return (share[:, :, None] * mean).sum(1)
