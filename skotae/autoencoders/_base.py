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
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor, nn

from skotae.autoencoders._inference import in_dtype, infer, standardiser
from skotae.autoencoders._modules import Decoder, Encoder
from skotae.costs import COSTS
from skotae.costs.base import BaseCost, CallableCost
from skotae.metrics import triangle_bound
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
    check_sample_weight,
    container_of,
    fit_context,
    in_container,
    output_container,
)
from skotae.utils._torch import on_cpu, resolve_device

MAX_SCORED_ROWS = 2048
DTYPES = (np.float64, np.float32)


class BaseAutoencoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator
):
    """Base of the autoencoders: validation, training, inference, sampling, scoring.

    A new autoencoder writes its docstring, ``_parameter_constraints``, an explicit
    ``__init__`` and `_objective`. Where it needs more it overrides `_build` (modules),
    `_posterior_width`, `_encode`, `_draw_codes` or `_after_fit`.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "encoder": "no_validation",
        "decoder": "no_validation",
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str],
        "prior": "no_validation",
        "cost": "no_validation",
        "cost_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
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
    _prior_required: tuple[str, ...] = ("sample",)
    # Names of modules that learn from `_inner_objective` instead of `_objective`.
    _inner_names: tuple[str, ...] = ()
    _advice: Mapping[str, str] = {}

    # --- what a new autoencoder writes -------------------------------------------------

    @abstractmethod
    def _objective(self, batch: Tensor, step: Step) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimised, for a batch of standardised rows."""

    def _posterior_width(self) -> int:
        """Width of the encoder network's output."""
        return self.n_components_

    def _build(self, X: np.ndarray) -> None:
        """Make the modules; torch's global generator is seeded while this runs."""
        self.encoder_ = Encoder(
            self._network("encoder", self.n_features_in_, self._posterior_width()),
            self.prior_.head(self.n_components_),
        )
        self.decoder_ = self._decoder()

    def _encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Codes of standardised rows: posterior means, or draws if a generator is given."""
        return self.encoder_(x) if generator is None else self.encoder_.sample(x, generator)

    def _draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Codes to generate from."""
        return self.prior_.sample(n, self.n_components_, generator, dtype=dtype)

    def _after_fit(self, rows: Rows) -> None:
        """Called once the weights are final."""

    _inner_objective: Callable[[Tensor, Step], Mapping[str, Tensor]] | None = None
    _n_inner = 1

    # --- fitting -----------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit the autoencoder.

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
        container = container_of(X)
        X = validate_data(
            self, X, reset=fresh, dtype=DTYPES, order="C", ensure_min_samples=2, accept_sparse=False
        )
        if fresh:
            self._start(X, container)
        else:
            self.decoder_.cost.spec.check_data(X)
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
            inner_objective=self._inner_objective,
            inner_names=self._inner_names,
            n_inner=self._n_inner,
            advice=self._advice,
        )
        if incremental and self._optimiser_state is not None:
            trainer.load_optimiser_state(self._optimiser_state)
        root = self._init_callback_context(max_subtasks=n_epochs)
        root.call_on_fit_task_begin(estimator=self, X=X, y=y)
        n_iter = trainer.run(
            n_epochs,
            validation_rows=held_out,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            on_epoch=lambda epoch: self._epoch_context(root, X, y),
            verbose=bool(self.verbose),
            name=type(self).__name__,
        )
        for name, values in trainer.history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ += n_iter
        self.best_loss_ = min(self.best_loss_, trainer.best_loss)
        self._optimiser_state = trainer.optimiser_state() if incremental else None
        self._after_fit(rows)
        root.call_on_fit_task_end(
            estimator=self, X=X, y=y, reconstruction_attributes=self._reconstruction_attributes
        )
        return self

    def _start(self, X: np.ndarray, container: str | None) -> None:
        """Everything before the first step: parts, units, modules."""
        self.device_ = resolve_device(self.device)
        cost = self.cost
        if callable(cost) and not isinstance(cost, (BaseCost, type)):
            cost = CallableCost(cost)
        self.cost_ = resolve_part(cost, "cost", COSTS, BaseCost, default="sqeuclidean")
        self.cost_.check_data(X)
        self.prior_ = self._resolve_prior()
        n_components = self.n_components
        if n_components is None:
            n_components = max(min(8, X.shape[1]), self.prior_.min_components)
        self.n_components_ = int(n_components)
        self.prior_.check_dimension(self.n_components_)
        self.data_mean_, self.data_scale_ = (
            standardiser(X)
            if self.cost_.standardise
            else (np.zeros(X.shape[1]), 1.0)
        )
        self.cost_scale_ = self._cost_unit(X)
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

    def _resolve_prior(self) -> BasePrior:
        return resolve_part(self.prior, "prior", PRIORS, BasePrior, default=self._default_prior)

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

    def _batch_size(self, n: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        return int(np.clip(2 ** round(np.log2(max(n, 1) / 16)), 32, 256))

    def _held_out(self, n: int, seed: int) -> Tensor:
        n_held_out = int(np.ceil(self.validation_fraction * n))
        if n_held_out < 2 or n - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} splits "
                f"{n} rows into {n - n_held_out} and {n_held_out}; expected two rows at the least "
                "in each part."
            )
        return torch.randperm(n, generator=make_generator(seed))[:n_held_out]

    def _network(self, which: str, n_in: int, n_out: int, value: Any = None) -> nn.Module:
        """The network for a role: the user's, or an MLP as the parameters describe it."""
        spec = getattr(self, which) if value is None else value
        if spec is None:
            sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=int)).tolist()
            spec = MLP(tuple(sizes if which != "decoder" else sizes[::-1]), self.activation)
        return build_network(spec, n_in, n_out, which)

    def _decoder(self) -> Decoder:
        return Decoder(
            self._network("decoder", self.n_components_, self.n_features_in_),
            self.cost_.build(self.n_features_in_, self.data_scale_),
        )

    def _reconstruction_cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Mean cost of decoding `z` for `x`, in units of ``cost_scale_``."""
        decoder = self.decoder_
        return decoder.cost.from_raw(x, decoder.net(z)).mean() / self.cost_scale_

    def _modules(self) -> dict[str, nn.Module]:
        return {name: part for name, part in vars(self).items() if isinstance(part, nn.Module)}

    @contextlib.contextmanager
    def _epoch_context(self, root: Any, X: Any, y: Any) -> Iterator[Callable[[], bool]]:
        """One scikit-learn callback task for an epoch; yields what ends it."""
        context = root.subcontext(task_name="epoch")
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        yield lambda: context.call_on_fit_task_end(
            estimator=self, X=X, y=y, reconstruction_attributes=self._reconstruction_attributes
        )

    def _reconstruction_attributes(self) -> dict[str, Any]:
        return {name: copy.deepcopy(module) for name, module in self._modules().items()}

    # --- inference ---------------------------------------------------------------------

    def transform(self, X):
        """Codes of the rows of X: posterior means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            In the dtype of X.
        """
        return self._codes(self._check(X))

    def inverse_transform(self, X):
        """Decode codes into data space.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Codes.

        Returns
        -------
        X_original : ndarray or data frame of shape (n_samples, n_features)
            A data frame with the columns of the training data if the estimator was
            fitted on one, or after ``set_output``.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=DTYPES, order="C", input_name="X")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns; expected codes with n_components={self.n_components_}"
                " columns, as transform returns them."
            )
        return self._frame(self._decode(Z), index=getattr(X, "index", None))

    def reconstruct(self, X):
        """Encode and decode: the rows of X as the autoencoder sees them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray or data frame of shape (n_samples, n_features)
        """
        index = getattr(X, "index", None)
        return self._frame(self._reconstruct(self._check(X)), index=index)

    def sample(self, n_samples=1, *, random_state=None):
        """New rows: decoded draws from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            In the dtype of the training data.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r}; expected an integer of 1 or more.")
        return self._frame(self._decode(self._draw(int(n_samples), draw_seed(random_state))))

    def sample_posterior(self, X, n_samples=1, *, random_state=None):
        """Draws from the posterior of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws for each row; they are equal if the posterior is
            deterministic.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        Z : ndarray of shape (n_samples_X, n_samples, n_components_)
        """
        X = self._check(X)
        generator = make_generator(draw_seed(random_state))
        repeated = np.repeat(X, n_samples, axis=0)
        Z = self._codes(repeated, generator)
        return Z.reshape(len(X), n_samples, self.n_components_)

    def interpolate(self, X1, X2, n_steps=10):
        """Decoded paths between the codes of two sets of rows.

        The path is the prior's: straight in general, a great circle on the sphere.

        Parameters
        ----------
        X1, X2 : array-like of shape (n_samples, n_features)
            Ends of the paths.
        n_steps : int, default=10
            Number of points on each path, both ends included.

        Returns
        -------
        paths : ndarray of shape (n_samples, n_steps, n_features)
        """
        X1, X2 = self._check(X1), self._check(X2)
        if X1.shape != X2.shape:
            raise ValueError(
                f"X1 has shape {X1.shape} and X2 has shape {X2.shape}; expected equal shapes."
            )
        if n_steps < 2:
            raise ValueError(f"n_steps={n_steps!r}; expected 2 or more.")
        z1, z2 = torch.from_numpy(self._codes(X1)), torch.from_numpy(self._codes(X2))
        path = [self.prior_.interpolate(z1, z2, float(t)) for t in np.linspace(0, 1, n_steps)]
        Z = torch.stack(path, dim=1).numpy().reshape(-1, self.n_components_)
        return self._decode(Z).reshape(len(X1), n_steps, -1)

    def score_samples(self, X):
        """Minus the reconstruction cost of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In the units of the cost; low for rows unlike the training data.
        """
        X = self._check(X)
        model = in_dtype(self, X.dtype)
        costs = infer(
            lambda x: model.decoder_.cost.from_raw(x, model.decoder_.net(model._encode(x))),
            self._standardised(X),
            model.device_,
        )
        costs = self.cost_.in_data_units(costs, self.n_features_in_, self.data_scale_)
        return -costs.astype(X.dtype, copy=False)

    def score(self, X, y=None, sample_weight=None):
        r"""Minus a bound on the Wasserstein distance between data and model.

        .. math::
            -\Big(\sqrt{\mathbb E |x - G(E(x))|^2}
            + \sqrt{\max(0, W_2^2(G_\# Q_Z, G_\# P_Z))}\Big)

        The second term compares the reconstructions of X (at most 2,048 of them) with as
        many fresh samples, by exact transport with independent debiasing. The score has
        the units of the data and contains no weight of the objective, so that it can
        choose among weights and among estimators; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float

        References
        ----------
        Patrini et al. (2019), Sinkhorn autoencoders, UAI, proof of Theorem 2.1, part ii.
        """
        X = self._check(X)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        samples = self._decode(self._draw(min(len(X), MAX_SCORED_ROWS), self._seed, X.dtype))
        bound = triangle_bound(
            X, self._reconstruct(X), samples, sample_weight=sample_weight, random_state=self._seed
        )
        return -bound

    def _check(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=DTYPES, order="C")
        self.cost_.check_data(X)
        return X

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return (X - self.data_mean_.astype(X.dtype)) / X.dtype.type(self.data_scale_)

    def _codes(self, X: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        model = in_dtype(self, X.dtype)
        return infer(lambda x: model._encode(x, generator), self._standardised(X), model.device_)

    def _decode(self, Z: np.ndarray) -> np.ndarray:
        model = in_dtype(self, Z.dtype)
        out = infer(model.decoder_, Z, model.device_)
        return out * Z.dtype.type(self.data_scale_) + self.data_mean_.astype(Z.dtype)

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        return self._decode(self._codes(X))

    def _draw(self, n: int, seed: int, dtype: Any = None) -> np.ndarray:
        dtype = np.dtype(self._dtype if dtype is None else dtype)
        torch_dtype = torch.float64 if dtype == np.float64 else torch.float32
        return self._draw_codes(n, make_generator(seed), torch_dtype).numpy()

    def _frame(self, X: np.ndarray, index: Any = None) -> Any:
        """X as an array, or as a data frame where the user works with those."""
        container = output_container(self) or self._container
        if container is None:
            return X
        columns = getattr(self, "feature_names_in_", None)
        if columns is None:
            columns = np.asarray([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return in_container(X, container, columns, index)

    # --- scikit-learn ------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        modules = {name: on_cpu(part) for name, part in state.items() if isinstance(part, nn.Module)}
        if modules:
            state = {**state, **modules, "device_": torch.device("cpu")}
        return state
