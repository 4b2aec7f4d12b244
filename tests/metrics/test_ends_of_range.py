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


def test_costs_beyond_the_range_are_an_error():
    for call in (
        lambda: metrics.sinkhorn_divergence(X * 1e155, Y * 1e155),
        lambda: metrics.frechet_distance(X * 1e155, Y * 1e155),
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
