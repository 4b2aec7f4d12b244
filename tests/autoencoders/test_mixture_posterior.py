"""What those with components have in common: prediction, samples and paths by component."""

import numpy as np
import pytest
import torch
from sklearn.base import is_clusterer
from torch import nn

from skotae import GMVAE, GMWAE
from skotae.autoencoders.mixture.posterior import gaussians_of_components
from skotae.testing import make_data

from .mixtures import small

X = make_data(48)
CLASSES = [GMVAE, GMWAE]


@pytest.fixture(scope="module", params=CLASSES)
def model(request):
    return small(request.param, max_iter=10).fit(X)


def decoded_means(model):
    return model.inverse_transform(model.prior_.component_means(model.n_components_).numpy())


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


@pytest.mark.parametrize("n, expected", [(5, 2), (48, 2), (100, 5), (400, 10)])
@pytest.mark.parametrize("cls", CLASSES)
def test_number_of_components_by_default(cls, n, expected):
    """That of a fit stays what it is while training goes on."""
    model = small(cls, n_mixtures=None, warm_start=True, max_iter=1).fit(make_data(n))
    assert model.n_mixtures_ == expected
    model.partial_fit(make_data(240))
    assert model.n_mixtures_ == expected == model.predict_proba(X).shape[1]


def test_labels(model):
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    again = small(type(model), max_iter=10)
    np.testing.assert_array_equal(again.fit_predict(X), model.labels_)
    assert not is_clusterer(model)


def test_weights(model):
    np.testing.assert_allclose(model.weights_, model.predict_proba(X).mean(axis=0), rtol=1e-12)


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


def test_gaussians_of_components():
    """Moments of codes with their weights, and of d + 1 that have the prior's."""
    random = np.random.default_rng(0)
    weight = random.dirichlet(np.ones(3), 40)
    weight[:, 2] = 0.0
    shift, variance = random.normal(2.0, 3.0, (40, 3, 2)), random.uniform(0.1, 1.0, (40, 3, 2))
    parts = np.concatenate([weight[..., None], shift, variance], axis=2)
    parts = [parts[:30], parts[30:], np.full((1, 3, 5), np.nan)]
    means = random.normal(size=(3, 2))
    found = gaussians_of_components(parts, means)
    for k in range(3):
        # Each row as four codes with its mean and variance, and the prior's likewise.
        corners = np.sqrt(2) * np.r_[np.eye(2), -np.eye(2)]
        codes = (shift[:, k, None] + np.sqrt(variance[:, k, None]) * corners).reshape(-1, 2)
        codes = np.r_[codes, corners]
        weights = np.r_[np.repeat(weight[:, k], 4), np.full(4, 3.0)] / 4
        expected = means[k] + np.average(codes, axis=0, weights=weights)
        np.testing.assert_allclose(found["component_means"][k], expected)
        factor = found["component_factors"][k]
        covariance = np.cov(codes.T, aweights=weights, ddof=0)
        np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-12)
    np.testing.assert_allclose(found["component_means"][2], means[2])


def test_samples_of_a_component_are_frames(model):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    part = small(type(model)).fit(frame).sample(4, component=0, random_state=0)
    assert isinstance(part, pandas.DataFrame) and list(part.columns) == list("abcdef")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("component", [None, 1])
def test_scale_of_samples(cls, component):
    """With a linear decoder, half the scale is half of the way to the mean."""
    model = small(cls, decoder=nn.Linear, clip=False, latent="prior").fit(X)
    wide, half, narrow = (
        model.sample(50, component=component, scale=scale, random_state=0)
        for scale in (1.0, 0.5, 1e-9)
    )
    np.testing.assert_array_equal(wide, model.sample(50, component=component, random_state=0))
    np.testing.assert_allclose(half, (wide + narrow) / 2, atol=1e-5)
    distance = np.abs(narrow[:, None] - decoded_means(model)).max(axis=2)
    assert distance.min(axis=1).max() < 1e-5
    assert set(distance.argmin(axis=1)) == ({0, 1, 2} if component is None else {component})


def test_paths_between_components(model):
    path = model.interpolate_components(2, 0, 5)
    assert path.shape == (5, 6) and path.dtype == np.float64
    means = decoded_means(model)
    np.testing.assert_allclose(path[[0, -1]], means[[2, 0]], rtol=1e-9)
    middle = model.prior_.component_means(2)[[0, 2]].mean(dim=0, keepdim=True).numpy()
    np.testing.assert_allclose(path[2:3], model.inverse_transform(middle), rtol=1e-9)


def test_paths_from_one_component_to_all(model):
    paths = model.interpolate_components(1, [0, 1, 2])
    assert paths.shape == (3, 10, 6)
    for k in range(3):
        np.testing.assert_allclose(paths[k], model.interpolate_components(1, k), rtol=1e-9)
    np.testing.assert_allclose(paths[1], np.repeat(paths[1, :1], 10, axis=0), rtol=1e-9)
    assert model.interpolate_components([[0], [1]], [0, 1, 2], 4).shape == (2, 3, 4, 6)


@pytest.mark.parametrize("cls", CLASSES)
def test_paths_in_the_dtype_of_the_fit(cls):
    paths = small(cls).fit(X.astype(np.float32)).interpolate_components(0, 1)
    assert paths.dtype == np.float32


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("n_components, n_mixtures", [(1, 1), (1, 4), (2, 3), (2, 7), (5, 3)])
def test_sizes(cls, n_components, n_mixtures):
    model = small(cls, n_components=n_components, n_mixtures=n_mixtures).fit(X)
    assert model.predict_proba(X).shape == (48, n_mixtures)
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("separation", [1.0, 4.0, 10.0])
def test_separation(cls, separation):
    means = small(cls, separation=separation).fit(X).prior_.component_means(2)
    np.testing.assert_allclose(torch.pdist(means), separation)


@pytest.mark.parametrize("cls", CLASSES)
def test_n_mixtures_is_that_of_the_fit(cls):
    model = small(cls).fit(X).set_params(n_mixtures=2)
    assert model.sample(2, component=2, random_state=0).shape == (2, 6)
    assert model.interpolate_components(2, 0, 4).shape == (4, 6)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_fit_without_moments_of_components_says_so(cls):
    model = small(cls, latent="mixture").fit(X)
    for name in ("weights", "means", "factors"):
        del model._codes_[f"component_{name}"]
    assert model.sample(2, random_state=0).shape == (2, X.shape[1])
    with pytest.raises(ValueError, match="earlier version.*latent='prior'"):
        model.sample(2, component=1)
    assert model.set_params(latent="prior").sample(2, component=1).shape == (2, X.shape[1])
