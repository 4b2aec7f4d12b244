"""What estimators that maximise a bound on the likelihood have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.inference import Inference, check_count
from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint
from skotae.autoencoders.bases.modules import Encoder, draw_gaussian
from skotae.costs.base import BaseCost
from skotae.priors import NormalPrior, priors_with
from skotae.priors.base import BasePrior, fixed_draws, log_density
from skotae.training import Step
from skotae.utils._random import draw_seed, make_generator
from skotae.utils._registry import require
from skotae.utils._torch import tensor_of
from skotae.utils.base import overrides, stale


class VariationalModel(AutoencoderModel):
    r"""Base of the models with the evidence lower bound as objective.

    .. math:: \mathbb E_{q(z|x)} [\log p(x|z)] - \mathrm{KL}(q(z|x) \| p(z))

    The posterior is Gaussian with a diagonal covariance. A subclass with another one, or
    with a prior of its own, overrides `draw`; it needs `terms` only where the objective is
    not this bound, and sets `kl_weight` where the terms have weights.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    prior_needs = ("log_prob",)
    prior_support = "space"
    # Their noise is what the likelihood asks for, not what components leave.
    codes_stay = False

    @property
    def kl_weight(self) -> float:
        """Weight of the divergence in the objective."""
        return 1.0

    @property
    def posterior_width(self) -> int:
        return 2 * self.n_components

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> nn.Module:
        check_density(self.prior, self.n_components, plan.owner)
        self._reference = NormalPrior(reference_scale(self.prior, self.n_components))
        return Encoder(net, nn.Identity(), stochastic=True)

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A draw z of each row's posterior, and log q(z|x) - log p(z).

        The second may be anything with the same expectation, such as the divergence in
        closed form.
        """
        mean, log_scale = self.encoder.moments(x)
        z, _ = draw_gaussian(mean, log_scale, generator)
        if has_normal_density(self.prior):
            return z, gaussian_divergence(mean, log_scale, self.prior.scale)
        return z, self.divergence(mean, log_scale, z, log_density(self.prior, z))

    def divergence(self, mean: Tensor, log_scale: Tensor, z: Tensor, log_prior: Tensor) -> Tensor:
        """Of a Gaussian, that z is drawn from, from a prior with log-density `log_prior` there.

        In closed form from a normal distribution near the prior, so that only what the prior
        differs by is left to chance. Noise in the slope of the whole divergence would hide
        the likelihood's from components that are not in use yet.
        """
        closed = gaussian_divergence(mean, log_scale, self._reference.scale)
        return closed + self._reference.log_prob(z) - log_prior

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        return self.bound(batch, *self.draw(batch, step.generator))

    def bound(self, batch: Tensor, z: Tensor, divergence: Tensor) -> dict[str, Tensor]:
        """The two terms of the bound, for what `draw` gave."""
        return {
            "reconstruction": self.reconstruction_cost(batch, z),
            "kl": self.kl_weight * divergence.mean() / self.cost_scale,
        }

    def costs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        bound = self.negative_bound(batch, generator)
        return {**super().costs(batch, generator), "kl": bound}

    def negative_bound(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """An unbiased estimate of minus the bound of each row, in standardised units."""
        z, divergence = self.draw(x, generator)
        return self.decoder.cost_of(x, z) + divergence


class VariationalAutoencoder(BaseAutoencoder):
    """Base of the estimators whose model is a `VariationalModel`."""

    _advice = {"kl": "Lower learning_rate_init."}
    model_: VariationalModel

    def _resolve_cost(self) -> BaseCost:
        cost = super()._resolve_cost()
        if not cost.likelihood:
            was = any(vars(each).get("likelihood") for each in type(cost).__mro__)
            own = ", in the class that its __call__() is of" * was
            raise ValueError(
                f"cost={self.cost!r} is no likelihood, which {type(self).__name__} needs; expected "
                f"'gaussian', 'bernoulli' or an instance of a cost with likelihood=True{own}."
            )
        return cost

    def elbo(self, X, n_samples=1, *, random_state=None):
        r"""Evidence lower bound of each row.

        .. math::
            \log p(x) \ge \mathbb E_{q(z|x)} [\log p(x|z)] - \mathrm{KL}(q(z|x) \| p(z))

        The weights of the objective do not enter.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws from each posterior that the expectation is estimated from.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        bound : ndarray of shape (n_samples_X,)
            In nats, for the density in the units of the data.
        """
        X = self._check(X)
        check_count("n_samples", n_samples, 1)
        inference = self._inference(X.dtype)
        generator = inference.generator(draw_seed(random_state))
        total = sum(
            inference.apply(lambda x: inference.model.negative_bound(x, generator), X)
            for _ in range(n_samples)
        )
        total = self.cost_.in_data_units(total / n_samples, self.n_features_in_, self.data_scale_)
        return -total.astype(X.dtype, copy=False)

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        generator = inference.generator(self._seed)
        yield inference.apply(lambda x: inference.model.negative_bound(x, generator), X)


def check_density(prior: BasePrior, d: int, needed_by: str) -> None:
    """Raise a ValueError unless a prior has a density, and slopes, on the whole space."""
    having = priors_with("log_prob", support="space")
    require(prior, ("log_prob",), name="prior", needed_by=needed_by, having=having)
    if prior.support == "space":
        # Where there is one in any case.
        log_density(prior, prior.sample(2, d, make_generator(0)))
    # Far out, where a density of bounded support is zero, or refuses to be asked.
    far = torch.tensor([[-20.0], [20.0]]).expand(2, d).requires_grad_()
    everywhere = prior.support == "space"
    try:
        with torch.enable_grad():
            logs = log_density(prior, far) if everywhere else far
    except ValueError:
        everywhere = False
    if not everywhere or not bool(logs.isfinite().all()):
        raise ValueError(
            f"prior={prior!r} has a support that the posterior does not keep to; "
            f"expected a prior on the whole space, such as {having}."
        )
    if not isinstance(prior.head(d), nn.Identity):
        raise ValueError(
            f"prior={prior!r} has a head(), through which Gaussian posteriors of {needed_by} do "
            "not go; expected a prior on the whole space without one."
        )
    if not logs.requires_grad:
        raise ValueError(
            f"prior={prior!r} has a log_prob() without gradient; expected a prior whose "
            f"density torch differentiates, such as {having}."
        )
    if stale(prior, "log_prob", "sample"):
        check_drawn(prior, d)


def check_drawn(prior: BasePrior, d: int) -> None:
    r"""Check that a prior whose `sample` alone is its own still draws from its density.

    By Stein's identity, :math:`E[\mathrm{div} f(z) + f(z) \cdot \nabla \log p(z)] = 0`, for
    constants, the identity and tanh.

    Raises
    ------
    ValueError
        If the means over draws are farther from 0 than chance has them.
    """
    z = fixed_draws(prior, d).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(log_density(prior, z).sum(), z)
    z, bent = z.detach(), z.detach().tanh()
    identity, tanh = 1.0 + z * slope, 1.0 - bent.square() + bent * slope
    values = torch.cat([slope, identity, tanh], 1).double()
    error = values.std(0) / len(values) ** 0.5
    if not bool((values.mean(0).abs() <= 6 * error + 1e-6).all()):
        raise ValueError(
            f"prior={prior!r} has a sample() of its own, whose draws are not of the density that "
            "it inherits; expected a log_prob() of its own too."
        )


def has_normal_density(prior: Any) -> bool:
    """Whether the density of a prior is that of `NormalPrior`, which its scale says all of."""
    return isinstance(prior, NormalPrior) and not overrides(prior, NormalPrior, "log_prob")


def reference_scale(prior: BasePrior, d: int) -> Any:
    """Scale of the normal distribution whose density bends as the prior's, on average.

    Its Fisher information is the prior's. 1 for a prior without slopes.
    """
    if has_normal_density(prior):
        return prior.scale
    if not hasattr(prior, "log_prob"):
        return 1.0
    z = fixed_draws(prior, d).requires_grad_()
    with torch.enable_grad():
        logs = log_density(prior, z)
        if not logs.requires_grad:
            return 1.0
        (slope,) = torch.autograd.grad(logs.sum(), z)
    information = float(slope.square().mean())
    return information**-0.5 if 0 < information < np.inf else 1.0


LOG_2_PI = float(np.log(2 * np.pi))


def gaussian_log_density(noise: Tensor, log_scale: Tensor) -> Tensor:
    """Log density of mean + exp(log_scale) * noise, of shape (...), whatever the mean."""
    return -(0.5 * noise.square() + log_scale + 0.5 * LOG_2_PI).sum(-1)


def gaussian_divergence(mean: Tensor, log_scale: Tensor, scale: Any = 1.0) -> Tensor:
    r"""Kullback-Leibler divergence of diagonal Gaussians (..., d) from N(0, diag(scale²))."""
    scale = tensor_of(scale, mean.dtype, mean.device)
    log_scale = log_scale - scale.log()
    square = (mean / scale).square()
    return (0.5 * (square + (2 * log_scale).exp() - 1.0) - log_scale).sum(-1)
