"""The one object that a training run changes: kept, rolled back, saved and restored whole."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from skotae.training._history import History
from skotae.training.base import Trainable
from skotae.utils._random import GlobalStream


@dataclass(frozen=True)
class Moment:
    """All that a run goes back to: the end of an epoch whose losses were finite.

    Parts of it are never changed: what is newer is another object.
    """

    epoch: int
    weights: dict[str, Any]
    optimisers: list[dict[str, Any]]
    best_loss: float
    best_weights: dict[str, Any] | None
    patience: int


def copied(state: Any) -> Any:
    """A copy of what a `state_dict` gives: that of `copy.deepcopy`, several times faster."""
    if type(state) in (torch.Tensor, torch.nn.Parameter):
        return state.detach().clone()
    if isinstance(state, dict):
        # With the attributes that torch keeps beside the values.
        new = copy.copy(state)
        new.update((name, copied(value)) for name, value in state.items())
        return new
    if type(state) is list:
        return [copied(value) for value in state]
    return copy.deepcopy(state)


class TrainingState:
    """A run as it stands: model, optimisers, generators, history, and the last good moments.

    Parameters
    ----------
    model : Trainable
    optimisers : list of Optimizer
    generators : dict of str to torch.Generator
        One for each stream of random numbers.
    networks : GlobalStream
        What dropout and the like draw from.
    history : History
        Epochs of earlier fits; this run's are added to it.
    patience : int
        Epochs without improvement that are left.

    Attributes
    ----------
    epoch : int
        Number of epochs of this run that count.
    step_factor : float
        What the learning rate is multiplied by, after losses that were not finite.
    """

    def __init__(
        self,
        model: Trainable,
        optimisers: list[torch.optim.Optimizer],
        generators: dict[str, torch.Generator],
        networks: GlobalStream,
        history: History,
        patience: int,
    ):
        self.model = model
        self.optimisers = optimisers
        self.generators = generators
        self.networks = networks
        self.history = history
        self.n_before = max(map(len, history.values()), default=0)
        self.epoch = 0
        self.best_loss = math.inf
        self.best_weights: dict[str, Any] | None = None
        self.patience = patience
        self.step_factor = 1.0
        self.n_rollbacks = 0
        self.keep()

    def losses(self, n_epochs: int) -> list[float]:
        """Loss of each epoch of this run, if it went on to the last one; else none."""
        ended = self.epoch == n_epochs and self.patience > 0
        return self.history["loss"][self.n_before :] if ended else []

    def keep(self) -> None:
        """The moment to go back to is now, and none is before it."""
        self.good = self.before = self._now(self.weights())

    def begin_at(self, loss: float) -> None:
        """The weights to begin with have a loss on held-out rows: epochs are to better it."""
        self.best_loss, self.best_weights = loss, self.good.weights
        self.good = self.before = replace(
            self.good, best_loss=self.best_loss, best_weights=self.best_weights
        )

    def _now(self, weights: dict[str, Any]) -> Moment:
        return Moment(
            self.epoch,
            weights,
            [copied(optimiser.state_dict()) for optimiser in self.optimisers],
            self.best_loss,
            self.best_weights,
            self.patience,
        )

    def weights(self) -> dict[str, Any]:
        """A copy of all that the model holds."""
        return copied(self.model.state_dict())

    def commit(self, terms: Mapping[str, float], best: bool = False) -> None:
        """The end of a good epoch: what it found counts from the last line of this on.

        Its weights may be the `best` so far, of which there is no other copy then.
        """
        length = self.n_before + self.epoch
        for name in {**self.history, **terms}:
            # A term that earlier epochs did not have, or that this one has not, is no number
            # there: all lists are of one length.
            values = self.history.setdefault(name, [math.nan] * length)
            values.append(terms.get(name, math.nan))
        self.epoch += 1
        self.n_rollbacks = 0
        # The moment before that is let go first: there are never three of them.
        self.before = self.good
        weights = self.weights()
        if best:
            self.best_weights = weights
        self.good = self._now(weights)

    def rewind(self, moment: Moment) -> None:
        """Weights and optimisers as they were; what has been counted stays counted."""
        self.model.load_state(moment.weights)
        for optimiser, kept in zip(self.optimisers, moment.optimisers, strict=True):
            # What is there goes before it is replaced: there is room for one.
            optimiser.state.clear()
            optimiser.load_state_dict(copied(kept))

    def go_back(self, moment: Moment | None = None) -> None:
        """All as it was at a moment, the last good one if none is given."""
        moment = moment or self.good
        self.rewind(moment)
        self.epoch, self.patience = moment.epoch, moment.patience
        self.best_loss, self.best_weights = moment.best_loss, moment.best_weights
        for name, values in [*self.history.items()]:
            del values[self.n_before + self.epoch :]
            if all(map(math.isnan, values)):
                del self.history[name]

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain values and tensors, at the end of an epoch."""
        return {
            "good": {**vars(self.good)},
            "before": {**vars(self.before)},
            "step_factor": self.step_factor,
            "n_before": self.n_before,
            "history": {name: [*values] for name, values in self.history.items()},
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "networks": self.networks.states,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was called, on a run of the same shapes."""
        self.good, self.before = Moment(**state["good"]), Moment(**state["before"])
        self.step_factor = state["step_factor"]
        self.n_before = state["n_before"]
        self.history.clear()
        self.history.update({name: [*values] for name, values in state["history"].items()})
        for name, kept in state["generators"].items():
            self.generators[name].set_state(kept)
        self.networks.states = state["networks"]
        self.go_back()
