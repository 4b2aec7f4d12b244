"""Gaussian-mixture variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.variational import (
    VariationalAutoencoder,
    VariationalModel,
    gaussian_divergence,
)
from skotae.autoencoders.mixture.posterior import MixtureAutoencoder, MixtureModel
from skotae.training import Step
from skotae.utils._sklearn import Interval


class GMVAEModel(MixtureModel, VariationalModel):
    """The bound for a discrete and a continuous code."""

    def bound_terms(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Cost, KL of q(z|k,x) and KL of q(k|x) for each row; their sum is minus the bound."""
        moments = self.encoder.moments(x)
        share = moments.share
        cost = self.component_costs(x, moments.draw(generator))
        kl_z = gaussian_divergence(moments.mean - self.encoder.prior_means, moments.log_scale)
        kl_k = (share * moments.logits.log_softmax(1)).sum(1) + math.log(self.n_mixtures)
        return (share * cost).sum(1), (share * kl_z).sum(1), kl_k

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        beta = self.params.beta
        cost, kl_z, kl_k = self.bound_terms(batch, step.generator)
        return {
            "reconstruction": cost.mean() / self.cost_scale,
            "kl_z": beta * kl_z.mean() / self.cost_scale,
            "kl_k": beta * kl_k.mean() / self.cost_scale,
        }

    def negative_bound(self, x: Tensor, generator: torch.Generator) -> Tensor:
        cost, kl_z, kl_k = self.bound_terms(x, generator)
        return cost + kl_z + kl_k


@shared_documentation
class GMVAE(MixtureAutoencoder, VariationalAutoencoder):
    r"""Gaussian-mixture variational autoencoder.

    .. math::
        \max\; \mathbb E_x \Big[\sum_k q(k|x) \Big(\mathbb E_{q(z|k,x)} \log p(x|z)
        - \beta\, \mathrm{KL}(q(z|k,x) \,\|\, p(z|k))\Big)
        - \beta\, \mathrm{KL}(q(k|x) \,\|\, p(k))\Big],

    with the prior, the posterior and the networks of :class:`GMWAE`, and the likelihood
    :math:`p(x|z) = e^{-c(x, G(z))}`. The expectation over :math:`k` is exact. With
    :math:`\beta = 1` it is the mean of the evidence lower bound.

    The last term is at most :math:`\log K`. Where the reconstruction is much larger, as it
    is with a small fixed variance, components are shut off in the first steps and
    never return; ``weights_`` shows which.

    Parameters
    ----------
    {n_components}
    n_mixtures : int, default=None
        Number K of components. None stands for 10, or for one to each 20 rows where that is fewer,
        and at least 2.
    beta : float, default=1.0
        Weight :math:`\beta` of the two divergences.
    separation : float, default=4.0
        Distance of two means in units of :math:`\sigma_0 = 1`.
    {moments}
    {likelihood}
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
    GMWAE : The same networks, with a divergence of aggregate distributions.

    References
    ----------
    .. [1] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 1 and 2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import GMVAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = GMVAE(n_components=2, n_mixtures=3, max_iter=20, random_state=0).fit(X)
    >>> model.predict_proba(X).shape, model.elbo(X, random_state=0).shape
    ((150, 3), (150,))
    """

    _parameter_constraints = {
        **MixtureAutoencoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_mixtures: int | None = None,
        beta: float = 1.0,
        separation: float = 4.0,
        moments: Any = "shared",
        cost: Any = "gaussian",
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
        self.beta = beta
        self.separation = separation
        self.moments = moments
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

    _model_class = GMVAEModel
    model_: GMVAEModel
    _advice = dict.fromkeys(("kl_z", "kl_k"), "Lower learning_rate_init.")
