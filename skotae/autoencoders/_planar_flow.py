"""Variational autoencoder whose posterior is a Gaussian sent through planar flows."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.modules import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    Encoder,
    draw_gaussian,
    repeated,
)
from skotae.autoencoders.bases.variational import VariationalAutoencoder, VariationalModel
from skotae.priors.base import log_density
from skotae.utils._sklearn import Interval


class PlanarFlowModel(VariationalModel):
    """The bound for a posterior that is sent through flows."""

    @property
    def posterior_width(self) -> int:
        d = self.n_components
        return 2 * d + self.params.n_flows * (2 * d + 1)

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> FlowEncoder:
        super().make_encoder(net, plan)
        return FlowEncoder(net, PlanarFlow(self.n_components))

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        start, mean, log_scale, z, log_det = self.encoder.draw(x, generator)
        log_prior = log_density(self.prior, z) + log_det
        return z, self.divergence(mean, log_scale, start, log_prior)


@shared_documentation
class PlanarFlowVAE(VariationalAutoencoder):
    r"""Variational autoencoder with a posterior made flexible by planar flows.

    .. math::
        \max_{q, G}\; \mathbb E_x \mathbb E_{q(z_0|x)} \Big[\log p(x|z_K) + \log p(z_K)
        - \log q(z_0|x) + \sum_{k=1}^K \log \big|\det \partial z_k / \partial z_{k-1}\big|\Big],
        \qquad z_k = z_{k-1} + \hat u_k \tanh(w_k^\top z_{k-1} + b_k)

    with :math:`q(z_0|x) = \mathcal N(\mu(x), \mathrm{diag}\, \sigma^2(x))`. It is the mean
    of the evidence lower bound for the distribution of :math:`z_K`. The encoder gives
    :math:`u_k, w_k` and :math:`b_k` for each row along with :math:`\mu` and
    :math:`\sigma`.

    Parameters
    ----------
    {n_components}
    n_flows : int, default=10
        Number K of flows. The encoder network is ``2 d + n_flows (2 d + 1)`` wide at its
        end.
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

    See Also
    --------
    VAE : The same without flows.

    Notes
    -----
    `transform` sends the mean :math:`\mu(x)` through the flows. That is a point of high
    density, but neither the mean nor the mode of the posterior; `sample_posterior` draws
    from it.

    A flow is invertible where :math:`w^\top \hat u > -1`. Here

    .. math:: \hat u = \frac{u}{1 + \log(1 + e^{-w^\top u})},

    which takes every :math:`w^\top u` to one above -1, in order. The paper adds a multiple of
    :math:`w / |w|^2` to u for the same end (appendix A.1), which grows without bound
    where w is small. The family of flows is the same.

    References
    ----------
    .. [1] Rezende and Mohamed (2015), Variational inference with normalizing flows, ICML,
       eq. 10 to 13 and 15, appendix A.1.
    .. [2] Hao and Shafto (2023), Coupled variational autoencoder, ICML, section 5.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import PlanarFlowVAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = PlanarFlowVAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.sample_posterior(X, 3, random_state=0).shape
    (150, 3, 2)
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": "no_validation",
        "n_flows": [Interval(Integral, 1, None, closed="left")],
    }

    _model_class = PlanarFlowModel
    _shaping = VariationalAutoencoder._shaping | {"n_flows"}

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_flows: int = 10,
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
        self.n_flows = n_flows
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


# Times an output of the network it is u: flows start near the identity.
START = 0.1


class PlanarFlow(nn.Module):
    """Planar flows, with parameters of its own for each row.

    Parameters
    ----------
    d : int
        Dimension of the codes.
    """

    def __init__(self, d: int):
        super().__init__()
        self.d = d

    def forward(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (n, d) sent through K flows, and the log-determinant of the Jacobian (n,).

        `parameters` has the shape (n, K (2 d + 1)): u / START, w and b of one flow after another.
        """
        # The number of rows is no number here: a model that is exported takes any.
        log_det = torch.zeros_like(z[:, 0])
        for part in parameters.split(2 * self.d + 1, dim=1):
            u, w, b = START * part[:, : self.d], part[:, self.d : -1], part[:, -1]
            product = (w * u).sum(1)
            below = 1 + softplus(-product)
            bend = torch.tanh((w * z).sum(1) + b)
            z = z + u * (bend / below)[:, None]
            # det = 1 + (1 - bend²) w.û, with 1 + w.û = (1 + softplus(w.u)) / below: a sum of
            # terms above 0, from which nothing is taken away.
            square = bend.square()
            slope = (1 + softplus(product)) / below
            log_det = log_det + (square + (1 - square) * slope).log()
        return z, log_det


class FlowEncoder(Encoder):
    """A Gaussian encoder, followed by flows.

    Parameters
    ----------
    net : nn.Module
        Rows to mean, log-scale and the parameters of the flows.
    flow : PlanarFlow
        The flows.
    """

    def __init__(self, net: nn.Module, flow: PlanarFlow):
        super().__init__(net, nn.Identity(), stochastic=True)
        self.flow = flow

    def forward(self, x: Tensor) -> Tensor:
        """The posterior mean before the flows, sent through them."""
        mean, _, parameters = self._outputs(x)
        return self.flow(mean, parameters)[0]

    def sample(self, x: Tensor, generator: torch.Generator, repeats: int | Tensor = 1) -> Tensor:
        """Draws from the posterior of each row, those of one row one after the other."""
        return self.draw(x, generator, repeats)[3]

    def draw(
        self, x: Tensor, generator: torch.Generator, repeats: int | Tensor = 1
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """A draw before the flows, mean and log-scale there; after them, log-determinant."""
        mean, log_scale, parameters = (repeated(each, repeats) for each in self._outputs(x))
        start, _ = draw_gaussian(mean, log_scale, generator)
        return start, mean, log_scale, *self.flow(start, parameters)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of the posterior before the flows."""
        return self._outputs(x)[:2]

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, d = self.net(x), self.flow.d
        log_scale = out[:, d : 2 * d].clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
        return out[:, :d], log_scale, out[:, 2 * d :]
