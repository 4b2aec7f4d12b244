"""Parameters as they were at a fit, and a fitted estimator as plain values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skotae.autoencoders.bases.values import described
from skotae.utils.base import is_real, plain


def all_params(estimator: BaseEstimator) -> dict[str, Any]:
    """Its parameters, and those of its bases: a subclass may set some and not take them."""
    bases: list[Any] = [cls for cls in type(estimator).__mro__ if issubclass(cls, BaseEstimator)]
    names = dict.fromkeys(name for cls in bases for name in cls._get_param_names())
    return {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}


def copied_parameters(parameters: dict[str, Any]) -> SimpleNamespace:
    """Parameters that stay what they are, whatever becomes of the estimator's."""
    return SimpleNamespace(**{name: _copied(value) for name, value in parameters.items()})


def _copied(value: Any) -> Any:
    """Parts and containers are copied; modules, functions and the like keep their identity.

    Numbers become Python's, so that nothing behind this has to know of others.
    """
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        parameters = value.get_params(deep=False).items()
        return type(value)(**{name: _copied(each) for name, each in parameters})
    if isinstance(value, np.ndarray) or hasattr(value, "to_numpy"):
        return value.copy() if hasattr(value, "copy") else value.clone()
    if type(value) is Tensor:
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_copied, value))
    return plain(value)


def changed_parameters(before: SimpleNamespace, now: dict[str, Any]) -> set[str]:
    """Names of the parameters whose value is another one."""
    return {name for name, value in now.items() if not _same(value, getattr(before, name, None))}


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, BaseEstimator) and type(a) is type(b):
        parameters, others = a.get_params(deep=False), b.get_params(deep=False)
        return all(_same(value, others[name]) for name, value in parameters.items())
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.random.RandomState):
        return False
    a, b = plain(a), plain(b)
    if is_real(a) and is_real(b):
        return type(a) is type(b) and bool(a == b)
    return described(a) == described(b)


def on_cpu(value: Any) -> Any:
    """A nest of dictionaries and lists with its tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {name: on_cpu(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(on_cpu, value))
    return torch.device("cpu") if isinstance(value, torch.device) else value
