"""Epochs of mini-batch steps over a named sum of losses."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

from skotae.training._batches import Rows, batch_indices
from skotae.training._guard import MAX_ROLLBACKS, fault_of, give_up, roll_back, term_at_fault
from skotae.training._history import History, duration, print_epoch
from skotae.training._optim import (
    clear_gradients,
    make_optimiser,
    schedule_factor,
    set_learning_rate,
)
from skotae.training._ranks import current_ranks
from skotae.training._rehearsal import rehearse, terms_by_batch
from skotae.training._state import Moment, TrainingState, copied
from skotae.training.base import Step, Trainable, total
from skotae.utils._random import GlobalStream, child_seed, make_generator
from skotae.utils._threads import limited, work_of

__all__ = ["Step", "Trainer"]

# Beyond this, squares of other rows may leave the range of float32.
LARGE = 1e15


class Trainer:
    """Minimise the terms of a module over rows.

    Parameters
    ----------
    model : Trainable
        Everything with weights, and the terms.
    rows : Rows
    seed : int
    held_out : Tensor of int64, optional
        Rows that are not trained on. With them the best epoch on them is restored at the end,
        and training stops once they have not improved by more than `tol` for
        `n_iter_no_change` epochs; without, the training loss is watched, if `tol` is given.
    weight_decay : float, default=0.0
        Of the weights that the model lets decay.
    fresh : bool, default=True
        Whether the weights are new; otherwise schedules within the terms are at their end.
    history : History, optional
        Of earlier fits; the means over an epoch of each term are added to it.
    advice : mapping, optional
        What to change when a term is not finite.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        rows: Rows,
        seed: int,
        batch_size: int,
        learning_rate_init: float,
        learning_rate: str,
        weight_decay: float = 0.0,
        fresh: bool = True,
        held_out: Tensor | None = None,
        tol: float | None = None,
        n_iter_no_change: int = 10,
        history: History | None = None,
        advice: Mapping[str, str] | None = None,
    ):
        self.ranks = current_ranks()
        self.ranks.begin(model, rows, seed, batch_size)
        self.model = model
        self.rows = rows
        self.seed = seed
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.fresh = fresh
        self.held_out = held_out
        # The loss that tells whether epochs are better.
        self.watched = "loss" if held_out is None else "validation_loss"
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.advice = advice or {}
        self.work = work_of(model, rows.X.shape[1]) * min(batch_size, len(rows))
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(
                "No network has a weight that requires a gradient, so that there is nothing to "
                "train; expected an encoder or a decoder that is not frozen."
            )
        inner = [p for name in model.inner for p in model.get_submodule(name).parameters()]
        others = {id(p) for p in model.parameters()} - {id(p) for p in inner}
        outer = [p for p in model.parameters() if id(p) in others and p.requires_grad]
        self._reached = outer if inner else None  # The others have no use for their slopes.
        history = History() if history is None else history
        self._optimiser = make_optimiser(
            outer, learning_rate_init, model.betas, model.decaying(), weight_decay
        )
        self._inner_optimiser = (
            make_optimiser(inner, learning_rate_init, model.betas) if inner else None
        )
        self.state = TrainingState(
            model,
            [o for o in (self._optimiser, self._inner_optimiser) if o is not None],
            {
                "order": self.generator("order", "cpu"),
                "prior": self.generator("prior"),
                "noise": self.generator("noise"),
            },
            GlobalStream(child_seed(seed, "networks"), rows.device),
            history,
            n_iter_no_change,
        )
        # Whether networks may draw from torch's global generator in training, as dropout does,
        # and in evaluation mode.
        self.draws = (True, True)
        # The moment whose weights the engine has seen to give finite outputs.
        self._sound: Moment | None = None

    def state_dict(self) -> dict[str, Any]:
        """All that a run of another process needs to go on from the end of an epoch."""
        return {"seed": self.seed, "held_out": self.held_out, "state": self.state.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, over the same rows."""
        self.seed, self.held_out = state["seed"], state["held_out"]
        self.state.load_state_dict(state["state"])

    def optimiser_state(self) -> list[dict[str, Any]]:
        return [optimiser.state_dict() for optimiser in self.state.optimisers]

    def load_optimiser_state(self, state: list[dict[str, Any]]) -> None:
        for optimiser, saved in zip(self.state.optimisers, state, strict=True):
            # A copy: steps change its tensors in place. What the parameters say now stays.
            optimiser.load_state_dict({**optimiser.state_dict(), "state": copied(saved["state"])})
        self.state.keep()

    # --- before the first step ---------------------------------------------------------

    @limited
    def rehearse(self) -> None:
        """Take a step and look at it, then undo it, as :func:`rehearse` does."""
        rehearse(self)

    def evaluation(self) -> contextlib.AbstractContextManager[None]:
        """Networks that draw also in evaluation mode draw the same here each time."""
        if not self.draws[1]:
            return contextlib.nullcontext()
        return GlobalStream(child_seed(self.seed, "validation"), self.rows.device).borrowed()

    def not_finite(self) -> str | None:
        """Name of what the model, as it stands, gives that is not finite."""
        return self._first_fault(self.model.outputs)

    def _fault(self, terms: Mapping[str, float], last: bool) -> str | None:
        """Name of a term for whose sake the epoch has to be gone through again, or None.

        Terms are those of the weights before each step. Of the weights after the last step
        the next epoch tells; if there is none, they are asked themselves.
        """
        fault = fault_of(terms, self.model)
        if fault or not last:
            return fault
        return "loss" if self.not_finite() else self._first_fault(self.model.costs)

    @torch.no_grad()
    def _first_fault(
        self, function: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]
    ) -> str | None:
        """Name of what is not finite of what `function` gives for rows, in evaluation mode.

        Rows of a mini-batch stand for all, unless their numbers are so large that those of
        others may be beyond the range.
        """
        self.model.eval()
        for index in batch_indices(torch.arange(len(self.rows)), self.batch_size):
            with self.evaluation():
                values = function(self.rows[index], self.generator("validation"))
            bad = (name for name, value in values.items() if not value.isfinite().all())
            if name := next(bad, None):
                return name
            if all(value.abs().max() < LARGE for value in values.values()):
                break
        return None

    def generator(self, stream: str, device: Any = None) -> torch.Generator:
        """A new generator at the beginning of a stream."""
        return make_generator(child_seed(self.seed, stream), device or self.rows.device)

    # --- epochs ------------------------------------------------------------------------

    @limited
    def run(
        self,
        n_epochs: int,
        *,
        on_epoch: Callable[[int], contextlib.AbstractContextManager[Callable[[], bool]]],
        verbose: int = 0,
        name: str = "",
    ) -> None:
        """Train for up to `n_epochs`, from the epoch that the state is at.

        With `verbose` it prints a line for each epoch, from 2 on with the time that is left.
        """
        state, first, begin = self.state, self.state.epoch, time.perf_counter()
        everything = torch.arange(len(self.rows))
        if self.held_out is not None:
            mask = torch.ones(len(self.rows), dtype=torch.bool)
            mask[self.held_out] = False
            everything = everything[mask]
        watches = self.held_out is not None or self.tol is not None
        stop = state.patience <= 0 and watches
        if self.held_out is not None and not self.fresh and state.epoch == 0:
            loss = self._validated({})["validation_loss"]
            if math.isfinite(loss):
                state.begin_at(loss)
        while state.epoch < n_epochs and not stop:
            started = time.perf_counter()
            with on_epoch(state.epoch) as epoch_done:
                terms = self._validated(self._epoch(everything, n_epochs))
                while fault := self._fault(terms, last=state.epoch + 1 == n_epochs):
                    if state.n_rollbacks == MAX_ROLLBACKS:
                        self.give_up(fault)
                    roll_back(state)
                    terms = self._validated(self._epoch(everything, n_epochs))
                self.model.eval()
                # No longer needed, and as large as the weights that are copied now.
                self.model.zero_grad(set_to_none=True)
                better = self._watch(terms[self.watched])
                state.commit(terms, best=better and self.held_out is not None)
                if state.epoch == n_epochs:
                    self._sound = state.good
                if verbose and self.ranks.rank == 0:
                    now = time.perf_counter()
                    left = (now - begin) / (state.epoch - first) * (n_epochs - state.epoch)
                    times = f"{now - started:.2f} s"
                    times += f", about {duration(left)} left" if verbose > 1 else ""
                    so_far, in_all = (state.n_before + n for n in (state.epoch, n_epochs))
                    print_epoch(name, so_far, in_all, terms, times)
                stop = bool(self._agreed([epoch_done()])[0])
            stop = stop or (state.patience <= 0 and watches)

    @limited
    def finish(self, accept: Callable[[], bool] = lambda: True) -> bool:
        """Leave the model as it is best, in evaluation mode; whether an epoch counts.

        Those are the weights of the best epoch on the held-out rows, of the last good one
        without. Weights are good if what they give is finite, of which the last step of an
        epoch has not told yet, and if `accept`, which may build upon them, returns True.
        """
        state = self.state
        self.model.zero_grad(set_to_none=True)
        for moment in (state.good, state.before):
            state.go_back(moment)
            if moment.epoch == 0:
                return False
            if state.best_weights is not None:
                self.model.load_state(state.best_weights)
            sound = moment is self._sound and state.best_weights is None
            if (sound or self.not_finite() is None) and accept():
                return True
        return False

    def give_up(self, term: str) -> NoReturn:
        """Raise the error that names a term and what to change.

        The term is another one, where the last good weights show which is at fault. What fails
        in that look, as a cost of one's own may, is the cause of the error.
        """
        self.model.load_state(self.state.good.weights)
        failure = None
        try:
            found = (term_at_fault(terms, self.model) for terms in terms_by_batch(self))
            term = next(filter(None, found), term)
        except Exception as error:
            failure = error
        give_up(term, self.state.n_before + self.state.epoch + 1, self.advice, failure)

    @property
    def least_loss(self) -> float:
        """Of all epochs that have one of the kind that is watched, earlier fits' too."""
        found = self.state.history.get(self.watched, ())
        return min((loss for loss in found if math.isfinite(loss)), default=math.inf)

    def _watch(self, loss: float) -> bool:
        """Patience with a loss that no longer falls; whether it is the least so far."""
        state = self.state
        improved = loss < state.best_loss - (self.tol or 0.0)
        state.patience = self.n_iter_no_change if improved else state.patience - 1
        if not loss < state.best_loss:
            return False
        state.best_loss = loss
        return True

    def _epoch(self, rows: Tensor, n_epochs: int) -> dict[str, float]:
        """One pass over `rows`; the mean of every term, read from the device once."""
        state = self.state
        self.model.train()
        order = state.generators["order"]
        n_batches, batches = self.rows.batches(rows, self.batch_size, order)
        sums: Tensor | None = None
        names: tuple[str, ...] = ()
        for i, (index, batch) in enumerate(batches):
            progress = (state.epoch + i / n_batches) / n_epochs
            factor = schedule_factor(self.learning_rate, progress) * state.step_factor
            for optimiser in state.optimisers:
                set_learning_rate(optimiser, self.learning_rate_init * factor)
            step = Step(
                state.generators["noise"],
                index,
                len(self.rows),
                progress if self.fresh else 1.0,
                batch=i,
                n_batches=n_batches,
                prior_generator=state.generators["prior"],
            )
            draws = state.networks.borrowed() if self.draws[0] else contextlib.nullcontext()
            with draws, self.ranks.sharing(self.model, self.draws[0]):
                names, values = self._step(batch, step)
            weighted = values * len(index)
            # Stops at the first step that is not finite: later ones are NaN in every term.
            if sums is not None:
                weighted = torch.where(sums.isfinite().all(), sums + weighted, sums)
            sums = weighted
        assert sums is not None
        means = dict(zip(names, self._agreed((sums / len(rows)).tolist()), strict=True))
        return {**means, "loss": sum(means.values())}

    def _step(self, batch: Tensor, step: Step) -> tuple[tuple[str, ...], Tensor]:
        """One step of every optimiser; names and values of the terms before it."""
        if self._inner_optimiser is not None:
            for _ in range(self.model.n_inner):
                inner = self.model.inner_terms(batch, step)
                clear_gradients(self._inner_optimiser)
                total(inner).backward()
                self.ranks.average(self._inner_optimiser)
                self._inner_optimiser.step()
        terms = self.model.terms(batch, step)
        values = torch.stack([*terms.values()])
        clear_gradients(self._optimiser)
        values.sum().backward(inputs=self._reached)
        self.ranks.average(self._optimiser)
        self._optimiser.step()
        return tuple(terms), values.detach()

    @torch.no_grad()
    def _validated(self, terms: dict[str, float]) -> dict[str, float]:
        """With the mean loss on held-out rows, if there are any; the noise is always the same."""
        if self.held_out is None:
            return terms
        self.model.eval()
        rows, generator, value = self.held_out, self.generator("validation"), 0.0
        with self.evaluation(), self.ranks.sharing(self.model, self.draws[1]):
            order = self.generator("validation", "cpu")
            for index, batch in self.rows.batches(rows, self.batch_size, order)[1]:
                step = Step(generator, index, len(self.rows), 1.0, training=False)
                value += float(total(self.model.terms(batch, step))) * len(index)
        return {**terms, "validation_loss": self._agreed([value / len(rows)])[0]}

    def _agreed(self, values: list[float]) -> list[float]:
        """What the first of several processes has found, by which all of them go on."""
        return self.ranks.first(lambda: values)
