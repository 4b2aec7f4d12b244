"""The bound behind ``score``."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.metrics import triangle_bound

quickly = settings(deadline=None, derandomize=True, max_examples=20)
seeds = st.integers(0, 2**31)


def _normal(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_perfect_model_is_near_zero():
    X = _normal(500, 2)
    bound = triangle_bound(X, X, _normal(500, 2, 1), random_state=0)
    assert 0 <= bound < 0.3


def test_is_centred_on_zero_for_a_perfect_model():
    """Clipped at 0, the cost of two samples of one distribution is 0 half of the time."""
    bounds = []
    for i in range(40):
        X = _normal(60, 2, 2 * i)
        bounds.append(triangle_bound(X, X, _normal(60, 2, 2 * i + 1), random_state=0))
    zeros = np.mean([bound == 0 for bound in bounds])
    assert 0.2 < zeros < 0.9


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_constant_clouds_have_known_distances(n):
    X, reconstructions, samples = np.zeros((n, 2)), np.ones((n, 2)), np.full((n, 2), 3.0)
    bound = triangle_bound(X, reconstructions, samples, random_state=0)
    assert bound == pytest.approx(math.sqrt(2) + math.sqrt(8))


@quickly
@given(seeds)
def test_a_shift_of_reconstructions_and_samples_is_reconstruction_error_alone(seed):
    X, Y = _normal(40, seed=seed), _normal(40, seed=seed + 1)
    offset = np.array([1.0, 2.0, 2.0])
    at_rest = triangle_bound(X, X, Y, random_state=0)
    assert triangle_bound(X, X + offset, Y + offset, random_state=0) == pytest.approx(3 + at_rest)


def test_a_far_shift_of_the_samples_is_its_length():
    X = _normal(300, 2)
    samples = _normal(300, 2, 1) + [30.0, 40.0]
    assert triangle_bound(X, X, samples, random_state=0) == pytest.approx(50, rel=0.02)


@quickly
@given(seeds, st.floats(-200, 200))
def test_has_the_units_of_the_data(seed, exponent):
    X, R, S = (_normal(15, 2, seed + i) for i in range(3))
    factor = 10.0**exponent
    scaled = triangle_bound(factor * X, factor * R, factor * S, random_state=0)
    assert scaled == pytest.approx(factor * triangle_bound(X, R, S, random_state=0), rel=1e-9)


@quickly
@given(seeds, st.floats(-1e6, 1e6))
def test_does_not_depend_on_the_origin(seed, offset):
    X, R, S = (_normal(15, 2, seed + i) for i in range(3))
    moved = triangle_bound(X + offset, R + offset, S + offset, random_state=0)
    assert moved == pytest.approx(triangle_bound(X, R, S, random_state=0), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("value", [1.0, 1, 2.5])
def test_equal_weights_are_no_weights(value):
    X, R, S = (_normal(21, seed=i) for i in range(3))
    weighted = triangle_bound(X, R, S, sample_weight=np.full(21, value), random_state=0)
    assert weighted == pytest.approx(triangle_bound(X, R, S, random_state=0), rel=1e-12)


@quickly
@given(st.lists(st.floats(0, 3), min_size=5, max_size=15).filter(lambda w: max(w) > 0), seeds)
def test_rows_of_weight_zero_are_rows_left_out(weights, seed):
    w = np.array(weights)
    X, R, S = (_normal(len(w), 2, seed + i) for i in range(3))
    kept = triangle_bound(X[w > 0], R[w > 0], S, sample_weight=w[w > 0], random_state=0)
    assert triangle_bound(X, R, S, sample_weight=w, random_state=0) == kept


def test_weights_move_the_reconstruction_error():
    X, S = np.zeros((2, 1)), np.array([[4.0], [4.0]])
    # Both rows come back as 4, so that only row 0, that is there already, has no error.
    bound = triangle_bound(
        np.array([[4.0], [0.0]]), X + 4, S, sample_weight=np.array([3.0, 1.0]), random_state=0
    )
    assert bound == pytest.approx(math.sqrt(16 / 4))


def test_all_weights_zero_is_refused():
    X = _normal(4)
    with pytest.raises(ValueError, match="sample_weight is invalid: .* non-zero"):
        triangle_bound(X, X, X, sample_weight=np.zeros(4))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 3), (7, 7), (9, 4), (4, 9), (1, 5)])
def test_any_number_of_rows(n, m):
    X = _normal(n)
    bound = triangle_bound(X, X + 1, _normal(m, seed=1), random_state=0)
    assert isinstance(bound, float) and math.sqrt(3) <= bound < math.inf


def test_a_seed_gives_the_same_bound():
    X, R, S = (_normal(30, seed=i) for i in range(3))
    first, second = (triangle_bound(X, R, S, random_state=5) for _ in range(2))
    assert first == second


def test_inputs_are_not_written():
    arrays = [_normal(10, seed=i) for i in range(3)]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    triangle_bound(*arrays, random_state=0)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_float32_gives_what_float64_does():
    arrays = [_normal(20, seed=i).astype(np.float32) for i in range(3)]
    wide = [array.astype(np.float64) for array in arrays]
    assert triangle_bound(*arrays, random_state=0) == pytest.approx(
        triangle_bound(*wide, random_state=0), rel=1e-6
    )


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_is_not_finite_has_no_finite_bound(which, value):
    arrays = [_normal(10, seed=i) for i in range(3)]
    arrays[which][3, 1] = value
    with np.errstate(invalid="ignore"):
        assert not math.isfinite(triangle_bound(*arrays, random_state=0))


def test_constant_data_that_come_back_score_zero():
    X = np.full((5, 2), 7.0)
    assert triangle_bound(X, X, X, random_state=0) == 0
