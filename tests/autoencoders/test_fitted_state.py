"""A fitted estimator at rest: dtypes, copies of the model, networks of one's own, pickles."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.nn.utils import parametrizations

import skotae
import skotae.autoencoders.bases.fitted as fitted_module
from skotae.exceptions import InconsistentVersionWarning
from skotae.testing import make_data
from skotae.testing.base import results_of

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
X = make_data(24)


# --- networks that hold on to float32 ------------------------------------------------------


class Cast(nn.Linear):
    def forward(self, x):
        return super().forward(x.float())


class Recurrent(nn.Module):
    """Starts from a state of zeros that is made anew in every call, in float32."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.cell, self.last = nn.GRUCell(n_in, 4), nn.Linear(4, n_out)

    def forward(self, x):
        return self.last(self.cell(x, torch.zeros(len(x), 4, dtype=torch.float32)))


class PlainTensor(nn.Module):
    """A matrix that is neither a parameter nor a buffer."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.fixed, self.last = torch.eye(n_in), nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.last(x @ self.fixed)


class Refusing(nn.Linear):
    def forward(self, x):
        if x.dtype != torch.float32:
            raise TypeError("float32, please")
        return super().forward(x)


NARROW = [Cast, Recurrent, PlainTensor, Refusing]


@pytest.mark.parametrize("network", NARROW)
@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("name", ["WAEEstimator", "VAE", "CoupledVAE"])
def test_networks_in_float32(network, role, name, small):
    """They are asked in float32; what comes back has the dtype of the rows."""
    params = {"posterior": "amortised"} if name == "CoupledVAE" else {}
    model = small(name, **{role: network}, **params).fit(X)
    for dtype in (np.float64, np.float32):
        for method, values in results_of(model, X.astype(dtype)).items():
            expected = np.float64 if method == "sample" else dtype
            assert values.dtype == expected, method
            assert np.isfinite(values).all(), method
    assert np.isfinite(model.score(X))
    model.partial_fit(X)
    assert model.transform(X).dtype == np.float64
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_an_error_of_another_kind_is_told_of(small):
    """What fails once, in float64, is not taken for a network that cannot do it."""
    failed = []

    class FailsOnce(nn.Linear):
        def forward(self, x):
            if x.dtype == torch.float64 and not failed:
                failed.append(True)
                raise RuntimeError("no memory left")
            return super().forward(x)

    model = small("WAEEstimator", encoder=FailsOnce)
    with pytest.raises(RuntimeError, match="no memory left"):
        model.fit(X)
    assert not hasattr(model, "n_iter_")


# --- the copy in float64 -------------------------------------------------------------------


@pytest.fixture
def n_copies(monkeypatch):
    """How often a model was put into another dtype since the last time it was asked."""
    made = []

    def counting(module, dtype):
        made.append(dtype)
        return counting.original(module, dtype)

    counting.original = fitted_module.module_in
    monkeypatch.setattr(fitted_module, "module_in", counting)

    def since():
        n = len(made)
        made.clear()
        return n

    return since


@pytest.mark.parametrize("name", NAMES)
def test_one_copy_in_float64(name, small, n_copies):
    model = small(name, warm_start=True).fit(X)
    for _ in range(2):
        results_of(model, X)
        model.score(X)
    assert n_copies() == 1
    for train in (model.fit, model.partial_fit):
        n_copies()
        train(X)
        results_of(model, X)
        assert n_copies() == 1
    results_of(model, X.astype(np.float32))
    assert n_copies() == 0


def test_the_copy_follows_the_weights(small, n_copies):
    model = small("WAEEstimator").fit(X)
    before = model.transform(X)
    n_copies()
    with torch.no_grad():
        model.encoder_.net.net[0].weight.mul_(2.0)
    after = model.transform(X)
    assert n_copies() == 1
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(model.transform(X.astype(np.float32)), after, rtol=1e-4, atol=1e-5)
    first = copy.deepcopy(model.encoder_.net.net[0])
    first.weight.data = -first.weight.data
    model.encoder_.net.net[0] = first
    assert not np.array_equal(after, model.transform(X))


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_is_not_pickled(name, small, n_copies):
    model = small(name).fit(X)
    size = len(pickle.dumps(model))
    results_of(model, X)
    assert len(pickle.dumps(model)) == size
    again = pickle.loads(pickle.dumps(model))
    n_copies()
    for method, values in results_of(model, X).items():
        np.testing.assert_array_equal(results_of(again, X)[method], values)
    assert n_copies() <= 1
    assert model.__getstate__().keys() == again.__getstate__().keys()


# --- networks of one's own -----------------------------------------------------------------


def spectral(n_in, n_out):
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(n_in, 8)), nn.Linear(8, n_out))


def weight_normed(n_in, n_out):
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(n_in, 8)), nn.Linear(8, n_out))


def orthogonal(n_in, n_out):
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(n_in, 8)), nn.Linear(8, n_out))


class OtherBuffers(nn.Module):
    """One that is no part of the state, and one that comes with the first rows."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.register_buffer("factor", torch.full((n_in,), 2.0), persistent=False)
        self.register_buffer("centre", None)

    def forward(self, x):
        if self.training and self.centre is None:
            self.centre = x.detach().mean(0)
        return self.linear(x * self.factor - (0 if self.centre is None else self.centre))


