"""Adversarial variational Bayes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.modules import MIN_LOG_SCALE, begin_codes, repeated
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.bases.variational import (
    VariationalAutoencoder,
    VariationalModel,
    gaussian_log_density,
)
from skotae.priors.base import log_density
from skotae.training import Rows, Step, ramp
from skotae.utils._random import make_generator
from skotae.utils._sklearn import Interval

# Draws that the moments of the posterior are estimated from: in a step, and after it all.
MOMENT_DRAWS, BANK_DRAWS = 256, 16384


class AdversarialVBModel(VariationalModel):
    """An implicit posterior, and the discriminator that estimates its divergence."""

    inner = ("discriminator",)

    @property
    def n_inner(self) -> int:  # type: ignore[override]
        return self.params.n_discriminator

    @property
    def posterior_width(self) -> int:
        return (1 + self.params.n_noise) * self.n_components

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> ImplicitEncoder:
        super().make_encoder(net, plan)
        return ImplicitEncoder(net, self.params.n_noise, self.n_components)

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.discriminator = plan.network("discriminator", plan.n_features + self.n_components, 1)

    def contrast(
        self, x: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A draw of each row's posterior; the same as T sees it; log r - log p; a draw of r."""
        if not self.params.adaptive_contrast:
            z = self.encoder.sample(x, generator)
            return z, z, torch.zeros_like(z[:, 0]), self.prior_draws(z, generator)
        z, mean, log_scale = self.encoder.sample_with_moments(x, generator)
        seen = (z - mean) * torch.exp(-log_scale)
        other = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        return z, seen, gaussian_log_density(seen, log_scale) - log_density(self.prior, z), other

    def log_ratio(self, x: Tensor, seen: Tensor) -> Tensor:
        """What the discriminator takes log q - log r to be, as T sees codes."""
        return self.discriminator(torch.cat([x, seen], dim=1)).squeeze(1)

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        z, seen, correction, _ = self.contrast(x, generator)
        return z, self.log_ratio(x, seen) + correction

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        terms = dict(super().terms(batch, step))
        if step.training:
            terms["reconstruction"] /= self.params.temperature ** (1.0 - ramp(step.progress, 0.5))
        return terms

    def inner_terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        with torch.no_grad():
            _, seen, _, other = self.contrast(batch, step.generator)
        drawn, contrast = self.log_ratio(batch, seen), self.log_ratio(batch, other)
        return {"adversary": softplus(-drawn).mean() + softplus(contrast).mean()}


