"""Models whose arrays are mapped from a file, as joblib maps them for its workers."""

import warnings

import joblib
import numpy as np
import pytest
import torch

import skotae
from skotae.priors import NormalPrior

X = np.random.default_rng(0).normal(size=(30, 3))


@pytest.fixture
def always():
    """Torch says otherwise only once in a process that an array cannot be written to."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def small(name="WAEEstimator", **params):
    return getattr(skotae, name)(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0, **params)


def read_only(values):
    values = np.array(values, dtype=float)
    values.setflags(write=False)
    return values


@pytest.mark.parametrize(
    "name, params",
    [
        ("WAEEstimator", {}),
        ("GMVAE", {"n_mixtures": 2}),
        ("VAE", {"prior": NormalPrior(scale=read_only([1.0, 2.0]))}),
    ],
)
@pytest.mark.usefixtures("always")
def test_mapped_models_do_what_others_do(name, params, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*not writable")
        model = small(name, **params).fit(X)
        joblib.dump(model, tmp_path / "model.joblib")
        mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
        assert isinstance(mapped.data_mean_, np.memmap)
        mapped.save(tmp_path / "model.safetensors")
        loaded = skotae.load(tmp_path / "model.safetensors")
        for each in mapped, loaded:
            assert np.array_equal(each.transform(X), model.transform(X))
            assert np.array_equal(each.sample(4, random_state=0), model.sample(4, random_state=0))
            assert each.score(X) == model.score(X)
        mapped.partial_fit(X)
        model.partial_fit(X)
    assert np.array_equal(mapped.transform(X), model.transform(X))