def with_shared_weights(n_in, n_out):
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(n_in, 8), shared, nn.ReLU(), shared, nn.Linear(8, n_out))


OWN = [spectral, weight_normed, orthogonal, OtherBuffers, with_shared_weights]


class Copying:
    """A callback that has the estimator of each epoch made."""

    def setup(self, estimator, context):
        self.seen = []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.seen.append(fitted_estimator)


@pytest.mark.parametrize("network", OWN)
@pytest.mark.parametrize("name", ["WAEEstimator", "CoupledVAE"])
def test_networks_of_ones_own(network, name, small):
    """Pickles, copies, clones, callbacks, early stopping and going on."""
    roles = ["decoder"] if name == "CoupledVAE" else ["encoder", "decoder"]
    watch = Copying()
    model = small(name, **dict.fromkeys(roles, network), early_stopping=True)
    model.set_callbacks(watch).fit(X)
    for fitted in watch.seen:
        assert np.isfinite(fitted.sample(3, random_state=0)).all()
    model.set_callbacks()
    expected = results_of(model, X)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        for method, values in results_of(again, X).items():
            np.testing.assert_array_equal(values, expected[method], err_msg=method)
        first, second = (results_of(copy.deepcopy(m).partial_fit(X), X) for m in (model, again))
        for method, values in second.items():
            np.testing.assert_array_equal(values, first[method], err_msg=method)
    refitted = clone(model).fit(X)
    np.testing.assert_array_equal(refitted.transform(X), model.transform(X))
    model.set_params(warm_start=True).fit(X)
    assert np.isfinite(model.transform(X)).all()


# --- pickles of other versions -------------------------------------------------------------


def test_no_warning_for_this_version(small):
    state = pickle.dumps(small("WAEEstimator").fit(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(state)
        pickle.loads(pickle.dumps(small("WAEEstimator")))


@pytest.mark.parametrize("version", ["0.0.1", None])
def test_another_version(version, small):
    model = small("WAEEstimator").fit(X)
    state = model.__getstate__()
    if version is None:
        del state["_skotae_version"]
    else:
        state["_skotae_version"] = version
    again = small("WAEEstimator")
    with pytest.warns(InconsistentVersionWarning, match=r"0\.0\.1|unknown") as caught:
        again.__setstate__(state)
    assert caught[0].message.written_by == version
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_attribute(name, small):
    """What an older version did not write is named, with what to do."""
    model = small(name).fit(X)
    for missing in {*fitted_module.NEEDED, *model._measured} - {"_weight_share"}:
        state = model.__getstate__()
        del state[missing]
        state["_skotae_version"] = "0.0.1"
        with pytest.raises(ValueError, match=rf"saved by skotae 0\.0\.1.*{missing}"):
            with pytest.warns(InconsistentVersionWarning):
                small(name).__setstate__(state)


def test_an_older_version_weighed_penalties_in_full(small):
    model = small("WAEEstimator").fit(X)
    state = model.__getstate__()
    del state["_weight_share"]
    again = small("WAEEstimator")
    again.__setstate__(state)
    assert again.lam_ == 0.5
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_weights_of_another_shape(small):
    model = small("WAEEstimator").fit(X)
    state = {**model.__getstate__(), "_skotae_version": "0.0.1"}
    state["model_"].popitem()
    with pytest.raises(ValueError, match=r"(?s)saved by skotae 0\.0\.1.*fit it again"):
        with pytest.warns(InconsistentVersionWarning):
            small("WAEEstimator").__setstate__(state)
