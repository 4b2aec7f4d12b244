"""What every autoencoder has in common, once."""

from __future__ import annotations

import contextlib
import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from skotae.autoencoders._inference import (
    DTYPES,
    GeneratingMixin,
    InferenceMixin,
    standardiser,
)
from skotae.autoencoders._modules import Decoder, Encoder
from skotae.costs import COSTS
from skotae.costs.base import BaseCost, CallableCost
from skotae.networks import MLP, build_network
from skotae.priors import PRIORS
from skotae.priors.base import BasePrior
from skotae.training import Rows, Step, Trainer
from skotae.training._optim import SCHEDULES
from skotae.utils._random import borrowed_global_generator, draw_seed, make_generator
from skotae.utils._registry import resolve_part
from skotae.utils._sklearn import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    container_of,
    fit_context,
)
from skotae.utils._torch import on_cpu, resolve_device


class NetworkEstimator(CallbackSupportMixin, BaseEstimator):
    """Base of everything that is trained: validation, seeding, the training call, state.

    A subclass writes `_build` (modules) and `_objective`.
    """

    _parameter_constraints: dict[str, Any] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _default_prior = "normal"
    # batch_size="auto" is a power of two near n / share, between the other two.
    _auto_batch = (8, 32, 256)
    _advice: Mapping[str, str] = {}

    data_mean_: np.ndarray
    data_scale_: float
    data_min_: np.ndarray
    data_max_: np.ndarray
    n_iter_: int
    history_: dict[str, list[float]]
    best_loss_: float
    _optimiser_state: list[dict[str, Any]] | None

    # --- what a subclass writes --------------------------------------------------------

    @abstractmethod
    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimised, for a batch of standardised rows."""

    @abstractmethod
    def _build(self, X: np.ndarray) -> None:
        """Make the modules; torch's global generator is seeded while this runs."""

    def _measure(self, X: np.ndarray) -> None:
        """Set the units that the networks see the data in."""
        self.data_mean_, self.data_scale_ = standardiser(X)

    def _check_values(self, X: np.ndarray) -> None:
        """Raise a ValueError for values that the model is not defined for."""

    def _after_fit(self, rows: Rows) -> None:
        """Called once the weights are final."""

    @property
    def _inner(self) -> dict[str, Any]:
        """Options of the trainer for what learns from an objective of its own."""
        return {}

    # --- fitting -----------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, float32 or float64; a read-only memory map is read batch by
            batch. Two rows at the least.
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
        """
        again = self.warm_start and self.__sklearn_is_fitted__()
        return self._fit(X, y, fresh=not again, n_epochs=self.max_iter)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one epoch on a chunk of the data.

        The first chunk fixes the number of features, and the mean and scale by which
        rows are standardised; it should be representative. The learning rate is constant.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of training data, of two rows at the least.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The estimator, fitted so far.
        """
        fresh = not self.__sklearn_is_fitted__()
        return self._fit(X, y, fresh=fresh, n_epochs=1, incremental=True)

    def _fit(self, X, y, *, fresh: bool, n_epochs: int, incremental: bool = False):
        before = vars(self).copy()
        try:
            X, trainer, held_out = self._prepare(X, fresh, incremental)
        except Exception:
            # What is wrong with the input shows here: the estimator stays what it was.
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        root = self._init_callback_context(max_subtasks=n_epochs)
        root.call_on_fit_task_begin(estimator=self, X=X, y=y)
        n_iter = trainer.run(
            n_epochs,
            validation_rows=held_out,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            on_epoch=lambda epoch: self._epoch_context(root, X, y, trainer.rows),
            verbose=bool(self.verbose),
            name=type(self).__name__,
        )
        for name, values in trainer.history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ += n_iter
        self.best_loss_ = min(self.best_loss_, trainer.best_loss)
        self._optimiser_state = trainer.optimiser_state() if incremental else None
        self._after_fit(trainer.rows)
        root.call_on_fit_task_end(
            estimator=self,
            X=X,
            y=y,
            reconstruction_attributes=lambda: self._reconstruction_attributes(trainer.rows),
        )
        return self

    def _prepare(
        self, X: Any, fresh: bool, incremental: bool
    ) -> tuple[np.ndarray, Trainer, Tensor | None]:
        """Everything before the first step: valid rows, a trainer, rows held out."""
        container = container_of(X)
        X = validate_data(
            self, X, reset=fresh, dtype=DTYPES, order="C", ensure_min_samples=2, accept_sparse=False
        )
        if fresh:
            self._start(X, container)
        else:
            self._check_values(X)
        low, high = X.min(axis=0), X.max(axis=0)
        self.data_min_ = low if fresh else np.minimum(low, self.data_min_)
        self.data_max_ = high if fresh else np.maximum(high, self.data_max_)
        rows = Rows(X, self.data_mean_, self.data_scale_, self.device_)
        seed = (self._seed + 7919 * self.n_iter_) % 2**31
        held_out = None
        if self.early_stopping and not incremental:
            held_out = self._held_out(len(rows), seed)
        trainer = Trainer(
            self._modules(),
            self._objective,
            rows=rows,
            seed=seed,
            batch_size=self._batch_size(len(rows)),
            learning_rate_init=self.learning_rate_init,
            learning_rate="constant" if incremental else self.learning_rate,
            fresh=fresh,
            **self._inner,
            advice=self._advice,
        )
        if incremental and self._optimiser_state is not None:
            trainer.load_optimiser_state(self._optimiser_state)
        trainer.rehearse()
        return X, trainer, held_out

    def _start(self, X: np.ndarray, container: str | None) -> None:
        """Parts, units and modules of a new fit."""
        for name in [*vars(self)]:
            if name.endswith("_") and name not in ("n_features_in_", "feature_names_in_"):
                delattr(self, name)
        self.device_ = resolve_device(self.device)
        self._measure(X)
        self.prior_ = self._resolve_prior()
        self.n_components_ = self._dimension(X.shape[1])
        self.prior_.check_dimension(self.n_components_)
        self.prior_ = self._prior_in_use()
        self._seed = draw_seed(self.random_state)
        self._dtype = X.dtype
        self._container = container
        self._optimiser_state = None
        self.n_iter_ = 0
        self.history_: dict[str, list[float]] = {}
        self.best_loss_ = np.inf
        with borrowed_global_generator(self._seed):
            self._build(X)
        for module in self._modules().values():
            module.to(self.device_)

    def _dimension(self, n_features: int) -> int:
        if self.n_components is not None:
            return int(self.n_components)
        least = self.prior_.min_components
        usual = max(min(8, n_features), least)
        try:
            self.prior_.check_dimension(usual)
        except ValueError:
            # The prior has a dimension of its own.
            return least
        return usual

    def _resolve_prior(self) -> BasePrior:
        return resolve_part(self.prior, "prior", PRIORS, BasePrior, default=self._default_prior)

    @property
    def _learns_prior(self) -> bool:
        """Whether the objective has a gradient for the prior's own weights."""
        return False

    def _prior_in_use(self) -> Any:
        """The prior, or the module that takes its place where it learns."""
        built = self.prior_.build(self.n_components_)
        if isinstance(built, nn.Module) and not self._learns_prior:
            raise ValueError(
                f"prior={self.prior_!r} has parameters that {type(self).__name__} does not learn; "
                "expected a fixed prior, or an estimator that can, such as SinkhornAE."
            )
        return built

    def _batch_size(self, n: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        share, low, high = self._auto_batch
        return int(np.clip(2 ** round(np.log2(n / share)), low, high))

    def _held_out(self, n: int, seed: int) -> Tensor:
        n_held_out = int(np.ceil(self.validation_fraction * n))
        if n_held_out < 2 or n - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} splits "
                f"{n} rows into {n - n_held_out} and {n_held_out}; expected two rows at the least "
                "in each part."
            )
        return torch.randperm(n, generator=make_generator(seed))[:n_held_out]

    def _encoder(self, width: int) -> Encoder:
        """An encoder whose network has `width` outputs, with the head of the prior."""
        net = self._network("encoder", self.n_features_in_, width)
        return Encoder(net, self.prior_.head(self.n_components_))

    @torch.no_grad()
    def _draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Draws from the prior."""
        return self.prior_.sample(n, self.n_components_, generator, dtype=dtype)

    def _network(self, which: str, n_in: int, n_out: int) -> nn.Module:
        """The user's network for a role, or an MLP as the parameters describe it."""
        spec = getattr(self, which, None)
        if spec is None:
            sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes)).tolist()
            spec = MLP(tuple(sizes[::-1] if which == "decoder" else sizes), self.activation)
        return build_network(spec, n_in, n_out, which)

    def _modules(self) -> dict[str, nn.Module]:
        """Fitted modules by name; not those that the user passed as parameters."""
        return {
            name: part
            for name, part in vars(self).items()
            if name.endswith("_") and isinstance(part, nn.Module)
        }

    @contextlib.contextmanager
    def _epoch_context(self, root: Any, X: Any, y: Any, rows: Rows) -> Iterator[Callable[[], bool]]:
        """One scikit-learn callback task for an epoch; yields what ends it."""
        context = root.subcontext(task_name="epoch")
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        yield lambda: context.call_on_fit_task_end(
            estimator=self,
            X=X,
            y=y,
            reconstruction_attributes=lambda: self._reconstruction_attributes(rows),
        )

    def _reconstruction_attributes(self, rows: Rows) -> dict[str, Any]:
        """The fitted attributes as if training ended here, for callbacks."""
        view = object.__new__(type(self))
        view.__dict__.update(vars(self))
        for name, module in self._modules().items():
            setattr(view, name, copy.deepcopy(module))
        view._after_fit(rows)
        return {name: value for name, value in vars(view).items() if name.endswith("_")}

    # --- data ----------------------------------------------------------------------

    def _check(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=DTYPES, order="C")
        self._check_values(X)
        return X

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return (X - self.data_mean_.astype(X.dtype)) / X.dtype.type(self.data_scale_)

    # --- scikit-learn ------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        modules = {
            name: on_cpu(part) for name, part in state.items() if isinstance(part, nn.Module)
        }
        if modules:
            state = {**state, **modules, "device_": torch.device("cpu")}
        return state


