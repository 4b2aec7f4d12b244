"""Checks of data frames, in and out."""

from __future__ import annotations

import importlib
from typing import Any
from unittest import SkipTest

import numpy as np

from skotae.testing.base import N_FEATURES, estimator_check, fresh, main_result, make_data

COLUMNS = [f"column {i}" for i in range(N_FEATURES)]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SkipTest(f"{name} is not installed") from None


def _check_frames(estimator: Any, library: Any) -> None:
    X = make_data()
    frame = library.DataFrame({name: X[:, i] for i, name in enumerate(COLUMNS)})
    model = fresh(estimator).fit(frame)
    assert list(model.feature_names_in_) == COLUMNS
    results = {"sample": model.sample(len(X), random_state=0)}
    if hasattr(model, "inverse_transform"):
        codes = np.asarray(model.transform(frame))
        results["inverse_transform"] = model.inverse_transform(codes)
        results["inverse_transform of a list"] = model.inverse_transform(codes.tolist())
        results["reconstruct"] = model.reconstruct(frame)
    for name, result in results.items():
        assert isinstance(result, library.DataFrame), f"{name} gives {type(result).__name__}"
        assert list(result.columns) == COLUMNS, f"{name} has columns {list(result.columns)}"
        assert result.shape == X.shape, f"{name} has shape {result.shape}"
        assert np.isfinite(result.to_numpy()).all()
    expected = main_result(fresh(estimator).fit(X), X)
    np.testing.assert_array_equal(np.asarray(main_result(model, frame)), expected)
    if "reconstruct" in results:
        np.testing.assert_allclose(
            results["inverse_transform"].to_numpy(), results["reconstruct"].to_numpy()
        )


def _check_set_output(estimator: Any, library: Any, name: str) -> None:
    X = make_data()
    model = fresh(estimator).set_output(transform=name).fit(X)
    codes = model.transform(X)
    assert isinstance(codes, library.DataFrame), f"transform gives {type(codes).__name__}"
    assert list(codes.columns) == list(model.get_feature_names_out())
    columns = [f"x{i}" for i in range(N_FEATURES)]
    for result in (model.sample(3, random_state=0), model.inverse_transform(codes)):
        assert isinstance(result, library.DataFrame), f"got {type(result).__name__}"
        assert list(result.columns) == columns


@estimator_check("sample")
def check_pandas(estimator: Any) -> None:
    """A fit on a pandas frame gives frames with its columns, and its index."""
    pandas = _library("pandas")
    _check_frames(estimator, pandas)
    index = [f"row {i}" for i in range(40)]
    frame = pandas.DataFrame(make_data(), columns=COLUMNS, index=index)
    if hasattr(estimator, "reconstruct"):
        assert list(fresh(estimator).fit(frame).reconstruct(frame).index) == index


@estimator_check("sample")
def check_polars(estimator: Any) -> None:
    """A fit on a polars frame gives frames with its columns."""
    _check_frames(estimator, _library("polars"))


@estimator_check("transform", "inverse_transform")
def check_set_output_pandas(estimator: Any) -> None:
    """``set_output`` holds for sample and inverse_transform too."""
    _check_set_output(estimator, _library("pandas"), "pandas")


@estimator_check("transform", "inverse_transform")
def check_set_output_polars(estimator: Any) -> None:
    """``set_output`` holds for sample and inverse_transform too."""
    _check_set_output(estimator, _library("polars"), "polars")
