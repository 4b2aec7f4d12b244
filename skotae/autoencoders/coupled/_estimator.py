"""Coupled variational autoencoder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.inference import Inference
from skotae.autoencoders.bases.principal import FirstRows
from skotae.autoencoders.coupled._model import CoupledModel
from skotae.columns import rows_at_once
from skotae.training import Rows
from skotae.utils._random import child_seed
from skotae.utils._sklearn import Interval, StrOptions

FEW_EFFECTIVE_DRAWS = 10
# Without an encoder, so many epochs for up to so many rows.
FEW_ROWS_DECODED = 10_000


@shared_documentation
class CoupledVAE(BaseAutoencoder):
    r"""Coupled variational autoencoder: entropic transport between data and prior.

    .. math::
        \min_\theta \max_u\; \mathbb E_{p(z)} \Big[ \frac1n \sum_i u_i
        - \epsilon \log \frac1n \sum_i e^{(u_i - c_\theta(x_i, z)) / \epsilon} \Big],
        \qquad c_\theta(x, z) = -\log p_\theta(x | z) .

    The posterior is the transport plan, so that it has any shape, and the aggregate
    posterior is the prior by construction. For a row that was not in the training data

    .. math::
        q(z | x) \propto e^{(v(z) - c_\theta(x, z)) / \epsilon}\, p(z),
        \qquad v = u^{c, \epsilon},

    in which the unknown :math:`u(x)` has dropped out.

    Parameters
    ----------
    {n_components}
    epsilon : float, default=1.0
        Entropic regularisation :math:`\epsilon`, in nats; 1 is the exact posterior of a
        variational autoencoder whose aggregate posterior equals the prior.
    strategy : {"dual", "primal"}, default="dual"
        Whether the decoder descends the semi-dual (Algorithm 2 of [1]_), with the plan
        exact for each draw, or the primal (Algorithm 1), with the plan exact for each row.
    potential : {"table", "network"}, default="table"
        ``"table"`` stores one :math:`u_i` per training row and moves it towards Sinkhorn's
        solution of each mini-batch problem; ``"network"`` learns a function
        :math:`u_\phi(x)` by gradient ascent.
    dual : {"semi", "full"}, default="semi"
        ``"full"`` learns :math:`u_\phi(x)` and :math:`v_\psi(z)` (eq. 16) and needs
        ``potential="network"``.
    n_dual_steps : int, default=3
        Steps on the potentials for each step on the decoder.
    dual_rate : float or None, default=None
        With a number the table of potentials climbs the gradient of the semi-dual, as in the paper:
        a step moves :math:`u_i / \epsilon` by that times what the mini-batch's plan lacks of the
        mass of row i, as a share of it.
    n_draws : int or None, default=None
        Number of draws from the prior in a step; None is as many as there are rows in it.
    marginal_weight : float or None, default=None
        Weight :math:`\varsigma` of :math:`D_{{KL}}(q(z) \| p(z))`, with which the aggregate
        posterior may miss the prior (eq. 14 and 15 of [1]_). With :math:`\epsilon = 1 - \alpha`
        and :math:`\varsigma = \alpha + \lambda - 1` it is the objective of an InfoVAE whose
        posterior has any shape. None is infinite: they are the same.
    cooling : bool, default=True
        Whether the plan is cooled while the decoder takes shape; in the paper it is not.
    plan_decay : float, default=0.99
        Decay per step of a moving average of the decoder's weights, ``average_``, that the
        plan is computed with, so that it is steady, also for small mini-batches; from the
        thousandth step on, those of the table of potentials grow ever smaller. 0 is the
        decoder itself, as in the paper: of few rows the decoder then often loses modes.
    init : {"isometry", "principal", "random"}, default="isometry"
        What the decoder is fitted to first: a random isometry of the prior into the space of the
        data (but for one scale), for 10 % of the training, or the map to its principal
        components, for 2 %. ``"random"`` is no such start, as in the paper; nor is there one with
        an amortised posterior or atoms. The transport is the same for every rearrangement of the
        prior's draws, so that a decoder keeps the folds that it starts with.
    posterior : {"auto", "importance", "amortised"}, default="auto"
        How `transform` finds the posterior mean: by importance weights over a bank of
        draws from the prior, or by an encoder trained beside the decoder to predict it. Where
        fewer than six effective draws of a mini-batch fall under a row's posterior, they do
        not tell its mean, and the encoder learns its mode. ``"auto"`` is importance in one or
        two dimensions and for discrete priors, unless `encoder` is given; mini-batches then have
        256 rows at most with ``batch_size="auto"``, and ``max_iter="auto"`` is one number of
        epochs for up to 10,000 rows.
    anchor : float, default=1.0
        With an amortised posterior, weight of the cost of reconstructing a row from its
        encoder's code, which pins the decoder down where mini-batches of prior draws are
        sparse; 0 is the objective above. Where the encoder learns the mean, it teaches the decoder
        alone.
    n_bank : int, default=4096
        Number of draws in the bank.
    n_bank_steps : int, default=200
        Most Sinkhorn iterations that couple the bank to the training rows (`n_bank` of them at
        most) after training with a table, so that posteriors average to the prior within one
        percent, or as closely as so many steps reach; at 0 the potentials are those of training.
    {prior}
    cost : str or cost, default="gaussian"
        The negative log-likelihood: ``"gaussian"``, ``"bernoulli"`` or an instance from
        :mod:`skotae.costs`. The standard deviation of ``"gaussian"`` is lowered during
        training until it meets the residual (without an encoder, that of the draws within three
        times the median's distance); with
        ``GaussianCost(variance=...)`` it is lowered to the given one, and with
        ``GaussianCost(per_feature=True)`` that of each feature until it meets its own residual.
        With ``"heteroscedastic"``, the :math:`\sigma(z)` of Proposition 3.1, it may then depend
        on the code too.
    {scale}
    {networks}
    {clip}
    {latent}
    {training}

    Attributes
    ----------
    {attributes}
    scale_ : float or ndarray of shape (n_features,)
        Standard deviation of the Gaussian likelihood, in the units of the data; of each column
        where columns have scales of their own, or the likelihood has one for each feature. Of
        codes that differ in it, the geometric mean over prior draws; `noise_scale` has each.
    bank_ : torch.nn.Module
        Prior draws, what they decode to and their potentials.
    average_ : torch.nn.Module
        The decoder's moving average, with a `plan_decay` above 0.

    References
    ----------
    .. [1] Hao and Shafto (2023), Coupled variational auto-encoder, ICML, eq. 16 to 20,
       Algorithms 1 and 2. The "-1" in eq. 12, 19 and 20 does not belong with eq. 9 to 11
       and is left out.

    Examples
    --------
    >>> from skotae import CoupledVAE
    >>> from skotae.datasets import make_gaussian_grid
    >>> X, _ = make_gaussian_grid(500, random_state=0)
    >>> model = CoupledVAE(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.effective_sample_size(X).shape
    ((500, 2), (500,))
    """

    _parameter_constraints = {
        **{k: v for k, v in BaseAutoencoder._parameter_constraints.items() if k != "cost_scale"},
        "prior": "no_validation",
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "strategy": [StrOptions({"dual", "primal"})],
        "potential": [StrOptions({"table", "network"})],
        "dual": [StrOptions({"semi", "full"})],
        "n_dual_steps": [Interval(Integral, 1, None, closed="left")],
        "dual_rate": [Interval(Real, 0, None, closed="neither"), None],
        "n_draws": [Interval(Integral, 1, None, closed="left"), None],
        "marginal_weight": [Interval(Real, 0, None, closed="neither"), None],
        "cooling": ["boolean"],
        "plan_decay": [Interval(Real, 0, 1, closed="left")],
        "init": [StrOptions({"isometry", "principal", "random"})],
        "posterior": [StrOptions({"auto", "importance", "amortised"})],
        "anchor": [Interval(Real, 0, None, closed="left")],
        "n_bank": [Interval(Integral, 2, None, closed="left")],
        "n_bank_steps": [Interval(Integral, 0, None, closed="left")],
    }

    # The plan of a mini-batch is the coarser the fewer rows it has.
    _auto_batch = (4, 64, 512)
    _auto_epochs, _few_rows = 300, 1500
    _advice = {"transport": "Lower learning_rate_init, or raise epsilon."}
    _model_class = CoupledModel
    _measured: tuple[str, ...] = (*BaseAutoencoder._measured, "_hot")
    _shaping = BaseAutoencoder._shaping | {"potential", "dual", "init", "posterior", "plan_decay"}
    bank_ = ModelPart("bank")
    average_ = ModelPart("average")
    dual_ = ModelPart("dual")
    model_: CoupledModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float = 1.0,
        strategy: str = "dual",
        potential: str = "table",
        dual: str = "semi",
        n_dual_steps: int = 3,
        dual_rate: float | None = None,
        n_draws: int | None = None,
        marginal_weight: float | None = None,
        cooling: bool = True,
        plan_decay: float = 0.99,
        init: str = "isometry",
        posterior: str = "auto",
        anchor: float = 1.0,
        n_bank: int = 4096,
        n_bank_steps: int = 200,
        prior: Any = None,
        cost: Any = "gaussian",
        scale: str = "auto",
        encoder: Any = None,
        decoder: Any = None,
        hidden_layer_sizes: Any = (256, 256, 256),
        activation: str = "relu",
        clip: bool = True,
        latent: str = "prior",
        batch_size: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.001,
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
        self.epsilon = epsilon
        self.strategy = strategy
        self.potential = potential
        self.dual = dual
        self.n_dual_steps = n_dual_steps
        self.dual_rate = dual_rate
        self.n_draws = n_draws
        self.marginal_weight = marginal_weight
        self.cooling = cooling
        self.plan_decay = plan_decay
        self.init = init
        self.posterior = posterior
        self.anchor = anchor
        self.n_bank = n_bank
        self.n_bank_steps = n_bank_steps
        self.prior = prior
        self.cost = cost
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

    @property
    def _batch_rule(self) -> tuple[int, int, int]:
        # A decoder alone sharpens by steps, of which smaller batches have more; an encoder's target
        # is the better the more draws there are.
        return self._auto_batch if self.model_.amortised else (*self._auto_batch[:2], 256)

    @property
    def _epoch_rule(self) -> tuple[int, int]:
        # Where rows are encoded, more steps no longer make it better.
        return self._auto_epochs, self._few_rows if self.model_.amortised else FEW_ROWS_DECODED

    def _measure_components(self, first: FirstRows, prior: Any) -> None:
        super()._measure_components(first, prior)
        self._hot = max(2.0, self.cost_.unit(first.rows, first.rows.mean(axis=0)))

    def _cost_unit(self, X: np.ndarray) -> float:
        # The likelihood is in nats already.
        return self._unit_of(1.0, X)

    def _initialise(self, X: np.ndarray) -> None:
        super()._initialise(X)
        if self.model_.starts_linear:
            some, bounded = self._first.rows, not self.cost_.standardise
            if self._params.init == "principal":
                self.model_.principal.find_components(some, self.n_components_, bounded)
            else:
                rng = np.random.RandomState(child_seed(self._seed, "start") % 2**32)
                self.model_.principal.find_isometry(some, self.n_components_, bounded, rng)

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        self.model_.fill_bank(rows, self._seed)
        if self.model_.gaussian:
            cost = self.decoder_.cost
            # Where codes differ in it, of the bank's the geometric mean.
            logs = cost.log_scales(self.bank_.raw).detach().double()
            scale = logs.reshape(-1, *cost.log_scale.shape).mean(0).exp().cpu().numpy()
            self.scale_ = scale[()] * self.data_scale_

    def effective_sample_size(self, X):
        r"""Effective number of bank draws behind the posterior of each row.

        .. math::
            \mathrm{ESS}(x) = 1 / \sum_b w_b(x)^2

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        size : ndarray of shape (n_samples,)
            Between 1 and `n_bank`.
        """
        X = self._check(X)
        return self._effective_sizes(self._inference(X.dtype), X)

    def _effective_sizes(self, inference: Inference, X: np.ndarray) -> np.ndarray:
        return inference.apply(
            lambda x: 1.0 / inference.model.log_posterior(x).softmax(1).square().sum(1),
            X,
            size=rows_at_once(len(inference.model.bank.z)),
        )

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        # Before the draws by these weights, which fail where they are not finite.
        yield self._effective_sizes(inference, X)
        yield from super()._results(inference, X)

    def transform(self, X):
        """Posterior means of the codes of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            In the dtype of X.

        Warns
        -----
        UserWarning
            If importance weights rest on fewer than ten draws for half of the rows.
        """
        Z = super().transform(X)
        if not (self.model_.amortised or self.model_.discrete):
            size = float(np.median(self.effective_sample_size(X)))
            if size < FEW_EFFECTIVE_DRAWS:
                warnings.warn(
                    f"The median effective sample size of the posterior is {size:.1f}; raise "
                    f"n_bank={self._params.n_bank} or epsilon={self._params.epsilon}, or use "
                    "posterior='amortised'.",
                    UserWarning,
                    stacklevel=2,
                )
        return Z