class GeneratingEstimator(GeneratingMixin, NetworkEstimator):
    """Base of what has a decoder, and a cost between data and decoded rows."""

    _parameter_constraints: dict[str, Any] = {
        **NetworkEstimator._parameter_constraints,
        "decoder": "no_validation",
        "clip": ["boolean"],
    }
    decoder_: Any

    def _resolve_cost(self) -> BaseCost:
        cost = self.cost
        if callable(cost) and not isinstance(cost, (BaseCost, type)):
            cost = CallableCost(cost)
        return resolve_part(cost, "cost", COSTS, BaseCost, default="sqeuclidean")

    def _measure(self, X: np.ndarray) -> None:
        self.cost_ = self._resolve_cost()
        self._check_values(X)
        if self.cost_.standardise:
            super()._measure(X)
        else:
            self.data_mean_, self.data_scale_ = np.zeros(X.shape[1]), 1.0

    def _check_values(self, X: np.ndarray) -> None:
        self.cost_.check_data(X)

    def _decoder(self) -> Decoder:
        return Decoder(
            self._network("decoder", self.n_components_, self.n_features_in_),
            self.cost_.build(self.n_features_in_, self.data_scale_, self.data_mean_),
        )


class BaseAutoencoder(InferenceMixin, GeneratingEstimator):
    """Base of the autoencoders: encoder, decoder, and the cost of a reconstruction.

    A new autoencoder writes its docstring, ``_parameter_constraints``, an explicit
    ``__init__`` and `_objective`. Where it needs more it overrides `_build` (modules),
    `_posterior_width`, `_encode`, `_draw_codes` or `_after_fit`.
    """

    _parameter_constraints: dict[str, Any] = {
        **GeneratingEstimator._parameter_constraints,
        "encoder": "no_validation",
        "cost": "no_validation",
        "cost_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    }
    encoder_: Any

    def _posterior_width(self) -> int:
        """Width of the encoder network's output."""
        return self.n_components_

    def _build(self, X: np.ndarray) -> None:
        self.encoder_ = self._encoder(self._posterior_width())
        self.decoder_ = self._decoder()

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        self.cost_scale_ = self._cost_unit(X)

    def _cost_unit(self, X: np.ndarray) -> float:
        """What a reconstruction cost of 1 means: the cost of the constant reconstruction."""
        if self.cost_scale != "auto":
            unit = float(self.cost_scale)
            if self.cost_.degree is not None:
                unit /= self.data_scale_**self.cost_.degree
            return unit
        some = X[:: max(1, len(X) // 4096)].astype(np.float64)
        some = (some - self.data_mean_) / self.data_scale_
        return self.cost_.unit(some, some.mean(axis=0))

    def _reconstruction_cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Mean cost of decoding `z` for `x`, in units of ``cost_scale_``."""
        decoder = self.decoder_
        return decoder.cost.from_raw(x, decoder.net(z)).mean() / self.cost_scale_
