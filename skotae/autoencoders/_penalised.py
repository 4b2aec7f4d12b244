"""A divergence between aggregate posterior and prior, alone or beside a reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders._base import BaseAutoencoder, NetworkEstimator
from skotae.divergences import SinkhornDivergence
from skotae.divergences.base import BaseDivergence
from skotae.training import Step
from skotae.utils._random import make_generator
from skotae.utils._registry import require
from skotae.utils._sklearn import Interval, StrOptions


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


class CodeMemory(nn.Module):
    """Codes of recent mini-batches, which stand beside those of the present one in the penalty.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        What is there at first. There are always as many.
    """

    codes: Tensor

    def __init__(self, codes: Tensor):
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, z: Tensor) -> Tensor:
        """Codes and kept codes, a half of each in either half.

        Gradients of a mean over all reach `z` as if all were its own.
        """
        share = len(z) / (len(z) + len(self.codes))
        z = z.detach() + (z - z.detach()) / share
        (first, second), (old, older) = z.tensor_split(2), self.codes.tensor_split(2)
        return torch.cat([first, old, second, older])

    @torch.no_grad()
    def keep(self, z: Tensor) -> None:
        """Put `z` in the place of the oldest."""
        self.codes = torch.cat([z, self.codes])[: len(self.codes)]


class PenalisedAutoencoder(LatentDivergence, BaseAutoencoder):
    """Base of the estimators with the objective E c(x, G(z)) + weight * D(Q_Z, P_Z)."""

    # A subclass may have parameters of these names.
    posterior = "deterministic"
    n_memory = 0
    code_memory_: CodeMemory | None = None

    @property
    @abstractmethod
    def _weight(self) -> float:
        """Weight of the divergence."""

    def _build(self, X: np.ndarray) -> None:
        super()._build(X)
        self.divergence_ = self._built_divergence()
        self.encoder_.stochastic = self.posterior == "gaussian"
        if self.n_memory:
            # The first steps have too many codes that are as the prior's: the penalty starts small.
            start = self._draw_codes(self.n_memory, make_generator(self._seed), torch.float32)
            self.code_memory_ = CodeMemory(start)

    def _posterior_width(self) -> int:
        return self.n_components_ * (2 if self.posterior == "gaussian" else 1)

    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        z = self.encoder_.sample(batch, step.generator)
        codes, memory = z, self.code_memory_
        if memory is not None:
            codes = memory(z)
            if step.training:
                memory.keep(z)
        penalty = self.divergence_(codes, self._prior_draws(codes, step), generator=step.generator)
        return {
            "reconstruction": self._reconstruction_cost(batch, z),
            "penalty": self._weight * penalty,
        }

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
