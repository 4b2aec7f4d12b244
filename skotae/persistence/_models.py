"""Saving an estimator, and loading it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from sklearn.base import BaseEstimator

from skotae.exceptions import CorruptFileError, PersistenceError, UnsavableError
from skotae.persistence._bounds import Allowance, excess
from skotae.persistence.base import shown, type_name
from skotae.persistence.format import document
from skotae.utils._torch import resolve_device
from skotae.utils.base import as_path

# What belongs to a process, or to a pipeline around the estimator, and not to the model.
NOT_SAVED = ("_metadata_request", "_skl_callbacks")
CONFIGURATION = ("_sklearn_output_config",)
# Parameters that earlier versions did not have, and the value that does what they did.
ADDED = {
    **{"scale": "global", "weight_decay": 0.0},
    **{"dual_rate": None, "n_draws": None, "marginal_weight": None, "cooling": True},
    **{"latent_cost": None, "sinkhorn_iter": None, "n_upper": None},
    **{"refit_decoder": False},
}


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write an estimator, fitted or not, to one file without code.

    Parameters
    ----------
    estimator : estimator
        An autoencoder of skotae, or of a class derived from one. Of a pipeline, save the
        step.
    path : str or path-like
        The file, by custom ``*.safetensors``. One that is there is replaced, in one step: a
        crash or a full disk leaves it as it was.

    Raises
    ------
    TypeError
        If it is another kind of object.
    UnsavableError
        If a parameter is something that a file without code cannot hold, such as a lambda or
        a live module; the message names it and what to do instead.
    OSError
        If the disk does not do it; the message has the path.

    See Also
    --------
    load : The other way round.

    Notes
    -----
    The file is in the safetensors format, which many programs read: the weights as tensors
    under their names, everything else as JSON in the metadata. It holds parameters and fitted
    attributes; callbacks and metadata requests are to be set anew. Parts are saved by
    their parameters, as :func:`sklearn.base.clone` copies them.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skotae import WAEEstimator
    >>> from skotae.persistence import load, save
    >>> X = np.random.RandomState(0).uniform(size=(50, 4))
    >>> model = WAEEstimator(max_iter=2, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save(model, path)
    >>> np.array_equal(load(path).transform(X), model.transform(X))
    True
    """
    target = as_path("path", path)
    cls = type(estimator)
    _check_kind(estimator)
    with _naming(f"Cannot save {cls.__name__}"):
        state = {key: each for key, each in _state(estimator).items() if key not in NOT_SAVED}

        def check(n_elements: int) -> None:
            too_large = _excess(cls, state, n_elements)
            if too_large:
                raise UnsavableError(
                    f"{too_large} is larger than all weights together, and load would take it for "
                    "an attack; expected a smaller number, or a float if it is no size."
                )

        document.write(target, _public().get(cls, cls), state, check)


def load(
    path: str | os.PathLike[str],
    *,
    trusted: Iterable[str] = (),
    device: str | torch.device | None = None,
) -> Any:
    """Read an estimator that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : list of str, default=()
        Classes and functions that are not of skotae and that the file may import, each as
        ``"module.Class"``. They are run, with parameters that the file holds: list only what
        you know. A file that needs others raises an UntrustedError which names them.
    device : str or torch.device, default=None
        In the place of the estimator's own parameter `device`; None keeps that.

    Returns
    -------
    estimator : estimator
        Of the class, and in the state, of the one that was saved.

    Raises
    ------
    UntrustedError
        If the file names code that `trusted` does not list. Nothing of it was run.
    CorruptFileError
        If the file is damaged, or was not written by `save`.
    VersionError
        If the file was written by a later version, with a layout that this one cannot read.
    OSError
        If there is no such file, or no right to read it.

    See Also
    --------
    save : The other way round.

    Notes
    -----
    A file from a stranger cannot run code, unlike a pickle: what is not trusted is not imported,
    and no more memory is used than the size of the file bears out.

    Examples
    --------
    >>> import os, tempfile
    >>> from skotae import WAEEstimator
    >>> from skotae.persistence import load, save
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save(WAEEstimator(n_components=3), path)
    >>> load(path).n_components
    3
    """
    allowed = _checked_names(trusted)
    if device is not None:
        resolve_device(device)
    target = as_path("path", path)
    with _naming(f"Cannot load {target!r}"):
        found = document.read(target, allowed)
        cls = _class(found.kind)
        too_large = _excess(cls, found.state, found.n_elements)
        if too_large:
            raise CorruptFileError(f"{too_large[:200]} is larger than all weights together")
        with Allowance(found.n_elements, found.n_tensors), torch.inference_mode(False):
            return _restored(cls, found.state, device)


