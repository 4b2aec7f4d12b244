"""Pseudo-inputs, learned rows in data space, and the mixture of their posteriors as prior."""

from __future__ import annotations

import copy
import math
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus
from torch import Tensor, nn

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.modules import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    Encoder,
    draw_gaussian,
    repeated,
)
from skotae.autoencoders.bases.variational import (
    LOG_2_PI,
    VariationalModel,
    gaussian_log_density,
)
from skotae.costs.base import BLOCK_ELEMENTS
from skotae.networks.base import is_fixed
from skotae.priors import NormalPrior
from skotae.transport.base import widest
from skotae.utils._random import child_seed
from skotae.utils._sklearn import Interval, StrOptions

MAX_SEEDING_ROWS = 10_000
# From here on a second pass through the encoder takes less time than slopes that nobody asks for.
MANY_COLUMNS = 256


class PseudoInputEstimator(BaseAutoencoder):
    """Base of the estimators with pseudo-inputs: where they start, and where they end.

    The prior is the mixture of what belongs to the pseudo-inputs.
    """

    _parameter_constraints: dict[str, Any] = {
        **BaseAutoencoder._parameter_constraints,
        "n_pseudo_inputs": [Interval(Integral, 1, None, closed="left"), None],
        "init": [StrOptions({"k-means++", "random"})],
    }
    _measured: tuple[str, ...] = (*BaseAutoencoder._measured, "n_pseudo_inputs_")
    _shaping = BaseAutoencoder._shaping | {"n_pseudo_inputs", "n_upper", "init"}
    # The part of the model that holds them, as a parameter `pseudo_inputs`, in standardised
    # units.
    _pseudo_inputs_in = "encoder"
    n_pseudo_inputs: int | None
    init: str
    n_pseudo_inputs_: int

    def _resolve_prior(self) -> NormalPrior:
        # Gives the encoder its head and codes their straight paths; draws and densities come
        # from the pseudo-inputs.
        return NormalPrior()

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        n, k = len(X), self.n_pseudo_inputs
        if k is not None and k > n:
            raise ValueError(
                f"n_pseudo_inputs={k} is more than the {n} rows of X, which the pseudo-inputs "
                "start from; expected at most as many."
            )
        self.n_pseudo_inputs_ = max(1, min(n // 2, 500)) if k is None else int(k)

    def _initialise(self, X: np.ndarray) -> None:
        """Pseudo-inputs start at rows of X."""
        super()._initialise(X)
        n, k = len(X), self.n_pseudo_inputs_
        rng = np.random.RandomState(child_seed(self._seed, "start") % 2**32)
        rows = X if n <= MAX_SEEDING_ROWS else X[rng.choice(n, max(MAX_SEEDING_ROWS, k), False)]
        rows = self._units.standardised(np.asarray(rows)).astype(np.float32)
        if self.init == "k-means++":
            start, _ = kmeans_plusplus(rows, k, random_state=rng)
        else:
            start = rows[rng.choice(len(rows), k, replace=False)]
        with torch.no_grad():
            self._pseudo_inputs.copy_(torch.from_numpy(start))

    @property
    def _pseudo_inputs(self) -> Tensor:
        return getattr(self.model_, self._pseudo_inputs_in).pseudo_inputs

    @property
    def pseudo_inputs_(self) -> np.ndarray:
        rows = self._pseudo_inputs.detach().cpu().double().numpy()
        return self._units.restored(rows, rows.dtype)


class PosteriorMixture(Encoder):
    r"""An encoder whose posteriors at pseudo-inputs make up the prior.

    .. math:: p(z) = \frac1K \sum_k q(z|u_k)

    Parameters
    ----------
    net : nn.Module
        Rows of width n_features to rows of width 2 d, or d if not `stochastic`.
    pseudo_inputs : Tensor of shape (K, n_features)
        Where they start.
    min_log_scale : float
        Lower end of the log-scales of the posteriors.
    stochastic : bool
        Whether posteriors are Gaussian, or points.
    """

    def __init__(
        self,
        net: nn.Module,
        pseudo_inputs: Tensor,
        min_log_scale: float = MIN_LOG_SCALE,
        stochastic: bool = True,
    ):
        super().__init__(net, nn.Identity(), stochastic, min_log_scale)
        self.pseudo_inputs = nn.Parameter(pseudo_inputs)

    def densities(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A draw z of each row's posterior, log q(z|x) and log p(z)."""
        (mean, prior_mean), (log_scale, prior_log_scale) = self._moments_of_both(x)
        z, noise = draw_gaussian(mean, log_scale, generator)
        log_prior = mixture_log_density(z, prior_mean, prior_log_scale)
        return z, gaussian_log_density(noise, log_scale), log_prior

    def _moments_of_both(self, x: Tensor) -> Any:
        """Means of rows and of pseudo-inputs, and log-scales of both."""
        if x.shape[1] >= MANY_COLUMNS and is_fixed(self.net):
            # Rows have no use for slopes in their columns.
            return tuple(zip(self._moments(x), self._moments(self.pseudo_inputs), strict=True))
        # One pass, in which layers that normalise over a batch see pseudo-inputs among rows.
        sizes = [len(x), len(self.pseudo_inputs)]
        return [part.split(sizes) for part in self._moments(torch.cat([x, self.pseudo_inputs]))]

    def _moments(self, x: Tensor) -> tuple[Any, Any]:
        """Means and log-scales, of what the network says for x alone."""
        return self.moments(x)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """n draws of the prior: a pseudo-input with equal chances, then its posterior."""
        index = torch.randint(
            len(self.pseudo_inputs), (n,), generator=generator, device=generator.device
        )
        rows, repeats = each_once(index, self.net)
        return self.sample(self.pseudo_inputs[rows], generator, repeats)

    def prior_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """The same on the device of the generator, where the weights need not be."""
        elsewhere = self.pseudo_inputs.device != generator.device
        encoder = copy.deepcopy(self).to(generator.device) if elsewhere else self
        return encoder.sample_prior(n, generator).to(dtype)

    def components(self) -> tuple[Tensor, Tensor]:
        """Means and scales of the posteriors at the pseudo-inputs, of shape (K, d)."""
        mean, log_scale = self.moments(self.pseudo_inputs)
        return mean, torch.zeros_like(mean) if log_scale is None else log_scale.exp()


class TwoLevelMixture(PosteriorMixture):
    r"""The same for codes :math:`z = (z_2, z_1)` of two levels.

    .. math::
        q(z|x) = q(z_2|x)\, q(z_1|x, z_2), \qquad
        p(z) = p(z_1|z_2)\, \frac1K \sum_k q(z_2|u_k)

    All factors are Gaussian, with diagonal covariances.

    Parameters
    ----------
    net : nn.Module
        Rows of width n_features to rows of width 2 d.
    pseudo_inputs : Tensor of shape (K, n_features)
        Where they start.
    min_log_scale : float
        Lower end of the log-scales of the posteriors.
    joint : nn.Module
        From what `net` says of :math:`z_1`, and :math:`z_2`, to what is added to it.
    below : nn.Module
        From :math:`z_2` to mean and log-scale of :math:`p(z_1|z_2)`.
    n_upper : int
        Width of :math:`z_2`.
    """

    def __init__(
        self,
        net: nn.Module,
        pseudo_inputs: Tensor,
        min_log_scale: float,
        joint: nn.Module,
        below: nn.Module,
        n_upper: int,
    ):
        super().__init__(net, pseudo_inputs, min_log_scale)
        self.joint, self.below, self.n_upper = joint, below, n_upper

    def _upper(self, part: Tensor) -> Tensor:
        return part[:, : self.n_upper]

    def _lower(self, mean: Tensor, log_scale: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of q(z1|x, z2), from those that the network has for x alone."""
        alone = mean[:, self.n_upper :], log_scale[:, self.n_upper :]
        shift, widening = self.joint(torch.cat([*alone, upper], 1)).chunk(2, dim=1)
        widened = (alone[1] + widening).clamp(self.min_log_scale, MAX_LOG_SCALE)
        return alone[0] + shift, widened

    def _below(self, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of p(z1|z2)."""
        mean, log_scale = self.below(upper).chunk(2, dim=1)
        return mean, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_scale = self._moments(x)
        upper = self._upper(mean)
        return torch.cat([upper, self._lower(mean, log_scale, upper)[0]], 1)

    def _draw(
        self, mean: Tensor, log_scale: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, the noise behind them, and the log-scales that they were drawn with."""
        upper, noise = draw_gaussian(self._upper(mean), self._upper(log_scale), generator)
        below, scale = self._lower(mean, log_scale, upper)
        lower, more = draw_gaussian(below, scale, generator)
        z, noise = torch.cat([upper, lower], 1), torch.cat([noise, more], 1)
        return z, noise, torch.cat([self._upper(log_scale), scale], 1)

    def sample(self, x: Tensor, generator: torch.Generator, repeats: int | Tensor = 1) -> Tensor:
        mean, log_scale = (repeated(part, repeats) for part in self._moments(x))
        return self._draw(mean, log_scale, generator)[0]

    def densities(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        (mean, prior_mean), (log_scale, prior_log_scale) = self._moments_of_both(x)
        z, noise, log_scale = self._draw(mean, log_scale, generator)
        upper = self._upper(z)
        log_prior = mixture_log_density(
            upper, self._upper(prior_mean), self._upper(prior_log_scale)
        )
        below, scale = self._below(upper)
        gap = (z[:, self.n_upper :] - below) * (-scale).exp()
        log_prior = log_prior + gaussian_log_density(gap, scale)
        return z, gaussian_log_density(noise, log_scale), log_prior

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        upper = self._upper(super().sample_prior(n, generator))
        return torch.cat([upper, draw_gaussian(*self._below(upper), generator)[0]], 1)

    def components(self) -> tuple[Tensor, Tensor]:
        raise ValueError(
            f"The prior with n_upper={self.n_upper} is no mixture of Gaussians; expected "
            "latent='mixture' with it, or n_upper=None."
        )


class PosteriorMixtureModel(VariationalModel):
    """Base of the models whose prior is the mixture of the posteriors of pseudo-inputs.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    @property
    def min_log_scale(self) -> float:
        """Lower end of the log-scales of the posteriors."""
        return MIN_LOG_SCALE

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> PosteriorMixture:
        start = torch.zeros(plan.measured.n_pseudo_inputs_, plan.n_features)
        n_upper, d = plan.params.n_upper, plan.n_components
        if n_upper is None:
            return PosteriorMixture(net, start, self.min_log_scale)
        if n_upper >= d:
            raise ValueError(
                f"n_upper={n_upper} with n_components={d}; expected fewer in the upper level than "
                "in both."
            )
        n_lower = 2 * (d - n_upper)
        joint = plan.network("joint", n_lower + n_upper, n_lower)
        below = plan.network("below", n_upper, n_lower)
        return TwoLevelMixture(net, start, self.min_log_scale, joint, below, n_upper)

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        z, log_posterior, log_prior = self.encoder.densities(x, generator)
        return z, log_posterior - log_prior

    def draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return self.encoder.prior_codes(n, generator, dtype)

    def code_components(self) -> tuple[Tensor, Tensor]:
        return self.encoder.components()


def each_once(index: Tensor, net: nn.Module) -> tuple[Tensor, int | Tensor]:
    """Rows that a network has to read for draws from the rows of an index, and whose each is.

    Many draws are of one row. A device would have to be waited for, to know how many.
    """
    if index.device.type != "cpu" or not is_fixed(net):
        return index, 1
    rows: tuple[Tensor, Tensor] = index.unique(return_inverse=True)
    return rows


def mixture_log_density(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log density, of shape (n,), of codes (n, d) under K Gaussians with equal weights.

    The Gaussians have means and log-scales of shape (K, d). The squared distances of all
    pairs come from one matrix product, so that no more than n K numbers are held; their
    parts cancel to about the squared ratio of distance to scale, hence the wide dtype.
    """
    k, d = mean.shape
    wide = widest(z)
    mean, log_scale = mean.to(wide), log_scale.to(wide)
    centre = mean.detach().mean(0)
    mean = mean - centre
    precision = (-2 * log_scale).exp()
    product = precision * mean
    constant = (0.5 * product * mean + log_scale).sum(1) + 0.5 * d * LOG_2_PI + math.log(k)
    loadings = torch.cat([-0.5 * precision, product], 1)
    centred = z.to(wide) - centre
    features = torch.cat([centred.square(), centred], 1)
    parts = [
        torch.addmm(-constant, part, loadings.T).logsumexp(1)
        for part in features.split(max(1, BLOCK_ELEMENTS // k))
    ]
    return torch.cat(parts).to(z.dtype)
