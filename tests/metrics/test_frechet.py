"""The Frechet distance of features."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from skotae.metrics import frechet_distance, gaussian_wasserstein


def _samples(n=60, d=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), rng.normal(size=(n + 10, d)) @ rng.normal(size=(d, d)) + 1


def test_distance_is_the_formula_and_the_square_of_the_other():
    X, Y = _samples()
    A, B = np.cov(X.T), np.cov(Y.T)
    expected = np.square(X.mean(0) - Y.mean(0)).sum() + np.trace(A + B - 2 * sqrtm(A @ B).real)
    assert frechet_distance(X, Y) == pytest.approx(expected)
    assert frechet_distance(X, Y) == pytest.approx(gaussian_wasserstein(X, Y) ** 2)


def test_distance_of_a_shift_and_of_a_scaling():
    X, _ = _samples()
    assert frechet_distance(X, X + 2.0) == pytest.approx(4 * 2.0**2)
    variance = X.var(axis=0, ddof=1).sum()
    assert frechet_distance(X, 3 * X - 2 * X.mean(0)) == pytest.approx(4 * variance)


@pytest.mark.parametrize("rank", [1, 3])
def test_rank_deficient_covariances(rank):
    # In orthogonal subspaces the product of the covariances is zero: no part is shared.
    rng = np.random.default_rng(0)
    X, Y = np.zeros((2, 50, 20))
    X[:, :rank], Y[:, 10 : 10 + rank] = rng.normal(size=(2, 50, rank))
    X, Y = X - X.mean(0), Y - Y.mean(0)
    expected = X.var(axis=0, ddof=1).sum() + Y.var(axis=0, ddof=1).sum()
    assert frechet_distance(X, Y) == pytest.approx(expected)
    assert frechet_distance(X, X[::-1]) == pytest.approx(0.0, abs=1e-10)


def test_fewer_rows_than_features():
    X, _ = _samples(5, 100)
    assert frechet_distance(X, X + 1.0) == pytest.approx(100.0)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_any_scale_and_place(scale, shift):
    X, Y = _samples()
    value = frechet_distance(scale * (X + shift), scale * (Y + shift))
    assert value == pytest.approx(scale**2 * frechet_distance(X, Y), rel=1e-8)


def test_constant_samples_and_single_rows():
    assert frechet_distance(np.ones((5, 2)), np.full((4, 2), 3.0)) == pytest.approx(8.0)
    assert frechet_distance([[0.0]], [[3.0]]) == pytest.approx(9.0)


def test_features_are_what_is_compared():
    X, Y = _samples()
    value = frechet_distance(X, Y, features=lambda rows: rows[:, :2] ** 2)
    assert value == frechet_distance(X[:, :2] ** 2, Y[:, :2] ** 2)
    assert value != frechet_distance(X, Y)


def test_features_may_be_of_images():
    images = np.random.default_rng(0).normal(size=(20, 4, 4))
    value = frechet_distance(images, images + 1, features=lambda part: part.mean(axis=1))
    assert value == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ("pca", TypeError, "features='pca'; expected None or a callable"),
        (lambda X: X[:-1], ValueError, r"features\(X\) has 59 rows and X has 60"),
        (lambda X: X[:, 0], ValueError, r"features\(X\) must have shape .* got shape \(60,\)"),
        (lambda X: X * math.nan, ValueError, r"Input features\(X\) contains NaN"),
        (lambda X: X[:, : len(X) % 60 + 1], ValueError, r"features\(X\) has 1 columns and"),
    ],
)
def test_bad_features_are_named(features, error, message):
    with pytest.raises(error, match=message):
        frechet_distance(*_samples(), features=features)
