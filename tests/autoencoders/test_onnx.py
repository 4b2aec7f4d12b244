"""ONNX files give what the estimators give."""

import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

import skotae
from skotae.autoencoders.bases._export import Graph, InUnits
from skotae.autoencoders.bases._noise import codes_of_noise
from skotae.networks import MLP, ConvNet

from .quick_fits import quick_fit

try:
    import onnxruntime
    import onnxscript  # noqa: F401
except ImportError:
    onnxruntime = None

# Some seconds for each file.
needs_onnx = pytest.mark.skipif(onnxruntime is None, reason="needs onnxscript and onnxruntime")
NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "to_onnx")]
RNG = np.random.default_rng(0)
# Columns of several units, one of them constant, one far from zero, one with a value far off.
X = RNG.normal(size=(60, 5)) * [1, 10, 100, 1e-3, 0] + [0, 5, 1e4, -3, 2]
X[3, 0] = 1e4
PIXELS = RNG.uniform(size=(40, 64))


def fitted(name, rows=X, **params):
    return quick_fit(name, rows, 2, **{"max_iter": 2, **params})


DTYPES = (np.float32, np.float64)


def check_agreement(model, rows, path, dtypes=DTYPES):
    """Both methods, for any number of rows, in units of the data's scale."""
    for method in ("transform", "inverse_transform"):
        if not hasattr(model, method):
            continue
        encodes = method == "transform"
        for dtype in dtypes:
            model.to_onnx(path, method=method, dtype=dtype)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            given = rows.astype(dtype) if encodes else model.transform(rows).astype(dtype)
            unit = 1.0 if encodes else model.data_scale_
            for n in (1, len(rows)):
                (found,) = session.run(None, {"X" if encodes else "Z": given[:n]})
                expected = getattr(model, method)(given[:n])
                assert found.dtype == dtype and found.shape == expected.shape
                # Beside what float32 can tell apart, of columns far from zero.
                resolution = 4 * np.finfo(dtype).eps * np.abs(expected)
                assert (np.abs(found - expected) <= 1e-5 * unit + resolution).all()


@pytest.mark.parametrize("name", ["WAEEstimator", "HypersphericalVAE", "GMVAE", "SinkhornEncoder"])
def test_graphs_bring_rows_as_near_as_transform_does(name):
    """Rows far out, of which there are no limits in the data: their codes are finite, and those."""
    model = fitted(name, X[4:20, :3])
    assert model.data_limits_ is None
    far = np.float32([[3e38, -3e38, 1.0], [1e20, 0.0, -1e15], [-1e13, 2e13, 5.0], [0.5, 1.0, 90.0]])
    expected = model.transform(far)
    for dtype in DTYPES:
        graph = Graph(model.model_, InUnits(model._units, np.dtype(dtype)), True)
        codes = graph(torch.from_numpy(far.astype(dtype))).detach().numpy()
        np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-5)
    graph = Graph(model.model_, InUnits(model._units, np.dtype(np.float64)), True)
    assert graph(torch.from_numpy(far * np.float64(1e200))).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_graphs_give_rows_within_the_range(dtype):
    model = fitted("WAEEstimator", 1e30 * X[4:20, :3])
    codes = np.array([[3e37, -3e37], [1e9, 1e10], [0.1, 0.2]], dtype)
    graph = Graph(model.model_, InUnits(model._units, np.dtype(dtype)), False)
    rows = graph(torch.from_numpy(codes)).detach().numpy()
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows, model.inverse_transform(codes), rtol=1e-4)


def check_samples(model, path, dtypes=DTYPES):
    """Codes are those of the noise, rows those that the codes are decoded to."""
    n_noise = codes_of_noise(model).n_noise
    noise = np.random.default_rng(0).normal(size=(300, n_noise))
    for dtype in dtypes:
        model.to_onnx(path, method="sample", dtype=dtype)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape[1] == n_noise
        for n in (1, len(noise)):
            rows, codes = session.run(None, {"noise": noise[:n].astype(dtype)})
            assert rows.dtype == codes.dtype == dtype
            expected = codes_of_noise(model)(torch.from_numpy(noise[:n]).float()).numpy()
            np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-5)
            expected = model._inference(dtype).decoded(codes)
            if model.clip:
                expected = expected.clip(model.data_min_, model.data_max_)
            resolution = 4 * np.finfo(dtype).eps * np.abs(expected)
            assert (np.abs(rows - expected) <= 1e-5 * model.data_scale_ + resolution).all()


