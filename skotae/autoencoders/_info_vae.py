"""Variational autoencoder with a divergence between aggregate posterior and prior."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.variational import VariationalAutoencoder, VariationalModel
from skotae.divergences import MMD
from skotae.training import Step
from skotae.utils._sklearn import Interval


class InfoVAEModel(VariationalModel):
    """The bound, and the discrepancy of the aggregate posterior."""

    @property
    def kl_weight(self) -> float:
        return 1.0 - self.params.alpha

    @property
    def mmd_weight(self) -> float:
        # Rounded: 0.1 and 0.9 in binary need not add up to 1.
        return round(self.params.alpha + self.params.lam - 1.0, 12)

    def make_networks(self, plan: Blueprint) -> None:
        if self.mmd_weight < 0:
            raise ValueError(
                f"alpha={self.params.alpha!r} and lam={self.params.lam!r} give the divergence of "
                "the aggregate posterior the negative weight alpha + lam - 1; expected alpha + lam "
                ">= 1."
            )
        super().make_networks(plan)
        self.discrepancy = MMD().build(self.prior, self.n_components)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z, divergence = self.draw(batch, step.generator)
        terms = self.bound(batch, z, divergence)
        # Without weight no prior is drawn: the fit is VAE's, number by number.
        if self.mmd_weight > 0:
            draws = self.prior_draws(z, step.prior_generator)
            nats = self.n_components / 2 * self.discrepancy(z, draws)
            terms["mmd"] = self.mmd_weight * nats / self.cost_scale
        return terms


@shared_documentation
class InfoVAE(VariationalAutoencoder):
    r"""Variational autoencoder that also matches the distribution of all codes to the prior.

    .. math::
        \max_{q, G}\; \mathbb E_x \Big[\mathbb E_{q(z|x)} \log p(x|z)
        - (1 - \alpha)\, \mathrm{KL}(q(z|x) \,\|\, p(z))\Big]
        - (\alpha + \lambda - 1)\, \frac d2\, \mathrm{MMD}^2(q(z), p(z)),

    with the aggregate posterior :math:`q(z) = \mathbb E_x q(z|x)`. The last term stands for
    :math:`\mathrm{KL}(q(z) \| p(z))`, which has no unbiased estimate; see Notes.

    Parameters
    ----------
    {n_components}
    alpha : float, default=0.0
        Weight :math:`\alpha` of the mutual information of rows and codes, at most 1; at 1
        the divergence of single posteriors has no weight.
    lam : float, default=2.0
        Weight :math:`\lambda` of the divergence of the aggregate posterior;
        :math:`\alpha + \lambda` is 1 at the least. 0 and 1 for `alpha` and `lam` are
        :class:`VAE`; :math:`1 - \beta` and :math:`\beta` are its ``beta``.
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
    divergence_ : MMD
        The discrepancy in use; its bandwidth is the standard deviation of a coordinate of
        the prior.

    See Also
    --------
    VAE : The same without the last term.
    WAEEstimator : The same without the divergence of single posteriors, for any cost.

    Notes
    -----
    The squared discrepancy of two distributions is a number without unit, and smaller for
    the same shift in more dimensions: :math:`d / 2` times it is, within an eighth, the
    Kullback-Leibler divergence between the standard normal distribution and a slight shift
    of it. The papers leave the factor out, or to the user.

    References
    ----------
    .. [1] Zhao, Song and Ermon (2019), InfoVAE: balancing learning and inference in
       variational autoencoders, AAAI, eq. 6.
    .. [2] Hao and Shafto (2023), Coupled variational autoencoder, ICML, eq. 4 and 5.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import InfoVAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = InfoVAE(n_components=2, lam=5.0, max_iter=20, random_state=0).fit(X)
    >>> list(model.history_)
    ['reconstruction', 'kl', 'mmd', 'loss']
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "alpha": [Interval(Real, None, 1, closed="right")],
        "lam": [Interval(Real, 0, None, closed="left")],
    }

    _model_class = InfoVAEModel
    divergence_ = ModelPart("discrepancy")
    _advice = {**VariationalAutoencoder._advice, "mmd": "Lower lam or learning_rate_init."}

    def __init__(
        self,
        n_components: int | None = None,
        *,
        alpha: float = 0.0,
        lam: float = 2.0,
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
        self.alpha = alpha
        self.lam = lam
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
