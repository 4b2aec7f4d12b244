"""Checks of data that are unusual and all right."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from skotae.testing.base import (
    assert_usable,
    estimator_check,
    fresh,
    main_result,
    make_data,
    with_dense_networks,
)


def _fit_quietly(model: Any, X: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Fewer columns than n_components are worth a word, and no fault of the estimator's.
        warnings.filterwarnings("ignore", message="n_components=", category=UserWarning)
        model.fit(X)
    assert_usable(model, X)
    return model


@estimator_check()
def check_constant_columns(estimator: Any) -> None:
    """Constant columns, and data that are constant altogether."""
    X = make_data()
    X[:, :2] = [0.0, 1.0]
    _fit_quietly(fresh(estimator), X)
    _fit_quietly(fresh(estimator), np.full_like(X, 0.5))


@estimator_check()
def check_duplicates(estimator: Any) -> None:
    """Few distinct rows, many times over."""
    _fit_quietly(fresh(estimator), np.repeat(make_data(4), 10, axis=0))


@estimator_check()
def check_few_rows(estimator: Any) -> None:
    """Five rows."""
    _fit_quietly(fresh(estimator), make_data(5))


@estimator_check()
def check_one_feature(estimator: Any) -> None:
    """One column."""
    _fit_quietly(with_dense_networks(estimator), make_data(n_features=1))


@estimator_check()
def check_wide(estimator: Any) -> None:
    """More columns than rows."""
    _fit_quietly(with_dense_networks(estimator), make_data(20, 300))


@estimator_check()
def check_integers(estimator: Any) -> None:
    """Integers and booleans are numbers."""
    X = make_data()
    binary = X > 0.5
    _fit_quietly(fresh(estimator), binary.astype(np.int64))
    model = fresh(estimator).fit(X.round(0))
    expected = main_result(model, binary.astype(float))
    np.testing.assert_array_equal(main_result(model, binary.astype(np.int32)), expected)
    np.testing.assert_array_equal(main_result(model, binary), expected)


@estimator_check()
def check_memory_layout(estimator: Any) -> None:
    """Fortran order and strides do not matter."""
    X = make_data()
    expected = main_result(fresh(estimator).fit(X), X)
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        model = fresh(estimator).fit(same)
        np.testing.assert_array_equal(main_result(model, same), expected)


@estimator_check()
def check_units(estimator: Any) -> None:
    """The units of the data, and where they begin, do not matter, to the score neither."""
    X = make_data()
    model = fresh(estimator).fit(X)
    cost = getattr(model, "cost_", None)
    if cost is not None:
        variance = cost.get_params().get("variance", "learned")
        if not cost.standardise or variance != "learned":
            return  # The cost knows units of its own.
        if getattr(model, "cost_scale", "auto") != "auto" and cost.degree is not None:
            return
    for dtype in (np.float64, np.float32):
        base = X.astype(dtype)
        same = model if dtype == X.dtype else fresh(estimator).fit(base)
        score = same.score(base)
        for scale in (1e-8, 1e8):
            scaled = _fit_quietly(fresh(estimator), (X * scale).astype(dtype))
            value = scaled.score((X * scale).astype(dtype))
            np.testing.assert_allclose(value, score, rtol=0.05, atol=0.02)
    shifted = _fit_quietly(fresh(estimator), X + 1e6)
    np.testing.assert_allclose(shifted.score(X + 1e6), model.score(X), rtol=0.05, atol=0.02)
