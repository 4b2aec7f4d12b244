"""A fitted estimator at rest: its model, copies of it in other dtypes, pickles."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from skotae.autoencoders.bases._calls import CalledByName
from skotae.autoencoders.bases._copies import CopiedWhole
from skotae.autoencoders.bases._export import export
from skotae.autoencoders.bases._snapshot import (
    all_params,
    changed_parameters,
    copied_parameters,
    on_cpu,
)
from skotae.autoencoders.bases.inference import DTYPES, Inference
from skotae.autoencoders.bases.model import Blueprint, Model
from skotae.columns import Units, naming_columns, source_of
from skotae.exceptions import InconsistentVersionWarning
from skotae.persistence import save
from skotae.persistence._models import with_added_parameters
from skotae.priors import PRIORS, NormalPrior, PrincipalPrior
from skotae.priors.base import BasePrior
from skotae.training import History
from skotae.utils._blocks import is_mapped
from skotae.utils._random import borrowed_global_generator, child_seed
from skotae.utils._registry import resolve_part
from skotae.utils._sklearn import (
    InvalidParameterError,
    check_columns,
    validate_parameter_constraints,
    validates,
)
from skotae.utils._torch import ambient, as_rows, module_in
from skotae.utils.base import shortened

# Of models: the state of their weights, and their copies in float64. Inference changes no
# attribute of an estimator.
_WIDE: WeakKeyDictionary[Model, tuple[tuple[tuple[int, int], ...], Model]] = WeakKeyDictionary()

# Of every fitted estimator, beside its model.
NEEDED = (
    *("n_features_in_", "n_components_", "n_iter_", "history_", "best_loss_"),
    *("data_mean_", "data_scale_", "data_min_", "data_max_", "_dtype", "_container", "_seed"),
)


class ModelPart:
    """A fitted attribute that is a part of the model: ``encoder_ = ModelPart("encoder")``.

    Parameters
    ----------
    name : str
        Name of the part in the model.
    """

    def __init__(self, name: str):
        self.name = name

    def __set_name__(self, owner: type, public: str) -> None:
        self.public = public

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        part = getattr(vars(estimator).get("model_"), self.name, None)
        if part is None:
            raise AttributeError(
                f"{type(estimator).__name__!r} object has no attribute {self.public!r}"
            )
        return part

    def __set__(self, estimator: Any, value: Any) -> None:
        raise AttributeError(
            f"{self.public} is a part of model_ and cannot be replaced by itself; expected "
            f"an assignment to model_.{self.name}."
        )


class FittedEstimator(CalledByName, CopiedWhole, BaseEstimator):
    """Base of everything that has a model: what it is built from, and what is kept of it."""

    _model_class: ClassVar[type[Model]]
    _default_prior = "normal"
    # Fitted attributes that the model is built from, beside parameters and widths.
    _measured: tuple[str, ...] = ()

    model_: Model
    data_mean_: np.ndarray
    data_scale_: float | np.ndarray
    # What values are brought within, where some are far off in the training data.
    data_limits_: np.ndarray | None = None
    data_min_: np.ndarray
    data_max_: np.ndarray
    n_features_in_: int
    n_components_: int
    device_: torch.device
    n_iter_: int
    history_: History
    prior_ = ModelPart("prior")
    # Parameters as they were at the fit; what pickles leave out for being as they still are.
    _params: SimpleNamespace
    _seed: int
    # Of the columns of a pandas frame that are not all strings.
    _labels: list[Any] | None = None
    # Of a prior that is as wide as the data.
    _prior_scale: np.ndarray | None = None
    # What inference in float64 computes in; float32 where the networks hold on to that.
    _widest: torch.dtype = torch.float32
    # Whether networks draw from torch's global generator in training, and in evaluation mode.
    _draws: tuple[bool, bool] = (True, False)
    _optimiser_state: list[dict[str, Any]] | None

    # batch_size="auto" is a power of two near n / share, between the other two.
    _auto_batch = (8, 32, 256)
    # max_iter="auto": so many epochs for up to so many rows, and so many steps at the least.
    _auto_epochs, _few_rows, _auto_steps = 50, 5000, 1

    @property
    def _batch_rule(self) -> tuple[int, int, int]:
        """The rule of batch_size="auto" for the model that there is."""
        return self._auto_batch

    @property
    def _epoch_rule(self) -> tuple[int, int]:
        """Of max_iter="auto", for the model that there is: epochs, and for how many rows."""
        return self._auto_epochs, self._few_rows

    def _check_values(self, X: np.ndarray) -> None:
        """Raise a ValueError for values that the model is not defined for."""

    # --- the model ---------------------------------------------------------------------

    def _blueprint(self) -> Blueprint:
        """What the model is built from: no rows, and nothing that can change after the fit."""
        return Blueprint(
            owner=type(self).__name__,
            n_features=self.n_features_in_,
            n_components=self.n_components_,
            params=self._params,
            prior=self._resolve_prior(),
            cost=getattr(self, "cost_", None),
            measured=SimpleNamespace(**{name: getattr(self, name) for name in self._measured}),
        )

    def _build_model(self) -> Model:
        with borrowed_global_generator(child_seed(self._seed, "weights")):
            return self._model_class(self._blueprint())

    def _resolve_prior(self) -> BasePrior:
        prior = self._params.prior
        prior = resolve_part(prior, "prior", PRIORS, BasePrior, default=self._default_prior)
        if not isinstance(prior, PrincipalPrior) or self._prior_scale is None:
            return prior
        if type(prior) is PrincipalPrior:
            return NormalPrior(self._prior_scale)
        # Of one's own: what it overrides stays.
        own: Any = copy.copy(prior)
        own.scale = self._prior_scale
        return own

    # --- inference ---------------------------------------------------------------------

    def _check(self, X) -> Any:
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        self._check_values(X)
        return X

    def _validated(self, X: Any, *, gathered: bool = False, **options: Any) -> Any:
        """Rows as an array, or a source, that is only read, in any order.

        Those that are `gathered` again and again are in C order, but for memory maps: there may
        be no room for a copy of these. What is larger than memory stays where it is.
        """
        labels = None if options["reset"] else self._labels
        least = options.get("ensure_min_samples", 1)
        if (source := source_of(X, least, type(self).__name__)) is not None:
            check_columns(source.first, labels)
            with naming_columns(source.first):
                validate_data(self, source.first, dtype=DTYPES, **options)
            return source
        check_columns(X, labels)
        X = as_rows(X)
        with naming_columns(X):
            X = validate_data(self, X, dtype=DTYPES, **options)
        return np.ascontiguousarray(X) if gathered and not is_mapped(X) else X

    @property
    def _column_names(self) -> Any:
        """Names of the columns of the training rows, or None where they have none."""
        return getattr(self, "feature_names_in_", self._labels)

    @property
    def _units(self) -> Units:
        """What rows are standardised by, and come back by."""
        is_constant = self.data_min_ == self.data_max_
        constant = np.where(is_constant, self.data_min_, np.nan) if is_constant.any() else None
        return Units(self.data_mean_, self.data_scale_, self.data_limits_, constant)

    def _inference(self, dtype: Any) -> Inference:
        """The model for arrays of a dtype.

        Training is in float32; inference is in the dtype of X, so that a row gives the same
        code alone and within a batch, to the accuracy of its dtype.
        """
        dtype = np.dtype(dtype)
        model, device = self.model_, self.device_
        if dtype == np.float64 and self._widest == torch.float64:
            model = self._wide_model()
            device = torch.device("cpu") if device.type == "mps" else device
        seed = self._seed if self._draws[1] else None
        return Inference(model, device, self._units, dtype, seed)

    def _wide_model(self) -> Model:
        """A copy of the model in float64, made anew when weights have changed."""
        model = self.model_
        tensors = (*model.parameters(), *model.buffers())
        versions = tuple((part.data_ptr(), part._version) for part in tensors)
        kept = _WIDE.get(model)
        if kept is not None and kept[0] == versions:
            return kept[1]
        wide = module_in(model, torch.float64)
        if wide is not model:
            _WIDE[model] = versions, wide
        return wide

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        """What rows, and draws from the prior, are turned into, of each kind."""
        yield from ()

    def _gives_numbers(self, X: np.ndarray, n: int = 64) -> bool:
        """Whether all `_results` are finite, in the units and the dtype of the data.

        The first n rows stand for all, unless their numbers come near the end of the range.
        """
        # In float64 the range is wider: what is finite here is finite there.
        inference = replace(self._inference(np.float32), dtype=X.dtype)
        with ambient(), np.errstate(all="ignore"):
            for start in range(0, len(X), n):
                large = False
                for part in self._results(inference, X[start : start + n]):
                    largest = np.abs(part).max()
                    if not np.isfinite(largest):
                        return False
                    large |= bool(largest > np.finfo(X.dtype).max / 1e8)
                if not large:
                    break
        return True

    # --- scikit-learn ------------------------------------------------------------------

    def _validate_params(self) -> None:
        self._validate(self.get_params(deep=False))

    def _validate(self, params: dict[str, Any]) -> None:
        """Raise scikit-learn's error for a value that a parameter cannot have."""
        try:
            validate_parameter_constraints(
                self._parameter_constraints, params, caller_name=type(self).__name__
            )
        except InvalidParameterError as error:
            raise InvalidParameterError(shortened(str(error))) from None

    def _current(self, name: str) -> Any:
        """A parameter that acts after the fit, as it is now; refused as in a fit."""
        value = getattr(self, name)
        if value is not getattr(self._params, name, None) and validates():
            self._validate({name: value})
        return value

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def save(self, path):
        """Write the estimator, fitted or not, to one file without code.

        Parameters
        ----------
        path : str or path-like
            The file, by custom ``*.safetensors``; one that is there is replaced in one step.

        Returns
        -------
        None

        Raises
        ------
        UnsavableError
            If a parameter is something that a file without code cannot hold, such as a lambda.
        OSError
            If the disk does not do it.

        See Also
        --------
        skotae.load : The other way round.
        """
        save(self, path)

    def to_onnx(self, path, *, method="transform", dtype="float32"):
        """Write a method to a file that needs no Python to run.

        The ONNX graph takes rows in the units of the data, any number of them, and standardises
        them itself. It checks nothing and draws nothing: for samples it is given noise.

        Parameters
        ----------
        path : str or path-like
            The file, by custom ``*.onnx``.
        method : {"transform", "inverse_transform", "sample"}, default="transform"
            Which method it is. ``"transform"`` has the input ``"X"`` and the output ``"Z"``,
            ``"inverse_transform"`` the other way round. ``"sample"`` has the input ``"noise"``,
            independent standard normal numbers, as many for each row as the graph says, and the
            outputs ``"X"``, rows, and ``"Z"``, the codes that they are decoded from. They are
            what `sample` draws codes from, with the `latent` and `clip` of now, and without the
            noise of a likelihood.
        dtype : {"float32", "float64"}, default="float32"
            Of the inputs and the outputs, and of what rows are standardised in. The networks
            compute in float32: with either, rows far out are brought as near as `transform`
            brings those in float32, within some :math:`10^{12}` times the scale of the data.

        Returns
        -------
        None

        Raises
        ------
        ValueError
            If the estimator has no such method, or networks that draw random numbers, or if
            samples are asked for and the prior is none that is known as a function of normal
            numbers.
        ImportError
            If onnx and onnxscript are not installed: ``pip install "skotae[onnx]"``.

        See Also
        --------
        save : A file that `skotae.load` reads.
        """
        check_is_fitted(self)
        export(self, path, method, dtype)

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in super().__getstate__().items() if k != "_run"}
        if "model_" in state:
            now = all_params(self)
            changed = changed_parameters(self._params, now)
            state.update(
                model_=on_cpu(dict(self.model_.state_dict())),
                device_=torch.device("cpu"),
                history_=dict(self.history_),
                _params={name: getattr(self._params, name) for name in changed},
                _optimiser_state=on_cpu(self._optimiser_state),
                _skotae_version=version("skotae"),
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = with_added_parameters(type(self), state)
        weights, written_by = state.pop("model_", None), state.pop("_skotae_version", None)
        super().__setstate__(state)
        if "history_" in state:
            self.history_ = History(state["history_"])
        if weights is None:
            return
        if written_by != version("skotae"):
            warnings.warn(
                InconsistentVersionWarning(type(self).__name__, written_by, version("skotae")),
                stacklevel=2,
            )
        try:
            now = all_params(self)
            self._params = copied_parameters({**now, **self._params})
            for name in (*NEEDED, *self._measured):
                getattr(self, name)
            with ambient():
                self.model_ = self._build_model()
                self.model_.load_state(weights)
                self.model_.eval()
        except (AttributeError, KeyError, RuntimeError) as error:
            raise ValueError(
                f"This {type(self).__name__} was saved by skotae {written_by}, and skotae "
                f"{version('skotae')} cannot make a model of it ({error}). Load it with the "
                "version that saved it, or fit it again."
            ) from error
