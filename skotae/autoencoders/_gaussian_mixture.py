"""Gaussian-mixture Wasserstein autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.autoencoders._docs import shared_documentation
from skotae.autoencoders._graph_clusters import graph_clusters
from skotae.autoencoders._mixture_posterior import MixtureAutoencoder, MixtureModel
from skotae.autoencoders._model import Blueprint
from skotae.divergences import MMD
from skotae.training import Rows, Step, ramp
from skotae.transport._mmd import kernel_mean
from skotae.utils._random import child_seed
from skotae.utils._sklearn import Interval, StrOptions


class GMWAEModel(MixtureModel):
    """Reconstructions and discrepancy, weighted by q(k|x).

    While it learns from clusters, their labels are a buffer.
    """

    clusters: Tensor | None

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.register_buffer("clusters", None)

    def begin_encoder(self, weight: Tensor, bias: Tensor) -> bool:
        # A linear map of its own would hold shares back from the clusters.
        return self.params.init != "clusters" and super().begin_encoder(weight, bias)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        moments = self.encoder.moments(batch)
        z, share = moments.draw(step.generator), moments.share
        cost = (share * self.component_costs(batch, z)).sum(1)
        discrepancy = self.discrepancy(z, share / len(batch), step.prior_generator)
        terms = {
            "reconstruction": cost.mean() / self.cost_scale,
            "penalty": self.params.lam * discrepancy,
        }
        if self.params.init == "clusters":
            terms["clusters"] = self.guidance(moments.logits, step)
        return terms

    def guidance(self, logits: Tensor, step: Step) -> Tensor:
        """Cross-entropy to the clusters, with a weight that falls to 0 halfway."""
        weight = 1.0 - ramp(step.progress, 0.5)
        if self.clusters is None or not weight:
            return logits.new_zeros(())
        labels = self.clusters[step.rows.to(logits.device)]
        return weight * torch.nn.functional.cross_entropy(logits, labels)

    def discrepancy(self, z: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Of codes of shape (n, K, d) with weights of shape (n, K) from the prior."""
        n, k, d = z.shape
        if self.params.discrepancy == "marginal":
            draws = self.prior.sample(n, d, generator)
            return MMD()(z.flatten(0, 1), draws, weights=weights.flatten())
        # About its mean each component of the prior is the same normal distribution.
        z = z - self.encoder.prior_means
        draws = torch.randn(n, d, generator=generator, device=z.device, dtype=z.dtype)
        uniform = draws.new_full((n,), 1 / n)
        pairs = 1 - 1 / max(n, 2)
        within = sum(kernel_mean(z[:, i], weights[:, i]) for i in range(k))
        across = kernel_mean(z.flatten(0, 1), weights.flatten(), draws, uniform)
        return k * within / pairs - 2 * across + kernel_mean(draws, uniform) / pairs


@shared_documentation
class GMWAE(MixtureAutoencoder):
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
    lam : float, default=0.05
        Weight :math:`\lambda` of the maximum mean discrepancy.
    discrepancy : {"marginal", "joint"}, default="marginal"
        Of what: ``"marginal"`` of :math:`z`, as above, which leaves the shares of the
        components free; ``"joint"`` of :math:`(z, k)`, with the kernel
        :math:`K\, 1[k = k']\, k(z, z')`, which keeps every component in use.
    separation : float, default=4.0
        Distance of two means in units of :math:`\sigma_0 = 1`.
    init : {"prior", "clusters"}, default="prior"
        Where :math:`q(k|x)` starts: ``"prior"`` near equal shares for every row;
        ``"clusters"`` from K clusters of the training rows, found by spectral clustering in
        the graph of their nearest neighbours. Over the first half of training the loss has
        the cross-entropy to these as another term, whose weight falls from 1 to 0. Finding
        them takes time proportional to the square of the number of rows, and memory for a
        copy of X.
    {cost}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    {mixture_attributes}

    See Also
    --------
    GMVAE : The same networks, trained by the evidence lower bound.
    sklearn.mixture.GaussianMixture : A mixture in data space.

    References
    ----------
    .. [1] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 3 to 8.
    .. [2] Ng, Jordan and Weiss (2001), On spectral clustering: analysis and an algorithm.
    .. [3] Rebagliati and Verri (2011), Spectral clustering with more than K eigenvectors.

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
        **MixtureAutoencoder._parameter_constraints,
        "lam": [Interval(Real, 0, None, closed="left")],
        "discrepancy": [StrOptions({"marginal", "joint"})],
        "init": [StrOptions({"prior", "clusters"})],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_mixtures: int = 10,
        lam: float = 0.05,
        discrepancy: str = "marginal",
        separation: float = 4.0,
        init: str = "prior",
        cost: Any = "sqeuclidean",
        cost_scale: Any = "auto",
        scale: str = "auto",
        encoder: Any = None,
        decoder: Any = None,
        hidden_layer_sizes: Any = (256, 256),
        activation: str = "relu",
        clip: bool = True,
        latent: str = "auto",
        batch_size: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.002,
        weight_decay: Any = "auto",
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
        self.discrepancy = discrepancy
        self.separation = separation
        self.init = init
        self.cost = cost
        self.cost_scale = cost_scale
        self.scale = scale
        self.encoder = encoder
        self.decoder = decoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.clip = clip
        self.latent = latent
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    _advice = {"penalty": "Lower lam or learning_rate_init."}
    _model_class = GMWAEModel
    _shaping = MixtureAutoencoder._shaping | {"init"}
    model_: GMWAEModel

    def _initialise(self, X: np.ndarray) -> None:
        super()._initialise(X)
        if self.init == "clusters":
            rows = self._units.standardised(X).astype(np.float32)
            labels = graph_clusters(rows, self.n_mixtures_, child_seed(self._seed, "start") % 2**32)
            self.model_.clusters = torch.from_numpy(labels.astype(np.int64))

    def _after_fit(self, rows: Rows) -> None:
        super()._after_fit(rows)
        self.model_.clusters = None
