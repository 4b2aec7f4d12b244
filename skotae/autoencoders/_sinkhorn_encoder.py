"""Sinkhorn encoder: codes without a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.encoding import EncodingEstimator
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import EncodingModel
from skotae.autoencoders.bases.penalised import (
    SINKHORN_CONSTRAINTS,
    LatentDivergenceModel,
    sinkhorn_of,
)
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.costs.base import pairwise_square
from skotae.divergences.base import BaseDivergence
from skotae.metrics._score import MAX_ROWS, debiased_gap, explained, n_samples_for, rows_with_weight
from skotae.metrics.base import weights_of_rows
from skotae.training import Step, ramp
from skotae.utils._random import make_generator
from skotae.utils._sklearn import Interval
from skotae.utils._torch import ambient

# Share of the training in which the contraction falls to its final weight.
FALL = 0.7


class SinkhornEncoderModel(LatentDivergenceModel, EncodingModel):
    """The divergence of codes and prior, and the cost of neighbours' codes."""

    def describe_divergence(self) -> BaseDivergence:
        return sinkhorn_of(self.params)

    def begin_encoder(self, path: PrincipalMap) -> bool:
        # Without a decoder there is nothing to unfold a plane of principal components.
        return False

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        params = self.params
        z = self.encoder(batch)
        draws = self.prior_draws(z, step.prior_generator)
        terms = {"divergence": self.divergence(z, draws, generator=step.generator)}
        if params.contraction > 0:
            weight = params.contraction * params.annealing ** (1.0 - ramp(step.progress, FALL))
            # Relative to the spread of the codes, so that narrow codes gain nothing.
            wanted = spread(draws.detach(), params.p)
            scale = wanted / spread(z, params.p).clamp_min(1e-6 * wanted)
            terms["contraction"] = (
                weight * scale * neighbour_cost(batch, z, params.n_neighbors, params.p)
            )
        return terms


