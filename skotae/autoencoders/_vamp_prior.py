"""Variational autoencoder with a mixture of its own posteriors as prior."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.pseudo_inputs import (
    PosteriorMixtureModel,
    PseudoInputEstimator,
)
from skotae.autoencoders.bases.variational import VariationalAutoencoder
from skotae.utils._sklearn import Interval


class VampPriorModel(PosteriorMixtureModel):
    """The bound, with the divergence weighted by beta."""

    @property
    def kl_weight(self) -> float:
        return self.params.beta


@shared_documentation
class VampPriorVAE(PseudoInputEstimator, VariationalAutoencoder):
    r"""Variational autoencoder whose prior is a mixture of posteriors.

    .. math::
        \max_{q, G, u}\; \mathbb E_x \Big[\mathbb E_{q(z|x)} \log p(x|z)
        - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))\Big], \qquad
        p(z) = \frac1K \sum_{k=1}^K q(z|u_k),

    with the posteriors and the likelihood of :class:`~skotae.VAE`. The pseudo-inputs
    :math:`u_k` live in data space, start at training rows and are learned. The divergence
    has no closed form; one draw of each posterior estimates it. `sample` picks a pseudo-input,
    all with the same chance, draws a code from its posterior and decodes it.

    Parameters
    ----------
    {n_components}
    beta : float, default=1.0
        Weight :math:`\beta` of the divergence.
    {n_pseudo_inputs}
    {n_upper}
    {init}
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

    References
    ----------
    .. [1] Tomczak and Welling (2018), VAE with a VampPrior, AISTATS, eq. 9.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import VampPriorVAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = VampPriorVAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.pseudo_inputs_.shape, model.elbo(X, random_state=0).shape
    ((75, 4), (150,))
    """

    _parameter_constraints = {
        **PseudoInputEstimator._parameter_constraints,
        "n_upper": [Interval(Integral, 1, None, closed="left"), None],
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    _model_class = VampPriorModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        beta: float = 1.0,
        n_pseudo_inputs: int | None = None,
        n_upper: int | None = None,
        init: str = "random",
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
        self.beta = beta
        self.n_pseudo_inputs = n_pseudo_inputs
        self.n_upper = n_upper
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
