"""Distances between samples, and the grid of Gaussians, for NumPy users."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.datasets import make_gaussian_grid
from skotae.metrics import exact_wasserstein, high_density_ratio, mmd

GRID = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3)], dtype=float)


def _normal(n, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# Wasserstein.


@pytest.mark.parametrize(("n", "m"), [(1, 1), (12, 12), (9, 14)])
def test_wasserstein_is_pots(n, m):
    X, Y = _normal(n), _normal(m, seed=1) + 0.5
    expected = math.sqrt(ot.emd2(ot.unif(n), ot.unif(m), ot.dist(X, Y)))
    assert exact_wasserstein(X, Y) == pytest.approx(expected)


@pytest.mark.parametrize(("p", "distance"), [(1, 7.0), (2, 5.0), (3, 91 ** (1 / 3))])
def test_wasserstein_of_a_shift_is_its_length(p, distance):
    X = _normal(15)
    assert exact_wasserstein(X[::-1] + [3, 4], X, p=p) == pytest.approx(distance)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(0, 2**31))
def test_wasserstein_is_a_distance(seed):
    X, Y, Z = (_normal(8, seed=seed + i) for i in range(3))
    assert exact_wasserstein(X, X) == 0
    assert exact_wasserstein(X, Y) == pytest.approx(exact_wasserstein(Y, X))
    assert exact_wasserstein(X, Z) <= exact_wasserstein(X, Y) + exact_wasserstein(Y, Z) + 1e-12


def test_wasserstein_takes_lists():
    assert exact_wasserstein([[0]], [[2]]) == 2.0


# MMD.


def test_mmd_is_the_double_sum():
    X, Y = _normal(7), _normal(5, seed=1)

    def kernel(A, B):
        square = ((A[:, None] - B) ** 2).sum(2)
        return sum(4 * s / (4 * s + square) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(X, X), kernel(Y, Y))
    ]
    assert mmd(X, Y) == pytest.approx(sum(within) - 2 * kernel(X, Y).mean())


def test_mmd_is_symmetric():
    X, Y = _normal(7), _normal(5, seed=1)
    assert mmd(X, Y) == pytest.approx(mmd(Y, X))


def test_mmd_bandwidth_has_the_units_of_the_data():
    X, Y = _normal(7), _normal(5, seed=1)
    assert mmd(3 * X, 3 * Y, bandwidth=3.0) == pytest.approx(mmd(X, Y))


@pytest.mark.parametrize("metric", [exact_wasserstein, mmd])
def test_metrics_return_python_floats(metric):
    assert type(metric(_normal(4).astype(np.float32), _normal(4))) is float


@pytest.mark.parametrize("metric", [exact_wasserstein, mmd])
def test_metrics_do_not_write_their_input(metric):
    X, Y = _normal(6), _normal(6, seed=1)
    before = X.copy(), Y.copy()
    metric(X, Y)
    assert np.array_equal(X, before[0]) and np.array_equal(Y, before[1])


@pytest.mark.parametrize("metric", [exact_wasserstein, mmd])
def test_read_only_arrays_are_taken_without_a_warning(metric, recwarn):
    X = _normal(6)
    X.setflags(write=False)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # torch says it once a process only
    try:
        metric(X, X + 1)
    finally:
        torch.set_warn_always(always)
    assert not [w for w in recwarn if "not writable" in str(w.message)]


@pytest.mark.parametrize("metric", [exact_wasserstein, mmd])
def test_different_widths_are_refused(metric):
    with pytest.raises(ValueError, match="X has 2 columns and Y has 3"):
        metric(_normal(4, 2), _normal(4, 3))


@pytest.mark.parametrize("metric", [exact_wasserstein, mmd])
def test_missing_values_are_refused(metric):
    with pytest.raises(ValueError, match="Input Y contains NaN"):
        metric(_normal(4), np.full((4, 2), np.nan))


# The grid.


def test_true_samples_are_of_high_density():
    X, _ = make_gaussian_grid(5000, random_state=0)
    ratio, n_modes, within = high_density_ratio(X, GRID, 0.05)
    # Outside of 4 sigma in two dimensions: exp(-8).
    assert ratio > 0.998 and n_modes == 25 and within == pytest.approx(0.05, rel=0.03)


def test_samples_far_from_every_mode_are_not():
    ratio, n_modes, within = high_density_ratio(GRID + 0.5, GRID, 0.05)
    assert (ratio, n_modes) == (0.0, 0) and math.isnan(within)


def test_modes_that_are_missed_are_not_counted():
    X, y = make_gaussian_grid(5000, random_state=0)
    assert high_density_ratio(X[y < 7], GRID, 0.05)[1] == 7


def test_ratio_is_a_share():
    X = np.array([[0.0, 0.0], [0.0, 0.1], [0.5, 0.5], [0.0, 0.3]])
    assert high_density_ratio(X, GRID, 0.05)[0] == 0.5


def test_n_scales_is_the_reach():
    X = np.array([[0.0, 0.0], [0.0, 0.3]])
    assert high_density_ratio(X, GRID, 0.05, n_scales=7)[0] == 1.0


def test_within_is_about_the_mean_of_the_mode():
    X = np.array([[1.01, 0.0], [2.0, -0.03]])
    assert high_density_ratio(X, GRID, 0.05)[2] == pytest.approx(math.sqrt(0.001 / 4))


@pytest.mark.parametrize("bad", [{"scale": -0.05}, {"scale": 0.05, "n_scales": 0.0}])
def test_radius_of_a_mode_is_positive(bad):
    with pytest.raises(ValueError, match=list(bad)[-1]):
        high_density_ratio(GRID, GRID, **bad)


@pytest.mark.parametrize(("shift", "unit"), [(1e8, 1.0), (1e4, 1e-3), (0.0, 1e-9)])
def test_ratio_does_not_depend_on_where_the_modes_are(shift, unit):
    """Nor on how far apart they are beside their widths."""
    draws = GRID.repeat(4, axis=0) + unit * 0.05 * _normal(100)
    ratio, n_modes, within = high_density_ratio(draws + shift, GRID + shift, unit * 0.05)
    expected = high_density_ratio(draws, GRID, unit * 0.05)
    assert (ratio, n_modes) == expected[:2] and ratio > 0.95 and n_modes == 25
    assert within == pytest.approx(unit * 0.05, rel=0.2)
