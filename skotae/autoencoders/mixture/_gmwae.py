"""Gaussian-mixture Wasserstein autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.mixture._clustering_terms import (
    adversarial_change,
    distance_to_neighbours,
    mutual_information,
)
from skotae.autoencoders.mixture._codes_in_use import (
    Codes,
    sum_within_components,
    without_the_least,
)
from skotae.autoencoders.mixture._graph_clusters import graph_clusters
from skotae.autoencoders.mixture.posterior import MixtureAutoencoder, MixtureModel
from skotae.columns import Source
from skotae.training import Rows, Step, ramp
from skotae.transport.kernel_means import (
    NormalMean,
    constants_of,
    kernel_mean,
    kernel_mean_within,
)
from skotae.utils._random import child_seed
from skotae.utils._sklearn import Interval, StrOptions

# One of so many rows of a mini-batch is moved in the worst direction.
MOVED = 2


class GMWAEModel(MixtureModel):
    """Reconstructions and discrepancy, weighted by q(k|x).

    While it learns from clusters, their labels are a buffer.
    """

    clusters: Tensor | None

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.register_buffer("clusters", None)
        self.lam = self.weight_of(self.params.lam, 0.05)
        self.radius: float = self.params.radius * plan.measured.neighbour_distance_
        d = self.n_components
        self.normal_mean = NormalMean(torch.ones(d), constants_of(d))

    def begin_encoder(self, path: PrincipalMap) -> bool:
        # A linear map of its own would hold shares back from the clusters.
        held_back = self.shares_trunk and self.params.init == "clusters"
        return not held_back and super().begin_encoder(path)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        params = self.params
        if step.progress < params.warm_up:
            logits = self.encoder.logits(batch)
            log_share = logits.log_softmax(1)
            share = without_the_least(log_share.exp())
            cost, penalty = self.cost_from_prior(batch, share, step), logits.new_zeros(())
        else:
            moments = self.encoder.moments(batch)
            logits, log_share = moments.logits, moments.logits.log_softmax(1)
            share = without_the_least(log_share.exp())
            z, codes = moments.draw(step.generator), Codes.of(share)
            cost = self.cost_of_codes(batch, z, share, codes)
            penalty = self.discrepancy(z, share / len(batch), step.prior_generator, codes)
        terms = {
            "reconstruction": cost / self.cost_scale,
            "penalty": self.lam * penalty,
            "information": params.information * mutual_information(log_share, params.balance),
            "smoothness": params.smoothness * self.change(batch, log_share, step),
        }
        if params.init == "clusters":
            terms["clusters"] = self.guidance(logits, step)
        return terms

    def cost_of_codes(self, x: Tensor, z: Tensor, share: Tensor, codes: Codes) -> Tensor:
        """Mean over rows of the cost of codes (n, K, d), which count by their share."""
        cost = self.decoder.cost_of(x.index_select(0, codes.row), codes.among(z))
        return (codes.among(share) * cost).sum() / len(x)

    def cost_from_prior(self, x: Tensor, share: Tensor, step: Step) -> Tensor:
        """The same where q(z|k,x) is p(z|k): about as many codes as rows, shared by the rows."""
        means = self.encoder.prior_means
        n_each = -(-len(x) // len(means))
        noise = torch.randn(
            n_each, *means.shape, generator=step.generator, device=x.device, dtype=x.dtype
        )
        raw = self.decoder.net((means + noise).flatten(0, 1))
        codes = Codes.of(share)
        drawn = raw.index_select(0, codes.row % n_each * len(means) + codes.k)
        cost = self.decoder.cost.from_raw(x.index_select(0, codes.row), drawn)
        return (codes.among(share) * cost).sum() / len(x)

    def change(self, x: Tensor, log_share: Tensor, step: Step) -> Tensor:
        """Of q(k|x) in the worst direction, where it counts."""
        if self.params.smoothness == 0:
            return log_share.new_zeros(())
        x, log_share = x[::MOVED], log_share[::MOVED]
        return adversarial_change(self.encoder.logits, x, log_share, self.radius, step.generator)

    def guidance(self, logits: Tensor, step: Step) -> Tensor:
        """Cross-entropy to the clusters, with a weight that falls to 0 halfway."""
        weight = 1.0 - ramp(step.progress, 0.5)
        if self.clusters is None or not weight:
            return logits.new_zeros(())
        labels = self.clusters[step.rows.to(logits.device)]
        return weight * torch.nn.functional.cross_entropy(logits, labels)

    def discrepancy(
        self, z: Tensor, weights: Tensor, generator: torch.Generator, codes: Codes | None = None
    ) -> Tensor:
        """Of codes of shape (n, K, d) with weights of shape (n, K) from the prior.

        Weights of a row sum to 1 / n. Codes of one row depend on each other: their pairs have
        no part in it. `codes` are those with a weight, if they are known.
        """
        n, n_mixtures, d = z.shape
        pairs = 1 - 1 / max(n, 2)
        codes = codes or Codes.of(weights)
        points, shares = codes.among(z), codes.among(weights)
        if self.params.discrepancy == "joint":
            # About its mean each component of the prior is the same normal distribution.
            points = points - self.encoder.prior_means.index_select(0, codes.k)
            within = n_mixtures * sum_within_components(points, shares, codes.counts)
            across = self.normal_mean(points, shares)
            return within / pairs - 2 * across + self.normal_mean.within
        draws = self.prior.sample(n, d, generator, dtype=z.dtype)
        uniform = z.new_full((n,), 1 / n)
        several = codes.rows_of_several()
        within = kernel_mean(points, shares) - kernel_mean_within(z[several], weights[several])
        across = kernel_mean(points, shares, draws, uniform)
        return within / pairs - 2 * across + kernel_mean(draws, uniform) / pairs


@shared_documentation
class GMWAE(MixtureAutoencoder):
    r"""Gaussian-mixture Wasserstein autoencoder: a discrete and a continuous code.

    .. math::
        \min\; \mathbb E_x \sum_k q(k|x)\, \mathbb E_{z \sim q(z|k,x)}\, c(x, G(z))
        + \lambda\, \mathrm{MMD}^2\Big(\mathbb E_x\, q(k|x)\, q(z|k,x),\;
        p(k)\, p(z|k)\Big)
        + \iota\, \Big(\mathbb E_x H(q(\cdot|x)) - \beta\, H(\mathbb E_x\, q(\cdot|x))\Big)
        + \nu\, \mathbb E_x\, \mathrm{KL}\big(q(\cdot|x) \,\|\, q(\cdot|x + r(x))\big),

    with the prior :math:`p(k) = 1/K`, :math:`p(z|k) = \mathcal N(\mu^0_k, \sigma_0^2 I)`
    whose means are mutually equidistant at :math:`4 \sigma_0` (as far apart as possible
    where :math:`K > d + 1`) and the posterior
    :math:`q(k|x) = \pi_k(x)`, :math:`q(z|k,x) = \mathcal N(\mu_k(x), \mathrm{diag}\,
    \sigma_k^2(x))`. The expectation over :math:`k` is a sum, in which components with less than
    3% of the largest share of a row are left out.

    The first two terms are the paper's (eq. 4 to 6). The last two are not: they make q(k|x) a
    clustering, with confident rows, balanced shares and borders away from rows [2]_. Without
    them (``information=0, smoothness=0``) the components in use are few, or no groups.
    r(x) is the direction, of fixed length, in which q(k|x) changes most [3]_.

    Parameters
    ----------
    {n_components}
    n_mixtures : int, default=None
        Number K of components. None stands for 10, or for one to each 20 rows where that is fewer,
        and at least 2.
    lam : "auto" or float, default="auto"
        Weight :math:`\lambda` of the maximum mean discrepancy, beside a cost in units of
        `cost_scale`. The paper's 10 stands beside 0.05 times the squared error summed over
        pixels, which is 53 for the constant reconstruction of MNIST: here that is about 4.
        Five times the share counts for ``"auto"``, and 1 at the most, as components of MNIST
        were less accurate with less: 0.05 times {auto_weight}
    discrepancy : {"joint", "marginal"}, default="joint"
        Of what: ``"joint"`` of :math:`(z, k)`, with the kernel
        :math:`K\, 1[k = k']\, k(z, z')`, which ties each component to its part of the prior;
        ``"marginal"`` of :math:`z`, as in the paper's eq. 6, which leaves shares free. Codes
        of one row depend on each other: their pairs have no part in either estimate.
    separation : float, default=4.0
        Distance of two means in units of :math:`\sigma_0 = 1`.
    {moments}
    warm_up : float, default=0.1
        Share of the training at whose beginning :math:`q(z|k,x)` is :math:`p(z|k)`, so that
        all that is known of a row is k.
    information : float, default=1.0
        Weight :math:`\iota` of minus the mutual information of row and component. Not in the
        paper.
    balance : float, default=4.0
        Weight :math:`\beta` of equal shares within it.
    smoothness : float, default=7.0
        Weight :math:`\nu` of the change of q(k|x) in the worst direction, taken of every
        second row of a mini-batch. Not in the paper.
    radius : float, default=0.25
        Length of r(x), in units of ``neighbour_distance_``.
    init : {"prior", "clusters"}, default="prior"
        Where :math:`q(k|x)` starts: ``"prior"`` near equal shares for every row;
        ``"clusters"`` from K clusters of the training rows, found by spectral clustering in
        the graph of their nearest neighbours [4]_ [5]_. Over the first half of training the loss
        then has the cross-entropy to these as another term, whose weight falls from 1 to 0.
        Finding them takes time proportional to the square of the number of rows, and memory
        for a copy of X.
    {refit_decoder}
    {cost}
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    {mixture_attributes}
    lam_ : float
        The weight :math:`\lambda` in use.
    neighbour_distance_ : float
        Median distance of a training row to its 10th nearest neighbour, in the units of the
        networks.

    See Also
    --------
    GMVAE : The same networks, trained by the evidence lower bound.
    sklearn.mixture.GaussianMixture : A mixture in data space.

    References
    ----------
    .. [1] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 3 to 8.
    .. [2] Hu, Miyato, Tokui, Matsumoto and Sugiyama (2017), Learning discrete
       representations via information maximizing self-augmented training, ICML.
    .. [3] Miyato, Maeda, Koyama and Ishii (2018), Virtual adversarial training, IEEE TPAMI.
    .. [4] Ng, Jordan and Weiss (2001), On spectral clustering: analysis and an algorithm.
    .. [5] Rebagliati and Verri (2011), Spectral clustering with more than K eigenvectors.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import GMWAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = GMWAE(n_components=2, n_mixtures=3, max_iter=20, random_state=0).fit(X)
    >>> model.predict_proba(X).shape, model.sample(4, component=1, random_state=0).shape
    ((150, 3), (4, 4))
    """

    _parameter_constraints = {
        **MixtureAutoencoder._parameter_constraints,
        "lam": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "discrepancy": [StrOptions({"marginal", "joint"})],
        "warm_up": [Interval(Real, 0, 1, closed="both")],
        "information": [Interval(Real, 0, None, closed="left")],
        "balance": [Interval(Real, 0, None, closed="left")],
        "smoothness": [Interval(Real, 0, None, closed="left")],
        "radius": [Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({"prior", "clusters"})],
        "refit_decoder": ["boolean"],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_mixtures: int | None = None,
        lam: Any = "auto",
        discrepancy: str = "joint",
        separation: float = 4.0,
        moments: Any = "separate",
        warm_up: float = 0.1,
        information: float = 1.0,
        balance: float = 4.0,
        smoothness: float = 7.0,
        radius: float = 0.25,
        init: str = "prior",
        refit_decoder: bool = True,
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
        learning_rate_init: float = 0.002,
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
        self.n_mixtures = n_mixtures
        self.lam = lam
        self.discrepancy = discrepancy
        self.separation = separation
        self.moments = moments
        self.warm_up = warm_up
        self.information = information
        self.balance = balance
        self.smoothness = smoothness
        self.radius = radius
        self.init = init
        self.refit_decoder = refit_decoder
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

    _advice = {
        "penalty": "Lower lam or learning_rate_init.",
        "information": "Lower learning_rate_init.",
        "smoothness": "Lower smoothness or learning_rate_init.",
    }
    _auto_weight, _share_multiple = "lam", 5.0
    _model_class = GMWAEModel
    lam_ = ModelPart("lam")
    _shaping = MixtureAutoencoder._shaping | {"init"}
    _measured = (*MixtureAutoencoder._measured, "neighbour_distance_")
    # Shares of components are told from a mini-batch, for which it must not be small.
    _auto_batch = (8, 128, 128)
    _auto_epochs = 40
    _few_rows = 20_000
    _auto_steps = 300
    model_: GMWAEModel

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        self.neighbour_distance_ = distance_to_neighbours(X, self._units)

    def _initialise(self, X: np.ndarray) -> None:
        super()._initialise(X)
        if self.init == "clusters":
            if isinstance(X, Source):
                raise ValueError(
                    "init='clusters' looks for clusters among all rows at once; expected "
                    "init='prior', or X as an array."
                )
            rows = self._units.standardised(X).astype(np.float32)
            labels = graph_clusters(rows, self.n_mixtures_, child_seed(self._seed, "start") % 2**32)
            self.model_.clusters = torch.from_numpy(labels.astype(np.int64))

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        self.model_.clusters = None
