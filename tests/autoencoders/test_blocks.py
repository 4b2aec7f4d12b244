"""What is done with rows after a fit goes by blocks: nothing holds all of them a second time."""

import tracemalloc

import numpy as np
import pytest

import skotae
from skotae.autoencoders import _inference
from skotae.columns import Units, _units, rows_at_once
from skotae.metrics import _score, transport_r2_score
from skotae.metrics._score import n_samples_for
from skotae.training import Rows

N, D = 20_000, 50


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 256 rows, and as many compared, beside which these rows are many."""
    monkeypatch.setattr(_units, "VALUES", 256 * D)
    monkeypatch.setattr(_score, "MAX_ROWS", 256)


@pytest.fixture(params=["float32", "float64"])
def X(request, tmp_path):
    rows = np.random.default_rng(0).random((N, D)).astype(request.param)
    rows.tofile(tmp_path / "rows.bin")
    return np.memmap(tmp_path / "rows.bin", dtype=request.param, mode="r", shape=(N, D))


def _fitted(X, name="VAE", **parameters):
    parameters = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0} | parameters
    return getattr(skotae, name)(n_components=2, **parameters).fit(X[:600])


def _extra(call, X):
    """Peak of NumPy's memory beyond the result, in units of X."""
    call(X[:300])
    tracemalloc.start()
    result = call(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - getattr(result, "nbytes", 0)) / X.nbytes


CALLS = {
    "transform": lambda model, X: model.transform(X),
    "score_samples": lambda model, X: model.score_samples(X),
    "reconstruct": lambda model, X: model.reconstruct(X),
    "inverse_transform": lambda model, X: model.inverse_transform(np.zeros((len(X), 2), X.dtype)),
    "sample_posterior": lambda model, X: model.sample_posterior(X, 20, random_state=0),
}


@pytest.mark.parametrize("name", CALLS)
def test_needs_its_result_and_a_block(X, name):
    model = _fitted(X)
    assert _extra(lambda rows: CALLS[name](model, rows), X) < 0.15


def test_networks_see_a_block_at_a_time(X):
    model, seen = _fitted(X), []
    for part in (model.encoder_, model.decoder_):
        part.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for call in CALLS.values():
        call(model, X[:2000])
    assert seen and max(seen) <= rows_at_once(D) == 256


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", ["global", "columns"])
def test_memory_of_the_score_does_not_grow_with_the_rows(X, scale, weighted):
    weight = (np.arange(N) % 3).astype(float)
    model = _fitted(X, scale=scale)

    def score(rows):
        return model.score(rows, sample_weight=weight[: len(rows)] if weighted else None)

    # The rows that are compared are as many for half of X: what is left is what grows, some
    # numbers for each row.
    assert _extra(score, X) - _extra(score, X[: N // 2]) / 2 < 0.25


@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_that_of_all_rows_at_once(X, weighted):
    X = X[:3000]
    weight = (np.arange(3000) % 3).astype(float) if weighted else None
    model = _fitted(X)
    samples = model._generate(n_samples_for(3000), model._seed, X.dtype)
    expected = transport_r2_score(
        X, model.reconstruct(X), samples, sample_weight=weight, random_state=model._seed
    )
    assert model.score(X, sample_weight=weight) == pytest.approx(expected, abs=1e-5)


def test_outliers_are_scored_by_blocks(X):
    model = _fitted(X)
    model.data_limits_ = np.stack([np.full(D, 0.1), np.full(D, 0.9)])
    assert _extra(model.score_samples, X) < 0.3
    whole = model.score_samples(X[:1000])
    parts = [model.score_samples(X[i : i + 100]) for i in range(0, 1000, 100)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-4)


@pytest.mark.parametrize("name", ["GMVAE", "GMWAE"])
def test_labels_and_shares_by_blocks(X, name):
    # Probabilities of all rows are 0.8 of X.
    model = _fitted(X, name, n_mixtures=40)
    rows = Rows(X, model._units, model.device_)
    assert _extra(lambda _: model._after_fit(rows), X) < 0.3
    proba = model.predict_proba(X)
    np.testing.assert_array_equal(model.labels_, proba.argmax(axis=1))
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.weights_, proba.mean(axis=0, dtype=float), rtol=1e-5)


def test_blocks_are_those_of_one_call(X, monkeypatch):
    model = _fitted(X)
    several = [call(model, X[:2000]) for call in CALLS.values()]
    monkeypatch.setattr(_units, "VALUES", 2**30)
    monkeypatch.setattr(_inference, "CHUNK", 2**30)
    for call, values in zip(CALLS.values(), several, strict=True):
        np.testing.assert_allclose(values, call(model, X[:2000]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width, rows", [(1, 4096), (128, 4096), (784, 512), (10**7, 1)])
def test_rows_at_once(width, rows, monkeypatch):
    monkeypatch.setattr(_units, "VALUES", 2**19)
    assert rows_at_once(width) == rows


def test_units_there_and_back():
    X = np.random.default_rng(0).random((5, 3))
    units = Units(X.mean(axis=0), 2.0)
    before = X.copy()
    np.testing.assert_allclose(units.restored(units.standardised(X), X.dtype), X)
    np.testing.assert_array_equal(X, before)
