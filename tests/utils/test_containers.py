"""Data frames in and out."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin

from skotae.utils._sklearn import container_of, in_container, output_container

ROWS = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_is_recognised(library):
    frame = pytest.importorskip(library).DataFrame({"a": [1.0], "b": [2.0]})
    assert container_of(frame) == library


@pytest.mark.parametrize("X", [ROWS, ROWS.tolist(), None, "pandas"], ids=str)
def test_anything_else_is_no_data_frame(X):
    assert container_of(X) is None


def test_a_series_is_no_data_frame():
    pandas = pytest.importorskip("pandas")
    assert container_of(pandas.Series([1.0])) is None


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows_are_wrapped_with_their_columns(library):
    module = pytest.importorskip(library)
    frame = in_container(ROWS, library, ["a", "b"])
    assert isinstance(frame, module.DataFrame) and list(frame.columns) == ["a", "b"]
    assert np.array_equal(frame.to_numpy(), ROWS)


def test_pandas_keeps_the_index():
    pytest.importorskip("pandas")
    frame = in_container(ROWS, "pandas", ["a", "b"], index=["x", "y", "z"])
    assert list(frame.index) == ["x", "y", "z"]


def test_polars_ignores_an_index():
    pytest.importorskip("polars")
    assert in_container(ROWS, "polars", ["a", "b"], index=["x", "y", "z"]).shape == (3, 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_dtype_is_kept(library):
    pytest.importorskip(library)
    frame = in_container(ROWS.astype(np.float32), library, ["a", "b"])
    assert frame.to_numpy().dtype == np.float32


class _Transformer(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def get_feature_names_out(self, input_features=None):
        return np.array(["a", "b"])


def test_output_is_an_array_by_default():
    assert output_container(_Transformer()) is None


def test_output_follows_set_output():
    assert output_container(_Transformer().set_output(transform="pandas")) == "pandas"


def test_output_follows_the_global_configuration():
    with config_context(transform_output="polars"):
        assert output_container(_Transformer()) == "polars"


def test_set_output_wins_over_the_global_configuration():
    transformer = _Transformer().set_output(transform="default")
    with config_context(transform_output="polars"):
        assert output_container(transformer) is None
