"""What the measures take: arrays, weights and options, checked and named in errors; estimators."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_scalar, column_or_1d
from torch import Tensor

from skotae.columns import names_of, naming_columns
from skotae.utils._containers import check_container, rows_in
from skotae.utils._random import draw_seed
from skotae.utils._sklearn import check_sample_weight
from skotae.utils._torch import as_rows
from skotae.utils.base import brief

Sample = TypeVar("Sample", np.ndarray, Tensor)
# Binary exponent up to which squares and their sums are far from the ends of the range.
FAR = 256
# Largest share of a squared distance that may be rounding, and columns up to which trees are fast.
BLUR, FEW_COLUMNS = 1e-4, 15


def check_pair(
    X: Any, Y: Any, names: tuple[str, str] = ("X", "Y"), **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of the same features as arrays of shape (n, d) and (m, d); see `check_rows`."""
    columns = _column_names(X), _column_names(Y)
    x, y = check_rows(X, names[0], **options), check_rows(Y, names[1], **options)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{names[0]} has {x.shape[1]} columns and {names[1]} has {y.shape[1]}; expected equal "
            "numbers."
        )
    if None not in columns and columns[0] != columns[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have columns of the same names in the same order, got "
            f"{columns[0]} and {columns[1]}."
        )
    return x, y


def check_rows(X: Any, name: str, *, dtype: Any = "float64", **options: Any) -> np.ndarray:
    """A sample as a float64 array of shape (n, d), not to be written to.

    Other options, and other dtypes, are those of scikit-learn's `check_array`.
    """
    X = as_rows(X, name)
    with naming_columns(X, name):
        X = check_array(
            X,
            **options,
            dtype=dtype,
            order="C",
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
        )
    if X.ndim != 2 or X.size == 0:
        hint = f" One feature is {name}.reshape(-1, 1)." if X.ndim == 1 else ""
        raise ValueError(
            f"{name} must have shape (n_samples, n_features), neither of them 0, got shape "
            f"{X.shape}.{hint}"
        )
    return X


def check_table(X: Any, name: str, *, may_be_file: bool = False) -> None:
    """Raise an error unless X is a table, of whatever: for what does not look at its values itself.

    Something with a length and a method ``take`` may be rows of a file, where these are allowed.
    """
    check_container(X, name)
    is_class = isinstance(X, type)
    takes = hasattr(X, "take") and hasattr(X, "__len__") and not is_class
    n = 0 if is_class else np.ndim(X)
    if n != 2 and (n > 0 or not (takes and may_be_file)):
        raise ValueError(
            f"{name} must have shape (n_samples, n_features), got {n} dimensions of a "
            f"{type(X).__name__}; expected an array or a data frame{rows_in(X, name)}."
        )


