"""`score_samples`: what a reconstruction misses, and what the code takes to be unusual."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import skotae
from skotae import VAE, CoupledVAE, SinkhornAE, WAEEstimator
from skotae.autoencoders.bases.codes import REACH
from skotae.priors import DirichletPrior, SpherePrior, UniformPrior

X = np.random.RandomState(0).normal(size=(80, 5)) * [3, 2, 1, 0.5, 0.1] + 1


def small(cls=WAEEstimator, **params):
    params = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, **params}
    return cls(3, **params)


def test_the_formula():
    """As documented, in NumPy, from the public methods and the stored centre and scatter."""
    model = small().fit(X)
    codes = model._codes_
    step = model.transform(X) - codes["centre"]
    square = np.square(step @ codes["axes"]).sum(axis=1, keepdims=True)
    assert np.sqrt(np.median(square)) == pytest.approx(codes["radius"], rel=1e-3)
    moved = codes["centre"] + step / (1 + square / (REACH * codes["radius"]) ** 2)
    expected = model.score_samples(X, reconstruction_only=True) / 2
    gap = (X - model.inverse_transform(moved)) / model.data_scale_
    expected -= np.square(gap).sum(axis=1) / 2
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)


def test_the_formula_in_a_cube():
    model = small(prior=UniformPrior(0.0, 1.0)).fit(X)
    codes = model._codes_
    step = logit(model.transform(X).clip(1e-6, 1 - 1e-6)) - codes["centre"]
    square = np.square(step @ codes["axes"]).sum(axis=1, keepdims=True)
    moved = expit(codes["centre"] + step / (1 + square / (REACH * codes["radius"]) ** 2))
    expected = model.score_samples(X, reconstruction_only=True) / 2
    gap = (X - model.inverse_transform(moved)) / model.data_scale_
    expected -= np.square(gap).sum(axis=1) / 2
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-6)


@pytest.mark.parametrize("prior", [SpherePrior(), DirichletPrior()], ids=repr)
def test_codes_stay_on_the_support(prior, monkeypatch):
    model = small(prior=prior).fit(X)
    seen = []
    cost_of = type(model.decoder_).cost_of
    monkeypatch.setattr(
        type(model.decoder_), "cost_of", lambda self, x, z: seen.append(z) or cost_of(self, x, z)
    )
    model.score_samples(X)
    _, z = seen
    total = z.norm(dim=1) if prior.support == "sphere" else z.sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_rows_alone_and_together():
    model = small(VAE).fit(X)
    together = model.score_samples(X)
    alone = np.concatenate([model.score_samples(row[None]) for row in X])
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    np.testing.assert_array_equal(together, model.score_samples(X))
    assert model.score_samples(X.astype(np.float32)).dtype == np.float32


def test_far_from_all_rows():
    """A row as far out as its dtype allows has a finite score, the lowest of all."""
    model = small().fit(X.astype(np.float32))
    for far in (1e3, 1e10, 1e18, 1e30):
        rows = np.full((1, 5), far, dtype=np.float32)
        score = model.score_samples(rows)
        assert np.isfinite(score).all()
        assert score < model.score_samples(X.astype(np.float32)).min()


def test_rows_that_are_all_alike():
    """All codes are one point: nothing to move, and any other code goes there."""
    model = small(max_iter=300).fit(np.full((40, 4), 3.0))
    np.testing.assert_allclose(model.score_samples(np.full((2, 4), 3.0)), 0.0, atol=1e-3)
    assert model.score_samples(np.full((1, 4), 1e6)) < -1e3


def contaminated(seed=0):
    """Rows near a plane, and one in ten on another: what a network reproduces after training."""
    rng = np.random.RandomState(seed)
    usual = rng.normal(size=(450, 2)) @ rng.normal(size=(2, 8))
    other = 8 * rng.normal(size=(50, 2)) @ rng.normal(size=(2, 8))
    rows = np.concatenate([usual, other]) + 0.1 * rng.normal(size=(500, 8))
    return rows / rows.std(), np.arange(500) >= 450


@pytest.mark.parametrize(
    "cls", [WAEEstimator, pytest.param(SinkhornAE, marks=pytest.mark.slow), VAE]
)
def test_outliers_among_the_training_rows(cls):
    rows, outlier = contaminated()
    model = cls(4, hidden_layer_sizes=(64,), max_iter=60, learning_rate_init=0.003, random_state=0)
    model.fit(rows)
    found = roc_auc_score(outlier, -model.score_samples(rows))
    blind = roc_auc_score(outlier, -model.score_samples(rows, reconstruction_only=True))
    assert found > 0.95
    assert found > blind


def test_malignant_among_benign():
    rows, benign = load_breast_cancer(return_X_y=True)
    rng = np.random.RandomState(0)
    kept = np.r_[np.flatnonzero(benign == 1), rng.permutation(np.flatnonzero(benign == 0))[:35]]
    rows, outlier = StandardScaler().fit_transform(rows[kept]), benign[kept] == 0
    model = WAEEstimator(max_iter=40, learning_rate_init=0.003, random_state=0).fit(rows)
    found = roc_auc_score(outlier, -model.score_samples(rows))
    blind = roc_auc_score(outlier, -model.score_samples(rows, reconstruction_only=True))
    assert found > max(0.9, blind + 0.05)


def test_an_estimator_without_an_encoder_network():
    """Importance weights in the place of an encoder: codes are weighted means of draws."""
    model = CoupledVAE(
        2, hidden_layer_sizes=(16,), max_iter=3, posterior="importance", n_bank=64, random_state=0
    ).fit(X)
    assert np.isfinite(model.score_samples(X)).all()


def test_saved_and_loaded(tmp_path):
    model = small(VAE, latent="prior").fit(X)
    model.save(tmp_path / "model.safetensors")
    loaded = skotae.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
