"""A divergence between aggregate posterior and prior, alone or beside a reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint, Model
from skotae.autoencoders.bases.modules import Encoder
from skotae.divergences import DIVERGENCES, SinkhornDivergence
from skotae.divergences.base import BaseDivergence, divergence_of
from skotae.networks.base import is_fixed
from skotae.priors import priors_with
from skotae.training import Rows, Step
from skotae.utils._registry import require, resolve_part
from skotae.utils._sklearn import Interval, StrOptions

# Penalties that a row takes part in, where there is a `penalty_batch_size`.
N_PENALTIES = 4
PENALTY_BATCH_SIZE = [Interval(Integral, 2, None, closed="left"), None]
SINKHORN_CONSTRAINTS: Mapping[str, Any] = {
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "relative": ["boolean"],
    "debias": [StrOptions({"independent", "paired", "none"})],
    "sharp": ["boolean"],
    "p": [Interval(Real, 1, None, closed="left")],
    "sinkhorn_tol": [Interval(Real, 0, None, closed="neither")],
    "latent_cost": [StrOptions({"geodesic"}), callable, None],
    "sinkhorn_iter": [Interval(Integral, 1, None, closed="left"), None],
}


def sinkhorn_of(params: SimpleNamespace, root: bool = False) -> SinkhornDivergence:
    """The Sinkhorn divergence as an estimator's parameters describe it."""
    divergence = SinkhornDivergence(
        epsilon=params.epsilon,
        relative=params.relative,
        p=params.p,
        debias=params.debias,
        sharp=params.sharp,
        root=root,
        tol=params.sinkhorn_tol,
        cost=params.latent_cost,
        n_iter=params.sinkhorn_iter,
    )
    divergence.cost_of_estimator = "latent_cost"
    return divergence


class LatentDivergenceModel(Model):
    """Base of the models with a divergence D(Q_Z, P_Z) of codes and prior."""

    @abstractmethod
    def describe_divergence(self) -> BaseDivergence:
        """The divergence, from the parameters."""

    @property
    def learns_prior(self) -> bool:  # type: ignore[override]
        return self.describe_divergence().prior_gradient

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        divergence = self.describe_divergence()
        require(
            self.prior,
            divergence.prior_required,
            name="prior",
            needed_by=repr(divergence),
            having=priors_with(*divergence.prior_required),
        )
        self.divergence: Any = divergence.build(self.prior, self.n_components)
        self.usual_weight, self.enough_rows = divergence.usual_weight, divergence.enough_rows
        if divergence.adversary:
            self.inner = ("divergence",)


class RecentRows:
    """The latest mini-batches of an epoch, of which the penalty is taken once in a while."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self._n_waiting = 0

    def add(self, batch: Tensor, step: Step, n: int) -> tuple[float, list[Tensor]]:
        """Weight of the penalty in this step, and what it is taken of beside `batch`.

        That is no more than `n` rows with it. The weight is 0 where no penalty is due, and
        over the rows of an epoch 1 on average.
        """
        if step.batch == 0:
            self._batches, self._n_waiting = [], 0
        while self._batches and sum(map(len, self._batches)) + len(batch) > n:
            del self._batches[0]
        older = [*self._batches]
        last = step.batch + 1 == step.n_batches
        self._batches = [] if last else [*older, batch]
        self._n_waiting += len(batch)
        if not last and N_PENALTIES * self._n_waiting < n:
            return 0.0, []
        weight, self._n_waiting = self._n_waiting / len(batch), 0
        return weight, older


class PenalisedModel(LatentDivergenceModel, AutoencoderModel):
    """Base of the models with the objective E c(x, G(z)) + weight * D(Q_Z, P_Z).

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.recent = RecentRows()

    @property
    @abstractmethod
    def weight(self) -> float:
        """Weight of the divergence."""

    @property
    def penalty_batch_size(self) -> int | None:
        """Number of rows that the divergence is taken of; None is the mini-batch."""
        return None

    @property
    def is_stochastic(self) -> bool:
        """Whether codes are drawn, with a learned diagonal variance."""
        return False

    @property
    def posterior_width(self) -> int:
        return self.n_components * (2 if self.is_stochastic else 1)

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> Encoder:
        return Encoder(net, plan.head(), stochastic=self.is_stochastic)

    def terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z = self.encoder.sample(batch, step.generator) if step.codes is None else step.codes
        return {
            "reconstruction": self.reconstruction_cost(batch, z),
            "penalty": self.penalty(batch, z, step),
        }

    def penalty(self, batch: Tensor, z: Tensor, step: Step) -> Tensor:
        """Weighted divergence of `z`, the codes of `batch`, and those of rows before it."""
        weight = 1.0
        if self.penalty_batch_size is None:
            # Rows of a batch are in random order.
            z = z[: self.enough_rows]
        elif step.training:
            weight, older = self.recent.add(batch, step, self.penalty_batch_size)
            if weight == 0:
                return z.new_zeros(())
            if older:
                z = torch.cat([z, self.encoder.sample(torch.cat(older), step.generator)])
        draws = self.prior_draws(z, step.prior_generator)
        return weight * self.weight * self.compare(z, draws, step.generator)

    def compare(self, z: Tensor, draws: Tensor, generator: torch.Generator) -> Tensor:
        """Divergence of codes from draws of the prior."""
        return divergence_of(self.divergence, z, draws, generator)

    def inner_terms(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        if step.codes is not None:
            z = step.codes
        elif not self.is_stochastic and is_fixed(self.encoder.net) and is_fixed(self.encoder.head):
            # The encoder stays as it is until `terms`, which asks for the same.
            z = step.codes = self.encoder.sample(batch, step.generator)
        else:
            with torch.no_grad():
                z = self.encoder.sample(batch, step.generator)
        loss = self.divergence.adversary_loss(z, self.prior_draws(z, step.prior_generator))
        return {"adversary": loss}


class WassersteinModel(PenalisedModel):
    """Any divergence, weighted with lambda."""

    def describe_divergence(self) -> BaseDivergence:
        penalty = self.params.penalty
        return resolve_part(penalty, "penalty", DIVERGENCES, BaseDivergence, default="mmd")

    @property
    def weight(self) -> float:
        return self.weight_of(self.params.lam, self.usual_weight)

    @property
    def penalty_batch_size(self) -> int | None:
        return getattr(self.params, "penalty_batch_size", None)

    @property
    def is_stochastic(self) -> bool:
        return self.params.posterior == "gaussian"


class PenalisedAutoencoder(BaseAutoencoder):
    """Base of the estimators whose model is a `PenalisedModel`."""

    _shaping = BaseAutoencoder._shaping | {"posterior", "penalty"}
    divergence_ = ModelPart("divergence")
    model_: PenalisedModel

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        # An epoch that was interrupted leaves rows there.
        self.model_.recent = RecentRows()
