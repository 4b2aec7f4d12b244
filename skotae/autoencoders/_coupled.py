"""Coupled variational autoencoder."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skotae.autoencoders._base import BaseAutoencoder
from skotae.autoencoders._docs import shared_documentation
from skotae.autoencoders._dual import (
    DualNetworks,
    DualTable,
    PrincipalDraws,
    full_dual,
    log_shares,
    plan_residual,
)
from skotae.autoencoders._importance import (
    ImportancePosterior,
    PosteriorBank,
    balanced_potentials,
)
from skotae.autoencoders._modules import Encoder
from skotae.costs import GaussianCost
from skotae.divergences import MMD
from skotae.priors import AtomsPrior
from skotae.training import Rows, Step
from skotae.transport import c_transform
from skotae.utils._random import make_generator
from skotae.utils._sklearn import Interval, StrOptions

# Shares of the training: a plain autoencoder first, then cooling until here.
WARM_SHARE = 0.3
COOLED_SHARE = 0.7
SMALLEST_SCALE = 0.02
# A decoder that starts from principal components has its shape already. It would lose it at
# the scale that others start from, and needs less time to cool.
PRINCIPAL_SHARES = (0.02, 0.4)
PRINCIPAL_SCALE = 0.4
# Moves of the table, with `plan_decay`, before they grow smaller.
N_HALVING = 1000


@shared_documentation
class CoupledVAE(ImportancePosterior, BaseAutoencoder):
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
    plan_decay : float, default=0.99
        Decay per step of a moving average of the decoder's weights, ``average_``, that the
        plan is computed with, so that it is steady, also for small mini-batches; from the
        thousandth step on, those of the table of potentials grow ever smaller. 0 is the
        decoder itself, as in the paper: of few rows the decoder then often loses modes.
    init : {"random", "principal"}, default="random"
        What the decoder starts from: random weights, or the data's principal components,
        fitted in the first 2 % of the training; not with an amortised posterior or atoms.
    posterior : {"auto", "importance", "amortised"}, default="auto"
        How `transform` finds the posterior mean: by importance weights over a bank of
        draws from the prior, or by an encoder trained beside the decoder to predict it.
        ``"auto"`` is importance in one or two dimensions and for discrete priors, unless
        `encoder` is given.
    anchor : float, default=1.0
        With an amortised posterior, weight of the cost of reconstructing a row from its
        encoder's code, which pins the decoder down where mini-batches of prior draws are
        sparse; 0 is the objective above.
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
        training until it meets the residual; with
        ``GaussianCost(variance=...)`` it is lowered to the given one.
    {networks}
    {clip}
    {training}

    Attributes
    ----------
    {attributes}
    scale_ : float
        Standard deviation of the Gaussian likelihood, in the units of the data.
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
        "plan_decay": [Interval(Real, 0, 1, closed="left")],
        "init": [StrOptions({"random", "principal"})],
        "posterior": [StrOptions({"auto", "importance", "amortised"})],
        "anchor": [Interval(Real, 0, None, closed="left")],
        "n_bank": [Interval(Integral, 2, None, closed="left")],
        "n_bank_steps": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float = 1.0,
        strategy: str = "dual",
        potential: str = "table",
        dual: str = "semi",
        n_dual_steps: int = 3,
        plan_decay: float = 0.99,
        init: str = "random",
        posterior: str = "auto",
        anchor: float = 1.0,
        n_bank: int = 4096,
        n_bank_steps: int = 200,
        prior: Any = None,
        cost: Any = "gaussian",
        encoder: Any = None,
        decoder: Any = None,
        hidden_layer_sizes: Any = (256, 256, 256),
        activation: str = "relu",
        clip: bool = True,
        batch_size: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.001,
        max_iter: int = 300,
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
        self.plan_decay = plan_decay
        self.init = init
        self.posterior = posterior
        self.anchor = anchor
        self.n_bank = n_bank
        self.n_bank_steps = n_bank_steps
        self.prior = prior
        self.cost = cost
        self.encoder = encoder
        self.decoder = decoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.clip = clip
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    cost_scale = 1.0  # the likelihood is in nats already

    # The plan of a mini-batch is the coarser the fewer rows it has.
    _auto_batch = (4, 64, 512)
    _advice = {"transport": "Lower learning_rate_init, or raise epsilon."}

    # --- modules -----------------------------------------------------------------------

    def _build(self, X: np.ndarray) -> None:
        if self.dual == "full" and self.potential != "network":
            raise ValueError(
                "dual='full' learns v(z) for any z; expected potential='network' with it, got "
                f"potential={self.potential!r}."
            )
        if self.encoder is not None and not self._amortised:
            raise ValueError(
                f"encoder={self.encoder!r} is not used with posterior='importance'; expected "
                "posterior='amortised' or encoder=None."
            )
        self.decoder_ = self._decoder()
        if self.plan_decay > 0:
            self.average_ = copy.deepcopy(self.decoder_.net).requires_grad_(False)
        if self._amortised:
            self.encoder_ = Encoder(
                self._network("encoder", self.n_features_in_, self.n_components_),
                self.prior_.head(self.n_components_),
            )
        if self.potential == "network":
            v_net = None
            if self.dual == "full":
                v_net = self._network("potential_v", self.n_components_, 1)
            self.dual_ = DualNetworks(self._network("potential_u", self.n_features_in_, 1), v_net)
        # What a row costs about the mean, in nats: the temperature at which the plan is
        # spread over everything.
        some = self._standardised(X[:4096].astype(np.float64))
        self._hot = max(2.0, self.cost_.unit(some, some.mean(axis=0)))
        self._principal: PrincipalDraws | None = None
        if self.init == "principal" and not (self._amortised or self._discrete):
            bounded = not self.cost_.standardise
            self._principal = PrincipalDraws(some, self.n_components_, bounded, self.device_)
        self._gaussian = isinstance(self.cost_, GaussianCost)
        self._residual = 1.0
        self._learned = self._gaussian and self.cost_.variance == "learned"
        self._final_scale = SMALLEST_SCALE
        if self._gaussian:
            self.decoder_.cost.log_scale.requires_grad_(False)
            if not self._learned:
                self._final_scale = math.sqrt(self.cost_.variance) / self.data_scale_

    @property
    def _amortised(self) -> bool:
        if self.posterior != "auto":
            return self.posterior == "amortised"
        if self.encoder is not None:
            return True
        return self.n_components_ > 2 and not self._discrete

    @property
    def _discrete(self) -> bool:
        return isinstance(self.prior_, AtomsPrior)

    @property
    def _cooling(self) -> tuple[float, float]:
        """Shares of the training between which the plan is cooled."""
        if self._amortised:
            return WARM_SHARE, COOLED_SHARE
        return (0.0, COOLED_SHARE) if self._principal is None else PRINCIPAL_SHARES

    # --- training ----------------------------------------------------------------------

    def _fit(self, X, y, *, fresh, n_epochs, incremental=False):
        self._table: DualTable | None = None
        return super()._fit(X, y, fresh=fresh, n_epochs=n_epochs, incremental=incremental)

    def _cooled(self, progress: float) -> float:
        """How far the plan has been cooled, from 0 to 1."""
        first, last = self._cooling
        return min(1.0, max(0.0, progress - first) / (last - first))

    def _temper(self, progress: float) -> float:
        """Set the scale of the likelihood; return the epsilon of the plan."""
        # With an encoder the decoder has taken shape before the first plan; without, it
        # takes shape while the plan is cooled.
        cooled = self._cooled(progress)
        less = 1.0 if self._principal is None else PRINCIPAL_SCALE
        if not self._gaussian:
            start = 1.0 if self._amortised else max(1.0, less**2 * self._hot)
            return self.epsilon * start ** (1.0 - cooled)
        start = 1.0 if self._amortised else less * 0.5 * math.sqrt(self.n_features_in_)
        start = max(start, self._final_scale)
        scale = start * (self._final_scale / start) ** cooled
        if self._learned:
            # The residual is the maximum-likelihood estimate of the variance, where this
            # ends. A plan as wide as that would never leave the mean, if it has not yet.
            share = 1.0 if self._amortised or cooled == 1.0 else 0.5
            residual = share * math.sqrt(self._residual)
            scale = max(residual, self._final_scale if self._amortised else scale)
        self.decoder_.cost.set_scale(scale)
        return self.epsilon

    def _prior_draws(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes for a batch, and the logarithms of their weights (sum of weights: 1)."""
        if self._discrete:
            return self.prior_.support(x.device, x.dtype)
        z = self.prior_.sample(len(x), self.n_components_, generator, dtype=x.dtype)
        return z, z.new_full((len(z),), -math.log(len(z)))

    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        epsilon = self._temper(step.progress)
        z, log_b = self._prior_draws(batch, step.generator)
        decoder = self.decoder_
        if self.plan_decay > 0 and step.training:
            move = get_ema_multi_avg_fn(self.plan_decay)
            move([*self.average_.parameters()], [*decoder.net.parameters()], None)
        if step.progress < self._cooling[0]:
            if self._principal is not None:
                return self._principal_objective(z)
            return self._warm_objective(batch, z, step)
        raw = decoder.net(z)
        cost = decoder.cost.pairwise_from_raw(batch, raw)
        log_n = math.log(len(batch))
        with torch.no_grad():
            fixed = cost.detach()
            if self.plan_decay > 0:
                fixed = decoder.cost.pairwise_from_raw(batch, self.average_(z))
            u, v = self._potentials(batch, z, fixed, log_b, epsilon, step)
            log_plan = (u[:, None] + v - fixed) / epsilon + log_b - log_n
            # Prop. 3.2 has each draw's column normalised, q(z|x) each row.
            if self.strategy == "primal":
                plan = log_plan.softmax(1) / len(batch)
            elif self.dual == "semi":
                plan = log_plan.softmax(0) * log_b.exp()
            else:
                plan = log_plan.clamp_max(0.0).exp()
            dual_value = u.mean() + (log_b.exp() * v).sum()
            self._track_residual(batch, decoder.cost.decode(raw), plan, step)
        moved = (plan * cost).sum()
        terms = {"transport": moved + (dual_value - moved).detach()}
        if self._amortised:
            code = self.encoder_(batch)
            terms["reconstruction"] = self.anchor * self._reconstruction_cost(batch, code)
            terms["posterior"] = self._posterior_loss(batch, code, u, epsilon)
        return self._steadied(terms)

    def _warm_objective(self, batch: Tensor, z: Tensor, step: Step) -> Mapping[str, Tensor]:
        """A Wasserstein autoencoder, from which the coupling starts."""
        code = self.encoder_(batch)
        raw = self.decoder_.net(code)
        cost = self.decoder_.cost.from_raw(batch, raw).mean()
        unit = self._hot / (2.0 * self._residual) if self._gaussian else self._hot
        with torch.no_grad():
            plan = torch.eye(len(batch), device=batch.device) / len(batch)
            self._track_residual(batch, self.decoder_.cost.decode(raw), plan, step)
        terms = {
            "transport": cost.new_zeros(()),
            "reconstruction": cost,
            "posterior": unit * MMD()(code, z),
        }
        return self._steadied(terms)

    def _principal_objective(self, z: Tensor) -> Mapping[str, Tensor]:
        """Cost of decoding draws to the Gaussian with the data's principal components."""
        assert self._principal is not None
        cost = self.decoder_.cost.from_raw(self._principal(z), self.decoder_.net(z)).mean()
        return self._steadied({"transport": cost})

    def _steadied(self, terms: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """The terms with gradients that do not grow as the scale of the likelihood falls.

        In nats they would grow a thousandfold, faster than Adam's averages follow.
        """
        if not self._gaussian:
            return terms
        share = float(self.decoder_.cost.scale) ** 2
        return {name: share * term + (1.0 - share) * term.detach() for name, term in terms.items()}

    def _posterior_loss(self, x: Tensor, code: Tensor, u: Tensor, epsilon: float) -> Tensor:
        """-log q(z|x) at the encoder's code, up to a constant; teaches the encoder alone."""
        # v(z) - c(x, z) is, but for u(x), the share of x among the rows that reach z.
        loss = -log_shares(self.decoder_, x, code, u, epsilon).mean()
        if hasattr(self.prior_, "log_prob"):
            loss = loss - self.prior_.log_prob(code).mean()
        return epsilon * loss

    def _potentials(
        self, x: Tensor, z: Tensor, cost: Tensor, log_b: Tensor, epsilon: float, step: Step
    ) -> tuple[Tensor, Tensor]:
        """u of the rows and v of the draws, in the units of the cost."""
        if self.potential == "network":
            u = self.dual_.u(x, epsilon)
            if self.dual == "full":
                return u, self.dual_.v(z, epsilon)
        else:
            if self._table is None:
                self._table = DualTable(step.n_rows, cost.device)
            u = epsilon * self._table.move(
                cost / -epsilon,
                log_b,
                step.rows if step.training else None,
                n_steps=self.n_dual_steps,
                unit=self._table_unit(epsilon),
                n_halving=N_HALVING if self.plan_decay > 0 else None,
            )
        return u, c_transform(u, cost, epsilon)

    def _table_unit(self, epsilon: float) -> float:
        """What stored potentials are multiplied by, to outlast a change of scale."""
        return epsilon * float(self.decoder_.cost.scale) ** 2 if self._gaussian else epsilon

    def _track_residual(self, x: Tensor, y: Tensor, plan: Tensor, step: Step) -> None:
        """Running mean of the residual variance per feature under the plan."""
        if not (self._gaussian and self._learned and step.training):
            return
        residual = plan_residual(x, y, plan).item()
        if math.isfinite(residual):
            self._residual += 0.1 * (max(1e-6, residual) - self._residual)

    @property
    def _inner(self) -> dict[str, Any]:
        if self.potential != "network":
            return {}
        return {
            "inner_objective": self._ascend,
            "inner_names": ("dual_",),
            "n_inner": self.n_dual_steps,
        }

    def _ascend(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Minus the dual value, as a function of the potential networks."""
        epsilon = self._temper(step.progress)
        with torch.no_grad():
            z, log_b = self._prior_draws(batch, step.generator)
            net = self.average_ if self.plan_decay > 0 else self.decoder_.net
            cost = self.decoder_.cost.pairwise_from_raw(batch, net(z))
        u = self.dual_.u(batch, epsilon)
        if self.dual == "full":
            value = full_dual(u, self.dual_.v(z, epsilon), cost, log_b, epsilon, step.n_rows)
        else:
            value = u.mean() + (log_b.exp() * c_transform(u, cost, epsilon)).sum()
        return {"dual": -value / self._hot}

    def _after_fit(self, rows: Rows) -> None:
        self._temper(1.0)
        if self._gaussian:
            self.scale_ = float(self.decoder_.cost.scale) * self.data_scale_
        generator = make_generator(self._seed, self.device_)
        some = torch.randperm(len(rows), generator=make_generator(self._seed))[: self.n_bank]
        with torch.no_grad():
            x = rows[some]
            if self._discrete:
                z, log_b = self.prior_.support(self.device_, x.dtype)
            else:
                z = self.prior_.sample(self.n_bank, self.n_components_, generator)
                log_b = z.new_full((len(z),), -math.log(len(z)))
            raw = self.decoder_.net(z)
            cost = self.decoder_.cost.pairwise_from_raw(x, raw)
            if self.dual == "full":
                v = self.dual_.v(z, self.epsilon)
            elif self.potential == "network":
                v = c_transform(self.dual_.u(x, self.epsilon), cost, self.epsilon)
            elif self.n_bank_steps > 0:
                v = balanced_potentials(cost, log_b.exp(), self.epsilon, self.n_bank_steps)
            else:
                u = x.new_zeros(len(x)) if self._table is None else self._table.values[some]
                u = u.to(cost) * (self.epsilon / self._table_unit(self.epsilon))
                v = c_transform(u, cost, self.epsilon)
            self.bank_ = PosteriorBank(z, raw, v / self.epsilon + log_b).eval()
        self._table = self._principal = None
