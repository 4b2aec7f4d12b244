"""Rows that principal components leave little of, or nothing."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from skotae import VAE, CoupledVAE, SinkhornAE, SymmetricWAE, WAEEstimator, load
from skotae.autoencoders.bases.principal import principal_map


def nearly_flat(n=300, noise=1e-3, seed=0):
    """Rows (n, 12) near a space of three dimensions, of deviations 5, 2 and 1."""
    random = np.random.RandomState(seed)
    axes = np.linalg.qr(random.normal(size=(12, 3)))[0]
    return random.normal(size=(n, 3)) * [5, 2, 1] @ axes.T + noise * random.normal(size=(n, 12))


def test_noise_costs_what_components_leave():
    X = nearly_flat(noise=0.3)
    path = principal_map(X, 3, seed=0)
    left = np.square(X - PCA(3).fit(X).inverse_transform(PCA(3).fit_transform(X))).sum(1).mean()
    cost = path.noise.numpy() * PCA(3).fit_transform(X).std(axis=0)
    np.testing.assert_allclose(np.square(cost), left / 3, rtol=1e-4)


def test_noise_is_without_end_where_nothing_is_left():
    assert principal_map(nearly_flat(noise=0.0), 3, seed=0).noise.isinf().all()


@pytest.mark.parametrize("cls", [WAEEstimator, SinkhornAE, SymmetricWAE])
def test_reconstructions_keep_what_components_have(cls):
    X, new = np.split(nearly_flat(n=600, noise=1e-4), 2)
    pca = PCA(3).fit(X)
    least = np.mean((pca.inverse_transform(pca.transform(new)) - new) ** 2)
    model = cls(3, random_state=0).fit(X)
    assert np.mean((model.reconstruct(new) - new) ** 2) < 1.1 * least


def test_codes_can_still_follow_a_prior():
    # Coordinates in a square are far from normal.
    random = np.random.RandomState(0)
    axes = np.linalg.qr(random.normal(size=(12, 2)))[0]
    X = random.uniform(-1, 1, size=(500, 2)) @ axes.T + 0.01 * random.normal(size=(500, 12))

    def kurtosis(lam):
        z = WAEEstimator(2, prior="normal", lam=lam, random_state=0).fit(X).transform(X)
        return np.mean(((z - z.mean(axis=0)) / z.std(axis=0)) ** 4)

    assert kurtosis(100.0) > kurtosis(0.01) + 0.1


@pytest.mark.parametrize("cls", [VAE, CoupledVAE])
def test_codes_of_others_are_free(cls):
    model = cls(3, max_iter=2, random_state=0).fit(nearly_flat())
    assert model.model_.encoder.net.share is None


def test_what_a_network_counts_for_is_saved(tmp_path):
    X = nearly_flat()
    model = WAEEstimator(3, max_iter=2, random_state=0).fit(X)
    assert model.model_.encoder.net.share is not None
    model.save(tmp_path / "model.skotae")
    again = load(tmp_path / "model.skotae")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    torch.testing.assert_close(again.model_.encoder.net.share, model.model_.encoder.net.share)
