"""Errors over values that cannot be computed with, in the names of the columns that have them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from numbers import Complex, Real
from typing import Any

import numpy as np

from skotae.columns.base import rows_at_once
from skotae.utils._containers import rows_in
from skotae.utils._sklearn import container_of, is_pandas_na
from skotae.utils.base import brief, plain

# Columns that are named at the most.
MOST = 3
# What scikit-learn and NumPy say of values that they cannot take for numbers.
ABOUT_VALUES = re.compile(
    "could not convert|must be a string or|cannot convert|Complex data|contains NaN"
    "|contains infinity|be promoted|too large to convert|array element with a sequence|Cannot cast"
    # And h5py, of strings and of records.
    "|not defined for data type|for conversion path"
    # Polars, of columns of arrays and of structs.
    "|non-broadcastable output operand"
    # NumPy, of frames without columns.
    "|at least one array or dtype"
)

OF_TIME = (np.datetime64, np.timedelta64)


@contextlib.contextmanager
def naming_columns(X: Any, name: str = "X", names: list[Any] | None = None) -> Iterator[None]:
    """Make errors over values of ``X``, that are raised within, name these and their columns.

    Nothing is looked at before there is an error, but for the dtypes: dates, which NumPy takes
    for a count of nanoseconds.

    Parameters
    ----------
    X : array-like or data frame of shape (n_samples, n_features)
        What is validated.
    name : str, default="X"
        What messages call it.
    names : list, default=None
        Of the columns, where ``X`` has lost them.

    Raises
    ------
    TypeError, ValueError
        In the place of an error of that kind: ``X has 'good' in column 'grade'; expected
        numbers``, or how many values of which columns are NaN or infinite; where it is no value,
        what ``X`` is, and what of it to hand over. An OverflowError, over an integer beyond the
        range of float64, becomes a ValueError.
    """
    if any(map(_is_of_time, _dtypes(X))) and (times := _others(X, names)):
        raise ValueError(f"{name} has {_listed(times)}; expected numbers.")
    try:
        yield
    except (TypeError, ValueError, OverflowError, OSError) as error:
        text = str(error).partition("\n")[0].strip()
        if text.startswith("Sparse data") and container_of(X) is not None:
            dense = f"{name}.sparse.to_dense()"
            raise TypeError(f"{name} has sparse columns; expected dense ones: {dense}.") from None
        if not ABOUT_VALUES.search(text):
            raise
        told = _told(X, name, text, names)
        raise (TypeError if isinstance(error, TypeError) else ValueError)(told) from None


def names_of(X: Any) -> list[Any] | None:
    """Names of the columns of a data frame or a table of PyArrow, or None."""
    if is_table(X):
        return list(X.column_names)
    return None if container_of(X) is None else list(X.columns)


def is_table(X: Any) -> bool:
    """Whether it is a table, or a batch of records, of PyArrow."""
    return hasattr(X, "column_names") and hasattr(X, "schema")


def _told(X: Any, name: str, text: str, names: list[Any] | None) -> str:
    """The message, of the values that are to blame, or of the whole."""
    if others := _others(X, names):
        return f"{name} has {_listed(others)}; expected numbers ({text.rstrip('.')})."
    if holes := _not_finite(X, names):
        text = text if text.startswith(f"Input {name} contains") else f"Input {name} contains NaN."
        advice = "; an imputer before the estimator in a pipeline fills holes" * ("NaN" in text)
        return f"{text} It has {_listed(holes)}; expected finite numbers{advice}."
    return (
        f"{name}, of type {type(X).__name__}, is no table of numbers ({text.rstrip('.')}); "
        f"expected an array of two dimensions or a data frame{rows_in(X, name)}."
    )


def _listed(found: list[str]) -> str:
    rest = len(found) - MOST
    more = f" and more in {rest} other column{'s' * (rest > 1)}" if rest > 0 else ""
    return ", ".join(found[:MOST]) + more


def _dtypes(X: Any) -> list[Any]:
    if is_table(X):
        return [*X.schema.types]
    return [getattr(X, "dtype", None)] if container_of(X) is None else [*X.dtypes]


def _is_of_time(dtype: Any) -> bool:
    """Whether values are dates, or times between them."""
    if type(dtype).__module__ == "pyarrow.lib":
        return bool(import_module("pyarrow.types").is_temporal(dtype))
    temporal = getattr(dtype, "is_temporal", None)
    return temporal() if temporal is not None else getattr(dtype, "kind", "") in ("m", "M")


def _parts(X: Any, names: list[Any] | None) -> Iterator[tuple[list[str], np.ndarray]]:
    """Arrays of two dimensions that make up ``X``, each with what its columns are called."""
    container = container_of(X)
    if container is not None:
        for j, label in enumerate(X.columns):
            column = X.iloc[:, j] if container == "pandas" else X.to_series(j)
            values = np.asarray(column.to_numpy())
            if values.ndim > 1 or values.dtype.names:
                # Each is an array, or a record.
                values = _things(list(column))
            yield [f"column {brief(plain(label))}"], values[:, None]
        return
    if is_table(X):
        for j, label in enumerate(X.column_names):
            yield [f"column {brief(label)}"], X.column(j).to_numpy(zero_copy_only=False)[:, None]
        return
    with contextlib.suppress(ValueError):  # Rows of several lengths: their columns have no names.
        rows = np.asarray(X, dtype=None if hasattr(X, "dtype") else object)
        if rows.ndim == 2:
            labels: Iterable[Any] = range(rows.shape[1])
            if names is not None and len(names) == rows.shape[1]:
                labels = map(plain, names)
            yield [f"column {brief(label)}" for label in labels], rows


def _things(values: list[Any]) -> np.ndarray:
    """An array of whatever they are."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _others(X: Any, names: list[Any] | None) -> list[str]:
    """The first value of each column that is no number, and the column."""
    found = []
    for labels, rows in _parts(X, names):
        if rows.dtype.kind not in "biuf":
            for label, column in zip(labels, rows.T, strict=True):
                value = next((value for value in column if _number(value) is None), None)
                if value is not None:
                    found.append(f"{_shown(value)} in {label}")
    return found


def _shown(value: Any) -> str:
    """What a user would have written: no ``np.str_('good')``, and dates in digits."""
    if isinstance(value, OF_TIME):
        return str(value)
    return brief(value.item() if isinstance(value, np.generic) else value)


def _number(value: Any) -> float | None:
    """The value as scikit-learn takes it, a missing one for NaN; None if it is no number."""
    is_complex = isinstance(value, Complex) and not isinstance(value, Real)
    if is_complex or isinstance(value, OF_TIME):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan if value is None or is_pandas_na(value) else None


def _not_finite(X: Any, names: list[Any] | None) -> list[str]:
    """How many values of each column are NaN or infinite."""
    found = []
    for labels, rows in _parts(X, names):
        counts = np.zeros((2, len(labels)), dtype=int)
        size = rows_at_once(max(1, len(labels)))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            if block.dtype.kind not in "biuf":
                block = np.vectorize(_number, otypes=[np.float64])(block)
            with np.errstate(over="ignore"):
                block = block.astype(np.float64, copy=False)
            counts += np.isnan(block).sum(axis=0), np.isinf(block).sum(axis=0)
        for label, nan, infinite in zip(labels, *counts.tolist(), strict=True):
            words = [f"{nan} NaN"] * (nan > 0)
            words += [f"{infinite} infinite value{'s' * (infinite > 1)}"] * (infinite > 0)
            if words:
                found.append(f"{' and '.join(words)} in {label}")
    return found
