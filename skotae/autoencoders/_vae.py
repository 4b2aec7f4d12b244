"""Variational autoencoder."""

from __future__ import annotations

from numbers import Real
from typing import Any

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.variational import VariationalAutoencoder, VariationalModel
from skotae.utils._sklearn import Interval


class VAEModel(VariationalModel):
    """The bound, with the divergence weighted by beta."""

    @property
    def kl_weight(self) -> float:
        return self.params.beta


@shared_documentation
class VAE(VariationalAutoencoder):
    r"""Variational autoencoder.

    .. math::
        \max_{q, G}\; \mathbb E_x \Big[\mathbb E_{q(z|x)} \log p(x|z)
        - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))\Big], \qquad
        q(z|x) = \mathcal N(\mu(x), \mathrm{diag}\, \sigma^2(x)),

    with the likelihood :math:`p(x|z) = e^{-c(x, G(z))}`. With :math:`\beta = 1` it is the
    mean of the evidence lower bound.

    Parameters
    ----------
    {n_components}
    beta : float, default=1.0
        Weight :math:`\beta` of the divergence.
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

    References
    ----------
    .. [1] Kingma and Welling (2014), Auto-encoding variational Bayes, ICLR, eq. 3 and 10.
    .. [2] Higgins et al. (2017), beta-VAE: learning basic visual concepts with a
       constrained variational framework, ICLR, eq. 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import VAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = VAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.elbo(X, random_state=0).shape
    ((150, 2), (150,))
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    _model_class = VAEModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        beta: float = 1.0,
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
        self.beta = beta
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
