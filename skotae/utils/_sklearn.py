"""The one file that imports private or experimental parts of scikit-learn.

When a new scikit-learn moves something, this is the only place to mend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
    "callback_attributes",
    "check_sample_weight",
    "container_of",
    "fit_context",
    "in_container",
    "index_of",
    "output_container",
]

fit_context = _fit_context


def callback_attributes(estimator: Any) -> dict[str, Any]:
    """What scikit-learn keeps in an estimator while it is fitted, to tear callbacks down."""
    names = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
    return {name: value for name, value in vars(estimator).items() if name in names}


def container_of(X: Any) -> str | None:
    """Name of the data frame library of ``X``, or None for anything else."""
    for name, adapter in ADAPTERS_MANAGER.adapters.items():
        module = type(X).__module__.split(".")[0]
        if module == name and adapter.is_supported_container(X):
            return name
    return None


def index_of(X: Any) -> Any:
    """Row labels of a pandas data frame, or None for anything else."""
    return X.index if container_of(X) == "pandas" else None


def output_container(estimator: Any) -> str | None:
    """Data frame library asked for by ``set_output`` or by the global configuration."""
    dense = _get_output_config("transform", estimator)["dense"]
    return None if dense == "default" else dense


def in_container(X: np.ndarray, container: str, columns: Any, index: Any = None) -> Any:
    """Wrap an array as a data frame with the given column names."""
    adapter = ADAPTERS_MANAGER.adapters[container]
    frame = adapter.create_container(X, X, columns=columns, inplace=False)
    if container == "pandas" and index is not None:
        frame.index = index
    return frame
