"""Codes as a function of standard normal numbers, for graphs that draw nothing themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.codes import Chart
from skotae.priors import GaussianMixturePrior, NormalPrior, SpherePrior, UniformPrior
from skotae.priors.base import check_weights
from skotae.utils._random import make_generator
from skotae.utils._torch import tensor_of


class CodesOfNoise(nn.Module):
    r"""Draws of a mixture of Gaussians as a function of standard normal numbers.

    .. math:: z = h(\mu_k + F_k \varepsilon), \qquad
        k = \min \{j : \Phi(\varepsilon_0) < w_0 + \dots + w_j\}

    With one component :math:`\varepsilon_0` is left out.

    Parameters
    ----------
    means : Tensor of shape (K, q)
        :math:`\mu_k`.
    factors : Tensor of shape (K, q, q) or (K, q)
        :math:`F_k`, or their diagonals.
    weights : Tensor of shape (K,), default=None
        :math:`w_k`, with sum 1; None is equal weights.
    chart : Chart, default=None
        With h, which takes points onto the support of the prior.
    head : nn.Module, default=None
        In its place.
    """

    n_noise: int
    ends: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        means: Tensor,
        factors: Tensor,
        weights: Tensor | None = None,
        *,
        chart: Chart | None = None,
        head: nn.Module | None = None,
    ):
        super().__init__()
        n_mixtures, q = means.shape
        if weights is None:
            weights = torch.full((n_mixtures,), 1.0 / n_mixtures, dtype=torch.float64)
        self.register_buffer("ends", weights.double().cumsum(0)[:-1].float())
        self.register_buffer("means", means.detach().float())
        self.register_buffer("factors", factors.detach().float())
        self.chart, self.head = chart, head
        self.chooses = n_mixtures > 1
        self.n_noise = q + self.chooses

    def forward(self, noise: Tensor) -> Tensor:
        """Codes of noise of shape (n, n_noise)."""
        if self.chooses:
            share = normal_probability(noise[:, :1])
            k = (share >= self.ends).sum(1)
            noise = noise[:, 1:]
            means = self.means[k]
        else:
            k, means = None, self.means
        u = means + self._within(noise, k)
        if self.chart is not None:
            u = self.chart.codes(u)
        return u if self.head is None else self.head(u)

    def _within(self, noise: Tensor, k: Tensor | None) -> Tensor:
        if self.factors.ndim == 2:
            return noise * (self.factors if k is None else self.factors[k])
        # Of each component: K numbers a coordinate, where a factor for each row would be q.
        moved = torch.einsum("nq,kpq->nkp", noise, self.factors)
        if k is None:
            return moved[:, 0]
        chosen = nn.functional.one_hot(k, len(self.factors)).to(moved)
        return (moved * chosen[:, :, None]).sum(1)


class UniformCodes(nn.Module):
    """Between two ends, where normal probabilities of the noise are."""

    n_noise: int

    def __init__(self, low: float, high: float, d: int):
        super().__init__()
        self.low, self.high, self.n_noise = low, high, d

    def forward(self, noise: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * normal_probability(noise)


def normal_probability(x: Tensor) -> Tensor:
    return 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def codes_of_noise(estimator: Any) -> CodesOfNoise | UniformCodes:
    """Module whose codes of standard normal noise are draws of what `sample` decodes.

    Raises
    ------
    ValueError
        If the prior is none that is known as a function of normal numbers.
    """
    # Refuses what cannot be drawn at all, in its own words.
    estimator._drawn_codes(1, make_generator(0), np.dtype(np.float32))
    if getattr(estimator, "_draws_from_mixture", False):
        found = (estimator._codes_[name] for name in ("means", "factors", "weights"))
        means, factors, weights = map(tensor_of, found)
        return CodesOfNoise(means, factors, weights, chart=estimator._chart)
    with torch.no_grad():
        components = estimator.model_.code_components()
    if components is not None:
        return CodesOfNoise(*components)
    return _of_prior(estimator.prior_, estimator.n_components_, type(estimator).__name__)


def _of_prior(prior: Any, d: int, owner: str) -> CodesOfNoise | UniformCodes:
    # Of these classes and no others: one that inherits from them may draw otherwise.
    kind = type(prior)
    if kind in (NormalPrior, SpherePrior):
        scale = torch.ones(1, d)
        if kind is NormalPrior:
            scale = scale * tensor_of(prior.scale, torch.float64)
        return CodesOfNoise(torch.zeros(1, d), scale, head=prior.head(d))
    if kind is UniformPrior:
        return UniformCodes(float(prior.low), float(prior.high), d)
    if kind is GaussianMixturePrior:
        means = prior.component_means(d)
        scales = torch.full_like(means, float(prior.scale))
        return CodesOfNoise(means, scales, check_weights(prior, prior.weights, len(means)))
    known = ", ".join(
        each.__name__ for each in (NormalPrior, SpherePrior, UniformPrior, GaussianMixturePrior)
    )
    raise ValueError(
        f"method='sample' with prior={prior!r} of {owner}, whose draws are no known function of "
        f"normal numbers; expected one of {known}, or latent='mixture' where the estimator has it."
    )
