"""The model of the coupled variational autoencoder, and what it minimises."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint
from skotae.autoencoders.bases.modules import Encoder
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.coupled._bank import PosteriorBank, bank_potentials
from skotae.autoencoders.coupled._cooling import Cooling
from skotae.autoencoders.coupled._potentials import (
    DualNetworks,
    DualTable,
    LinearStart,
    Way,
    full_dual,
    log_shares,
    marginal_value,
    plan_residual,
)
from skotae.divergences import MMD
from skotae.priors.base import log_density
from skotae.training import Rows, Step
from skotae.transport import c_transform
from skotae.utils._random import make_generator
from skotae.utils.base import stale

SMALLEST_SCALE = 0.02
# Moves of the table, with `plan_decay`, before they grow smaller.
N_HALVING = 1000
# With an encoder, the farthest that a mini-batch moves a potential. Rows that no draw decodes near
# ask for thousands at once, which Sinkhorn takes back by one or two in an iteration: meanwhile
# draws are theirs that should not be. The anchor keeps the decoder with such rows.
MOST_NATS = 30.0
# Without one, residuals up to so many times the median tell the scale of the likelihood. Draws that
# are decoded to between two modes, to neither of which they belong, are many times farther off, and
# would keep it too wide for what is within a mode.
MOST_RESIDUAL = 9.0
# Effective draws of a mini-batch from which on they give a row's posterior mean.
ENOUGH_DRAWS = 6


class CoupledModel(AutoencoderModel):
    """A decoder, the potentials of its transport problem, and the posterior that follows."""

    residual: Tensor

    def make_networks(self, plan: Blueprint) -> None:
        params = plan.params
        if params.dual == "full" and params.potential != "network":
            raise ValueError(
                "dual='full' learns v(z) for any z; expected potential='network' with it, got "
                f"potential={params.potential!r}."
            )
        if params.dual == "full" and params.marginal_weight is not None:
            raise ValueError(
                f"marginal_weight={params.marginal_weight!r} needs the potential of the draws that "
                "follows from that of the rows; expected dual='semi' with it, got dual='full'."
            )
        if params.potential == "network" and params.dual_rate is not None:
            raise ValueError(
                f"dual_rate={params.dual_rate!r} is that of the table of potentials; expected "
                "potential='table' with it, or dual_rate=None, got potential='network'."
            )
        if params.encoder is not None and not self.amortised:
            raise ValueError(
                f"encoder={params.encoder!r} is not used with posterior='importance'; expected "
                "posterior='amortised' or encoder=None."
            )
        self.cost_scale: float = plan.measured.cost_scale_
        self.hot: float = plan.measured._hot
        self.n_features = plan.n_features
        self.row_width = 0 if self.amortised else params.n_bank
        self.decoder = plan.decoder()
        self.average: Any = None
        self.encoder: Any = None
        self.dual: Any = None
        if params.plan_decay > 0:
            self.average = copy.deepcopy(self.decoder.net).requires_grad_(False)
        if self.amortised:
            self.encoder = Encoder(plan.encoder_network(self.n_components), plan.head())
            self.warm_penalty = MMD().build(self.prior, self.n_components)
        if params.potential == "network":
            v_net = None
            if params.dual == "full":
                v_net = plan.network("potential_v", self.n_components, 1)
            self.dual = DualNetworks(plan.network("potential_u", plan.n_features, 1), v_net)
            self.inner = ("dual",)
        self.table = DualTable()
        self.principal = LinearStart()  # Its name in files of when there was no other.
        self.bank = PosteriorBank()
        likelihood = self.decoder.cost
        self.gaussian: bool = likelihood.sets_scale
        self.learned = self.gaussian and likelihood.spec.variance == "learned"
        self.final_scale = SMALLEST_SCALE
        # Running mean of the residual variance under the plan: one, or of each feature.
        residual = torch.ones(likelihood.log_scale.numel() if self.gaussian else 1)
        if self.gaussian:
            likelihood.log_scale.requires_grad_(False)
            if not self.learned:
                self.final_scale = math.sqrt(likelihood.spec.variance) / plan.measured.data_scale_
        self.register_buffer("residual", residual, persistent=False)  # It is in the extra state.

    def begin(self, x: Tensor, path: PrincipalMap, generator: torch.Generator) -> None:
        if self.amortised:
            super().begin(x, path, generator)
            if self.average is not None:
                self.average.load_state_dict(self.decoder.net.state_dict())

    def begin_codes(self, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        return self.encode(x)

    def get_extra_state(self) -> dict[str, list[float]]:
        return {"residual": self.residual.tolist()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # A number in files of the first versions.
        self.residual = torch.as_tensor(state["residual"]).reshape(-1).to(self.residual)

    @property
    def n_inner(self) -> int:  # type: ignore[override]
        return self.params.n_dual_steps

    @property
    def amortised(self) -> bool:
        """Whether an encoder predicts the posterior mean."""
        if self.params.posterior != "auto":
            return self.params.posterior == "amortised"
        if self.params.encoder is not None:
            return True
        return self.n_components > 2 and not self.discrete

    @property
    def discrete(self) -> bool:
        """Whether the prior is a set of weighted points."""
        return self.prior.support == "atoms" and not stale(self.prior, "weighted_atoms", "sample")

    @property
    def starts_linear(self) -> bool:
        """Whether the decoder is fitted to a linear map first."""
        return self.params.init != "random" and not (self.amortised or self.discrete)

    @property
    def cooling(self) -> Cooling:
        """Epsilon and scale over the training, as it is this time."""
        return Cooling(
            amortised=self.amortised,
            start="random" if self.principal.centre is None else self.params.init,
            n_features=self.n_features,
            hot=self.hot,
            final_scale=self.final_scale,
            cools=self.params.cooling,
        )

    def temper(self, progress: float) -> float:
        """Set the scale of the likelihood; return the epsilon of the plan."""
        cooling = self.cooling
        if not self.gaussian:
            return self.params.epsilon * cooling.heat(progress)
        likelihood = self.decoder.cost
        scale = torch.as_tensor(cooling.scale(progress, self.residual if self.learned else None))
        likelihood.set_scale(scale.reshape(likelihood.log_scale.shape))
        likelihood.share = cooling.opened(progress)
        return self.params.epsilon

    # --- codes -------------------------------------------------------------------------

    def log_posterior(self, x: Tensor) -> Tensor:
        """Logarithms of the importance weights over the bank, not normalised."""
        bank, epsilon = self.bank, self.params.epsilon
        return bank.log_weight - self.decoder.cost.pairwise_from_raw(x, bank.raw) / epsilon

    def encode(
        self, x: Tensor, generator: torch.Generator | None = None, repeats: int = 1
    ) -> Tensor:
        if generator is None and self.encoder is not None:
            return self.encoder(x)
        weights = self.log_posterior(x).softmax(1)
        assert self.bank.z is not None
        if generator is None:
            return weights @ self.bank.z
        chosen = torch.multinomial(weights, repeats, repeats > 1, generator=generator)
        return self.bank.z[chosen.ravel()]

    def outputs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        codes = self.draw_codes(len(batch), generator, batch.dtype)
        outputs = {"decoder": self.decode(codes)}
        if self.encoder is not None:
            # Without, codes come from the bank, which is filled after training.
            outputs["encoder"] = self.encoder(batch)
        return outputs

    def costs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {} if self.encoder is None else super().costs(batch, generator)

    # --- training ----------------------------------------------------------------------

    def weighted_draws(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes for a batch, and the logarithms of their weights (sum of weights: 1)."""
        if self.discrete:
            return self.prior.weighted_atoms(x.device, x.dtype)
        n_draws = self.params.n_draws or len(x)
        z = self.prior.sample(n_draws, self.n_components, generator, dtype=x.dtype)
        return z, z.new_full((len(z),), -math.log(len(z)))

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        epsilon = self.temper(step.progress)
        z, log_b = self.weighted_draws(batch, step.prior_generator)
        params, decoder = self.params, self.decoder
        if params.plan_decay > 0 and step.training:
            move = get_ema_multi_avg_fn(params.plan_decay)
            move([*self.average.parameters()], [*decoder.net.parameters()], None)
        if step.progress < self.cooling.shares[0]:
            if self.principal.centre is not None:
                return self._linear_objective(z)
            return self._warm_objective(batch, z, step)
        raw = decoder.net(z)
        cost = decoder.cost.pairwise_from_raw(batch, raw)
        log_n = math.log(len(batch))
        with torch.no_grad():
            fixed = cost.detach()
            if params.plan_decay > 0:
                fixed = decoder.cost.pairwise_from_raw(batch, self.average(z))
            u, v = self._potentials(batch, z, fixed, log_b, epsilon, step)
            log_plan = (u[:, None] + v - fixed) / epsilon + log_b - log_n
            # Prop. 3.2 has each draw's column normalised, q(z|x) each row.
            if params.strategy == "primal":
                plan = log_plan.softmax(1) / len(batch)
            elif params.dual == "semi":
                plan = log_plan.softmax(0) * log_b.exp()
                if params.marginal_weight is not None:
                    plan = plan * (v / -params.marginal_weight).exp()
            else:
                plan = log_plan.clamp_max(0.0).exp()
            dual_value = u.mean() + marginal_value(v, log_b.exp(), params.marginal_weight)
            self._track_residual(batch, decoder.cost.decode(raw), plan, step)
        moved = (plan * cost).sum()
        terms = {"transport": moved + (dual_value - moved).detach()}
        if self.amortised:
            terms.update(self._encoder_terms(batch, z, log_plan, u, epsilon))
        return self._steadied(terms)

    def _encoder_terms(
        self, x: Tensor, z: Tensor, log_plan: Tensor, u: Tensor, epsilon: float
    ) -> dict[str, Tensor]:
        """Regression on the posterior mean, where the draws give it; else anchor and mode."""
        code = self.encoder(x)
        weight = log_plan.softmax(1)
        size = 1.0 / weight.square().sum(1)
        enough = size >= (0 if self.discrete else ENOUGH_DRAWS)
        mean = (code - weight @ z).square().sum(1)
        mode = epsilon * self._mode_loss(x, code, u, epsilon)
        # A mean between modes is no code of the row: there the anchor is for the decoder alone.
        anchored = torch.where(enough[:, None], code.detach(), code)
        return {
            "reconstruction": self.params.anchor * self.reconstruction_cost(x, anchored),
            "posterior": torch.where(enough, self._code_unit * mean, mode).mean(),
        }

    @property
    def _code_unit(self) -> float | Tensor:
        """Nats that a squared distance of codes counts for: as a row about the mean."""
        return self.hot / (2.0 * self.decoder.cost.scale.square()) if self.gaussian else self.hot

    def _warm_objective(self, batch: Tensor, z: Tensor, step: Step) -> Mapping[str, Tensor]:
        """A Wasserstein autoencoder, from which the coupling starts."""
        code = self.encoder(batch)
        raw = self.decoder.net(code)
        cost = self.decoder.cost.from_raw(batch, raw).mean()
        unit = self.hot / (2.0 * self.residual.mean()) if self.gaussian else self.hot
        with torch.no_grad():
            plan = torch.eye(len(batch), device=batch.device) / len(batch)
            self._track_residual(batch, self.decoder.cost.decode(raw), plan, step)
        terms = {
            "transport": cost.new_zeros(()),
            "reconstruction": cost,
            "posterior": unit * self.warm_penalty(code[: len(z)], z[: len(code)]),
        }
        return self._steadied(terms)

    def _linear_objective(self, z: Tensor) -> Mapping[str, Tensor]:
        """Cost of decoding draws to where the linear map has them."""
        assert self.principal.centre is not None
        cost = self.decoder.cost.from_raw(self.principal(z), self.decoder.net(z)).mean()
        return self._steadied({"transport": cost})

    def _steadied(self, terms: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """The terms with gradients that do not grow as the scale of the likelihood falls.

        In nats they would grow a thousandfold, faster than Adam's averages follow.
        """
        if not self.gaussian:
            return terms
        share = self.decoder.cost.scale.square()
        return {name: share * term + (1.0 - share) * term.detach() for name, term in terms.items()}

    def _mode_loss(self, x: Tensor, code: Tensor, u: Tensor, epsilon: float) -> Tensor:
        """-log q(z|x) at each row's code, up to a constant; teaches the encoder alone."""
        # v(z) - c(x, z) is, but for u(x), the share of x among the rows that reach z.
        loss = -log_shares(self.decoder, x, code, u, epsilon, self.damping(epsilon))
        return loss - log_density(self.prior, code) if hasattr(self.prior, "log_prob") else loss

    def _potentials(
        self, x: Tensor, z: Tensor, cost: Tensor, log_b: Tensor, epsilon: float, step: Step
    ) -> tuple[Tensor, Tensor]:
        """u of the rows and v of the draws, in the units of the cost."""
        if self.params.potential == "network":
            u = self.dual.u(x, epsilon)
            if self.params.dual == "full":
                return u, self.dual.v(z, epsilon)
        else:
            way = Way(
                n_steps=self.params.n_dual_steps,
                n_halving=N_HALVING if self.params.plan_decay > 0 else None,
                most=MOST_NATS if self.amortised else None,
                damping=self.damping(epsilon),
                rate=self.params.dual_rate,
            )
            unit, first = self._table_unit(epsilon), step.batch == 0
            rows = step.rows if step.training else None
            u = epsilon * self.table.move(
                cost / -epsilon, log_b, rows, step.n_rows, way, unit=unit, first=first
            )
        return u, self.damping(epsilon) * c_transform(u, cost, epsilon)

    def damping(self, epsilon: float) -> float:
        """Share of its c-transform that the potential of a draw is, where q(z) may miss p(z)."""
        weight = self.params.marginal_weight
        return 1.0 if weight is None else weight / (weight + epsilon)

    def _table_unit(self, epsilon: float) -> float | Tensor:
        """What stored potentials are multiplied by, to outlast a change of scale."""
        return epsilon * self.decoder.cost.scale.square() if self.gaussian else epsilon

    def _track_residual(self, x: Tensor, y: Tensor, plan: Tensor, step: Step) -> None:
        """Running mean of the residual variance under the plan, of all features or of each."""
        if not (self.gaussian and self.learned and step.training):
            return
        by_feature = self.decoder.cost.spec.per_feature
        most = None if self.amortised else MOST_RESIDUAL
        found = plan_residual(x, y, plan, by_feature, most)
        moved = torch.lerp(self.residual, found.clamp_min(1e-6), 0.1)
        self.residual = torch.where(found.isfinite().all(), moved, self.residual)

    def inner_terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Minus the dual value, as a function of the potential networks."""
        epsilon = self.temper(step.progress)
        with torch.no_grad():
            z, log_b = self.weighted_draws(batch, step.prior_generator)
            net = self.average if self.params.plan_decay > 0 else self.decoder.net
            cost = self.decoder.cost.pairwise_from_raw(batch, net(z))
        u = self.dual.u(batch, epsilon)
        if self.params.dual == "full":
            value = full_dual(u, self.dual.v(z, epsilon), cost, log_b, epsilon, step.n_rows)
        else:
            weight = self.params.marginal_weight
            total = None if weight is None else weight + epsilon
            v = c_transform(u, cost, epsilon)
            value = u.mean() + marginal_value(v, log_b.exp(), total)
        return {"dual": -value / self.hot}

    @torch.no_grad()
    def fill_bank(self, rows: Rows, seed: int) -> None:
        """The end of a fit: prior draws with what the posterior needs to know of them."""
        params, epsilon = self.params, self.temper(1.0)
        generator = make_generator(seed, rows.device)
        some = torch.randperm(len(rows), generator=make_generator(seed))[: params.n_bank]
        x = rows[some]
        if self.discrete:
            z, log_b = self.prior.weighted_atoms(rows.device, x.dtype)
        else:
            z = self.prior.sample(params.n_bank, self.n_components, generator)
            log_b = z.new_full((len(z),), -math.log(len(z)))
        raw = self.decoder.net(z)
        cost = self.decoder.cost.pairwise_from_raw(x, raw)
        if params.dual == "full":
            v = self.dual.v(z, epsilon)
        elif params.potential == "network":
            v = self.damping(epsilon) * c_transform(self.dual.u(x, epsilon), cost, epsilon)
        elif params.n_bank_steps > 0:
            weight = params.marginal_weight
            v = bank_potentials(cost, log_b.exp(), epsilon, params.n_bank_steps, weight)
        else:
            table = self.table.values
            u = x.new_zeros(len(x)) if table is None else table[some]
            u = u.to(cost) * (epsilon / self._table_unit(epsilon))
            v = self.damping(epsilon) * c_transform(u, cost, epsilon)
        self.bank.fill(z, raw, v / epsilon + log_b)
        self.table.clear()
        self.principal.clear()
