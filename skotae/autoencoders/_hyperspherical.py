"""Variational autoencoder on the sphere."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.modules import begin_codes, repeated
from skotae.autoencoders.bases.options import dimension
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.bases.variational import VariationalAutoencoder, VariationalModel
from skotae.priors import SpherePrior
from skotae.priors._von_mises_fisher import sample_von_mises_fisher, sphere_integrals
from skotae.priors.base import BasePrior
from skotae.training import Step, ramp
from skotae.utils._sklearn import Interval


class HypersphericalModel(VariationalModel):
    """The bound for a von Mises-Fisher posterior and a uniform prior."""

    @property
    def kl_weight(self) -> float:
        return self.params.beta

    @property
    def posterior_width(self) -> int:
        return self.n_components + 1

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> VonMisesFisherEncoder:
        return VonMisesFisherEncoder(net, plan.head())

    def draw(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mean, kappa = self.encoder.moments(x)
        integrals = sphere_integrals(kappa, self.n_components)
        z = sample_von_mises_fisher(mean, kappa, generator, integrals.complement)
        return z, integrals.divergence

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        terms = super().terms(batch, step)
        return {**terms, "kl": ramp(step.progress, self.params.warm_up) * terms["kl"]}


@shared_documentation
class HypersphericalVAE(VariationalAutoencoder):
    r"""Variational autoencoder with codes on the unit sphere.

    .. math::
        \max_{q, G}\; \mathbb E_x \Big[\mathbb E_{q(z|x)} \log p(x|z)
        - \beta\, \mathrm{KL}(q(z|x) \,\|\, \mathrm{U}(S^{d-1}))\Big], \qquad
        q(z|x) \propto e^{\kappa(x)\, \mu(x)^T z}, \quad |\mu(x)| = 1,

    with the likelihood :math:`p(x|z) = e^{-c(x, G(z))}` and a von Mises-Fisher posterior. The
    divergence from the uniform distribution depends on the concentration :math:`\kappa`
    alone; it does not draw the mean directions together, as that from a normal prior does.

    Parameters
    ----------
    n_components : int, default=None
        Dimension d of the space that the sphere is in. None stands for
        ``min(8, n_features)``, or 2 if that is more. The sphere in one dimension is two
        points: 1 too stands for 2, the circle.
    beta : float, default=1.0
        Weight :math:`\beta` of the divergence.
    warm_up : float, default=0.5
        Share of the epochs in which that weight rises from 0, in a straight line. 0 is the
        paper's training, whose concentrations often fall to the least before the decoder has learnt
        to use the codes. `partial_fit`, and training that goes on, have the full weight.
    {likelihood}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    SinkhornAE : Deterministic codes; on the sphere with ``prior="sphere"``.

    Notes
    -----
    `transform` gives the mean directions, and `interpolate` follows great circles. The
    concentration is :math:`\kappa = d\, \mathrm{softplus}(\cdot) + 1`; the factor d, which the
    paper's has not, makes the posterior as wide at the start in any dimension. The functions
    of it are finite and accurate up to d = 1,000, in float32 too. Gradients of draws are
    unbiased: implicit ([2]_), instead of those of an accepted proposal and their correction
    ([1]_, appendix).

    References
    ----------
    .. [1] Davidson, Falorsi, De Cao, Kipf and Tomczak (2018), Hyperspherical variational
       auto-encoders, UAI, eq. 14 and Algorithms 1 to 3.
    .. [2] Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients,
       NeurIPS, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skotae import HypersphericalVAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = HypersphericalVAE(n_components=3, max_iter=20, random_state=0).fit(X)
    >>> Z = model.transform(X)
    >>> Z.shape, np.allclose(np.linalg.norm(Z, axis=1), 1.0)
    ((150, 3), True)
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
        "warm_up": [Interval(Real, 0, 1, closed="both")],
    }

    _model_class = HypersphericalModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        beta: float = 1.0,
        warm_up: float = 0.5,
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
        learning_rate_init: float = 0.003,
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
        self.warm_up = warm_up
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

    def _resolve_prior(self) -> BasePrior:
        return SpherePrior()

    @staticmethod
    def _dimension(n_components: int | None, prior: BasePrior, n_features: int) -> int:
        return max(dimension(n_components, prior, n_features), prior.min_components)


class VonMisesFisherEncoder(nn.Module):
    """A von Mises-Fisher posterior for each standardised row.

    Parameters
    ----------
    net : nn.Module
        Rows of width n_features to rows of width d + 1.
    head : nn.Module
        Onto the sphere.
    """

    def __init__(self, net: nn.Module, head: nn.Module):
        super().__init__()
        self.net = net
        self.head = head

    def begin(self, path: PrincipalMap) -> bool:
        """Let codes start as a linear map; whether the network can."""
        return begin_codes(self.net, path)

    def forward(self, x: Tensor) -> Tensor:
        """Mean directions."""
        return self.moments(x)[0]

    def sample(self, x: Tensor, generator: Generator, repeats: int = 1) -> Tensor:
        """Draws from the posterior of each row, those of one row one after the other."""
        mean, concentration = (repeated(each, repeats) for each in self.moments(x))
        return sample_von_mises_fisher(mean, concentration, generator)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean direction and concentration of the posterior."""
        out = self.net(x)
        d = out.shape[1] - 1
        return self.head(out[:, :-1]), d * softplus(out[:, -1]) + 1.0