def check_features(
    X: Any, Y: Any, features: Callable[[Any], Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the rows of two samples; the rows themselves if `features` is None."""
    if features is None:
        return check_pair(X, Y)
    if not callable(features):
        raise TypeError(
            f"features={features!r}; expected None or a callable that takes X and returns an "
            "array of shape (n_samples, n_extracted)."
        )
    pair = check_pair(features(X), features(Y), ("features(X)", "features(Y)"))
    for name, rows, made in zip("XY", (X, Y), pair, strict=True):
        if len(rows) != len(made):
            raise ValueError(
                f"features({name}) has {len(made)} rows and {name} has {len(rows)}; expected one "
                "row of features for each."
            )
    return pair


def standardise(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both about one centre and at most 1 in size, and the unit of that.

    Squares stay within range, and distances that come from matrix products stay exact: between
    rows near the centre, which an outlier does not move.
    """
    centre = np.median(x, axis=0)
    x, y = x - centre, y - centre
    unit = float(max(np.abs(x).max(), np.abs(y).max())) or 1.0
    return x / unit, y / unit, unit


def rounding(n_columns: int) -> float:
    """Of a squared distance from a matrix product, in units of the squares of the rows."""
    return float(np.finfo(np.float64).eps) * (8 + n_columns)


def has_blurred(rows: np.ndarray, near: np.ndarray, index: Any, square: np.ndarray) -> bool:
    """Whether squared distances of a matrix product are rounding, of some rows that differ.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    near : ndarray of shape (n, d)
    index : ndarray of shape (m,)
        Which row of `near` is compared with each.
    square : ndarray of shape (m,)
        What the matrix product gave.
    """
    size = np.square(rows).sum(axis=1)
    doubtful = np.flatnonzero(square * BLUR < rounding(rows.shape[1]) * size)
    return bool((rows[doubtful] != near[index[doubtful]]).any())


def nearest(rows: np.ndarray, of: np.ndarray, k: int = 1) -> np.ndarray:
    """Which `k` rows of another sample are nearest to each, from near to far: (m, k).

    From a matrix product where many columns make trees slow, unless rows of groups that are far
    from each other are closer than its rounding.
    """
    of, rows, _ = standardise(of, rows)
    many = rows.shape[1] > FEW_COLUMNS
    for algorithm in ("brute", "kd_tree") if many else ("kd_tree",):
        search = NearestNeighbors(n_neighbors=k, algorithm=algorithm).fit(of)
        distance, index = search.kneighbors(rows)
        if algorithm == "kd_tree" or not has_blurred(
            rows, of, index[:, -1], np.square(distance[:, -1])
        ):
            break
    return index


def check_labels(y: Any, name: str, n: int, of: str) -> np.ndarray:
    """Class labels, one for each of the `n` rows of `of`."""
    y = check_column(y, name, n, of)
    if y.dtype.kind == "f" and not np.array_equal(y, np.rint(y)):
        raise ValueError(f"{name} holds numbers that are not whole; expected class labels.")
    return y


def check_column(y: Any, name: str, n: int, of: str) -> np.ndarray:
    """Labels or numbers of shape (n,), or of a single column, one for each row of `of`."""
    try:
        y = column_or_1d(as_rows(y, name))
    except ValueError as error:
        raise ValueError(f"{name} must be one label for each row of {of}: {error}") from error
    if len(y) != n:
        raise ValueError(f"{name} has {len(y)} labels and {of} has {n} rows; expected as many.")
    try:
        np.unique(y)
    except TypeError as error:
        raise ValueError(f"{name} must hold labels of one type: {error}") from error
    return y


def weights_of_rows(weight: Any, rows: Any, name: str, **options: Any) -> np.ndarray:
    """Weights that are not negative, nor all zero, one for each of some rows.

    Other options are those of scikit-learn's `_check_sample_weight`.
    """
    try:
        weight = as_rows(weight, name)
        weight = check_sample_weight(weight, rows, ensure_non_negative=True, **options)
    except (TypeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} is invalid: {text}") from error
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not math.isfinite(total):
        raise ValueError(f"{name} is invalid: its sum is beyond the range of {weight.dtype}.")
    return weight


def check_weight(weight: Any, rows: np.ndarray, name: str) -> np.ndarray | None:
    """Weights, or None where they are all equal: uniform weights are faster."""
    if weight is None:
        return None
    weight = weights_of_rows(weight, rows, name, dtype="f8")
    return None if np.ptp(weight) == 0 else weight


def as_clouds(X: Any, Y: Any) -> tuple[Tensor, Tensor]:
    """Two samples as tensors; see `check_pair`."""
    X, Y = check_pair(X, Y)
    return torch.tensor(X), torch.tensor(Y)  # copies: either may be read-only


def weight_of(weight: Any, cloud: Tensor, name: str) -> Tensor | None:
    """Weights of a cloud as a tensor; see `check_weight`."""
    weight = check_weight(weight, cloud.numpy(), name)
    return None if weight is None else torch.tensor(weight)


def check_integer(value: Any, name: str) -> int:
    """An integer of 1 or more."""
    return int(check_scalar(_no_truth(value, name), name, Integral, min_val=1))


def check_real(value: Any, name: str) -> float:
    """A number."""
    return float(check_scalar(_no_truth(value, name), name, Real))


def _no_truth(value: Any, name: str) -> Any:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value}.")
    return value


def check_neighbors(value: Any, n: int, of: str) -> int:
    """A number of neighbours of which `n` are there."""
    k = check_integer(value, "n_neighbors")
    if k > n:
        raise ValueError(f"n_neighbors={k}; expected at most {n}, {of}.")
    return k


def check_option(value: Any, name: str, options: tuple[str, ...]) -> None:
    """Raise a ValueError unless the value is one of the options."""
    if value not in options:
        raise ValueError(f"{name}={brief(value)}; expected one of {list(options)}.")


def check_seed(random_state: Any) -> int:
    """A seed from anything scikit-learn takes as `random_state`."""
    return draw_seed(random_state)


def in_units(x: Sample, y: Sample) -> tuple[Sample, Sample, float]:
    """Both in a unit in which squares of any number are in range, and the unit.

    It is a power of two, which rounds nothing, and 1 where numbers are not far from it.
    """
    exponent = math.frexp(max(float(abs(x).max()), float(abs(y).max())))[1]
    if abs(exponent) <= FAR:
        return x, y, 1.0
    unit = 2.0 ** min(exponent, 1023)
    return x / unit, y / unit, unit


def root(value: Tensor, p: float, unit: float) -> float:
    """The p-th root of a cost of clouds in a unit."""
    return in_range(float(value) ** (1.0 / p) * unit, p)


def in_range(value: Tensor | float, p: float) -> float:
    """A value of clouds whose numbers are all finite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(
            f"The costs between X and Y are beyond the range of float64 for p={p:g}; expected a "
            "smaller p, or both divided by one number."
        )
    return number


def _column_names(X: Any) -> list[str] | None:
    """Names of the columns of a data frame, or None where they are not names."""
    names = names_of(X)
    return names if names and all(isinstance(name, str) for name in names) else None


def reconstructions_of(estimator: Any, rows: Any) -> Any:
    """Its reconstructions of rows, or None where it makes none."""
    if hasattr(estimator, "reconstruct"):
        return estimator.reconstruct(rows)
    if hasattr(estimator, "transform") and hasattr(estimator, "inverse_transform"):
        return estimator.inverse_transform(estimator.transform(rows))
    return None


def samples_of(estimator: Any, n: int, seed: int) -> Any:
    """New rows; those of scikit-learn's mixtures come with labels, and without a seed."""
    takes = "random_state" in inspect.signature(estimator.sample).parameters
    made = estimator.sample(n, **({"random_state": seed} if takes else {}))
    return made[0] if isinstance(made, tuple) else made
