"""The life of an estimator: parameters, fits, and what is left of one that fails."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from skotae.autoencoders.bases._diagnosis import diagnose
from skotae.autoencoders.bases._each_row import look_at_networks
from skotae.autoencoders.bases._extremes import explained
from skotae.autoencoders.bases._snapshot import all_params, changed_parameters, copied_parameters
from skotae.autoencoders.bases.fitted import FittedEstimator
from skotae.autoencoders.bases.options import dimension, epochs, fit_seed, trainer_options
from skotae.autoencoders.bases.principal import FirstRows
from skotae.columns import Columns, differ, measure, preceded, warn_of_units
from skotae.exceptions import ConvergenceWarning
from skotae.priors import PrincipalPrior
from skotae.training import History, Rows, Trainer
from skotae.training._optim import SCHEDULES
from skotae.utils._random import borrowed_global_generator, child_seed, make_generator
from skotae.utils._sklearn import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    callback_attributes,
    column_labels,
    container_of,
    fit_context,
)
from skotae.utils._torch import ambient, resolve_device
from skotae.utils.base import brief


class NetworkEstimator(CallbackSupportMixin, FittedEstimator):
    """Base of everything that is trained: validation, seeding, the training call, state.

    A subclass names its `_model_class`, which says what is trained and what is minimised.
    """

    _parameter_constraints: dict[str, Any] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str],
        "scale": [StrOptions({"auto", "global", "columns"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _advice: Mapping[str, str] = {}
    _dimension = staticmethod(dimension)
    # What gives the model its shape: a fit that goes on cannot change it.
    _shaping = frozenset(
        {"n_components", "hidden_layer_sizes", "activation", "prior", "encoder", "decoder", "scale"}
    )

    history_: History
    best_loss_: float
    _first: FirstRows
    _dtype: np.dtype
    _container: str | None
    # A row that a chunk of `partial_fit` consisted of, until there is another.
    _waiting: np.ndarray | None = None

    # --- what a subclass may write -----------------------------------------------------

    def _measure(self, X: np.ndarray) -> None:
        """Set the units that the networks see the data in, and what else `_measured` names."""
        self._set_units(X, self._wanted_scale())

    def _wanted_scale(self) -> str:
        # An estimator of one's own need not have the parameter.
        return getattr(self._params, "scale", "auto")

    def _set_units(self, X: np.ndarray, scale: str, *, one_unit: bool = False) -> None:
        """Range, mean and scale of the columns, which may be known to have one unit."""
        columns = Columns(X, self._column_names)
        self.data_min_, self.data_max_ = columns.low, columns.high
        apart = not one_unit and differ(columns, len(X))
        units = measure(columns, scale == "columns" or (scale == "auto" and apart))
        self.data_mean_, self.data_scale_, self.data_limits_ = units.mean, units.scale, units.limits
        if scale == "global" and apart:
            warn_of_units(columns, self._column_names)

    def _measure_components(self, first: FirstRows, prior: Any) -> None:
        """Set what `_measured` names that depends on the number of components."""
        if isinstance(prior, PrincipalPrior):
            self._prior_scale = first.widths

    def _initialise(self, X: np.ndarray) -> None:
        """Write into the new model what the data give."""
        first = self._first
        if self.model_.can_begin and first.principal is not None:
            rows = torch.from_numpy(first.rows.astype(np.float32))
            self.model_.eval()
            with borrowed_global_generator(first.seed):
                self.model_.begin(rows, first.principal, make_generator(first.seed))

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        """Fitted attributes that need the final weights; rows may be a chunk of `partial_fit`."""

    def _look_at_codes(self, rows: Rows) -> None:
        """Fitted attributes that need the model as `_after_fit` leaves it."""

    # --- fitting -----------------------------------------------------------------------

    @fit_context
    def fit(self, X, y=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, float32 or float64; memory maps, and files of other kinds (see the user
            guide), are read batch by batch. Two rows at the least.
        y : Ignored
            Present for API consistency; passed on to callbacks.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is not usable; before any training.
        NonFiniteLossError
            If the loss stops being finite and smaller steps do not help.
        RuntimeError
            If another call, in another thread, is fitting the same estimator.

        Warns
        -----
        UserWarning
            If a network takes rows together in evaluation mode, reconstructions of the training
            rows are worse than their mean, codes do not follow the prior or have more coordinates
            than rows, samples lie far outside their range, or components of a mixture have none.
        ConvergenceWarning
            If `max_iter` is a number, and the loss still falls after so many epochs.

        Notes
        -----
        After an error in a second fit the estimator is what it was before; after one in a first, or
        in one that goes on, what it was after the last epoch that went well, if there is one.
        Ctrl-C ends the training there with a warning.
        """
        again = self.warm_start and self.__sklearn_is_fitted__()
        return self._fit(X, y, fresh=not again)

    @fit_context
    def partial_fit(self, X, y=None):
        """Train for one epoch on a chunk of the data.

        The first chunk, which should be representative, fixes number of features, means and scales
        of columns, or one scale, and weights that are ``"auto"``. The learning rate is constant.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of training data. The first is of two rows at the least; a later chunk of one
            row is kept, also while a `fit` goes on (``warm_start=True``) in between, and trained
            on together with the next. A `fit` that starts anew forgets it.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The estimator, fitted so far.
        """
        fresh = not self.__sklearn_is_fitted__()
        return self._fit(X, y, fresh=fresh, incremental=True)

    def _fit(self, X, y, *, fresh: bool, incremental: bool = False):
        before, trainer = vars(self).copy(), None
        try:
            with ambient(gradients=True):
                frame, goes_on = X, incremental and not fresh
                # Networks, and divergences, learn from two rows at the least.
                least = 1 if goes_on else 2
                X = self._validated(X, reset=fresh, gathered=True, ensure_min_samples=least)
                if fresh:
                    self._start(X, frame)
                else:
                    self._check_values(X)
                rows = X
                if goes_on and self._waiting is not None:
                    rows = preceded(self._waiting, X)
                if len(rows) < 2:
                    self._waiting = np.array(rows)
                    return self
                trainer = self._prepare(rows, fresh, incremental)
                n_epochs = 1 if incremental else epochs(self, len(X))
                self._train(trainer, X, y, n_epochs, incremental)
            if not incremental:
                diagnose(self, X, trainer.state.losses(n_epochs), stacklevel=4)
            return self
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            # The old fit is worth more than a part of a new one, unless that is what is wanted.
            goes_on = interrupted or not (fresh and "model_" in before)
            with ambient(gradients=True):
                whole = self._recover(trainer if goes_on else None, before, incremental)
            if not (whole and interrupted):
                told = explained(self, error)
                if told is None:
                    raise
                raise told from error
            warnings.warn(
                f"Training interrupted by the user; n_iter_={self.n_iter_}: the estimator keeps "
                "the weights of the last complete epoch.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return self

    def _recover(self, trainer: Trainer | None, before: dict[str, Any], incremental: bool) -> bool:
        """After an error: the last good epoch, whole, or else what was there before the call.

        The error that is already there is the one to tell of, not what else it brings about.
        """
        whole = False
        try:
            with contextlib.suppress(Exception):
                whole = trainer is not None and self._settle(trainer, incremental, strict=False)
        finally:
            if not whole:
                self.__dict__ = before | callback_attributes(self)
            self.__dict__.pop("_run", None)
        return whole

    def _train(self, trainer: Trainer, X: Any, y: Any, n_epochs: int, incremental: bool) -> None:
        """Epochs, and the callbacks around them."""
        data = {"estimator": self, "X": X, "y": y}

        def attributes() -> dict[str, Any]:
            with trainer.evaluation():
                return self._reconstruction_attributes(trainer.rows, incremental)

        @contextlib.contextmanager
        def on_epoch(epoch: int) -> Iterator[Callable[[], bool]]:
            context = root.subcontext(task_name="epoch")
            context.call_on_fit_task_begin(**data)

            def done() -> bool:
                self._count(trainer)
                return context.call_on_fit_task_end(**data, reconstruction_attributes=attributes)

            yield done

        if not incremental:
            # What a checkpoint is made of.
            self._run = trainer
        root = self._init_callback_context(max_subtasks=n_epochs)
        root.call_on_fit_task_begin(**data)
        trainer.run(
            n_epochs, on_epoch=on_epoch, verbose=int(self.verbose), name=type(self).__name__
        )
        if not self._settle(trainer, incremental):
            trainer.give_up("loss")
        root.call_on_fit_task_end(**data, reconstruction_attributes=attributes)
        self.__dict__.pop("_run", None)

    def _count(self, trainer: Trainer) -> None:
        """Fitted attributes that tell how far the training is."""
        self.n_iter_ = trainer.state.n_before + trainer.state.epoch
        self.history_ = trainer.state.history
        self.best_loss_ = trainer.least_loss

    def _settle(self, trainer: Trainer, incremental: bool, strict: bool = True) -> bool:
        """The last good weights, and all that goes with them; whether there are any.

        Without `strict`, what raises an error of its own when it is tried is let pass: a cost
        that has failed may go on failing.
        """

        def gives_numbers() -> bool:
            self._count(trainer)
            self._optimiser_state = trainer.optimiser_state() if incremental else None
            if incremental:
                self._waiting = None
            with trainer.evaluation():
                self._after_fit(trainer.rows, incremental)
                self._look_at_codes(trainer.rows)
                with contextlib.nullcontext() if strict else contextlib.suppress(Exception):
                    return self._gives_numbers(trainer.rows.X)
            return True

        return trainer.finish(accept=gives_numbers)

    def _prepare(self, X: np.ndarray, fresh: bool, incremental: bool) -> Trainer:
        """Everything before the first step, from valid rows on: a model, a trainer."""
        changed = not fresh and self._go_on(X)
        self.model_.to(self.device_)
        if not fresh:
            self.data_min_ = np.minimum(X.min(axis=0), self.data_min_)
            self.data_max_ = np.maximum(X.max(axis=0), self.data_max_)
        rows = Rows(X, self._units, self.device_)
        first, seed = (child_seed(self._seed, "training", n) for n in (0, self.n_iter_))
        trainer = Trainer(
            self.model_,
            rows=rows,
            seed=seed,
            fresh=fresh,
            **trainer_options(self._params, self._batch_rule, len(rows), first, incremental),
            history=self.history_.copy(),
            advice=self._advice,
        )
        if incremental and self._optimiser_state is not None:
            trainer.load_optimiser_state(self._optimiser_state)
        if fresh or changed:
            trainer.rehearse()
            self._draws = trainer.draws
        trainer.draws = self._draws
        if fresh:
            with trainer.evaluation():
                self._widest = look_at_networks(self, rows, stacklevel=5)
        return trainer

    def _start(self, X: np.ndarray, frame: Any) -> None:
        """Parts, units and model of a new fit, to rows that were given as `frame`."""
        for name in [*vars(self)]:
            if name.endswith("_") and name not in ("n_features_in_", "feature_names_in_"):
                delattr(self, name)
        self._params = copied_parameters(all_params(self))
        self._prior_scale = None
        self.device_ = resolve_device(self.device)
        self._seed = fit_seed(self.random_state)
        self._container, self._labels = container_of(frame), column_labels(frame)
        self._measure(X)
        prior = self._resolve_prior()
        self.n_components_ = self._dimension(self._params.n_components, prior, X.shape[1])
        prior.check_dimension(self.n_components_)
        self._first = self._first_rows(X)
        self._measure_components(self._first, prior)
        self._dtype = X.dtype
        self._optimiser_state = self._waiting = None
        self.n_iter_ = 0
        self.history_ = History()
        self.best_loss_ = np.inf
        self.model_ = self._build_model()
        self._initialise(X)
        del self._first

    def _first_rows(self, X: np.ndarray) -> FirstRows:
        return FirstRows(X, self._units, child_seed(self._seed, "start"), self.n_components_)

    def _go_on(self, X: np.ndarray) -> bool:
        """The model of the last fit in an object of its own; whether it has other parameters."""
        parameters = all_params(self)
        changed = changed_parameters(self._params, parameters)
        if fixed := sorted(changed & self._shaping):
            changes = ", ".join(
                f"{name}={brief(parameters[name])} (was {brief(getattr(self._params, name))})"
                for name in fixed
            )
            raise ValueError(
                f"{changes} cannot change while training goes on with the model of an earlier "
                "fit; expected the earlier value, or a new fit (warm_start=False)."
            )
        self._params = copied_parameters(parameters)
        if "device" in changed:
            self.device_ = resolve_device(self.device)
        if "random_state" in changed:
            self._seed = fit_seed(self.random_state)
        self._remeasure(X, changed)
        state = self.model_.state_dict()
        self.model_ = self._build_model()
        self.model_.load_state(state)
        return bool(changed)

    def _remeasure(self, X: np.ndarray, changed: set[str]) -> None:
        """What of `_measure` depends on parameters that have changed."""

    def _reconstruction_attributes(self, rows: Rows, incremental: bool) -> dict[str, Any]:
        """The fitted attributes as if training ended here, for callbacks."""
        shadow = copy.copy(self)
        shadow.model_ = copy.deepcopy(self.model_)
        shadow.history_ = self.history_.copy()
        with ambient():
            shadow._after_fit(rows, incremental)
            shadow._look_at_codes(rows)
        return {name: value for name, value in vars(shadow).items() if name.endswith("_")}