def _restored(cls: type, state: dict[str, Any], device: Any) -> Any:
    names = [*inspect.signature(cls).parameters]
    state = with_added_parameters(cls, state)
    missing = [name for name in names if name not in state]
    if missing:
        raise CorruptFileError(f"parameter {missing[0]} of {cls.__name__} is not there")
    if device is not None and "device" in names:
        state["device"] = device
    try:
        estimator = cls(**{name: state[name] for name in names})
        estimator.__setstate__(state)
    except PersistenceError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:500]
        raise CorruptFileError(
            f"its values make no {cls.__name__}: {type(error).__name__}: {reason}"
        ) from error
    if device is not None and isinstance(getattr(estimator, "model_", None), torch.nn.Module):
        # States are those of the CPU.
        estimator.device_ = resolve_device(device)
        estimator.model_.to(estimator.device_)
    return estimator


def with_added_parameters(cls: type, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of an earlier version, with the parameters that it does not know yet."""
    names = inspect.signature(cls).parameters
    return {**{name: value for name, value in ADDED.items() if name in names}, **state}


def _state(estimator: BaseEstimator) -> dict[str, Any]:
    state = estimator.__getstate__()
    missing = {*inspect.signature(type(estimator)).parameters} - {*state}
    if missing:
        raise UnsavableError(
            f"parameter {sorted(missing)[0]} is not an attribute; expected a constructor that "
            "keeps each argument under its name."
        )
    return state


def _excess(cls: type, state: Mapping[str, Any], n_elements: int) -> str | None:
    """A number that is too large, in an estimator of which something is to be built."""
    unfitted = state.keys() <= {*inspect.signature(cls).parameters, *CONFIGURATION}
    return None if unfitted else excess(cls, state, n_elements)


def _public() -> dict[type, str]:
    """The estimators of skotae, and their names in a file.

    Looked up when a file is read or written: the package imports this room, not this room
    the package.
    """
    package = importlib.import_module("skotae")
    found = {getattr(package, name): f"skotae.{name}" for name in package.__all__}
    return {cls: name for cls, name in found.items() if _is_estimator(cls)}


def _is_estimator(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, BaseEstimator)


def _class(kind: Any) -> type:
    found: Any = kind
    if type(kind) is str:
        found = {name: cls for cls, name in _public().items()}.get(kind)
    if not _is_estimator(found):
        raise CorruptFileError(f"{shown(kind)} is no estimator of this skotae")
    return found


def _check_kind(estimator: Any) -> None:
    cls = type(estimator)
    foreign = cls.__module__.split(".")[0] == "sklearn"
    if _is_estimator(cls) and hasattr(cls, "fit") and not foreign:
        return
    hint = "save the autoencoder itself"
    for name, step in getattr(estimator, "steps", ()):
        if type(step) in _public():
            hint = f"save the step: save(pipeline.named_steps[{name!r}], path)"
    if hasattr(estimator, "best_estimator_"):
        hint = "save its best_estimator_"
    raise TypeError(f"An object of type {type_name(estimator)} cannot be saved; {hint}.")


def _checked_names(trusted: Any) -> frozenset[str]:
    names = [trusted] if isinstance(trusted, str) else [*trusted]
    if isinstance(trusted, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"trusted={trusted!r}; expected a list of strings such as 'module.Class'.")
    return frozenset(names)


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Errors of this room begin with what could not be done."""
    try:
        yield
    except PersistenceError as error:
        message = f"{what}: {error}"
        if type(error) is CorruptFileError:
            message += ". Take another copy of the file, or save the estimator again."
        raise type(error)(message).with_traceback(error.__traceback__) from error.__cause__