@shared_documentation
class AdversarialVB(VariationalAutoencoder):
    r"""Variational autoencoder with an implicit posterior (adversarial variational Bayes).

    .. math::
        \max_{q, G}\; \mathbb E_x\, \mathbb E_{q(z|x)} \big[\log p(x|z) + \log p(z)
        - \log r(z|x) - T^*(x, z)\big], \qquad
        T^*(x, z) = \log q(z|x) - \log r(z|x)

    The posterior is what a network makes of noise, and has no density that could be
    computed. The discriminator

    .. math::
        \max_T\; \mathbb E_{q(z|x)} \log s(T(x, z)) + \mathbb E_{r(z|x)} \log (1 - s(T(x, z))),

    with the logistic function :math:`s`, finds :math:`T^*`. With `adaptive_contrast`, r is
    the Gaussian with the mean and the variances of the posterior, so that :math:`T` has
    only its shape to tell; without, r is the prior.

    A posterior is a combination of `n_noise` random vectors, each of them a network of
    noise of its own, with coefficients that the encoder gives:

    .. math:: z_k = a_{0,k}(x) + \sum_{i=1}^m a_{i,k}(x)\, v_{i,k}(\epsilon_i), \qquad
        \epsilon_i \sim \mathcal N(0, I)

    Parameters
    ----------
    {n_components}
    n_noise : int, default=8
        Number m of random vectors.
    adaptive_contrast : bool, default=True
        Whether r is a Gaussian about each row's posterior, or the prior.
    discriminator : network, default=None
        As `encoder`, from the row and the code side by side to one number. None stands
        for an MLP with `hidden_layer_sizes`.
    n_discriminator : int, default=1
        Steps of the discriminator for each step of the rest.
    temperature : float, default=1.0
        The likelihood enters to the power :math:`1 / \tau`, where :math:`\tau` falls from
        this number to 1 over the first half of the epochs. With a known decoder and a sharp
        likelihood, 10 keeps posteriors from settling in one of several modes; a decoder that
        is learned may then learn to do without the code.
    {prior}
    {likelihood}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    discriminator_ : torch.nn.Module
        The trained discriminator :math:`T`.

    See Also
    --------
    VAE : A Gaussian posterior, and a bound in place of an estimate.
    AdversarialAE : A discriminator on codes alone.

    References
    ----------
    .. [1] Mescheder, Nowozin and Geiger (2017), Adversarial variational Bayes: unifying
       variational autoencoders and generative adversarial networks, ICML, eq. 3.2 to 3.4
       and 4.1 to 4.4.
    .. [2] Bousquet, Gelly, Tolstikhin, Simon-Gabriel and Schoelkopf (2017), From optimal
       transport to generative modeling: the VEGAN cookbook, eq. 6.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import AdversarialVB
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = AdversarialVB(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.sample_posterior(X, 10, random_state=0).shape
    (150, 10, 2)
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "n_noise": [Interval(Integral, 1, None, closed="left")],
        "adaptive_contrast": ["boolean"],
        "discriminator": "no_validation",
        "n_discriminator": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 1, None, closed="left")],
    }

    _model_class = AdversarialVBModel
    _shaping = VariationalAutoencoder._shaping | {"n_noise", "discriminator"}
    discriminator_ = ModelPart("discriminator")
    model_: AdversarialVBModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_noise: int = 8,
        adaptive_contrast: bool = True,
        discriminator: Any = None,
        n_discriminator: int = 1,
        temperature: float = 1.0,
        prior: Any = None,
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
        learning_rate_init: float = 0.001,
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
        self.n_noise = n_noise
        self.adaptive_contrast = adaptive_contrast
        self.discriminator = discriminator
        self.n_discriminator = n_discriminator
        self.temperature = temperature
        self.prior = prior
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

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        self.model_.encoder.keep_mean(self._seed)

    def elbo(self, X, n_samples=1, *, random_state=None):
        r"""Estimate of the evidence lower bound of each row.

        .. math::
            \mathbb E_{q(z|x)} [\log p(x|z) + \log p(z) - \log r(z|x) - T(x, z)]

        It is as good as the discriminator: where that does not tell posterior and contrast
        apart as well as can be, the divergence comes out too small and the estimate may
        exceed :math:`\log p(x)`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws from each posterior that the expectation is estimated from.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        estimate : ndarray of shape (n_samples_X,)
            In nats, for the density in the units of the data.
        """
        return super().elbo(X, n_samples, random_state=random_state)


class ImplicitEncoder(nn.Module):
    """Codes made of noise, with coefficients that depend on the row.

    Parameters
    ----------
    net : nn.Module
        Rows of width n_features to the (1 + n_noise) d coefficients.
    n_noise : int
        Number of random vectors.
    d : int
        Dimension of the codes.
    width : int, default=32
        Width of the hidden layer between a noise and its vector.
    """

    vector_mean: Tensor

    def __init__(self, net: nn.Module, n_noise: int, d: int, width: int = 32):
        super().__init__()
        self.net = net
        self.d = d
        self.n_noise = n_noise
        self.first = Grouped(n_noise, d, width)
        self.second = Grouped(n_noise, width, d)
        self.register_buffer("vector_mean", torch.zeros(n_noise, d))

    def begin(self, path: PrincipalMap) -> bool:
        """Let codes start as a linear map; whether the network can."""
        return begin_codes(self.net, path)

    def vectors(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws of the random vectors, of shape (n, n_noise, d)."""
        shape, like = (self.n_noise, n, self.d), self.vector_mean
        noise = torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
        return (noise + self.second(torch.tanh(self.first(noise)))).transpose(0, 1)

    @torch.no_grad()
    def keep_mean(self, seed: int) -> None:
        """Remember the mean of the random vectors, for `forward`."""
        generator = make_generator(seed, self.vector_mean.device)
        self.vector_mean.copy_(self.vectors(BANK_DRAWS, generator).mean(0))

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of shapes (n, d) and (n, n_noise, d)."""
        a = self.net(x).unflatten(1, (1 + self.n_noise, self.d))
        # Draws start about as broad as a standard normal prior: from within one mode of a
        # posterior the others are hard to find.
        return a[:, 0], a[:, 1:] + self.n_noise**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """Posterior mean."""
        centre, a = self.coefficients(x)
        return centre + (a * self.vector_mean).sum(1)

    def sample(self, x: Tensor, generator: torch.Generator, repeats: int = 1) -> Tensor:
        """Draws from the posterior of each row, those of one row one after the other."""
        centre, a = (repeated(each, repeats) for each in self.coefficients(x))
        return centre + (a * self.vectors(len(centre), generator)).sum(1)

    def sample_with_moments(
        self, x: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A draw from the posterior of each row; the posterior's mean and log-scale."""
        centre, a = self.coefficients(x)
        # The vectors are independent, and do not depend on the row.
        variance, mean = torch.var_mean(self.vectors(MOMENT_DRAWS, generator), dim=0)
        square = (a.square() * variance).sum(1).clamp_min(np.exp(2 * MIN_LOG_SCALE))
        z = centre + (a * self.vectors(len(x), generator)).sum(1)
        return z, centre + (a * mean).sum(1), 0.5 * square.log()


class Grouped(nn.Module):
    """As many linear maps as there are groups, each of rows of its own.

    Parameters
    ----------
    n_groups, n_in, n_out : int
        From (n_groups, n, n_in) to (n_groups, n, n_out).
    """

    def __init__(self, n_groups: int, n_in: int, n_out: int):
        super().__init__()
        bound = n_in**-0.5
        self.weight = nn.Parameter(torch.empty(n_groups, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_groups, 1, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)