@needs_onnx
@pytest.mark.parametrize(
    "name, dtypes",
    [
        ("WAEEstimator", DTYPES[:1]),
        ("VAE", DTYPES),
        *(pytest.param(name, DTYPES, marks=pytest.mark.slow) for name in NAMES if name != "VAE"),
    ],
)
def test_estimators(name, dtypes, tmp_path):
    model = fitted(name)
    if hasattr(model, "transform"):
        check_agreement(model, X, tmp_path / "model.onnx", dtypes)
    if hasattr(model, "sample"):
        check_samples(model, tmp_path / "samples.onnx", dtypes)


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, params",
    [
        ("VampPriorVAE", {"n_pseudo_inputs": 7}),
        ("GMVAE", {"latent": "prior"}),
        ("WAEEstimator", {"latent": "prior", "prior": "sphere"}),
        ("WAEEstimator", {"latent": "prior", "prior": "uniform", "clip": False}),
        ("WAEEstimator", {"latent": "mixture", "prior": "uniform"}),
        ("WAEEstimator", {"latent": "mixture", "prior": "dirichlet"}),
        ("WAEEstimator", {"latent": "mixture", "prior": "sphere"}),
    ],
)
def test_samples_of_priors(name, params, tmp_path):
    check_samples(fitted(name, **params), tmp_path / "samples.onnx")


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        *({"activation": name} for name in ("tanh", "gelu", "silu", "elu", "leaky_relu")),
        *({"prior": name} for name in ("sphere", "uniform", "dirichlet")),
        {"encoder": MLP((8,), dropout=0.5)},
        {"scale": "global"},
        {"scale": "columns", "cost": "cityblock"},
        {"scale": "columns", "cost": "heteroscedastic"},
    ],
    ids=str,
)
def test_options(params, tmp_path):
    check_agreement(fitted("WAEEstimator", **params), X, tmp_path / "model.onnx")


@needs_onnx
@pytest.mark.slow
def test_images(tmp_path):
    conv = ConvNet(image_shape=(8, 8))
    model = fitted("WAEEstimator", PIXELS, encoder=conv, decoder=conv, cost="bernoulli")
    check_agreement(model, PIXELS, tmp_path / "model.onnx")


@needs_onnx
@pytest.mark.slow
def test_importance_weights(tmp_path):
    model = fitted("CoupledVAE", posterior="importance")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_agreement(model, X, tmp_path / "model.onnx")


@needs_onnx
@pytest.mark.slow
def test_scales_beyond_float32(tmp_path):
    check_agreement(fitted("VAE", X[:, 1:3] * 1e-34), X[:, 1:3] * 1e-34, tmp_path / "model.onnx")


@needs_onnx
@pytest.mark.slow
def test_where_warnings_are_errors(tmp_path):
    model = fitted("VAE", hidden_layer_sizes=(4,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.to_onnx(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_file()


class Noisy(nn.Module):
    """Draws in evaluation mode."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x):
        return nn.functional.dropout(self.linear(x), training=True)


@pytest.mark.parametrize(
    "name, params, options, words",
    [
        ("VAE", {}, {"method": "score"}, "method='score'; expected one of"),
        (
            "SinkhornEncoder",
            {},
            {"method": "inverse_transform"},
            r"expected one of \['transform'\]",
        ),
        ("VAE", {}, {"dtype": "float16"}, "dtype='float16'; expected 'float32' or"),
        ("WAEEstimator", {"encoder": Noisy}, {}, "draw random numbers"),
        ("SinkhornEncoder", {}, {"method": "sample"}, r"expected one of \['transform'\]"),
        ("WGAN", {}, {}, r"expected one of \['sample'\]"),
        (
            "WAEEstimator",
            {"prior": "dirichlet", "latent": "prior"},
            {"method": "sample"},
            "prior=DirichletPrior",
        ),
    ],
)
def test_what_cannot_be_exported(name, params, options, words, tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=words):
        fitted(name, **params).to_onnx(path, **options)
    assert not path.exists()


def test_before_the_fit_and_without_the_packages(tmp_path, monkeypatch):
    with pytest.raises(NotFittedError):
        skotae.VAE().to_onnx(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'skotae\[onnx\]'"):
        fitted("VAE").to_onnx(tmp_path / "model.onnx")
