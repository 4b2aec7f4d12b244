"""Reconstruction plus a divergence between aggregate posterior and prior."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.autoencoders._base import BaseAutoencoder
from skotae.divergences.base import BaseDivergence
from skotae.training import Step
from skotae.utils._registry import require


class PenalisedAutoencoder(BaseAutoencoder):
    """Base of the estimators with the objective E c(x, G(z)) + weight * D(Q_Z, P_Z)."""

    divergence_: Any
    # A subclass may have a parameter of this name.
    posterior = "deterministic"

    @abstractmethod
    def _make_divergence(self) -> BaseDivergence:
        """The divergence, from the parameters."""

    @property
    @abstractmethod
    def _weight(self) -> float:
        """Weight of the divergence."""

    def _build(self, X: np.ndarray) -> None:
        divergence = self._make_divergence()
        require(
            self.prior_,
            divergence.prior_required,
            name="prior",
            needed_by=repr(divergence),
            having="'normal', 'uniform', 'sphere', 'dirichlet' or 'mixture'",
        )
        super()._build(X)
        self.encoder_.stochastic = self.posterior == "gaussian"
        self.divergence_ = divergence.build(self.prior_, self.n_components_)

    def _posterior_width(self) -> int:
        return self.n_components_ * (2 if self.posterior == "gaussian" else 1)

    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z = self.encoder_.sample(batch, step.generator)
        penalty = self.divergence_(z, self._prior_draws(z, step), generator=step.generator)
        return {
            "reconstruction": self._reconstruction_cost(batch, z),
            "penalty": self._weight * penalty,
        }

    def _adversary(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        with torch.no_grad():
            z = self.encoder_.sample(batch, step.generator)
        return {"adversary": self.divergence_.adversary_loss(z, self._prior_draws(z, step))}

    def _prior_draws(self, z: Tensor, step: Step) -> Tensor:
        return self.prior_.sample(len(z), self.n_components_, step.generator, dtype=z.dtype)

    @property
    def _inner(self) -> dict[str, Any]:
        if not hasattr(self.divergence_, "adversary_loss"):
            return {}
        return {"inner_objective": self._adversary, "inner_names": ("divergence_",)}
