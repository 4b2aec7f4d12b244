"""What the coupled variational autoencoder minimises."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skotae.autoencoders.bases.model import Blueprint
from skotae.autoencoders.coupled._posterior import CoupledPosterior
from skotae.autoencoders.coupled._potentials import (
    Way,
    full_dual,
    log_shares,
    marginal_value,
    plan_residual,
)
from skotae.divergences import MMD
from skotae.priors.base import log_density
from skotae.training import Step
from skotae.transport import c_transform

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


class CoupledModel(CoupledPosterior):
    """The terms of the decoder, of the encoder and of the potentials, from mini-batches."""

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        if self.dual is not None:
            self.inner = ("dual",)
        if self.amortised:
            self.warm_penalty = MMD().build(self.prior, self.n_components)

    @property
    def n_inner(self) -> int:  # type: ignore[override]
        return self.params.n_dual_steps

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
            unit, first = self.table_unit(epsilon), step.batch == 0
            rows = step.rows if step.training else None
            u = epsilon * self.table.move(
                cost / -epsilon, log_b, rows, step.n_rows, way, unit=unit, first=first
            )
        return u, self.damping(epsilon) * c_transform(u, cost, epsilon)

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
