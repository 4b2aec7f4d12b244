"""Whatever the caller has set in torch: the same results, and the setting stays what it is."""

import contextlib
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import skotae
from skotae.networks import MLP
from skotae.testing import make_data
from skotae.testing.base import results_of

from ..torch_settings import default_dtype

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
X = make_data(24)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "autocast to float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "a device's context": lambda: torch.device("meta"),
}


def torch_settings():
    return {
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast's dtype": torch.get_autocast_dtype("cpu"),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
    }


def everything(model):
    """What a fitted estimator gives, for rows of both dtypes."""
    results = {**results_of(model, X), "score": model.score(X)}
    narrow = X.astype(np.float32)
    results.update({f"{name} of float32": v for name, v in results_of(model, narrow).items()})
    for name, seed in (("wasserstein", {"random_state": 0}), ("effective_sample_size", {})):
        if hasattr(model, name):
            results[name] = getattr(model, name)(X, **seed)
    return {**results, "score of float32": model.score(narrow)}


def assert_equal(first, second, what):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=f"{what}: {name}")
        assert np.asarray(values).dtype == np.asarray(second[name]).dtype


@contextlib.contextmanager
def all_at_once():
    with contextlib.ExitStack() as stack:
        for setting in ("float64", "no_grad", "inference_mode", "autocast", "a device's context"):
            stack.enter_context(SETTINGS[setting]())
        yield


def check_settings(name, settings, small):
    plain = small(name, max_iter=2).fit(X)
    expected = everything(plain)
    expected_further = everything(pickle.loads(pickle.dumps(plain)).partial_fit(X))
    for setting, context in settings.items():
        with context():
            before = torch_settings()
            model = small(name, max_iter=2).fit(X)
            fitted = everything(model)
            further = everything(pickle.loads(pickle.dumps(model)).partial_fit(X))
            inferred = everything(plain)
            assert torch_settings() == before, f"{setting} is not what it was"
        assert_equal(expected, fitted, f"fit, {setting}")
        assert_equal(expected_further, further, f"partial_fit, {setting}")
        assert_equal(expected, inferred, f"inference, {setting}")
        assert_equal(expected, everything(model), f"after a fit, {setting}")


@pytest.mark.parametrize("name", NAMES)
def test_all_settings_at_once(name, small):
    check_settings(name, {"all at once": all_at_once}, small)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_settings(name, small):
    check_settings(name, SETTINGS, small)


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting(setting, small):
    check_settings("WAEEstimator", {setting: SETTINGS[setting]}, small)


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_error_leaves_the_setting(setting, small):
    class Failing:
        def __call__(self, x, y):
            raise ZeroDivisionError

    with SETTINGS[setting]():
        before = torch_settings()
        with pytest.raises(ZeroDivisionError):
            small("WAEEstimator", cost=Failing()).fit(X)
        assert torch_settings() == before


class AlwaysNoisy(nn.Linear):
    """In evaluation mode too."""

    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))


@pytest.mark.moves_torch_rng
def test_noise_in_evaluation_mode(small):
    """A fit, and the epoch that it ends with, do not depend on torch's global generator."""
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        model = small("WAEEstimator", encoder=AlwaysNoisy, early_stopping=True, max_iter=5)
        models.append(model.fit(X))
        assert torch.equal(state, torch.get_rng_state())
    first, second = models
    assert first.history_ == second.history_
    np.testing.assert_array_equal(*(m.sample(5, random_state=0) for m in models))


@pytest.mark.parametrize("setting", SETTINGS)
def test_dropout(setting, small):
    """What takes torch's global generator takes ours, and leaves the caller's alone."""

    def make():
        return small("WAEEstimator", encoder=MLP((8,), dropout=0.3), early_stopping=True)

    expected = make().fit(X).transform(X)
    state = torch.get_rng_state()
    with SETTINGS[setting]():
        model = make().fit(X)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(expected, model.transform(X))
