"""Symmetric Wasserstein autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint
from skotae.autoencoders.bases.modules import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    begin_codes,
    repeated,
)
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.bases.pseudo_inputs import PseudoInputEstimator, each_once
from skotae.training import Step
from skotae.transport.base import widest
from skotae.utils._sklearn import Interval, StrOptions

# Standard deviations, beyond which all rows lie in one direction.
FARTHEST = 1e15


class SymmetricModel(AutoencoderModel):
    """Codes, and draws from the conditional prior of the nearest pseudo-input."""

    offset: Tensor

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        shape = plan.measured.n_pseudo_inputs_, plan.n_features
        self.conditional_prior = PseudoInputPrior(
            torch.zeros(shape), plan.encoder_network(2 * self.n_components)
        )
        # Where the data's own zero is, in standardised units; made anew from the measured numbers.
        measured = plan.measured
        zero = np.divide(measured.data_mean_, measured.data_scale_).clip(-FARTHEST, FARTHEST)
        offset = torch.from_numpy(np.broadcast_to(zero, plan.n_features).astype(np.float32))
        self.register_buffer("offset", offset, persistent=False)
        self.alpha = self.weight_of(self.params.alpha, 0.01)

    def _nearest_inputs(self, batch: Tensor, z: Tensor) -> Tensor:
        """Index of the pseudo-input that is nearest to each row."""
        metric = self.params.metric
        inputs: Tensor = self.conditional_prior.pseudo_inputs
        if self.params.search == "latent":
            return _nearest(z, self.encoder(inputs), metric)
        if metric == "cosine":
            # The angle is seen from the data's zero, not from their mean.
            wide = widest(batch)
            batch, inputs = (part.to(wide) + self.offset for part in (batch, inputs))
        return _nearest(batch, inputs, metric)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        params, prior = self.params, self.conditional_prior
        z = self.encoder(batch)
        with torch.no_grad():
            nearest = self._nearest_inputs(batch, z)
        z_prior = prior.sample(nearest, step.prior_generator)
        latent = (z - z_prior).abs() if params.p == 1 else (z - z_prior).square()
        terms = {"latent": self.alpha * latent.sum(1).mean()}
        if params.beta > 0:
            terms["denoising"] = params.beta * self.reconstruction_cost(batch, z_prior)
        if params.beta < 1:
            terms["reconstruction"] = (1 - params.beta) * self.reconstruction_cost(batch, z)
        return terms

    def codes_for_decoder(self, x: Tensor, generator: torch.Generator) -> Tensor:
        z, beta = self.encoder(x), self.params.beta
        if beta <= 0.5:
            # Reconstructions are of means.
            return z
        # Each row by one of its two codes, with chances that are the weights of their terms.
        z_prior = self.conditional_prior.sample(self._nearest_inputs(x, z), generator)
        chance = torch.rand(len(x), 1, generator=generator, device=generator.device)
        return torch.where(chance < beta, z_prior, z)

    def begin_encoder(self, path: PrincipalMap) -> bool:
        self.conditional_prior.begin(path)
        return super().begin_encoder(path)

    def draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        inputs = self.conditional_prior.pseudo_inputs
        index = torch.randint(len(inputs), (n,), generator=generator, device=generator.device)
        z = self.conditional_prior.sample(index.to(inputs.device), generator)
        return z.to(generator.device, dtype)

    def code_components(self) -> tuple[Tensor, Tensor]:
        return self.conditional_prior.components(self.conditional_prior.pseudo_inputs)


@shared_documentation
class SymmetricWAE(PseudoInputEstimator):
    r"""Symmetric Wasserstein autoencoder with a learnable prior.

    .. math::
        \min\; \mathbb E_x \Big[ \beta\, c(x, G(z_d)) + (1 - \beta)\, c(x, G(E(x)))
        + \alpha\, |E(x) - z_d|_p^p \Big],

    where :math:`z_d \sim \mathcal N(\mu(u), \mathrm{diag}\, \sigma^2(u))` is drawn from
    the conditional prior of the pseudo-input :math:`u` nearest to :math:`x`. The prior is
    the mixture of the conditional priors of all pseudo-inputs, with equal weights; the
    pseudo-inputs live in data space, start at training rows and are learned.

    Parameters
    ----------
    {n_components}
    beta : float, default=0.5
        Share :math:`\beta` of the loss that goes through the prior, in [0, 1]: at 1 the decoder
        sees draws of the prior alone, at 0 codes alone.
    alpha : "auto" or float, default="auto"
        Weight :math:`\alpha` of the latent loss. ``"auto"`` is 0.01 times the square root of
        {auto_weight}
    {n_pseudo_inputs}
    metric : {"l2", "cosine"}, default="l2"
        How the nearest pseudo-input is found: by the distance, or by the angle at the zero of the
        data, or of the codes. Where columns have scales of their own, rows are divided by these.
    search : {"data", "latent"}, default="data"
        Where it is looked for: among the pseudo-inputs, or among their codes.
    {init}
    p : {1, 2}, default=2
        Exponent of the latent loss.
    {refit_decoder}
    {cost}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    conditional_prior_ : torch.nn.Module
        The learned pseudo-inputs, in standardised units, and the network that reads the
        moments of the conditional priors off them.
    n_pseudo_inputs_ : int
        Number of pseudo-inputs.
    pseudo_inputs_ : ndarray of shape (n_pseudo_inputs, n_features)
        The pseudo-inputs, in data space.
    alpha_ : float
        The weight :math:`\alpha` in use.

    References
    ----------
    .. [1] Sun and Guo (2021), Symmetric Wasserstein autoencoders, UAI, eq. 10 and
       Algorithm 1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import SymmetricWAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = SymmetricWAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.pseudo_inputs_.shape
    (75, 4)
    """

    _parameter_constraints = {
        **PseudoInputEstimator._parameter_constraints,
        "beta": [Interval(Real, 0, 1, closed="both")],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "metric": [StrOptions({"l2", "cosine"})],
        "search": [StrOptions({"data", "latent"})],
        "p": [Interval(Integral, 1, 2, closed="both")],
        "refit_decoder": ["boolean"],
    }

    _advice = {"latent": "Lower alpha or learning_rate_init."}
    _auto_weight, _share_power = "alpha", 0.5
    _model_class = SymmetricModel
    _pseudo_inputs_in = "conditional_prior"
    conditional_prior_ = ModelPart("conditional_prior")
    alpha_ = ModelPart("alpha")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        beta: float = 0.5,
        alpha: Any = "auto",
        n_pseudo_inputs: int | None = None,
        metric: str = "l2",
        search: str = "data",
        init: str = "k-means++",
        p: int = 2,
        refit_decoder: bool = True,
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
        learning_rate_init: float = 0.003,
        weight_decay: Any = "auto",
        max_iter: Any = "auto",
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
        self.beta = beta
        self.alpha = alpha
        self.n_pseudo_inputs = n_pseudo_inputs
        self.metric = metric
        self.search = search
        self.init = init
        self.p = p
        self.refit_decoder = refit_decoder
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


class PseudoInputPrior(nn.Module):
    """Mixture of Gaussians whose moments a network reads off learned pseudo-inputs."""

    def __init__(self, pseudo_inputs: Tensor, net: nn.Module):
        super().__init__()
        self.pseudo_inputs = nn.Parameter(pseudo_inputs)
        self.net = net

    def begin(self, path: PrincipalMap) -> bool:
        """Let means start as a linear map; whether the network can."""
        return begin_codes(self.net, path, stochastic=True)

    def sample(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """One draw from the conditional prior of each indexed pseudo-input."""
        rows, repeats = each_once(index, self.net)
        parts = self.components(self.pseudo_inputs[rows])
        mean, scale = (repeated(part, repeats) for part in parts)
        noise = torch.randn(
            mean.shape, generator=generator, device=generator.device, dtype=torch.float32
        )
        return mean + scale * noise.to(mean)

    def components(self, pseudo_inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of the Gaussian of each pseudo-input."""
        mean, log_scale = self.net(pseudo_inputs).chunk(2, dim=1)
        return mean, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE).exp()


def _nearest(x: Tensor, candidates: Tensor, metric: str) -> Tensor:
    """Index of the nearest candidate of each row."""
    if metric == "cosine":
        return (normalize(x) @ normalize(candidates).T).argmax(1)
    return torch.addmm(candidates.square().sum(1), x, candidates.T, alpha=-2.0).argmin(1)