@shared_documentation
class SinkhornEncoder(EncodingEstimator):
    r"""Sinkhorn encoder: codes with the distribution of the prior, without a decoder.

    .. math::
        \min_E\; S_\epsilon(Q_Z, P_Z)
        + \gamma_t\, \frac{s(P_Z)}{s(Q_Z)}\, \frac{1}{n k} \sum_{i=1}^n \sum_{j \in N_k(i)}
        c(E(x_i), E(x_j)),

    with the debiased entropic transport cost :math:`S_\epsilon` between the distribution
    of codes :math:`Q_Z` and draws from the prior, the latent cost
    :math:`c(z, y) = \sum_l |z_l - y_l|^p`, the k nearest rows :math:`N_k(i)` of a row
    within its mini-batch, and :math:`s(Q) = \mathbb E_{z \sim Q}\, c(z, \mathbb E z)`.
    The first term spreads the codes over the prior. The second keeps rows that are near
    each other together, and gains nothing from narrow codes. The paper has the first term
    alone (`contraction` = 0), and relies on the network being a Lipschitz function.

    Parameters
    ----------
    {n_components}
    {sinkhorn}
    contraction : float, default=0.2
        Weight :math:`\gamma` of the second term at the end of the training. It falls to
        this value, by the same factor in every step, over the first 70 % of the steps.
    annealing : float, default=50.0
        What the weight is multiplied by at the beginning. With a large weight the codes
        first follow the shape of the data, as those of a spectral embedding do; the
        divergence alone is content with one that is folded.
    n_neighbors : int, default=5
        Number k of neighbours.
    {prior}
    {encoder}
    {layers}
    {scale}
    {training}

    Attributes
    ----------
    encoder_ : torch.nn.Module
        The trained network. It works on standardised rows,
        ``(X - data_mean_) / data_scale_``, in float32.
    prior_ : prior
        The prior in use.
    divergence_ : SinkhornDivergence
        The divergence in use.
    n_components_ : int
        Dimension of the codes.
    data_mean_ : ndarray of shape (n_features,)
        Mean of the training data.
    data_min_ : ndarray of shape (n_features,)
        Smallest values of the training data.
    data_max_ : ndarray of shape (n_features,)
        Largest values of the training data.
    data_scale_ : float or ndarray of shape (n_features,)
        Root mean square deviation of the training data per feature, or of each column.
    data_limits_ : ndarray of shape (2, n_features) or None
        What values are brought within, where a few are far off in the training data.
    {fitted}

    See Also
    --------
    SinkhornAE : The same divergence with a decoder.

    References
    ----------
    .. [1] Patrini, van den Berg, Forré, Carioni, Bhargav, Welling, Genewein and Nielsen
       (2019), Sinkhorn autoencoders, UAI, section 6.1 and eq. 8.
    .. [2] Belkin and Niyogi (2003), Laplacian eigenmaps for dimensionality reduction and
       data representation, Neural Computation, section 3.1 (the second term).

    Examples
    --------
    >>> import numpy as np
    >>> from skotae import SinkhornEncoder
    >>> from skotae.datasets import make_swiss_roll
    >>> X, _ = make_swiss_roll(500, random_state=0)
    >>> model = SinkhornEncoder(2, prior="uniform", max_iter=20, random_state=0)
    >>> Z = model.fit_transform(X)
    >>> Z.shape, bool(np.abs(Z).max() <= 1)
    ((500, 2), True)
    """

    _parameter_constraints = {
        **EncodingEstimator._parameter_constraints,
        **SINKHORN_CONSTRAINTS,
        "prior": "no_validation",
        "contraction": [Interval(Real, 0, None, closed="left")],
        "annealing": [Interval(Real, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }
    _model_class = SinkhornEncoderModel
    divergence_ = ModelPart("divergence")
    # Neighbours within a mini-batch are near only if it holds many rows.
    _auto_batch = (2, 64, 512)
    _advice = {
        "divergence": "Lower learning_rate_init, or raise epsilon.",
        "contraction": "Lower contraction, annealing or learning_rate_init.",
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float = 0.05,
        relative: bool = True,
        debias: str = "independent",
        sharp: bool = False,
        p: float = 2,
        sinkhorn_tol: float = 0.001,
        latent_cost: Any = None,
        sinkhorn_iter: int | None = None,
        contraction: float = 0.2,
        annealing: float = 50.0,
        n_neighbors: int = 5,
        prior: Any = None,
        encoder: Any = None,
        hidden_layer_sizes: Any = (256, 256),
        activation: str = "relu",
        scale: str = "auto",
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
        self.epsilon = epsilon
        self.relative = relative
        self.debias = debias
        self.sharp = sharp
        self.p = p
        self.sinkhorn_tol = sinkhorn_tol
        self.latent_cost = latent_cost
        self.sinkhorn_iter = sinkhorn_iter
        self.contraction = contraction
        self.annealing = annealing
        self.n_neighbors = n_neighbors
        self.prior = prior
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.scale = scale
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

    @ambient()
    def score(self, X, y=None, sample_weight=None):
        r"""How well the codes of X cover the prior.

        .. math:: 1 - \frac{\max(0, W_2^2(Q_Z, P_Z))}{\mathbb E |z - \mathbb E z|^2},
            \qquad z \sim P_Z

        1 is perfect, 0 is what codes get that are all at the mean of the prior, and there is no
        lower limit. The codes of X are compared with draws from the prior, at most 2,048 of each,
        by exact transport with independent debiasing. It says nothing of what the codes
        keep of the rows; without a decoder it does not compare with the score of the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float
        """
        X = self._check(X)
        weight = weights_of_rows(sample_weight, X, "sample_weight")
        kept = rows_with_weight(weight)
        rng = np.random.RandomState(self._seed)
        chosen = kept[rng.permutation(len(kept))[:MAX_ROWS]]
        Z = self._inference(X.dtype).codes(X[chosen]).astype(np.float64)
        generator = make_generator(self._seed)
        draws = self.model_.draw_codes(n_samples_for(len(kept)), generator, torch.float64).numpy()
        gap = debiased_gap(Z, weight[chosen], draws, rng)
        total = np.square(draws - draws.mean(axis=0)).sum(axis=1).mean()
        return explained(np.maximum(0.0, gap), total)


def neighbour_cost(x: Tensor, z: Tensor, k: int, p: float) -> Tensor:
    """Mean latent cost between the codes z of rows x and those of their k nearest rows."""
    with torch.no_grad():
        square = pairwise_square(x, x).fill_diagonal_(torch.inf)
        nearest = square.topk(min(k, len(x) - 1), largest=False).indices
    gap = (z[:, None] - z[nearest]).abs()
    return gap.pow(p).sum(-1).mean()


def spread(z: Tensor, p: float) -> Tensor:
    """Mean latent cost between codes and their mean."""
    return (z - z.mean(0)).abs().pow(p).sum(-1).mean()
