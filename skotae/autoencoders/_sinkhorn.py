"""Sinkhorn autoencoder."""

from __future__ import annotations

from numbers import Real
from typing import Any

from torch import Tensor

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.penalised import (
    PENALTY_BATCH_SIZE,
    SINKHORN_CONSTRAINTS,
    PenalisedAutoencoder,
    PenalisedModel,
    sinkhorn_of,
)
from skotae.autoencoders.bases.principal import FirstRows
from skotae.divergences._sinkhorn import root_of
from skotae.divergences.base import BaseDivergence
from skotae.utils._sklearn import Interval, StrOptions


class SinkhornModel(PenalisedModel):
    """The Sinkhorn divergence, weighted with beta."""

    def describe_divergence(self) -> BaseDivergence:
        return sinkhorn_of(self.params, root=self.params.root)

    @property
    def weight(self) -> float:
        return self.weight_of(self.params.beta, self.usual_weight)

    @property
    def penalty_batch_size(self) -> int | None:
        return self.params.penalty_batch_size

    def reconstruction_cost(self, x: Tensor, z: Tensor) -> Tensor:
        cost = super().reconstruction_cost(x, z)
        return root_of(cost, self.params.p) if self.params.root else cost


@shared_documentation
class SinkhornAE(PenalisedAutoencoder):
    r"""Sinkhorn autoencoder.

    .. math::
        \min_{E, G}\; \mathbb E_{x}\, c(x, G(E(x))) + \beta\, S_\epsilon(Q_Z, P_Z),

    with the debiased entropic transport cost :math:`S_\epsilon` between codes and draws
    from the prior. It needs nothing of the prior but draws, so that the codes may live on
    a sphere, in a cube or on a simplex as well as in Euclidean space.

    Parameters
    ----------
    {n_components}
    beta : "auto" or float, default="auto"
        Weight :math:`\beta` of the Sinkhorn divergence. ``"auto"`` is 0.02 times {auto_weight}
    {sinkhorn}
    root : bool, default=False
        Take the p-th root of both terms (eq. 10).
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
    divergence_ : SinkhornDivergence
        The divergence in use.
    beta_ : float
        The weight in use.

    See Also
    --------
    SinkhornEncoder : The divergence alone, without a decoder.
    WAEEstimator : Other penalties.

    References
    ----------
    .. [1] Patrini, van den Berg, Forré, Carioni, Bhargav, Welling, Genewein and Nielsen
       (2019), Sinkhorn autoencoders, UAI, eq. 9 to 12 and Algorithm 2.
    .. [2] Feydy et al. (2019), Interpolating between optimal transport and MMD using
       Sinkhorn divergences, AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skotae import SinkhornAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = SinkhornAE(n_components=3, prior="sphere", max_iter=20, random_state=0)
    >>> Z = model.fit_transform(X)
    >>> bool(np.allclose(np.linalg.norm(Z, axis=1), 1))
    True
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "beta": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        **SINKHORN_CONSTRAINTS,
        "root": ["boolean"],
        "penalty_batch_size": PENALTY_BATCH_SIZE,
        "refit_decoder": ["boolean"],
    }

    _advice = {"penalty": "Lower beta or learning_rate_init, or raise epsilon."}
    _auto_weight = "beta"
    _of_share = PenalisedAutoencoder._of_share | {"root"}
    _default_prior = "principal"
    _model_class = SinkhornModel
    beta_ = ModelPart("weight")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        beta: Any = "auto",
        epsilon: float = 0.05,
        relative: bool = True,
        debias: str = "independent",
        sharp: bool = False,
        p: float = 2,
        sinkhorn_tol: float = 0.001,
        latent_cost: Any = None,
        sinkhorn_iter: int | None = None,
        root: bool = False,
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
        self.beta = beta
        self.epsilon = epsilon
        self.relative = relative
        self.debias = debias
        self.sharp = sharp
        self.p = p
        self.sinkhorn_tol = sinkhorn_tol
        self.latent_cost = latent_cost
        self.sinkhorn_iter = sinkhorn_iter
        self.root = root
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

    def _share(self, first: FirstRows) -> float:
        # The root of a cost is one of another kind.
        return 1.0 if self._params.root else super()._share(first)
