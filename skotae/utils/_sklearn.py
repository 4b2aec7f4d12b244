"""The one file that imports private or experimental parts of scikit-learn.

When a new scikit-learn moves something, this is the only place to mend.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.callback import CallbackSupportMixin
from sklearn.callback._callback_support import callback_management_context
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import Interval as _Interval
from sklearn.utils._param_validation import (
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

from skotae.utils.base import brief, call_error, plain

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "callback_attributes",
    "check_columns",
    "check_sample_weight",
    "column_labels",
    "container_of",
    "fit_context",
    "in_container",
    "index_of",
    "is_pandas_na",
    "output_container",
    "validate_parameter_constraints",
    "validates",
]

# The calls that are fitting an estimator now, by process and estimator: a forked child has copies.
_fitting: dict[tuple[int, int], object] = {}


def fit_context(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a method that fits: valid parameters first, and callbacks that are torn down.

    As scikit-learn's own, but that `partial_fit` looks at the parameters of each chunk, and that
    a second call on an estimator which is being fitted raises a RuntimeError.
    """

    @wraps(method)
    def fitting(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        key, call = (os.getpid(), id(estimator)), object()
        try:
            # In one step: another thread cannot come in between.
            if _fitting.setdefault(key, call) is not call:
                raise RuntimeError(
                    f"This {type(estimator).__name__} is being fitted by another call, in another "
                    "thread or around a callback; expected one at a time, or an estimator for "
                    "each call, such as sklearn.base.clone(estimator)."
                )
            if validates():
                estimator._validate_params()
            with (
                config_context(skip_parameter_validation=True),
                callback_management_context(estimator),
            ):
                return method(estimator, *args, **kwargs)
        except TypeError as error:
            told = call_error(error, method, estimator)
            if told is None:
                raise
            raise told from None
        finally:
            if _fitting.get(key) is call:
                del _fitting[key]

    return fitting


def validates() -> bool:
    """Whether parameters are to be looked at, for which scikit-learn has a global option."""
    return not get_config()["skip_parameter_validation"]


class Interval(_Interval):
    """An interval of numbers, of which True and False are none.

    Parameters
    ----------
    type : {numbers.Integral, numbers.Real}
        Of the numbers.
    left, right : int, float or None
        Ends; None is no end.
    closed : {"left", "right", "both", "neither"}
        Which ends belong to it.
    """

    def is_satisfied_by(self, val: Any) -> bool:
        # scikit-learn asks NumPy about it, which knows no fractions.
        return not isinstance(val, bool) and super().is_satisfied_by(plain(val))


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


def check_columns(X: Any, labels: Sequence[Any] | None = None, name: str = "X") -> None:
    """Raise a ValueError over the columns of a data frame, or a table of PyArrow.

    If there is none, which scikit-learn tells in NumPy's words; if two have one name, or if they
    are the `labels`, of which scikit-learn does not know, in another order.
    """
    container = container_of(X)
    is_table = container is None and hasattr(X, "column_names") and hasattr(X, "schema")
    if container is None and not is_table:
        return
    there = X.column_names if is_table else X.columns
    if len(there) == 0 and len(X) > 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape=({len(X)}, 0)): {name} has no columns; "
            "expected one or more."
        )
    as_array = f"numpy.asarray({name})" if is_table else f"{name}.to_numpy()"
    if container == "pandas":
        twice = list(there[there.duplicated()])
    else:
        twice = [each for each, n in Counter(there).items() if n > 1]
    if twice:
        raise ValueError(
            f"{name} has more than one column with the name {brief(plain(twice[0]))}; expected "
            f"names that are all different, or {as_array}."
        )
    if labels is None:
        return
    found = [_plain_label(label) for label in there]
    # As they are shown: NaN may be a name, and is not equal to itself.
    pairs = [pair for pair in zip(found, labels, strict=False) if repr(pair[0]) != repr(pair[1])]
    if pairs and sorted(map(repr, found)) == sorted(map(repr, labels)):
        raise ValueError(
            f"The columns of {name} are in another order, {brief(pairs[0][0])} where "
            f"{brief(pairs[0][1])} was; expected the order of the fit, or {as_array}."
        )


def column_labels(X: Any) -> list[Any] | None:
    """Names of the columns of a pandas data frame, if they are numbers or tuples.

    None where there are none, where they are strings, which scikit-learn keeps, and where they are
    something that a file without code does not hold.
    """
    if container_of(X) != "pandas":
        return None
    labels = [_plain_label(label) for label in X.columns]
    kept = all(isinstance(part, (str, int, float)) for label in labels for part in _parts(label))
    return labels if kept and not all(isinstance(label, str) for label in labels) else None


def _plain_label(label: Any) -> Any:
    return tuple(map(plain, label)) if isinstance(label, tuple) else plain(label)


def _parts(label: Any) -> Any:
    return label if isinstance(label, tuple) else (label,)


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
    tuples = {len(label) if isinstance(label, tuple) else 0 for label in columns}
    if container == "pandas" and len(tuples) == 1 and 0 not in tuples:
        frame.columns = import_module("pandas").MultiIndex.from_tuples(columns)
    if container == "pandas" and index is not None:
        frame.index = index
    return frame
