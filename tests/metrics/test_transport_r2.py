"""The score of reconstructions and samples, in shares of the variance."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score

from skotae.metrics import transport_r2_score, triangle_bound
from skotae.metrics._score import n_samples_for
from skotae.transport import exact_cost

quickly = settings(deadline=None, derandomize=True, max_examples=15)
seeds = st.integers(0, 2**31)


def _normal(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def _score(*arrays, **options):
    return transport_r2_score(*arrays, random_state=0, **options)


# --- one, zero, and below ----------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1.0, 1e12, 1e150])
@pytest.mark.parametrize("n", [2, 3, 20, 301])
def test_the_constant_gets_zero(n, scale):
    X = scale * (_normal(n) * [1.0, 50.0, 0.0] + [3.0, -7.0, 2.0])
    constant = np.tile(X.mean(axis=0), (n, 1))
    assert abs(_score(X, constant, constant)) < 1e-9


def test_a_perfect_model_gets_one():
    """Half of the time: the distance of two samples of one distribution is 0 on average."""
    scores = [
        _score(X, X, _normal(200, seed=s))
        for s in range(30)
        for X in [_normal(60, seed=-s - 1 + 99)]
    ]
    assert max(scores) == 1.0 and min(scores) > 0.85
    assert 0.1 < np.mean([score == 1.0 for score in scores]) < 0.9


def test_the_rows_themselves_get_one():
    X = _normal(64)
    assert _score(X, X, X[::-1]) == 1.0


def test_there_is_no_lower_limit():
    X = _normal(100)
    score = _score(X, X + 1e6, X + 1e6)
    assert score == pytest.approx(-3e12 / X.var(axis=0).sum(), rel=1e-3)


def test_without_the_samples_it_is_r2():
    """The samples are reconstructions, so that nothing but these counts."""
    X = _normal(200, 4) * [3.0, 1.0, 0.5, 2.0]
    noisy = X + 0.5 * _normal(200, 4, 1)
    expected = r2_score(X, noisy, multioutput="variance_weighted")
    assert _score(X, noisy, noisy) == pytest.approx(expected, rel=1e-9)


def test_known_value_of_the_samples():
    """Reconstructions are perfect; samples are a known shift away."""
    X = _normal(2000, 2)
    samples = _normal(2000, 2, 1) + [3.0, 4.0]
    assert _score(X, X, samples) == pytest.approx(1 - 25 / 2, rel=0.03)


def test_adds_the_two_errors():
    X = _normal(400, 2)
    shrunk, samples = 0.5 * X, 0.5 * _normal(400, 2, 1) + [1.0, 0.0]
    expected = 1 - (0.25 * 2 + 1.0) / 2
    assert _score(X, shrunk, samples) == pytest.approx(expected, abs=0.05)


# --- in noise ----------------------------------------------------------------------------


def _noisy(n, seed):
    """Three groups in a plane of 50 dimensions, and noise that has most of the variance."""
    rng = np.random.default_rng(seed)
    signal = np.array([[4.0, 0.0], [-4.0, 2.0], [0.0, -5.0]])[rng.integers(3, size=n)]
    return np.pad(signal, [(0, 0), (0, 48)]) + rng.normal(size=(n, 50))


def test_the_ranking_does_not_invert_where_data_are_mostly_noise():
    """Two components with a Gaussian on them are better than the constant.

    Exact transport to further rows says so; the triangle bound has it the other way round.
    """
    X, X_test, further = (_noisy(200, seed) for seed in range(3))
    pca = PCA(2).fit(X)
    drawn = _normal(600, 2, 4) * np.sqrt(pca.explained_variance_)
    samples = pca.inverse_transform(drawn)
    reconstructed = pca.inverse_transform(pca.transform(X_test))
    constant = np.tile(X.mean(axis=0), (600, 1))

    def distance(rows):
        return float(exact_cost(torch.from_numpy(further), torch.from_numpy(rows[:200])))

    assert distance(samples) < distance(constant)
    assert _score(X_test, reconstructed, samples) > _score(X_test, constant[:200], constant) + 0.1
    bound = triangle_bound(X_test, reconstructed, samples, random_state=0)
    assert bound > triangle_bound(X_test, constant[:200], constant, random_state=0)


def test_is_near_the_known_distance_in_noise():
    """A line in noise: what is off the line is lost, and nothing else is."""
    rng = np.random.default_rng(0)
    X, reconstructed = rng.normal(size=(500, 100)), np.zeros((500, 100))
    X[:, 0] *= 5
    reconstructed[:, 0] = X[:, 0]
    samples = np.zeros((500, 100))
    samples[:, 0] = 5 * rng.normal(size=500)
    assert _score(X, reconstructed, samples) == pytest.approx(1 - 99 / 124, abs=0.02)


# --- units, weights, odd data ------------------------------------------------------------


@quickly
@given(seeds, st.floats(-150, 150), st.floats(-1e5, 1e5))
def test_has_no_units_and_no_origin(seed, exponent, offset):
    X, R, S = (_normal(15, 2, seed + i) for i in range(3))
    expected = _score(X, R, S)
    assert _score(*(10.0**exponent * part for part in (X, R, S))) == pytest.approx(expected)
    moved = _score(*(part + offset for part in (X, R, S)))
    assert moved == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_float32_at_any_scale(scale):
    arrays = [_normal(50, seed=i) for i in range(3)]
    narrow = [(scale * part).astype(np.float32) for part in arrays]
    assert _score(*narrow) == pytest.approx(_score(*arrays), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300])
def test_constant_data_follow_the_convention_of_r2(value):
    X = np.full((7, 3), value)
    assert _score(X, X, X) == 1.0
    assert _score(X, X, X + 1 + value) == 0.0
    assert _score(X, 0.5 * X - 1, X) == 0.0


def test_constant_columns_and_duplicates_change_nothing():
    X, R, S = (_normal(30, 2, i) for i in range(3))
    wider = [np.column_stack([part, np.full(len(part), 0.1)]) for part in (X, R, S)]
    assert _score(*wider) == pytest.approx(_score(X, R, S))
    rows = np.repeat(X[:2], 20, axis=0)
    assert _score(rows, rows, rows) > 0.95


@quickly
@given(st.lists(st.floats(0, 3), min_size=5, max_size=15).filter(lambda w: max(w) > 0), seeds)
def test_rows_of_weight_zero_are_rows_left_out(weights, seed):
    w = np.array(weights)
    X, R, S = (_normal(len(w), 2, seed + i) for i in range(3))
    kept = [part[w > 0] for part in (X, R)]
    assert _score(X, R, S, sample_weight=w) == _score(*kept, S, sample_weight=w[w > 0])


def test_weights_move_error_and_variance():
    X = np.array([[0.0], [4.0], [4.0], [4.0]])
    R = np.array([[1.0], [4.0], [4.0], [4.0]])
    weighted = _score(X[:2], R[:2], R[:2], sample_weight=[1.0, 3.0])
    error, variance = 1 / 4, 3.0
    gap_free = r2_score(X, R)
    assert gap_free == pytest.approx(1 - error / variance)
    assert weighted <= gap_free + 1e-12


@pytest.mark.parametrize("value", [1.0, 2.5])
def test_equal_weights_are_no_weights(value):
    X, R, S = (_normal(21, seed=i) for i in range(3))
    assert _score(X, R, S, sample_weight=np.full(21, value)) == pytest.approx(_score(X, R, S))


@pytest.mark.parametrize("weight", [np.zeros(4), [1.0, -1.0, 1.0, 1.0], np.ones(3)])
def test_bad_weights_are_refused(weight):
    X = _normal(4)
    with pytest.raises(ValueError, match="sample_weight"):
        _score(X, X, X, sample_weight=weight)


def test_bad_shapes_are_refused():
    X = _normal(6)
    with pytest.raises(ValueError, match="X has 6 rows and X_reconstructed has 5"):
        _score(X, X[:5], X)
    with pytest.raises(ValueError, match="samples has 2"):
        _score(X, X, X[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        _score(X * math.nan, X, X)


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_is_not_finite_has_no_finite_score(which, value):
    arrays = [_normal(10, seed=i) for i in range(3)]
    arrays[which][3, 1] = value
    with np.errstate(invalid="ignore"):
        assert not math.isfinite(_score(*arrays))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 3), (9, 4), (4, 9), (1, 5), (33, 200)])
def test_any_number_of_rows(n, m):
    score = _score(_normal(n), _normal(n) + 1, _normal(m, seed=1))
    assert isinstance(score, float) and score <= 1


def test_the_order_of_samples_does_not_matter_much():
    """Those of a mixture come component by component."""
    X = np.repeat([[-5.0], [0.0], [5.0]], 100, axis=0) + _normal(300, 1)
    assert _score(X, X, np.sort(X + 0.01, axis=0)) > 0.97


def test_more_samples_than_rows_make_it_steadier():
    X = _normal(40, 2)
    few, many = (
        np.std([_score(X, X + 0.5, _normal(m, 2, seed) + 0.5) for seed in range(40)])
        for m in (40, n_samples_for(40))
    )
    assert many < 0.8 * few


def test_a_seed_gives_the_same_score_and_nothing_is_written():
    arrays = [_normal(30, seed=i) for i in range(3)]
    for array in arrays:
        array.setflags(write=False)
    assert _score(*arrays) == _score(*arrays)


def test_many_rows_need_no_large_matrix():
    X = _normal(30_000, 2)
    assert _score(X, X, _normal(3000, 2, 1)) > 0.97
