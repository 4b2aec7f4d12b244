"""Autoencoders as steps of pipelines that skl2onnx converts."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae.onnx import register_converters

X, y = load_iris(return_X_y=True)
# Probabilities as an array, which for float64 is all that the runtime has.
NO_MAPS = {LogisticRegression: {"zipmap": False}}
ENCODERS = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "transform")]


def autoencoder(name):
    return getattr(skotae, name)(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0)


def fitted(pipeline, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so short a fit
        return pipeline.fit(rows, y)


@pytest.fixture
def outputs():
    """What a graph of skl2onnx gives for rows."""
    onnxruntime = pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    register_converters()

    def run(pipeline, rows):
        graph = skl2onnx.to_onnx(pipeline, rows[:1], options=NO_MAPS)
        return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"X": rows})

    return run


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "WAEEstimator")) for n in ENCODERS],
)
def test_a_step_between_others(name, outputs):
    """In the dtype of the rows, a step before it and a classifier after it."""
    pipeline = make_pipeline(StandardScaler(), autoencoder(name), LogisticRegression())
    pipeline = fitted(pipeline, X)
    for dtype in (np.float32, np.float64):
        rows = X.astype(dtype)
        (codes,) = outputs(pipeline[:-1], rows)
        assert codes.dtype == dtype
        np.testing.assert_allclose(codes, pipeline[:-1].transform(rows), rtol=1e-5, atol=1e-5)
        labels, shares = outputs(pipeline, rows)
        np.testing.assert_array_equal(labels, pipeline.predict(rows))
        np.testing.assert_allclose(shares, pipeline.predict_proba(rows), atol=1e-4)


def test_two_of_one_kind_and_integers(outputs):
    """Names of one graph do not get in the way of the other's."""
    rows = (10 * X).astype(np.int64)
    parts = [("left", autoencoder("VAE"), [0, 1, 2]), ("right", autoencoder("VAE"), [1, 2, 3])]
    pipeline = fitted(make_pipeline(ColumnTransformer(parts), LogisticRegression()), rows)
    labels, _ = outputs(pipeline, rows)
    np.testing.assert_array_equal(labels, pipeline.predict(rows))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'skotae\[onnx\]'"):
        register_converters()
