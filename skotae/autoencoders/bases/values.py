"""Values of parameters, told apart by what they hold and not by which object they are."""

from __future__ import annotations

import functools
import hashlib
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.distributions import Distribution

from skotae.utils._random import borrowed_global_generator
from skotae.utils._torch import as_rows

# Draws that tell a distribution from others.
N_DRAWS = 8


def described(value: Any) -> str:
    """A text that differs where values differ, and is the same in another process.

    Distributions are told apart by draws, modules by what they are made of and their weights,
    functions by their names, their code and what they have closed over.
    """
    return _described(value, ())


def digest(*arrays: np.ndarray) -> str:
    """A short text for the numbers of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def _described(value: Any, within: tuple[int, ...]) -> str:
    if id(value) in within:
        return "itself"  # as of a function that calls itself

    def inner(each: Any) -> str:
        return _described(each, (*within, id(value)))

    def named(items: Any) -> str:
        return ", ".join(f"{name}={inner(each)}" for name, each in items)

    if isinstance(value, type):
        return _name(value)
    if isinstance(value, BaseEstimator):
        return f"{type(value).__qualname__}({named(value.get_params(deep=False).items())})"
    if isinstance(value, nn.Module):
        held = f"{value!r} {named(value.state_dict().items())}"
        return f"{type(value).__qualname__} ({_short(held)})"
    if (array := _array(value)) is not None:
        if array.dtype == object:
            return inner(array.tolist())
        return f"array of {array.dtype} of shape {array.shape} ({digest(array)})"
    if isinstance(value, dict):
        return f"{{{named(value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(inner, value))})"
    if isinstance(value, np.random.RandomState):
        return "RandomState"
    if (draws := _draws(value)) is not None:
        return f"{type(value).__qualname__} ({digest(draws)})"
    if isinstance(value, functools.partial):
        return f"partial({inner(value.func)}, {inner(value.args)}, {named(value.keywords.items())})"
    if isinstance(value, MethodType):
        return f"{inner(value.__self__)}.{inner(value.__func__)}"
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        held = inner((_code(value.__code__), value.__defaults__, value.__kwdefaults__, cells))
        return f"{_name(value)} ({_short(held)})"
    if callable(value):
        # A function of another language has a name; an object that is called has attributes.
        if hasattr(value, "__qualname__"):
            return _name(value)
        return f"{_name(type(value))}({named(getattr(value, '__dict__', {}).items())})"
    return repr(value)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _array(value: Any) -> np.ndarray | None:
    """Numbers of an array, a tensor or a frame."""
    if isinstance(value, Tensor):
        return np.asarray(as_rows(value))
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_numpy"):
        return np.asarray(value.to_numpy())
    return None


def _draws(value: Any) -> np.ndarray | None:
    """Some draws of a distribution of torch or scipy."""
    if isinstance(value, Distribution):
        with borrowed_global_generator(0):
            return value.sample(torch.Size([N_DRAWS])).cpu().numpy()
    if hasattr(value, "rvs"):
        return np.asarray(value.rvs(size=N_DRAWS, random_state=np.random.default_rng(0)))
    return None


def _code(code: CodeType) -> tuple[Any, ...]:
    """What a function does, wherever it is written."""

    def constant(each: Any) -> Any:
        if isinstance(each, frozenset):
            return sorted(map(repr, each))
        return _code(each) if isinstance(each, CodeType) else repr(each)

    return code.co_code.hex(), code.co_names, [*map(constant, code.co_consts)]
