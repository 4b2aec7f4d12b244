"""Adversarial autoencoder."""

from __future__ import annotations

from numbers import Real
from typing import Any

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.penalised import PenalisedAutoencoder, PenalisedModel
from skotae.costs import SquaredEuclideanCost
from skotae.costs.base import BaseCost
from skotae.divergences import AdversarialDivergence
from skotae.divergences.base import BaseDivergence
from skotae.utils._sklearn import Interval, StrOptions


class AdversarialModel(PenalisedModel):
    """The adversarial divergence, weighted with twice the decoder's variance."""

    def describe_divergence(self) -> BaseDivergence:
        return AdversarialDivergence(
            gradient_penalty=self.params.gradient_penalty, log_density=self.params.log_density
        )

    @property
    def weight(self) -> float:
        return 2 * self.params.sigma**2

    @property
    def is_stochastic(self) -> bool:
        return self.params.posterior == "gaussian"


@shared_documentation
class AdversarialAE(PenalisedAutoencoder):
    r"""Adversarial autoencoder, with a Gaussian decoder of known variance.

    .. math::
        \min_{E, G}\; \mathbb E_x \big[-\log \mathcal N(x;\, G(E(x)),\, \sigma^2 I)\big]
        + D_{\mathrm{GAN}}(Q_Z, P_Z)

    A discriminator on codes estimates the divergence. Multiplied by :math:`2 \sigma^2`,
    and but for a constant, this is the penalised optimal transport objective

    .. math::
        \mathbb E_x\, |x - G(E(x))|^2 + \lambda\, D_{\mathrm{GAN}}(Q_Z, P_Z),
        \qquad \lambda = 2 \sigma^2,

    a relaxation of the 2-Wasserstein distance between data and model, which is what is
    minimised: the estimator equals ``WAEEstimator(penalty="gan", lam=2 * sigma**2)`` step
    by step.

    Parameters
    ----------
    {n_components}
    sigma : float, default=0.1
        Standard deviation :math:`\sigma` of a feature given its code, in the unit whose
        square is `cost_scale`: with ``cost_scale=1.0`` the units of the data, with
        ``"auto"`` the root of the data's total variance.
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        ``"gaussian"`` draws codes with a learned diagonal variance.
    log_density : bool, default=False
        Whether the logarithm of the prior's density is added to what the discriminator's
        network gives, which then learns that of the codes alone. The prior needs a
        density on the whole space, and of one mode: its logarithm keeps codes from crossing
        between modes that are far apart.
    gradient_penalty : float, default=0.1
        Weight of the discriminator's gradient penalty; see
        :class:`~skotae.divergences.AdversarialDivergence`.
    {refit_decoder}
    {prior}
    cost_scale : "auto" or float, default="auto"
        The reconstruction cost, the squared distance, is divided by this number. ``"auto"``
        is the mean cost of the constant reconstruction, the total variance of the data.
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    divergence_ : torch.nn.Module
        The discriminator.

    See Also
    --------
    WAEEstimator : Other costs and penalties.
    AdversarialVB : A discriminator on pairs of row and code.

    References
    ----------
    .. [1] Makhzani, Shlens, Jaitly, Goodfellow and Frey (2016), Adversarial autoencoders,
       ICLR workshop.
    .. [2] Bousquet, Gelly, Tolstikhin, Simon-Gabriel and Schoelkopf (2017), From optimal
       transport to generative modeling: the VEGAN cookbook, eq. 7 and 13, section 4.1.
    .. [3] Tolstikhin, Bousquet, Gelly and Schoelkopf (2018), Wasserstein auto-encoders,
       ICLR, Algorithm 1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import AdversarialAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = AdversarialAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.sample(5, random_state=0).shape
    ((150, 2), (5, 4))
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "sigma": [Interval(Real, 0, None, closed="left")],
        "posterior": [StrOptions({"deterministic", "gaussian"})],
        "log_density": ["boolean"],
        "gradient_penalty": [Interval(Real, 0, None, closed="left")],
        "refit_decoder": ["boolean"],
    }
    del _parameter_constraints["cost"]
    _advice = {"penalty": "Lower sigma or learning_rate_init."}
    _default_prior = "principal"
    _model_class = AdversarialModel
    _shaping = PenalisedAutoencoder._shaping | {"log_density"}

    def __init__(
        self,
        n_components: int | None = None,
        *,
        sigma: float = 0.1,
        posterior: str = "deterministic",
        log_density: bool = False,
        gradient_penalty: float = 0.1,
        refit_decoder: bool = True,
        prior: Any = None,
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
        self.sigma = sigma
        self.posterior = posterior
        self.log_density = log_density
        self.gradient_penalty = gradient_penalty
        self.refit_decoder = refit_decoder
        self.prior = prior
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

    def _resolve_cost(self) -> BaseCost:
        # What a Gaussian of known variance comes down to.
        return SquaredEuclideanCost()
