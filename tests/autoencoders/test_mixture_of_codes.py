"""The middle of points, and the Gaussian mixture of them that samples are drawn from."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from skotae.autoencoders.bases import _ex_post
from skotae.autoencoders.bases._ex_post import LADDER, draw, fit_mixture
from skotae.autoencoders.bases.codes import middle


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def nearest(A, B):
    return np.median(NearestNeighbors(n_neighbors=1).fit(A).kneighbors(B)[0])


def test_middle_of_normal_points():
    """Known answer: location, shape, and a median radius that the shape is consistent with."""
    rng = np.random.RandomState(0)
    mix = np.array([[2.0, 0.0], [1.0, 0.3]])
    u = rng.normal(size=(4000, 2)) @ mix + [5, -3]
    found = middle(u)
    np.testing.assert_allclose(found["centre"], [5, -3], atol=0.1)
    scatter = np.linalg.inv(found["axes"] @ found["axes"].T)
    np.testing.assert_allclose(scatter / scatter[0, 0], mix.T @ mix / 5, atol=0.02)
    outside = np.linalg.norm((u - found["centre"]) @ found["axes"], axis=1) > found["radius"]
    assert outside.mean() == pytest.approx(0.5, abs=0.001)


def test_middle_does_not_follow_outliers():
    u = np.random.RandomState(0).normal(size=(500, 2))
    u[:50] += 1e7
    found, without = middle(u), middle(u[50:])
    np.testing.assert_allclose(found["centre"], without["centre"], atol=0.2)
    np.testing.assert_allclose(found["radius"], without["radius"], rtol=0.3)


@pytest.mark.parametrize(
    "u",
    [
        np.zeros((1, 3)),
        np.zeros((5, 3)),
        np.full((5, 2), 1e30),
        np.array([[0.0, 1.0], [np.inf, 0.0], [np.nan, 1.0]]),
        np.full((3, 2), np.nan),
        np.arange(8.0)[:, None] * [1e-20, 1e20],
        np.random.RandomState(0).normal(size=(4, 40)),
    ],
)
def test_degenerate_points(u):
    found = {**middle(u), **fit_mixture(u, middle(u), 0)}
    z = draw(found, 50, generator())
    assert all(np.isfinite(found[name]).all() for name in ("centre", "axes", "weights", "means"))
    assert z.shape == (50, u.shape[1])
    assert z.isfinite().all()


def test_mixture_finds_components():
    rng = np.random.RandomState(0)
    centres = np.array([[0, 0], [8, 0], [0, 8], [8, 8], [4, 20]])
    u = centres[rng.randint(5, size=1500)] + rng.normal(size=(1500, 2))
    found = fit_mixture(u, middle(u), 0)
    assert len(found["weights"]) >= 5
    z = draw(found, 2000, generator()).numpy()
    gap = np.linalg.norm(z[:, None] - centres, axis=2).min(axis=1)
    assert np.quantile(gap, 0.95) < 3.5
    share = np.bincount(np.linalg.norm(z[:, None] - centres, axis=2).argmin(axis=1)) / 2000
    np.testing.assert_allclose(share, 0.2, atol=0.05)


def test_one_gaussian_is_enough_for_one():
    u = np.random.RandomState(0).normal(size=(600, 4)) * [1, 5, 10, 0.1]
    found = fit_mixture(u, middle(u), 0)
    assert len(found["weights"]) == 1
    covariance = np.cov(draw(found, 20_000, generator()).numpy().T)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [1, 5, 10, 0.1], rtol=0.1)


@pytest.mark.parametrize("n", [20, 60, 120])
def test_mixture_of_few_points_memorises_none(n):
    """Draws are as far from the points as other points are, not on them."""
    rng = np.random.RandomState(0)
    u, others = rng.normal(size=(2, n, 4))
    twice = np.repeat(u, 2, axis=0)
    found = fit_mixture(twice, middle(twice), 0)
    assert len(found["weights"]) < max(LADDER)
    z = draw(found, n, generator()).numpy()
    assert nearest(u, z) > 0.6 * nearest(u, others)


def test_components_have_half_as_many_points_as_coordinates(monkeypatch):
    tried, fitted = [], _ex_post._fitted
    monkeypatch.setattr(
        _ex_post, "_fitted", lambda v, own, k, seed: tried.append(k) or fitted(v, own, k, seed)
    )
    # Of which 160 tell of at most two components in 100 dimensions, and of five in 64.
    u = np.random.default_rng(0).normal(size=(200, 100))
    fit_mixture(u, middle(u), 0)
    assert set(tried) == {1, 2}
    fit_mixture(u[:, :64], middle(u[:, :64]), 0)
    assert set(tried) == {1, 2, 5}


def test_groups_are_found_in_wide_directions():
    """Five groups in two of sixteen dimensions: the others, narrow, hide them when whitened."""
    rng = np.random.default_rng(3)
    width = np.where(np.arange(16) < 2, 1.0, 0.05)
    centres = 8 * rng.normal(size=(5, 16)) * (np.arange(16) < 2)
    u = (centres[rng.integers(5, size=300)] + rng.normal(size=(300, 16))) * width
    found = fit_mixture(u, middle(u), 0)
    assert len(found["weights"]) == 5
    gaps = np.linalg.norm((found["means"][:, None] - centres * width)[..., :2], axis=-1)
    assert gaps.min(axis=0).max() < 0.5


def test_components_of_few_points_share_a_covariance():
    """Twelve points beside two hundred: alone they know of eleven directions."""
    rng = np.random.default_rng(0)
    spread = np.linspace(1, 3, 16)
    u = rng.normal(size=(212, 16)) * spread
    u[200:, 0] += 30
    found = fit_mixture(u, middle(u), 0)
    assert len(found["weights"]) == 2
    few = found["factors"][found["weights"].argmin()]
    # That of all but the shift is 1 in the narrowest direction.
    assert np.linalg.eigvalsh(few @ few.T).min() > 0.4
