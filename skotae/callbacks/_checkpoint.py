"""Checkpoints of a fit, from which the same fit goes on after a crash."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from skotae.autoencoders.bases.values import described, digest
from skotae.exceptions import CheckpointError, PersistenceError
from skotae.persistence import read_state, write_state
from skotae.training import current_ranks
from skotae.utils.base import as_path, as_whole

# Parameters that say nothing about what a fit finds.
FREE = frozenset({"verbose", "device", "warm_start"})
N_KEPT = 2
KIND = "checkpoint"
N_HASHED = 4096


class Checkpoint:
    """Write the state of a fit every few epochs, and go on from it.

    A later `fit` of an estimator with the same parameters, on the same data and with the same
    folder starts where the last checkpoint was written and, on the CPU, ends bit for bit where an
    undisturbed one ends. If the training had ended, it returns at once.

    Parameters
    ----------
    folder : str or path-like
        Where the files are, ``checkpoint-<epoch>.safetensors``; made if it is not there. One
        folder is for one fit. The last two checkpoints are kept.
    every : int >= 1, default=1
        Number of epochs between two checkpoints. The last epoch has one in any case.

    Raises
    ------
    CheckpointError
        In `fit`, if the folder holds checkpoints of other parameters or other data; the
        message names them.
    OSError
        In `fit`, if there is no such folder and it cannot be made.

    Notes
    -----
    A file is complete or not there: it is written under another name, synced to the disk and
    renamed. One that is damaged all the same is passed over with a warning. Where a checkpoint
    cannot be written, a full disk for example, training goes on with a warning, and the earlier
    files stay.

    `partial_fit` writes no checkpoints: save the estimator between its calls.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.callbacks import Checkpoint
    >>> X, _ = load_iris(return_X_y=True)
    >>> folder = tempfile.mkdtemp()
    >>> model = WAEEstimator(max_iter=3, random_state=0).set_callbacks(Checkpoint(folder)).fit(X)
    >>> again = WAEEstimator(max_iter=3, random_state=0).set_callbacks(Checkpoint(folder)).fit(X)
    >>> bool((again.transform(X) == model.transform(X)).all())
    True
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1):
        self.folder = folder
        self.every = every
        self._written = 0
        self._warned = False

    @property
    def _folder(self) -> Path:
        return Path(as_path("folder", self.folder, of="Checkpoint"))

    def setup(self, estimator: Any, context: Any) -> None:
        """Make the folder."""
        as_whole("every", self.every, of="Checkpoint")
        make = partial(self._folder.mkdir, parents=True, exist_ok=True)
        # The files are those of the first of several processes.
        current_ranks().first(make)
        self._written, self._warned = 0, False

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing is left to close."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Put the fit where the last readable checkpoint was written."""
        run = getattr(estimator, "_run", None)
        if run is None or context.task_name != "fit":
            return
        state = current_ranks().first(lambda: self._last(estimator))
        if state is not None:
            estimator._seed = state["seed"]
            run.load_state_dict(state["run"])
            self._written = run.state.epoch

    def _last(self, estimator: Any) -> dict[str, Any] | None:
        """What the last readable checkpoint holds, if it is of this fit."""
        for path in self._paths()[::-1]:
            try:
                state = read_state(path, KIND)
            except PersistenceError as error:
                warnings.warn(
                    f"{os.fspath(path)!r}: {error}. An earlier checkpoint is used.",
                    UserWarning,
                    stacklevel=4,
                )
                continue
            self._check(estimator, state, path)
            return state
        return None

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Write a checkpoint, if one is due."""
        run = getattr(estimator, "_run", None)
        if run is None or current_ranks().rank > 0:
            return
        epoch = run.state.epoch
        if epoch != self._written and (epoch % self.every == 0 or context.task_name == "fit"):
            self._write(estimator, epoch)

    def _write(self, estimator: Any, epoch: int) -> None:
        earlier = self._paths()
        path = self._folder / f"checkpoint-{epoch:06d}.safetensors"
        state = {
            "of": _identity(estimator),
            "seed": estimator._seed,
            "run": estimator._run.state_dict(),
        }
        try:
            write_state(path, KIND, state)
            self._written = epoch
            for old in earlier[: 1 - N_KEPT]:
                if old != path:
                    old.unlink(missing_ok=True)
        except OSError as error:
            if not self._warned:
                self._warned = True
                last = f"the last one is {earlier[-1].name}" if earlier else "there is none yet"
                warnings.warn(
                    f"No checkpoint of epoch {epoch} in {str(self._folder)!r}: {error}. "
                    f"Training goes on; {last}.",
                    UserWarning,
                    stacklevel=2,
                )

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.safetensors"))

    def _check(self, estimator: Any, state: dict[str, Any], path: Path) -> None:
        """Refuse a checkpoint of another fit, by name of what differs."""
        now, then = _identity(estimator), state["of"]
        differing = [
            f"{name} is {now.get(name, 'not there')}, was {then.get(name, 'not there')}"
            for name in {**then, **now}
            if now.get(name) != then.get(name)
        ]
        if differing:
            raise CheckpointError(
                f"{os.fspath(path)!r} is of another fit: {'; '.join(differing)}. Expected the same "
                "parameters and data, or a folder of its own for each fit."
            )


def _identity(estimator: Any) -> dict[str, str]:
    """What a fit finds depends on: parameters, data, and what was fitted before."""
    run = estimator._run
    X = run.rows.X
    some = X[:: max(1, len(X) // N_HASHED)]
    units = (estimator.data_mean_, estimator.data_min_, estimator.data_max_)
    params = {name: value for name, value in vars(estimator._params).items() if name not in FREE}
    if params.get("batch_size", "auto") != "auto":
        # Of all processes together, whose number may change.
        params["batch_size"] = run.batch_size
    return {
        "class": type(estimator).__qualname__,
        **{name: described(value) for name, value in params.items()},
        "X": f"{X.dtype} of shape {X.shape} ({digest(some, *units)})",
        "number of epochs of earlier fits": str(run.state.n_before),
    }
