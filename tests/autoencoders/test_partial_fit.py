"""Chunks of one row, anywhere in a stream but at its beginning."""

import pickle

import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(21, 4))


def stream(model, *ends):
    for start, stop in zip((0, *ends), (*ends, len(X)), strict=True):
        model.partial_fit(X[start:stop])
    return model


@pytest.mark.parametrize("name", ["WAEEstimator", "VAE", "WGAN", "CoupledVAE"])
def test_a_single_row_is_trained_on_with_the_next(small, digest, name):
    whole, parted = stream(small(name), 10, 12), stream(small(name), 10, 11, 12)
    assert digest(whole, X) == digest(parted, X)


def test_a_single_row_at_the_end_waits(small, digest):
    model = stream(small("VAE"), 10)
    before = digest(model, X)
    row = X[:1].copy()
    assert model.partial_fit(row) is model
    row[:] = 1e6
    assert digest(model, X) == before
    # It is there after a pickle, and it is not what has become of the caller's array.
    again = pickle.loads(pickle.dumps(model)).partial_fit(X[1:3])
    assert digest(again, X) == digest(stream(small("VAE"), 10).partial_fit(X[:3]), X)


def test_a_fit_does_not_wait_for_it(small, digest):
    model = stream(small("VAE"), 20)
    assert model._waiting is not None
    model.fit(X)
    assert model._waiting is None
    assert digest(model, X) == digest(small("VAE").fit(X), X)


@pytest.mark.parametrize("n", [10, 21])
def test_it_waits_while_a_fit_goes_on(small, digest, n):
    """Which trains on its own rows; the next chunk has it."""
    models = [small("VAE", warm_start=True).partial_fit(X[:10]) for _ in range(2)]
    models[0].partial_fit(X[10:11])
    for model in models:
        model.fit(X[:n])
    assert digest(models[0], X) == digest(models[1], X)
    models[0].partial_fit(X[11:14])
    models[1].partial_fit(X[10:14])
    assert digest(models[0], X) == digest(models[1], X)
    assert models[0]._waiting is None


def test_it_waits_while_another_call_fails(small):
    """Until there are weights that have seen it."""
    model = small("VAE", warm_start=True).partial_fit(X[:10]).partial_fit(X[10:11])
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3])
    with pytest.raises(ValueError, match="cannot change"):
        model.set_params(activation="tanh").partial_fit(X)
    np.testing.assert_array_equal(model._waiting, X[10:11])


def test_calls_are_epochs_but_for_their_draws(small):
    params = {"lam": 0.0, "weight_decay": 0.0, "batch_size": len(X), "learning_rate": "constant"}
    whole, parted = (small("WAEEstimator", **params, max_iter=4) for _ in range(2))
    whole.fit(X)
    for _ in range(4):
        parted.partial_fit(X)
    assert whole.n_iter_ == parted.n_iter_ == 4
    # The order of the rows is another one in each, and so is the rounding of their mean.
    np.testing.assert_allclose(parted.history_["loss"], whole.history_["loss"], rtol=1e-6)
    np.testing.assert_allclose(parted.transform(X), whole.transform(X), rtol=1e-4, atol=1e-6)


def test_the_first_chunk_has_two_rows(small):
    with pytest.raises(ValueError, match="minimum of 2"):
        small("VAE").partial_fit(X[:1])


def test_a_row_that_is_wrong_is_not_kept(small):
    model = stream(small("VAE"), 10)
    for row in (np.full((1, 4), np.nan), X[:1, :3]):
        with pytest.raises(ValueError):
            model.partial_fit(row)
    assert model._waiting is None
