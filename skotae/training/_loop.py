"""Epochs of mini-batch steps over a named sum of losses."""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skotae.exceptions import ConvergenceWarning
from skotae.training._batches import Rows, batch_indices
from skotae.training._guard import Guard
from skotae.training._optim import make_optimiser, schedule_factor, set_learning_rate
from skotae.training.base import Objective, Step, total
from skotae.utils._random import borrowed_global_generator, make_generator
from skotae.utils._torch import uses_global_generator

__all__ = ["Step", "Trainer"]


class Trainer:
    """Minimise an objective over modules.

    Parameters
    ----------
    modules : dict of str to nn.Module
        Everything with weights. Those named in `inner_names` learn from
        `inner_objective` alone (discriminators, dual potentials), the rest from
        `objective`.
    objective : callable (batch, step) -> {term name: scalar tensor}
        The terms are summed into the loss; their means over an epoch make up `history`.
    inner_objective : callable, optional
        Minimised `n_inner` times before each step of `objective`.
    betas : tuple of float, default=(0.9, 0.999)
        Decay of Adam's moments.
    advice : mapping, optional
        What to change when a term is not finite.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        objective: Objective,
        *,
        rows: Rows,
        seed: int,
        batch_size: int,
        learning_rate_init: float,
        learning_rate: str,
        fresh: bool = True,
        inner_objective: Objective | None = None,
        inner_names: tuple[str, ...] = (),
        n_inner: int = 1,
        inner_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        advice: Mapping[str, str] | None = None,
    ):
        self.modules = nn.ModuleDict(dict(modules))
        self.objective = objective
        self.inner_objective = inner_objective
        self.n_inner = n_inner
        self.rows = rows
        self.seed = seed
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.fresh = fresh
        self.inner_learning_rate = inner_learning_rate or learning_rate_init
        outer = [m for name, m in self.modules.items() if name not in inner_names]
        inner = [m for name, m in self.modules.items() if name in inner_names]
        self._optimiser = make_optimiser(_parameters(outer), learning_rate_init, betas)
        self._inner_optimiser = (
            make_optimiser(_parameters(inner), self.inner_learning_rate, betas)
            if _parameters(inner)
            else None
        )
        self._generator = make_generator(seed, rows.device)
        self._order_generator = make_generator(seed)
        self._guard = Guard(self.modules, self.optimisers, advice or {})
        self.history: dict[str, list[float]] = {}
        self.best_loss = math.inf

    @property
    def optimisers(self) -> list[torch.optim.Optimizer]:
        return [o for o in (self._optimiser, self._inner_optimiser) if o is not None]

    def optimiser_state(self) -> list[dict[str, Any]]:
        return [optimiser.state_dict() for optimiser in self.optimisers]

    def load_optimiser_state(self, state: list[dict[str, Any]]) -> None:
        for optimiser, saved in zip(self.optimisers, state, strict=True):
            optimiser.load_state_dict(saved)
        self._guard.keep()

    def rehearse(self) -> None:
        """Compute the objective once, so that parts that do not fit fail before training."""
        self.modules.eval()
        index = torch.arange(min(len(self.rows), self.batch_size))
        generator = make_generator(self.seed, self.rows.device)
        step = Step(generator, index, len(self.rows), training=False)
        with torch.no_grad():
            total(self.objective(self.rows[index], step))

    def run(
        self,
        n_epochs: int,
        *,
        validation_rows: Tensor | None = None,
        tol: float | None = None,
        n_iter_no_change: int = 10,
        on_epoch: Callable[[int], contextlib.AbstractContextManager[Callable[[], bool]]],
        verbose: bool = False,
        name: str = "",
    ) -> int:
        """Train for up to `n_epochs` and leave the modules in evaluation mode.

        With `validation_rows` the best epoch on them is restored at the end, and training
        stops once they have not improved by more than `tol` for `n_iter_no_change`
        epochs; without, the training loss is watched, if `tol` is given.

        Returns
        -------
        n_iter : int
            Number of epochs that count, the length of each list in `history`.
        """
        everything = torch.arange(len(self.rows))
        held_out = validation_rows is not None
        if validation_rows is not None:
            mask = torch.ones(len(self.rows), dtype=torch.bool)
            mask[validation_rows] = False
            everything = everything[mask]
        patience = n_iter_no_change
        best_weights = None
        borrowed = (
            borrowed_global_generator(self.seed)
            if uses_global_generator(self.modules)
            else contextlib.nullcontext()
        )
        epoch = 0
        with borrowed:
            try:
                while epoch < n_epochs:
                    started = time.perf_counter()
                    with on_epoch(epoch) as epoch_done:
                        terms = self._epoch(everything, epoch, n_epochs)
                        while not self._guard.accepts(terms, epoch):
                            terms = self._epoch(everything, epoch, n_epochs)
                        if validation_rows is not None:
                            terms["validation_loss"] = self._validate(validation_rows)
                        self._record(terms)
                        epoch += 1
                        self.modules.eval()
                        if verbose:
                            _report(name, epoch, n_epochs, terms, time.perf_counter() - started)
                        stop = epoch_done()
                    watched = terms["validation_loss" if held_out else "loss"]
                    if watched < self.best_loss - (tol or 0.0):
                        patience = n_iter_no_change
                    else:
                        patience -= 1
                    if watched < self.best_loss:
                        self.best_loss = watched
                        if held_out:
                            best_weights = copy.deepcopy(self.modules.state_dict())
                    if stop or (patience <= 0 and (held_out or tol is not None)):
                        break
            except KeyboardInterrupt:
                # The guard holds the weights of the last complete epoch.
                self._guard.restore()
                warnings.warn(
                    f"Training interrupted by the user after {epoch} epochs; the estimator keeps "
                    "the weights of the last complete one.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
        if best_weights is not None:
            self.modules.load_state_dict(best_weights)
        self.modules.eval()
        self.modules.zero_grad(set_to_none=True)
        return epoch

    def _epoch(self, rows: Tensor, epoch: int, n_epochs: int) -> dict[str, float]:
        """One pass over `rows`; the mean of every term, read from the device once."""
        self.modules.train()
        batches = [*batch_indices(rows, self.batch_size, self._order_generator)]
        sums: Tensor | None = None
        names: tuple[str, ...] = ()
        for i, index in enumerate(batches):
            progress = (epoch + i / len(batches)) / n_epochs
            factor = schedule_factor(self.learning_rate, progress) * self._guard.step_factor
            step = Step(
                self._generator,
                index,
                len(self.rows),
                progress if self.fresh else 1.0,
                batch=i,
                n_batches=len(batches),
            )
            batch = self.rows[index]
            if self.inner_objective is not None and self._inner_optimiser is not None:
                set_learning_rate(self._inner_optimiser, self.inner_learning_rate * factor)
                for _ in range(self.n_inner):
                    inner = self.inner_objective(batch, step)
                    self._inner_optimiser.zero_grad(set_to_none=True)
                    total(inner).backward()
                    self._inner_optimiser.step()
            set_learning_rate(self._optimiser, self.learning_rate_init * factor)
            terms = self.objective(batch, step)
            values = torch.stack([*terms.values()])
            self._optimiser.zero_grad(set_to_none=True)
            values.sum().backward()
            self._optimiser.step()
            weighted = values.detach() * len(index)
            # Stops at the first step that is not finite: later ones are NaN in every term.
            if sums is not None:
                weighted = torch.where(sums.isfinite().all(), sums + weighted, sums)
            sums = weighted
            names = tuple(terms)
        assert sums is not None
        means = dict(zip(names, (sums / len(rows)).tolist(), strict=True))
        return {**means, "loss": sum(means.values())}

    @torch.no_grad()
    def _validate(self, rows: Tensor) -> float:
        """Mean loss on held-out rows, with the same noise in every epoch."""
        self.modules.eval()
        generator = make_generator(self.seed, self.rows.device)
        value = 0.0
        for index in batch_indices(rows, self.batch_size, make_generator(self.seed)):
            step = Step(generator, index, len(self.rows), 1.0, training=False)
            value += float(total(self.objective(self.rows[index], step))) * len(index)
        return value / len(rows)

    def _record(self, terms: Mapping[str, float]) -> None:
        for name, value in terms.items():
            self.history.setdefault(name, []).append(value)


def _parameters(modules: list[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def _report(
    name: str, epoch: int, n_epochs: int, terms: Mapping[str, float], seconds: float
) -> None:
    values = "  ".join(f"{term} {value:.4g}" for term, value in terms.items())
    print(f"[{name}] epoch {epoch}/{n_epochs}  {values}  ({seconds:.2f} s)")
