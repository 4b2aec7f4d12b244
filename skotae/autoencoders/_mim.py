"""Mutual information machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from torch import Tensor

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.pseudo_inputs import (
    PosteriorMixtureModel,
    PseudoInputEstimator,
)
from skotae.autoencoders.bases.variational import VariationalAutoencoder
from skotae.training import Step
from skotae.utils._sklearn import Interval


class MIMModel(PosteriorMixtureModel):
    """The mean of the two joint log-likelihoods."""

    @property
    def min_log_scale(self) -> float:
        return math.log(self.params.min_scale)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z, log_posterior, log_prior = self.encoder.densities(batch, step.generator)
        return {
            "reconstruction": 0.5 * self.reconstruction_cost(batch, z),
            "prior": -0.5 * log_prior.mean() / self.cost_scale,
            "posterior": -0.5 * log_posterior.mean() / self.cost_scale,
        }


@shared_documentation
class MIM(PseudoInputEstimator, VariationalAutoencoder):
    r"""Mutual information machine.

    .. math::
        \min_{q, G, u}\; -\frac12\, \mathbb E_x\, \mathbb E_{q(z|x)}
        \big[\log p(x|z) + \log p(z) + \log q(z|x)\big], \qquad
        p(z) = \frac1K \sum_{k=1}^K q(z|u_k),

    with the posteriors and the likelihood of :class:`~skotae.VAE`, all draws from the
    encoder (A-MIM). A bound on the evidence has :math:`\log q(z|x)` with the other sign:
    here the posteriors are made narrow, not wide. The pseudo-inputs :math:`u_k` live in
    data space, start at training rows and are learned.

    Parameters
    ----------
    {n_components}
    {n_pseudo_inputs}
    {n_upper}
    {init}
    min_scale : float, default=1.0
        Least standard deviation of a posterior, in (0, 1]. Without one the objective has
        no minimum: shrinking all codes lowers it without end. Nearly all posteriors end
        there, and codes spread in proportion to it.
    {likelihood}
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

    Notes
    -----
    `elbo` is the bound on the evidence of the decoder and the learned prior. It is valid,
    but not what is maximised.

    References
    ----------
    .. [1] Livne, Swersky and Fleet (2019), MIM: mutual information machine,
       arXiv:1910.03175 (A-MIM).
    .. [2] Tomczak and Welling (2018), VAE with a VampPrior, AISTATS, eq. 9.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import MIM
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = MIM(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> list(model.history_)
    ['reconstruction', 'prior', 'posterior', 'loss']
    >>> model.pseudo_inputs_.shape
    (75, 4)
    """

    _parameter_constraints = {
        **PseudoInputEstimator._parameter_constraints,
        "n_upper": [Interval(Integral, 1, None, closed="left"), None],
        "min_scale": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_pseudo_inputs: int | None = None,
        n_upper: int | None = None,
        init: str = "random",
        min_scale: float = 1.0,
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
        self.n_pseudo_inputs = n_pseudo_inputs
        self.n_upper = n_upper
        self.init = init
        self.min_scale = min_scale
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

    _model_class = MIMModel
    _advice = dict.fromkeys(("prior", "posterior"), "Lower learning_rate_init.")
