"""Wasserstein generative adversarial network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.generating import GeneratingEstimator
from skotae.autoencoders.bases.model import Blueprint, GeneratingModel
from skotae.columns import rows_at_once
from skotae.costs import EuclideanCost
from skotae.costs.base import BaseCost
from skotae.training import Step
from skotae.utils._random import draw_seed
from skotae.utils._sklearn import Interval
from skotae.utils._threads import threads_for, work_of
from skotae.utils._torch import ambient


class WGANModel(GeneratingModel):
    """A generator, and the critic that it plays against."""

    inner = ("critic",)
    betas = (0.0, 0.9)

    @property
    def n_inner(self) -> int:  # type: ignore[override]
        return self.params.n_critic

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.critic = plan.network("critic", plan.n_features, 1)

    def _clip(self, step: Step) -> None:
        """Let the critic's weights be within their bounds, before they are used."""
        bound = self.params.weight_clip
        if bound is not None and step.training:
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(-bound, bound)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        self._clip(step)
        samples = self.decoder(self.prior_draws(batch, step.prior_generator))
        # The generator has no part in the first mean, which makes the term a distance.
        return {"wasserstein": self.critic(batch).mean() - self.critic(samples).mean()}

    def inner_terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        self._clip(step)
        with torch.no_grad():
            samples = self.decoder(self.prior_draws(batch, step.prior_generator))
        gap = self.critic(samples).mean() - self.critic(batch).mean()
        if self.params.weight_clip is not None:
            return {"adversary": gap}
        excess = (self.slope(batch, samples, step.generator) - 1.0).square().mean()
        return {"adversary": gap, "adversary_slope": self.params.gradient_penalty * excess}

    def costs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {"wasserstein": self.critic(batch)}

    def slope(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Norm of the critic's gradient, (n,), somewhere between each x and y."""
        t = torch.rand(len(x), 1, generator=generator, device=x.device, dtype=x.dtype)
        between = torch.lerp(x, y, t).requires_grad_()
        with torch.enable_grad():
            value = self.critic(between).sum()
            (slope,) = torch.autograd.grad(value, between, create_graph=self.critic.training)
        return torch.linalg.vector_norm(slope, dim=1)


@shared_documentation
class WGAN(GeneratingEstimator):
    r"""Wasserstein generative adversarial network, with a gradient penalty.

    .. math::
        \min_G \max_f\; \mathbb E_x f(x) - \mathbb E_{z \sim P_Z} f(G(z))
        - \lambda\, \mathbb E_{\hat x} (|\nabla f(\hat x)| - 1)^2,

    with :math:`\hat x` uniform on the line between a row and a sample. Over functions f
    of slope 1 at the most, the first two terms are the 1-Wasserstein distance between
    data and model (the dual of what ``WAEEstimator(cost="euclidean")`` minimises). There
    is no encoder.

    Parameters
    ----------
    n_components : int, default=None
        Dimension d of the draws that the generator decodes. None stands for
        ``min(8, n_features)``, or the smallest dimension that the prior allows if that is
        more.
    gradient_penalty : float, default=1.0
        Weight :math:`\lambda` of the gradient penalty. The 10 of [2]_ is too much for a table of
        some hundred rows, in whose few steps the critic then hardly learns but its slope.
    weight_clip : float, default=None
        Bound c of the critic's weights, each of which is set back to [-c, c] after every step, in
        the place of the penalty (Algorithm 1 of [1]_, with 0.01). The slope of the critic is then
        unknown, small as a rule: the history is not in the units of a distance.
    n_critic : int, default=5
        Steps of the critic for each step of the generator.
    critic : network, default=None
        The function f, from rows to one number: as `decoder`; None stands for an MLP with
        `hidden_layer_sizes` and `activation`. Not one that normalises over the batch,
        since the penalty is on the slope at each row.
    {prior}
    decoder : network, default=None
        The generator G: a spec such as :class:`~skotae.networks.MLP` or
        :class:`~skotae.networks.ConvNet`, a ``torch.nn.Module`` (copied, never trained in
        place), or a callable ``(n_in, n_out) -> Module``. None stands for an MLP with the
        hidden layers in reverse.
    {layers}
    {scale}
    {clip}
    {training}

    Attributes
    ----------
    decoder_ : torch.nn.Module
        The trained generator, which gives standardised rows.
    prior_ : prior
        The prior in use.
    cost_ : EuclideanCost
        The cost of the 1-Wasserstein distance.
    {units}
    {seen}
    history_ : dict of str to list of float
        ``"wasserstein"``: mean over each epoch of the first two terms of the objective, in
        standardised units; ``"loss"``, the same.
    best_loss_ : float
        Least of them.
    critic_ : torch.nn.Module
        The trained critic, a function of standardised rows.

    See Also
    --------
    WAEEstimator : The primal problem, with ``cost="euclidean"``.

    References
    ----------
    .. [1] Arjovsky, Chintala and Bottou (2017), Wasserstein generative adversarial
       networks, ICML, eq. 2 and 3, Algorithm 1.
    .. [2] Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville (2017), Improved training of
       Wasserstein GANs, NeurIPS, eq. 3 and Algorithm 1.
    .. [3] Bousquet, Gelly, Tolstikhin, Simon-Gabriel and Schoelkopf (2017), From optimal
       transport to generative modeling: the VEGAN cookbook, eq. 2 and section 4.2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WGAN
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WGAN(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 4)
    """

    _parameter_constraints = {
        **GeneratingEstimator._parameter_constraints,
        "prior": "no_validation",
        "gradient_penalty": [Interval(Real, 0, None, closed="neither")],
        "weight_clip": [None, Interval(Real, 0, None, closed="neither")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "critic": "no_validation",
    }
    # Neither player's loss says how good the generator is: there is nothing to stop by.
    del _parameter_constraints["tol"], _parameter_constraints["early_stopping"]
    del _parameter_constraints["validation_fraction"], _parameter_constraints["n_iter_no_change"]

    _model_class = WGANModel
    _shaping = GeneratingEstimator._shaping | {"critic"}
    critic_ = ModelPart("critic")
    model_: WGANModel
    _advice = {"wasserstein": "Lower learning_rate_init, or raise n_critic or gradient_penalty."}

    def __init__(
        self,
        n_components: int | None = None,
        *,
        gradient_penalty: float = 1.0,
        weight_clip: float | None = None,
        n_critic: int = 5,
        critic: Any = None,
        prior: Any = None,
        decoder: Any = None,
        hidden_layer_sizes: Any = (128, 128),
        activation: str = "relu",
        scale: str = "auto",
        clip: bool = True,
        batch_size: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.001,
        weight_decay: Any = 0.0,
        max_iter: int = 200,
        warm_start: bool = False,
        device: Any = "auto",
        random_state: Any = None,
        verbose: Any = False,
    ):
        self.n_components = n_components
        self.gradient_penalty = gradient_penalty
        self.weight_clip = weight_clip
        self.n_critic = n_critic
        self.critic = critic
        self.prior = prior
        self.decoder = decoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.scale = scale
        self.clip = clip
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _resolve_cost(self) -> BaseCost:
        return EuclideanCost()

    @ambient()
    def wasserstein(self, X, *, random_state=None):
        r"""Estimate of the 1-Wasserstein distance between data and model, by the critic.

        .. math::
            \frac1L \big(\mathbb E_x f(x) - \mathbb E_z f(G(z))\big), \qquad
            L^2 = \mathbb E_{\hat x} |\nabla f(\hat x)|^2

        The gradient penalty leaves the critic steeper than 1, the more so the further data
        and model are apart; L takes that back. The critic has been trained on the final
        model and its training data: the estimate is too small where it lags behind them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        random_state : int, RandomState instance or None, default=None
            Seed of the samples, of which there are as many as rows.

        Returns
        -------
        distance : float
            In the units of the data; in those of standardised columns where each column has a
            scale of its own.

        References
        ----------
        Bousquet et al. (2017), From optimal transport to generative modeling: the VEGAN
        cookbook, eq. 2.
        """
        X = self._check(X)
        seed = draw_seed(random_state)
        inference = self._inference(X.dtype)
        model, generator = inference.model, inference.generator(seed)
        codes = self._codes_in_turn(len(X), seed, X.dtype)
        gap, square, size = 0.0, 0.0, rows_at_once(max(X.shape[1], self.n_components_))
        for start in range(0, len(X), size):
            samples = self._decoded(codes[start : start + size], X.dtype)
            x, y = (inference.tensor(part) for part in (X[start : start + size], samples))
            with threads_for(work_of(model, X.shape[1]) * len(x)):
                gap += float(model.critic(x).sum() - model.critic(y).sum())
                square += float(model.slope(x, y, generator).square().sum())
        # A critic that is flat everywhere, as on constant data, sees no distance.
        distance = gap / len(X) / (math.sqrt(square / len(X)) or 1.0)
        return distance if self._units.by_column else distance * self.data_scale_

    def score(self, X, y=None, sample_weight=None):
        r"""Share of the variance of X that samples explain.

        .. math::
            R^2 = 1 - \frac{\mathbb E |x - \tilde x|^2
            + \max(0, W_2^2(\tilde P_X, G_\# P_Z))}{\mathbb E |x - \mathbb E x|^2}

        There is no encoder: the nearest of 4,096 samples stands in for the reconstruction
        :math:`\tilde x` of a row, as if the best code were looked for. All else is as in the other
        estimators: 1 is perfect, 0 is what the mean gets, the second term compares these rows with
        at most 2,048 fresh samples. The score is comparable with theirs. In many dimensions the
        nearest sample is further away than the nearest point that the generator can reach, and
        the score is somewhat too low.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float

        See Also
        --------
        skotae.metrics.transport_r2_score : The same of any reconstructions and samples.
        """
        return super().score(X, y, sample_weight)
