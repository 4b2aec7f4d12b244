"""Measures of rows at the ends of what float64 holds."""

import numpy as np
import pytest
import torch

from skotae import metrics

X = np.random.default_rng(0).normal(size=(24, 3))
Y = X + 1


@pytest.mark.parametrize("scale", [2.0**600, 2.0**1000, 2.0**-600, 2.0**-1000])
def test_distances_are_in_the_units_of_the_rows(scale):
    for name, options in {
        "exact_wasserstein": {},
        "sliced_wasserstein": {"random_state": 0},
        "max_sliced_wasserstein": {"random_state": 0},
        "gaussian_wasserstein": {},
    }.items():
        distance = getattr(metrics, name)
        here, there = distance(X, Y, **options), distance(X * scale, Y * scale, **options)
        assert there == pytest.approx(here * scale, rel=1e-9)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cityblock"])
def test_errors_of_reconstructions_are_in_the_units_of_the_rows(cost):
    power = 2 if cost == "sqeuclidean" else 1
    plain = metrics.reconstruction_error(X, Y, cost=cost)
    for scale in (2.0 ** (1000 / power), 2.0 ** (-1000 / power)):
        found = metrics.reconstruction_error(X * scale, Y * scale, cost=cost)
        assert found == plain * scale**power
    assert metrics.reconstruction_error(X * 1e300, X * 1e300, cost=cost) == 0.0


def test_weights_of_any_size():
    weight = np.arange(24.0)
    expected = metrics.reconstruction_error(X, 0 * X, sample_weight=weight)
    for scale in (2.0**1014, 2.0**-1060):
        found = metrics.confidence_interval(
            metrics.reconstruction_error, X, 0 * X, sample_weight=weight * scale, random_state=0
        )
        assert found.value == pytest.approx(expected) and np.isfinite(found).all()


def test_costs_beyond_the_range_are_an_error():
    far = (1 + abs(X)) * 2.0**1022
    for call in (
        lambda: metrics.sinkhorn_divergence(X * 1e155, Y * 1e155),
        lambda: metrics.frechet_distance(X * 1e155, Y * 1e155),
        lambda: metrics.reconstruction_error(X * 1e155, Y * 1e154),
        lambda: metrics.reconstruction_error(far, 0 * X, cost="cityblock"),
        lambda: metrics.exact_wasserstein(X, Y, p=1e4),
        lambda: metrics.sliced_wasserstein(X, Y, p=1e4),
    ):
        with pytest.raises(ValueError, match="beyond the range of float64"):
            call()


def test_the_mmd_is_of_pairs():
    for pair in ((X[:1], X), (X, X[:1]), (X[:1], X[:1])):
        with pytest.raises(ValueError, match="[XY] has 1 row"):
            metrics.mmd(*pair)


def test_tensors_and_masked_arrays():
    rows = torch.tensor(X, requires_grad=True)
    assert metrics.mmd(rows, Y) == metrics.mmd(X, Y)
    with pytest.raises(ValueError, match="Y is an array with .* masked values"):
        metrics.mmd(X, np.ma.masked_array(Y, mask=Y > 1))


@pytest.mark.parametrize("size", [1e100, 1e160, 1e300])
def test_samples_that_are_endlessly_far_off_have_a_score(size):
    """The worst, as reconstructions have; no number is for models that give none."""
    scores = [
        metrics.transport_r2_score(X, *model, random_state=0)
        for model in ((X, size * Y), (size * Y, X), (size * Y, size * Y))
    ]
    assert np.isfinite(scores).all() and max(scores) < -(size**1.5 if size < 1e160 else 1e300)
