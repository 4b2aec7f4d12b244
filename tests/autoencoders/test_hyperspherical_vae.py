"""What HypersphericalVAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skotae import HypersphericalVAE
from skotae.networks import MLP
from skotae.priors import SpherePrior
from skotae.priors._von_mises_fisher import sphere_integrals
from skotae.testing import make_data

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0}
    return HypersphericalVAE(**{**defaults, **params})


def on_the_circle(n=400):
    """Rows on a closed curve in eight dimensions, and their angles."""
    angle = np.random.RandomState(0).uniform(-np.pi, np.pi, n)
    curve = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.random.RandomState(1).normal(
        size=(2, 8)
    )
    return curve + 0.02 * np.random.RandomState(2).normal(size=curve.shape), angle


@pytest.fixture(scope="module")
def model():
    return small(max_iter=20).fit(X)


@pytest.mark.parametrize("d", [2, 3, 40])
def test_codes_are_on_the_sphere(d):
    model = small(n_components=d).fit(X)
    codes = [model.transform(X), model.sample_posterior(X, 5, random_state=0)]
    for Z in codes:
        np.testing.assert_allclose(np.linalg.norm(Z, axis=-1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("n_components, n_features", [(1, 6), (2, 6), (None, 1)])
def test_the_least_sphere_is_the_circle(n_components, n_features):
    model = small(n_components=n_components).fit(X[:, :n_features])
    assert model.n_components_ == 2
    assert model.transform(X[:, :n_features]).shape == (48, 2)


def test_code_is_the_mean_direction(model):
    draws = model.sample_posterior(X, 4000, random_state=0).mean(axis=1)
    length = np.linalg.norm(draws, axis=1)
    with torch.no_grad():
        rows = model._inference(np.float32).tensor(X)
        ratio = sphere_integrals(model.encoder_.moments(rows)[1], 3).ratio.numpy()
    np.testing.assert_allclose(length, ratio, atol=0.06)
    assert np.all((draws * model.transform(X)).sum(axis=1) > length - 0.01)


def test_samples_are_decoded_uniform_draws(model):
    draws = model.model_.draw_codes(4000, torch.Generator().manual_seed(0), torch.float64).numpy()
    np.testing.assert_allclose(np.linalg.norm(draws, axis=1), 1.0)
    np.testing.assert_allclose(draws.T @ draws / 4000, np.eye(3) / 3, atol=0.03)
    assert isinstance(model.prior_, SpherePrior)


def test_paths_are_great_circles(model):
    paths = model.interpolate(X[:4], X[4:8], 7)
    z1, z2 = model.transform(X[:4]), model.transform(X[4:8])
    middle = (z1 + z2) / np.linalg.norm(z1 + z2, axis=1, keepdims=True)
    np.testing.assert_allclose(paths[:, 3], model.inverse_transform(middle), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("d", [2, 128, pytest.param(1000, marks=pytest.mark.slow)])
def test_dimensions(d):
    """As d = 128, where a Bessel function of float32 underflows."""
    model = small(n_components=d).fit(X)
    assert np.isfinite([*model.history_["kl"], *model.history_["reconstruction"]]).all()
    assert np.isfinite(model.elbo(X, random_state=0)).all()


def test_warm_up():
    """The weight of the divergence is 0 at first, and whole in the end."""
    half = small(warm_up=0.5, max_iter=10, learning_rate="constant").fit(X).history_["kl"]
    none = small(warm_up=0.0, max_iter=10, learning_rate="constant").fit(X).history_["kl"]
    assert half[0] < 0.3 * none[0]
    assert half[5] > 0.5 * none[5]


@pytest.mark.parametrize("start", ["random", "pca"])
def test_beta_narrows_or_widens_the_posterior(start):
    """Where no decay holds it to the width that it starts with."""
    networks = dict.fromkeys(("encoder", "decoder"), MLP((16,), start=start))

    def divergence(beta):
        model = small(beta=beta, max_iter=60, n_components=2, weight_decay=0.0, **networks)
        return model.fit(X).history_["kl"][-1] / beta

    assert divergence(0.1) > 1.5 * divergence(5.0)


def test_elbo_is_a_bound_that_more_draws_estimate(model):
    one = np.mean([model.elbo(X, random_state=seed) for seed in range(200)], axis=0)
    many = model.elbo(X, 200, random_state=1000)
    np.testing.assert_allclose(one.mean(), many.mean(), rtol=0.02)


def test_a_circle_is_unrolled():
    """Codes in two dimensions run around the circle as the data do, once and in order."""
    data, angle = on_the_circle()
    model = HypersphericalVAE(2, hidden_layer_sizes=(64,), max_iter=60, random_state=0).fit(data)
    Z = model.transform(data)
    order = np.argsort(angle)
    code = np.unwrap(np.arctan2(Z[order, 1], Z[order, 0]))
    assert 0.9 < abs(code[-1] - code[0]) / (2 * np.pi) < 1.1
    assert abs(np.corrcoef(code, angle[order])[0, 1]) > 0.97
    spread = model.sample(1000, random_state=0).std(axis=0) / data.std(axis=0)
    assert 0.8 < spread.min() and spread.max() < 1.2


@pytest.mark.slow
@pytest.mark.parametrize("d", [8, 40])
def test_nearest_neighbours_of_digits(d):
    data, labels = load_digits(return_X_y=True)
    train, test, y_train, y_test = train_test_split(
        data / 16, labels, test_size=0.3, stratify=labels, random_state=0
    )
    model = HypersphericalVAE(d, random_state=0).fit(train)
    neighbours = KNeighborsClassifier(5).fit(model.transform(train), y_train)
    assert neighbours.score(model.transform(test), y_test) >= 0.93
