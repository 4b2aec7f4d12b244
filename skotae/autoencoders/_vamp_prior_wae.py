"""Wasserstein autoencoder with a mixture of its own posteriors as prior."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.penalised import PenalisedAutoencoder, WassersteinModel
from skotae.autoencoders.bases.pseudo_inputs import PosteriorMixture, PseudoInputEstimator
from skotae.divergences import DIVERGENCES
from skotae.divergences.base import BaseDivergence
from skotae.utils._sklearn import Interval, StrOptions

# Of the spread of the draws: below it they are one point.
LEAST_SPREAD = 1e-12


class VampPriorWAEModel(WassersteinModel):
    """Any divergence of codes from the codes of pseudo-inputs, in units of their spread."""

    def describe_divergence(self) -> BaseDivergence:
        divergence = super().describe_divergence()
        if not divergence.prior_gradient:
            parts: dict[str, Any] = {**DIVERGENCES}
            able = [f"{name!r}" for name, part in parts.items() if part.prior_gradient]
            raise ValueError(
                f"penalty={self.params.penalty!r} of VampPriorWAE gives pseudo-inputs no "
                f"gradient; expected one of {', '.join(able)}."
            )
        return divergence

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> PosteriorMixture:
        start = torch.zeros(plan.measured.n_pseudo_inputs_, plan.n_features)
        return PosteriorMixture(net, start, stochastic=self.is_stochastic)

    def prior_draws(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return self.encoder.sample_prior(len(like), generator).to(like.dtype)

    def draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return self.encoder.prior_codes(n, generator, dtype)

    def code_components(self) -> tuple[Tensor, Tensor]:
        return self.encoder.components()

    def compare(self, z: Tensor, draws: Tensor, generator: torch.Generator) -> Tensor:
        # Codes and prior are one network's: both would else shrink to nothing.
        spread = draws.var(0, correction=0).mean().clamp_min(LEAST_SPREAD).sqrt()
        return super().compare(z / spread, draws / spread, generator)


@shared_documentation
class VampPriorWAE(PseudoInputEstimator, PenalisedAutoencoder):
    r"""Wasserstein autoencoder whose prior is a mixture of posteriors.

    .. math::
        \min_{E, G, u}\; \mathbb E_{x}\, c(x, G(E(x))) + \lambda\, D(Q_Z, P_Z), \qquad
        P_Z = \frac1K \sum_{k=1}^K q(z|u_k),

    with the divergence D between the codes of rows and draws from the prior, as in
    :class:`~skotae.WAEEstimator`. The pseudo-inputs :math:`u_k` live in data space, start at
    training rows and are learned. With a deterministic posterior the prior is that of their K
    codes. Codes and draws are divided by the spread of the draws before they are compared, so that
    nothing is gained by codes that are all small. `sample` picks a pseudo-input, all with the same
    chance, draws a code from its posterior and decodes it.

    Parameters
    ----------
    {n_components}
    penalty : str or divergence, default="mmd"
        The divergence D: ``"mmd"``, ``"sinkhorn"``, ``"exact"``, ``"sliced"``, or an instance from
        :mod:`skotae.divergences` with a gradient for the prior.
    lam : "auto" or float, default="auto"
        Weight :math:`\lambda` of the penalty. ``"auto"`` is 0.02 for ``"sinkhorn"`` and ``"exact"``
        and 0.5 for the others, or what a penalty of one's own has as `usual_weight`.
    posterior : {"gaussian", "deterministic"}, default="gaussian"
        ``"gaussian"`` draws codes with a learned diagonal variance, so that the prior has a
        density.
    {n_pseudo_inputs}
    {init}
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
    n_pseudo_inputs_ : int
        Number of pseudo-inputs.
    pseudo_inputs_ : ndarray of shape (n_pseudo_inputs, n_features)
        The pseudo-inputs, in data space.
    divergence_ : callable
        The penalty in use.
    lam_ : float
        The weight in use.

    See Also
    --------
    VampPriorVAE : The same prior with the evidence lower bound.
    SymmetricWAE : A prior of pseudo-inputs that are found for each row.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, section 5, which names this prior.
    .. [2] Tomczak and Welling (2018), VAE with a VampPrior, AISTATS, eq. 9.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import VampPriorWAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = VampPriorWAE(n_components=2, penalty="sinkhorn", max_iter=20, random_state=0)
    >>> model.fit(X).pseudo_inputs_.shape, model.sample(5, random_state=0).shape
    ((75, 4), (5, 4))
    """

    _parameter_constraints = {
        **PseudoInputEstimator._parameter_constraints,
        "penalty": "no_validation",
        "lam": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "posterior": [StrOptions({"deterministic", "gaussian"})],
        "refit_decoder": ["boolean"],
    }

    _advice = {"penalty": "Lower lam or learning_rate_init."}
    _model_class = VampPriorWAEModel
    _shaping = PseudoInputEstimator._shaping | PenalisedAutoencoder._shaping
    lam_ = ModelPart("weight")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        penalty: Any = "mmd",
        lam: Any = "auto",
        posterior: str = "gaussian",
        n_pseudo_inputs: int | None = None,
        init: str = "random",
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
        self.penalty = penalty
        self.lam = lam
        self.posterior = posterior
        self.n_pseudo_inputs = n_pseudo_inputs
        self.init = init
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
