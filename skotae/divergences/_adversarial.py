"""Adversarial divergence: a discriminator between codes and prior draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from skotae.divergences.base import BaseDivergence, refuse_weights
from skotae.networks import MLP
from skotae.priors.base import log_density
from skotae.utils._random import make_generator
from skotae.utils.base import as_real, brief, stale

LOG2 = math.log(2.0)

Terms = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor] | None]


def _exp(exponent: Tensor) -> Tensor:
    """e to the power, of no more than single precision holds."""
    return exponent.clamp(-MOST, MOST).exp()


# Of the discriminator's D = log p - log q: what its values at codes and at draws come to.
MOST = 60.0
LOSSES: dict[str, Terms] = {
    "non-saturating": (lambda d: softplus(-d), None),
    "jensen-shannon": (lambda d: LOG2 - softplus(d), lambda d: LOG2 - softplus(-d)),
    "kl": (lambda d: 1.0 - d, lambda d: -_exp(-d)),
    "reverse-kl": (lambda d: 1.0 - _exp(d), lambda d: d),
    "hellinger": (lambda d: 1.0 - _exp(0.5 * d), lambda d: 1.0 - _exp(-0.5 * d)),
}


class AdversarialDivergence(BaseDivergence):
    r"""Adversarial loss on codes (WAE-GAN, adversarial autoencoder).

    A discriminator :math:`D` is trained beside the autoencoder,

    .. math::
        \max_D\; \mathbb E_{y \sim P_Z} \log s(D(y)) + \mathbb E_z \log (1 - s(D(z)))
        - \tfrac{r}{2}\, \mathbb E_y |\nabla D(y)|^2,
        \qquad
        \text{penalty} = -\mathbb E_z \log s(D(z)),

    with the logistic function :math:`s`. The penalty is :math:`\log 2` where codes and
    prior cannot be told apart. It needs a training run: called by itself on two clouds it
    has no discriminator to ask.

    The best discriminator is :math:`\log p_Z(z) - \log q_Z(z)`. With `log_density` the
    first part is put in, and the network learns the second alone.

    Other penalties estimate a divergence :math:`\int p_Z f(q_Z / p_Z)` by the ratio
    :math:`r = e^{-D}` that the discriminator gives,

    .. math:: \mathbb E_z f'(r(z)) - \mathbb E_{y \sim P_Z} f^*(f'(r(y))),

    the variational form of an f-divergence, whose gradient is right where the discriminator is
    the best one. Their value is 0 where codes and prior cannot be told apart.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Hidden layers of the discriminator.
    gradient_penalty : float >= 0, default=0.1
        Weight :math:`r` of the gradient penalty on prior draws, which damps the
        oscillation of the game (Mescheder et al., 2018, eq. 9).
    log_density : bool, default=False
        Whether the logarithm of the prior's density is added to what the discriminator's
        network gives. The prior needs a density on the whole space, and of one mode: its
        logarithm keeps codes from crossing between modes that are far apart.
    loss : str, default="non-saturating"
        What codes descend: ``"non-saturating"``, the penalty above, whose gradient is large where
        codes are far from the prior; or the divergence ``"jensen-shannon"`` (twice it, the
        saturating loss of eq. 4 of [2]_ plus log 4), ``"kl"`` of codes from the prior,
        ``"reverse-kl"``, or ``"hellinger"`` (squared,
        :math:`\int (\sqrt{q_Z} - \sqrt{p_Z})^2`).

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, ICLR, Algorithm 1.
    .. [2] Bousquet et al. (2017), From optimal transport to generative modeling: the
       VEGAN cookbook, section 4.
    .. [3] Mescheder, Nowozin and Geiger (2017), Adversarial variational Bayes, ICML, whose
       discriminator is given the known density in the same way.
    .. [4] Nowozin, Cseke and Tomioka (2016), f-GAN, NeurIPS, eq. 4 and table 2.

    Examples
    --------
    >>> from skotae import WAEEstimator
    >>> from skotae.divergences import AdversarialDivergence
    >>> model = WAEEstimator(penalty=AdversarialDivergence(hidden_layer_sizes=(64,)))
    """

    adversary = True
    usual_weight = 0.02

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (128, 128),
        gradient_penalty: float = 0.1,
        log_density: bool = False,
        loss: str = "non-saturating",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.gradient_penalty = gradient_penalty
        self.log_density = log_density
        self.loss = loss

    @property
    def prior_required(self) -> tuple[str, ...]:  # type: ignore[override]
        """Methods that the prior must have: ``log_prob`` with `log_density`, else none."""
        return ("log_prob",) if self.log_density else ()

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        raise ValueError(
            "AdversarialDivergence has no value on its own; pass it as penalty= to an estimator, "
            "or call what build(prior, n_components) returns."
        )

    def build(self, prior: Any, n_components: int) -> Callable[..., Tensor]:
        if stale(self, "build", "__call__"):
            raise ValueError(
                f"penalty={self!r} has a __call__() of its own, which the discriminator that "
                "AdversarialDivergence.build() returns does not call; expected a build() of its "
                "own too, or a subclass of BaseDivergence."
            )
        return _Discriminator(n_components, self, prior if self.log_density else None)


class _Discriminator(nn.Module):
    """The discriminator with the two losses of the game."""

    def __init__(self, n_components: int, spec: AdversarialDivergence, prior: Any):
        super().__init__()
        self.net = MLP(spec.hidden_layer_sizes, "leaky_relu").build(n_components, 1)
        self.gradient_penalty = as_real(
            "gradient_penalty", spec.gradient_penalty, least=0, of=type(spec).__name__
        )
        if spec.loss not in LOSSES:
            raise ValueError(
                f"loss={brief(spec.loss)} of {type(spec).__name__} is not known; expected one of "
                f"{', '.join(map(repr, LOSSES))}."
            )
        self.spec = spec
        self.prior = prior
        if prior is not None:
            if prior.support != "space":
                raise ValueError(
                    f"prior={prior!r} has no density on the whole space, which log_density=True "
                    "needs; expected 'normal' or 'mixture'."
                )
            # The network need not learn the level of the density, which is far from 0 in
            # many dimensions.
            draws = prior.sample(256, n_components, make_generator(0), dtype=torch.float64)
            self.level = float(log_density(prior, draws).mean())

    def logits(self, z: Tensor) -> Tensor:
        """D(z), of shape (n,)."""
        out = self.net(z).squeeze(-1)
        return out if self.prior is None else out + log_density(self.prior, z) - self.level

    def forward(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        refuse_weights(self.spec, weights)
        of_codes, of_draws = LOSSES[self.spec.loss]
        loss = of_codes(self.logits(z)).mean()
        return loss if of_draws is None else loss + of_draws(self.logits(prior_draws)).mean()

    def adversary_loss(self, z: Tensor, prior_draws: Tensor) -> Tensor:
        """What the discriminator minimises; no gradient reaches the codes."""
        y = prior_draws.detach().requires_grad_()
        real, fake = self.logits(y), self.logits(z.detach())
        loss = softplus(-real).mean() + softplus(fake).mean()
        if self.gradient_penalty:
            (slope,) = torch.autograd.grad(real.sum(), y, create_graph=True)
            loss = loss + 0.5 * self.gradient_penalty * slope.square().sum(1).mean()
        return loss
