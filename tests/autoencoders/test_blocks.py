"""What is done with rows after a fit goes by blocks: nothing holds all of them a second time."""

import tracemalloc

import numpy as np
import pytest

import skotae
from skotae.autoencoders import _sinkhorn_encoder
from skotae.autoencoders.bases import inference
from skotae.columns import Units, base, rows_at_once
from skotae.metrics import _score, transport_r2_score
from skotae.metrics._score import n_samples_for
from skotae.training import Rows
from skotae.utils._blocks import is_mapped

# Of rows that are looked at as a whole there are as many in half of these.
N, D = 16_384, 50


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 256 rows, and as many compared, beside which these rows are many."""
    monkeypatch.setattr(base, "VALUES", 256 * D)
    monkeypatch.setattr(_score, "MAX_ROWS", 256)


@pytest.fixture(params=["float32 C", "float64 C", "float32 F"])
def X(request, tmp_path):
    dtype, order = request.param.split()
    rows = np.random.default_rng(0).random((N, D)).astype(dtype)
    return _mapped(rows, tmp_path / "rows.bin", order)


def _mapped(rows, path, order):
    rows.ravel(order).tofile(path)
    return np.memmap(path, dtype=rows.dtype, mode="r", shape=rows.shape, order=order)


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


@pytest.mark.parametrize("latent", ["prior", "mixture"])
def test_samples_are_of_codes_drawn_by_blocks(monkeypatch, latent):
    model, asked = _fitted(np.random.default_rng(0).random((600, D)), latent=latent), []
    drawn = model._drawn_codes
    monkeypatch.setattr(model, "_drawn_codes", lambda n, *a: asked.append(n) or drawn(n, *a))
    rows = model.sample(10_000, random_state=0)
    assert asked == [4096, 4096, 1808]
    assert len(np.unique(rows, axis=0)) > 9_000
    np.testing.assert_array_equal(rows[:4096], model.sample(4096, random_state=0))


def test_distance_by_a_critic_needs_codes_and_a_block(X):
    model = _fitted(X, "WGAN")
    assert _extra(lambda rows: model.wasserstein(rows, random_state=0), X) < 0.15


@pytest.mark.parametrize("name", ["VAE", "GMVAE"])
def test_fit_needs_a_batch(X, name):
    def fit(rows):
        parameters = {"hidden_layer_sizes": (4,), "max_iter": 1, "batch_size": 2500}
        getattr(skotae, name)(n_components=2, random_state=0, **parameters).fit(rows)

    # A part of the rows is looked at as a whole: what is left is what grows, some numbers for
    # each row.
    assert _extra(fit, X) - _extra(fit, X[: N // 2]) / 2 < 0.25


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"inverse_transform"}))
def test_order_of_a_memory_map_makes_no_difference(tmp_path, name):
    rows = np.random.default_rng(0).random((3000, D))
    one, other = (_mapped(rows, tmp_path / f"{order}.bin", order) for order in "CF")
    model, twin = _fitted(one), _fitted(other)
    expected = CALLS[name](model, one)
    np.testing.assert_array_equal(CALLS[name](model, other), expected)
    np.testing.assert_array_equal(CALLS[name](model, rows[:, ::-1][:, ::-1]), expected)
    np.testing.assert_allclose(CALLS[name](twin, other), expected, rtol=1e-9, atol=1e-9)


def test_score_of_an_encoder_takes_the_rows_that_it_compares(X, monkeypatch):
    model, seen = _fitted(X, "SinkhornEncoder"), []
    model.encoder_.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    monkeypatch.setattr(_sinkhorn_encoder, "MAX_ROWS", 100)
    weight = (np.arange(N) % 3).astype(float)
    for given in (None, weight):
        seen.clear()
        assert np.isfinite(model.score(X, sample_weight=given)) and sum(seen) == 100


def test_what_a_cost_refuses_is_named_without_a_copy(X):
    model = _fitted(X, cost="bernoulli")
    rows = np.array(X)
    rows[7, 3] = 2.0

    def refused(rows):
        with pytest.raises(ValueError, match=r"got 2.0 in column 3 of X \(row 7\)"):
            model.transform(rows)

    assert _extra(refused, rows) < 0.1


def test_what_is_a_memory_map(X):
    assert is_mapped(X) and is_mapped(np.asarray(X)[::2].T)
    assert not is_mapped(np.array(X[:2])) and not is_mapped(X[[1, 2]])


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
    # After a whole fit, 8,192 rows are copied for `refit_decoder`.
    assert _extra(lambda _: model._after_fit(rows, incremental=True), X) < 0.3
    proba = model.predict_proba(X)
    np.testing.assert_array_equal(model.labels_, proba.argmax(axis=1))
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.weights_, proba.mean(axis=0, dtype=float), rtol=1e-5)


def test_blocks_are_those_of_one_call(X, monkeypatch):
    model = _fitted(X)
    several = [call(model, X[:2000]) for call in CALLS.values()]
    monkeypatch.setattr(base, "VALUES", 2**30)
    monkeypatch.setattr(inference, "CHUNK", 2**30)
    for call, values in zip(CALLS.values(), several, strict=True):
        np.testing.assert_allclose(values, call(model, X[:2000]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width, rows", [(1, 4096), (128, 4096), (784, 512), (10**7, 1)])
def test_rows_at_once(width, rows, monkeypatch):
    monkeypatch.setattr(base, "VALUES", 2**19)
    assert rows_at_once(width) == rows


def test_units_there_and_back():
    X = np.random.default_rng(0).random((5, 3))
    units = Units(X.mean(axis=0), 2.0)
    before = X.copy()
    np.testing.assert_allclose(units.restored(units.standardised(X), X.dtype), X)
    np.testing.assert_array_equal(X, before)
