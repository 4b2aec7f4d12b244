"""Wasserstein autoencoder."""

from __future__ import annotations

from numbers import Real
from typing import Any

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.penalised import (
    PENALTY_BATCH_SIZE,
    PenalisedAutoencoder,
    WassersteinModel,
)
from skotae.utils._sklearn import Interval, StrOptions


@shared_documentation
class WAEEstimator(PenalisedAutoencoder):
    r"""Wasserstein autoencoder with any cost, any penalty and any prior.

    .. math::
        \min_{E, G}\; \mathbb E_{x}\, c(x, G(E(x))) + \lambda\, D(Q_Z, P_Z),

    with the aggregate posterior :math:`Q_Z`, the distribution of codes
    :math:`E(x)`, and the prior :math:`P_Z`. Were the two equal, the first term would be
    the optimal transport cost between data and model.

    Parameters
    ----------
    {n_components}
    penalty : str or divergence, default="mmd"
        The divergence :math:`D`: ``"mmd"``, ``"gan"``, ``"sinkhorn"``, ``"exact"`` (HAE),
        ``"sliced"``, ``"gaussian"`` (W2GAE), or an instance from
        :mod:`skotae.divergences`. Of a mini-batch of more than 512 rows, 512 enter the MMD.
    lam : "auto" or float, default="auto"
        Weight :math:`\lambda` of the penalty. ``"auto"`` is 0.02 for ``"sinkhorn"``,
        ``"exact"`` and ``"gan"`` and 0.5 for the others, or what a penalty of one's own has
        as `usual_weight`, times {auto_weight}
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        ``"gaussian"`` draws codes with a learned diagonal variance.
    {penalty_batch_size}
    {refit_decoder}
    {prior}
    {cost}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    divergence_ : callable
        The penalty in use.
    lam_ : float
        The weight in use.

    See Also
    --------
    SinkhornAE : The Sinkhorn penalty, with all its options.
    GMWAE : A Gaussian-mixture prior and a discrete posterior.

    References
    ----------
    .. [1] Bousquet, Gelly, Tolstikhin, Simon-Gabriel and Schoelkopf (2017), From optimal
       transport to generative modeling: the VEGAN cookbook, eq. 12 and 13.
    .. [2] Tolstikhin, Bousquet, Gelly and Schoelkopf (2018), Wasserstein auto-encoders,
       ICLR, eq. 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.sample(5, random_state=0).shape
    ((150, 2), (5, 4))
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "penalty": "no_validation",
        "lam": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "posterior": [StrOptions({"deterministic", "gaussian"})],
        "penalty_batch_size": PENALTY_BATCH_SIZE,
        "refit_decoder": ["boolean"],
    }

    _advice = {"penalty": "Lower lam or learning_rate_init."}
    _auto_weight = "lam"
    _default_prior = "principal"
    _model_class = WassersteinModel
    lam_ = ModelPart("weight")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        penalty: Any = "mmd",
        lam: Any = "auto",
        posterior: str = "deterministic",
        penalty_batch_size: int | None = None,
        refit_decoder: bool = True,
        prior: Any = None,
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
        self.penalty_batch_size = penalty_batch_size
        self.refit_decoder = refit_decoder
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
