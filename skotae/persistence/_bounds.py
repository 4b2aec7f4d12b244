"""Numbers that ask for memory: none is used that the tensors of the file do not bear out.

A model is built from numbers before its weights are loaded. Without a bound, a file of a
kilobyte could ask for a layer of 10**12 units.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from skotae.exceptions import CorruptFileError

# What every file may ask for, above the number of elements of its tensors: parameters that
# a model does not use keep their defaults.
SPARE = 10**4
# Integers under these names, in an estimator or a part, are no sizes. Nor are those whose
# default is a float.
FREE = frozenset(
    """
    alpha anchor annealing atoms batch_size beta bounds concentration cost_scale epsilon
    gradient_penalty high lam low max_iter means min_scale n_bank_steps n_critic n_discriminator
    n_dual_steps n_iter n_iter_no_change n_projections p penalty_batch_size radius random_state
    scale scales seed separation sigma sinkhorn_iter sinkhorn_tol temperature tol variance verbose
    weight_clip weights
    """.split()
)
# Fitted numbers that models are built from.
FITTED = ("n_components_", "n_features_in_")

# Elements that building a model may ask torch for: some times those of its weights, and a few
# more. The least charge for one tensor bounds how many there can be, and so the time.
TIMES, EXTRA, LEAST = 8, 2**20, 2**12
FACTORIES = frozenset(
    getattr(torch, name)
    for name in """
    arange empty empty_strided eye full linspace logspace ones rand randint randn randperm
    tril_indices triu_indices zeros
    """.split()
)
METHODS = frozenset(
    getattr(torch.Tensor, f"new_{name}") for name in ("empty", "full", "ones", "zeros")
)


def excess(cls: type, state: Mapping[str, Any], n_elements: int) -> str | None:
    """The path of a number that is larger than the tensors bear out, or None.

    Parameters
    ----------
    cls : type
        Class of the estimator.
    state : mapping of str to object
        Its state, decoded.
    n_elements : int
        Number of elements of all tensors.
    """
    limit = n_elements + SPARE
    params = {name: state[name] for name in inspect.signature(cls).parameters if name in state}
    found = [*_sizes(cls, params, "")]
    found += [
        (name, state[name]) for name in FITTED if isinstance(state.get(name), (int, np.integer))
    ]
    return next((f"{path}={value}" for path, value in found if abs(value) > limit), None)


def _sizes(cls: type, params: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, int]]:
    defaults = inspect.signature(cls).parameters
    for name, value in params.items():
        default = defaults[name].default if name in defaults else None
        if name not in FREE and type(default) is not float:
            yield from _integers(value, f"{prefix}{name}")


def _integers(value: Any, path: str) -> Iterator[tuple[str, int]]:
    """Every integer in a parameter, those of parts of skotae included."""
    if isinstance(value, (int, np.integer)):
        yield path, int(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size:
        yield path, max(int(value.max()), int(value.min()), key=abs)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _integers(each, path)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _integers(each, f"{path}.{name}")
    elif type(value).__module__.startswith("skotae.") and hasattr(value, "get_params"):
        yield from _sizes(type(value), value.get_params(deep=False), f"{path}.")


class Allowance(TorchFunctionMode):
    """Within it, torch makes no more new elements than a model of this size needs.

    Parameters
    ----------
    n_elements : int
        Number of elements of all tensors in the file.
    n_tensors : int
        Number of tensors in the file.
    """

    def __init__(self, n_elements: int, n_tensors: int):
        super().__init__()
        self._left = TIMES * (n_elements + n_tensors * LEAST) + EXTRA

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in FACTORIES or func in METHODS:
            self._spend(func, args, kwargs)
        return func(*args, **kwargs)

    def _spend(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        # On the meta device a tensor has a shape and no memory.
        unlike = {key: value for key, value in kwargs.items() if key not in ("generator", "out")}
        try:
            n = func(*args, **{**unlike, "device": "meta"}).numel()
        except (RuntimeError, TypeError):
            # A call that is wrong here is wrong in itself, and raises once it is made.
            return
        self._left -= max(n, LEAST)
        if self._left < 0:
            raise CorruptFileError(
                "its numbers ask for a model that is much larger than the weights in it"
            )
