"""Precision, recall, density, coverage."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skotae.metrics import _neighbours as neighbours
from skotae.metrics import confidence_interval, density_coverage, precision_recall

BOTH = [precision_recall, density_coverage]


def _samples(n=80, m=60, d=3, seed=0, scale=0.8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), scale * rng.normal(size=(m, d))


def _by_definition(X, Y, k):
    """The four formulas, from all distances."""
    x_radius, y_radius = (np.sort(cdist(part, part), axis=1)[:, k] for part in (X, Y))
    held = cdist(Y, X) <= x_radius
    recalled = (cdist(X, Y) <= y_radius).any(1)
    return held.any(1).mean(), recalled.mean(), held.sum() / (k * len(Y)), held.any(0).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_values_are_the_formulas(k, d):
    X, Y = _samples(d=d)
    found = precision_recall(X, Y, n_neighbors=k) + density_coverage(X, Y, n_neighbors=k)
    assert found == pytest.approx(_by_definition(X, Y, k))


def test_the_defaults_are_the_papers():
    X, Y = _samples()
    assert precision_recall(X, Y) == precision_recall(X, Y, n_neighbors=3)
    assert density_coverage(X, Y) == density_coverage(X, Y, n_neighbors=5)


def test_blocks_change_nothing(monkeypatch):
    X, Y = _samples()
    whole = [metric(X, Y) for metric in BOTH]
    monkeypatch.setattr(neighbours, "WORKING_MEMORY", 0.002)  # three rows
    assert [metric(X, Y) for metric in BOTH] == whole


def test_precision_and_recall_change_places_with_the_samples():
    X, Y = _samples()
    assert precision_recall(X, Y) == precision_recall(Y, X)[::-1]


def test_samples_within_one_of_two_modes_are_precise_but_recall_half():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) + 50 * (np.arange(400) % 2)[:, None]
    Y = rng.normal(size=(200, 2))
    precision, recall = precision_recall(X, Y)
    density, coverage = density_coverage(X, Y)
    assert precision > 0.9 and density > 0.8
    assert recall == pytest.approx(0.5, abs=0.05) and coverage == pytest.approx(0.5, abs=0.05)


def test_an_outlier_feigns_precision_but_not_density():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(200, 2)), [[100.0, 100.0]]]
    Y = rng.normal(size=(200, 2)) + 60
    assert precision_recall(X, Y)[0] == 1.0
    assert density_coverage(X, Y)[0] < 0.4


def test_expectations_of_equal_distributions():
    n, m, k = 60, 40, 5
    values = [
        density_coverage(*_samples(n, m, seed=s, scale=1.0), n_neighbors=k) for s in range(200)
    ]
    i = np.arange(1, k + 1)
    assert np.mean(values, axis=0) == pytest.approx(
        [1.0, 1 - np.prod((n - i) / (n + m - i))], abs=0.02
    )


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
@pytest.mark.parametrize("metric", BOTH)
def test_any_scale(metric, scale):
    X, Y = _samples()
    assert metric(scale * X, scale * Y) == metric(X, Y)


@pytest.mark.parametrize("metric", BOTH)
def test_any_place(metric):
    X, Y = _samples()
    assert metric(X + 1e6, Y + 1e6) == metric(X, Y)


@pytest.mark.parametrize("metric", BOTH)
def test_distances_are_exact_beside_an_outlier(metric):
    X, Y = _samples()
    far = np.full((1, 3), 1e12)
    X, Y = np.r_[X, far], np.r_[Y, far]
    expected = _by_definition(X, Y, 3)
    found = metric(X, Y, n_neighbors=3)
    # By definition the outlier's ball holds all.
    assert found == pytest.approx(expected[:2] if metric is precision_recall else expected[2:])


@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize("apart", [1e4, 1e9, 1e12])
def test_groups_that_are_far_apart(d, apart):
    """A matrix product rounds what is within a group to nothing, or to noise."""
    X, Y = _samples(d=d)
    X, Y = (part + apart * (np.arange(len(part)) % 3)[:, None] for part in (X, Y))
    X[:9], Y[:9] = X[9:18], X[9:18]  # some rows are equal
    found = precision_recall(X, Y, n_neighbors=2) + density_coverage(X, Y, n_neighbors=2)
    assert found == pytest.approx(_by_definition(X, Y, 2))


def test_intervals_of_groups_that_are_far_apart():
    X, Y = _samples(200, 150)
    far = 2.0**40 * (np.arange(200) % 2)[:, None]
    inner, outer = (
        confidence_interval(density_coverage, X + s * far, Y + s * far[:150], random_state=0)
        for s in (2.0**-30, 1.0)
    )
    assert np.ravel(outer) == pytest.approx(np.ravel(inner), rel=1e-3)


@pytest.mark.parametrize("d", [2, 300])
def test_rows_that_are_equal(d):
    rows = np.random.default_rng(0).normal(size=(7, d))
    X, Y = rows.repeat(10, axis=0), rows.repeat(8, axis=0)
    assert precision_recall(X, Y) == (1.0, 1.0)
    # Each generated row is in the balls of the ten rows equal to it.
    assert density_coverage(X, Y) == (2.0, 1.0)
    X, Y = np.full((2, 20, d), 0.1)
    assert precision_recall(X, Y) == (1.0, 1.0)
    assert density_coverage(X, Y) == (4.0, 1.0)


def test_as_few_rows_as_there_can_be():
    assert precision_recall([[0.0], [1.0]], [[0.5], [5.0]], n_neighbors=1) == (0.5, 1.0)
    assert density_coverage([[0.0], [1.0]], [[0.5]], n_neighbors=1) == (2.0, 1.0)


@pytest.mark.parametrize("metric", BOTH)
def test_features_are_what_is_compared(metric):
    X, Y = _samples()
    assert metric(X, Y, features=lambda part: part[:, :1]) == metric(X[:, :1], Y[:, :1])
    with pytest.raises(TypeError, match="features=3; expected None or a callable"):
        metric(X, Y, features=3)


@pytest.mark.parametrize("metric", BOTH)
def test_too_many_neighbours_are_refused(metric):
    X, Y = _samples(5, 60)
    with pytest.raises(ValueError, match="n_neighbors=5; expected at most 4, .* rows of X"):
        metric(X, Y, n_neighbors=5)
    with pytest.raises(ValueError, match="n_neighbors == 0"):
        metric(X, Y, n_neighbors=0)
    with pytest.raises(TypeError, match="n_neighbors must be"):
        metric(X, Y, n_neighbors=1.5)


def test_generated_rows_need_neighbours_for_recall_only():
    X, Y = _samples(60, 2)
    with pytest.raises(ValueError, match="n_neighbors=3; expected at most 1, .* rows of Y"):
        precision_recall(X, Y)
    assert density_coverage(X, Y)[0] > 0


@pytest.mark.parametrize("metric", BOTH)
def test_input_is_only_read_and_checked(metric):
    X, Y = _samples()
    for part in (X, Y):
        part.setflags(write=False)
    assert all(type(value) is float for value in metric(X, Y))
    with pytest.raises(ValueError, match="Input Y contains NaN"):
        metric(X, Y * np.nan)
    with pytest.raises(ValueError, match="X has 3 columns and Y has 2"):
        metric(X, Y[:, :2])
