"""What GMWAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from sklearn.base import is_clusterer
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skotae import GMWAE
from skotae.testing import make_data

X = make_data(48)


def small(**params):
    defaults = {
        "n_components": 2,
        "n_mixtures": 3,
        "hidden_layer_sizes": (16,),
        "max_iter": 2,
        "random_state": 0,
    }
    return GMWAE(**{**defaults, **params})


@pytest.fixture(scope="module")
def model():
    return small(max_iter=10).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict(model, dtype):
    data = X.astype(dtype)
    proba = model.predict_proba(data)
    assert proba.shape == (48, 3) and proba.dtype == dtype
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    assert (proba >= 0).all()
    labels = model.predict(data)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, proba.argmax(axis=1))


def test_labels(model):
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    np.testing.assert_array_equal(small(max_iter=10).fit_predict(X), model.labels_)
    assert not is_clusterer(model)


def test_code_is_the_posterior_mean(model):
    draws = model.sample_posterior(X, 2000, random_state=0)
    error = np.abs(draws.mean(axis=1) - model.transform(X))
    assert np.all(error < 6 * draws.std(axis=1) / np.sqrt(2000))


def test_samples_of_a_component(model):
    parts = [model.sample(200, component=k, random_state=0) for k in range(3)]
    assert all(part.shape == (200, 6) and part.dtype == np.float64 for part in parts)
    gaps = [
        np.abs(parts[i].mean(axis=0) - parts[j].mean(axis=0)).max() for i, j in [(0, 1), (1, 2)]
    ]
    assert min(gaps) > 1e-3
    again = model.sample(200, component=np.int64(1), random_state=0)
    np.testing.assert_array_equal(again, parts[1])
    assert np.isfinite(model.sample(5, random_state=0)).all()


def test_samples_of_a_component_are_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    part = small().fit(frame).sample(4, component=0, random_state=0)
    assert isinstance(part, pandas.DataFrame) and list(part.columns) == list("abcdef")


@pytest.mark.parametrize("n_components, n_mixtures", [(1, 1), (1, 4), (2, 3), (2, 7), (5, 3)])
def test_sizes(n_components, n_mixtures):
    model = small(n_components=n_components, n_mixtures=n_mixtures).fit(X)
    assert model.predict_proba(X).shape == (48, n_mixtures)
    assert set(model.history_) == {"reconstruction", "penalty", "loss"}
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("separation", [1.0, 4.0, 10.0])
def test_separation(separation):
    means = small(separation=separation).fit(X).prior_.component_means(2)
    np.testing.assert_allclose(torch.pdist(means), separation)


def test_samples_follow_n_mixtures_of_the_fit():
    model = small().fit(X).set_params(n_mixtures=2)
    assert model.sample(2, component=2, random_state=0).shape == (2, 6)


def test_groups_are_found():
    data, groups = make_blobs(300, 5, centers=3, cluster_std=0.5, random_state=1)
    model = GMWAE(2, n_mixtures=3, hidden_layer_sizes=(32,), max_iter=60, random_state=0)
    labels = model.fit_predict(data)
    assert adjusted_rand_score(groups, labels) > 0.5
