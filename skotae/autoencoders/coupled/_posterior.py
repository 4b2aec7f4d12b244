"""What the coupled variational autoencoder is made of, and the posterior that follows."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint
from skotae.autoencoders.bases.modules import Encoder
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.autoencoders.coupled._bank import PosteriorBank, bank_potentials
from skotae.autoencoders.coupled._cooling import Cooling
from skotae.autoencoders.coupled._potentials import DualNetworks, DualTable, LinearStart
from skotae.training import Rows
from skotae.transport import c_transform
from skotae.utils._random import make_generator
from skotae.utils.base import stale

SMALLEST_SCALE = 0.02


class CoupledPosterior(AutoencoderModel):
    """A decoder, the potentials of its transport problem, and the posterior that follows."""

    # They go where the plan has them.
    codes_stay = False
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
        if params.potential == "network":
            v_net = None
            if params.dual == "full":
                v_net = plan.network("potential_v", self.n_components, 1)
            self.dual = DualNetworks(plan.network("potential_u", plan.n_features, 1), v_net)
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

    # --- potentials --------------------------------------------------------------------

    def weighted_draws(
        self, x: Tensor, generator: torch.Generator, n: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes for rows, and the logarithms of their weights (sum of weights: 1).

        There are n of them, or as many as a mini-batch has; of a discrete prior, all that it has.
        """
        if self.discrete:
            return self.prior.weighted_atoms(x.device, x.dtype)
        n = n or self.params.n_draws or len(x)
        z = self.prior.sample(n, self.n_components, generator, dtype=x.dtype)
        return z, z.new_full((len(z),), -math.log(len(z)))

    def damping(self, epsilon: float) -> float:
        """Share of its c-transform that the potential of a draw is, where q(z) may miss p(z)."""
        weight = self.params.marginal_weight
        return 1.0 if weight is None else weight / (weight + epsilon)

    def table_unit(self, epsilon: float) -> float | Tensor:
        """What stored potentials are multiplied by, to outlast a change of scale."""
        return epsilon * self.decoder.cost.scale.square() if self.gaussian else epsilon

    @torch.no_grad()
    def fill_bank(self, rows: Rows, seed: int) -> None:
        """The end of a fit: prior draws with what the posterior needs to know of them."""
        params, epsilon = self.params, self.temper(1.0)
        generator = make_generator(seed, rows.device)
        some = torch.randperm(len(rows), generator=make_generator(seed))[: params.n_bank]
        x = rows[some]
        z, log_b = self.weighted_draws(x, generator, params.n_bank)
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
            u = u.to(cost) * (epsilon / self.table_unit(epsilon))
            v = self.damping(epsilon) * c_transform(u, cost, epsilon)
        self.bank.fill(z, raw, v / epsilon + log_b)
        self.table.clear()
        self.principal.clear()
