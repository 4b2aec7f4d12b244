"""A divergence between aggregate posterior and prior, alone or beside a reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from skotae.autoencoders._base import BaseAutoencoder, NetworkEstimator
from skotae.divergences import SinkhornDivergence
from skotae.divergences.base import BaseDivergence
from skotae.training import Rows, Step
from skotae.utils._registry import require
from skotae.utils._sklearn import Interval, StrOptions

# Penalties that a row takes part in, where there is a `penalty_batch_size`.
N_PENALTIES = 4
PENALTY_BATCH_SIZE = [Interval(Integral, 2, None, closed="left"), None]


class LatentDivergence(NetworkEstimator):
    """Base of the estimators with a divergence D(Q_Z, P_Z) of codes and prior."""

    divergence_: Any

    @abstractmethod
    def _make_divergence(self) -> BaseDivergence:
        """The divergence, from the parameters."""

    @property
    def _learns_prior(self) -> bool:
        return self._make_divergence().prior_gradient

    def _built_divergence(self) -> Callable[..., Tensor]:
        """The divergence as training calls it, for a prior that has what it needs."""
        divergence = self._make_divergence()
        require(
            self.prior_,
            divergence.prior_required,
            name="prior",
            needed_by=repr(divergence),
            having="'normal', 'uniform', 'sphere', 'dirichlet' or 'mixture'",
        )
        return divergence.build(self.prior_, self.n_components_)

    def _prior_draws(self, z: Tensor, step: Step) -> Tensor:
        return self.prior_.sample(len(z), self.n_components_, step.generator, dtype=z.dtype)


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


class PenalisedAutoencoder(LatentDivergence, BaseAutoencoder):
    """Base of the estimators with the objective E c(x, G(z)) + weight * D(Q_Z, P_Z)."""

    # A subclass may have parameters of these names.
    posterior = "deterministic"
    penalty_batch_size: int | None = None

    @property
    @abstractmethod
    def _weight(self) -> float:
        """Weight of the divergence."""

    def _build(self, X: np.ndarray) -> None:
        super()._build(X)
        self.divergence_ = self._built_divergence()
        self.encoder_.stochastic = self.posterior == "gaussian"
        self._recent = RecentRows()

    def _after_fit(self, rows: Rows) -> None:
        super()._after_fit(rows)
        # An epoch that was interrupted leaves rows there.
        self._recent = RecentRows()

    def _posterior_width(self) -> int:
        return self.n_components_ * (2 if self.posterior == "gaussian" else 1)

    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z = self.encoder_.sample(batch, step.generator)
        return {
            "reconstruction": self._reconstruction_cost(batch, z),
            "penalty": self._penalty(batch, z, step),
        }

    def _penalty(self, batch: Tensor, z: Tensor, step: Step) -> Tensor:
        """Weighted divergence of `z`, the codes of `batch`, and those of rows before it."""
        weight = 1.0
        if self.penalty_batch_size is not None and step.training:
            weight, older = self._recent.add(batch, step, self.penalty_batch_size)
            if weight == 0:
                return z.new_zeros(())
            if older:
                z = torch.cat([z, self.encoder_.sample(torch.cat(older), step.generator)])
        penalty = self.divergence_(z, self._prior_draws(z, step), generator=step.generator)
        return weight * self._weight * penalty

    def _adversary(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        with torch.no_grad():
            z = self.encoder_.sample(batch, step.generator)
        return {"adversary": self.divergence_.adversary_loss(z, self._prior_draws(z, step))}

    @property
    def _inner(self) -> dict[str, Any]:
        if not hasattr(self.divergence_, "adversary_loss"):
            return {}
        return {"inner_objective": self._adversary, "inner_names": ("divergence_",)}


class SinkhornMixin:
    """The Sinkhorn divergence as parameters of the estimator."""

    if TYPE_CHECKING:
        epsilon: float
        relative: bool
        debias: str
        sharp: bool
        p: float
        sinkhorn_tol: float

    root = False
    _sinkhorn_constraints: Mapping[str, Any] = {
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "relative": ["boolean"],
        "debias": [StrOptions({"independent", "paired", "none"})],
        "sharp": ["boolean"],
        "p": [Interval(Real, 1, None, closed="left")],
        "sinkhorn_tol": [Interval(Real, 0, None, closed="neither")],
    }

    def _make_divergence(self) -> BaseDivergence:
        return SinkhornDivergence(
            epsilon=self.epsilon,
            relative=self.relative,
            p=self.p,
            debias=self.debias,
            sharp=self.sharp,
            root=self.root,
            tol=self.sinkhorn_tol,
        )
