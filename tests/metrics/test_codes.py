"""Neighbours of codes, reconstructions, agreement with the prior."""

import math

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from skotae.metrics import knn_accuracy, mmd, prior_gap, reconstruction_error
from skotae.priors import NormalPrior, SpherePrior


def _normal(n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# Neighbours.


@pytest.mark.parametrize("k", [1, 5, 40])
def test_accuracy_is_scikit_learns(k):
    Z, Z_test = _normal(), _normal(30, seed=1)
    y, y_test = (Z[:, 0] > 0).astype(int), (Z_test[:, 0] > 0).astype(int)
    expected = KNeighborsClassifier(k).fit(Z, y).score(Z_test, y_test)
    assert knn_accuracy(Z, y, Z_test, y_test, n_neighbors=k) == pytest.approx(expected)


@pytest.mark.parametrize("d", [3, 40])
def test_neighbours_in_groups_that_are_far_apart(d):
    Z, Z_test = (2.0**-15 * np.rint(512 * _normal(90, d, seed)) for seed in (0, 1))
    group = np.arange(90) % 3
    y, y_test = ((part[:, 0] > 0) + 2 * group for part in (Z, Z_test))
    far = 2.0**36 * group[:, None]
    # Group by group, where distances are exact.
    expected = [
        knn_accuracy(Z[group == g], y[group == g], Z_test[group == g], y_test[group == g])
        for g in range(3)
    ]
    Z, Z_test = Z + far, Z_test + far
    assert knn_accuracy(Z, y, Z_test, y_test) == pytest.approx(np.mean(expected))


def test_five_neighbours_are_the_default():
    Z, y = np.zeros((6, 1)), [0, 0, 0, 0, 1, 1]
    Z[0] = 100.0  # of the five others three are of class 0
    assert knn_accuracy(Z, y, [[0.0]], [0]) == 1.0
    y = [0, 0, 0, 1, 1, 1]
    assert knn_accuracy(Z, y, [[0.0]], [0]) == 0.0


def test_labels_may_be_strings_and_unseen_ones_are_wrong():
    assert (
        knn_accuracy([[0.0], [9.0]], ["a", "b"], [[1.0], [8.0]], ["a", "c"], n_neighbors=1) == 0.5
    )


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1e8, 1e100])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_neighbours_at_any_scale_and_place(scale, shift):
    Z, Z_test = _normal(200, 20), _normal(100, 20, seed=1)
    y, y_test = (Z[:, 0] > 0).astype(int), (Z_test[:, 0] > 0).astype(int)
    moved = knn_accuracy(scale * (Z + shift), y, scale * (Z_test + shift), y_test)
    assert moved == knn_accuracy(Z, y, Z_test, y_test)


def test_codes_that_are_one_point():
    assert knn_accuracy(np.zeros((6, 2)), [1] * 6, np.zeros((2, 2)), [1, 0]) == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1]}, "y has 2 labels and Z has 40 rows"),
        ({"y_test": [0.5] * 40}, "y_test holds numbers that are not whole"),
        ({"y_test": ["a"] * 40}, "expected labels of one type"),
        ({"y": np.zeros((40, 2))}, "y must be one label for each row of Z"),
        ({"y": ["a", 1] * 20}, "y must hold labels of one type|expected labels of one type"),
        ({"n_neighbors": 41}, "n_neighbors=41; expected at most 40, the number of rows of Z"),
        ({"n_neighbors": 0}, "n_neighbors == 0"),
        ({"Z_test": _normal(40, 2)}, "Z has 3 columns and Z_test has 2"),
        ({"Z": np.full((40, 3), np.nan)}, "Input Z contains NaN"),
    ],
)
def test_bad_input_of_neighbours_is_named(change, message):
    good = {"Z": _normal(), "y": [0, 1] * 20, "Z_test": _normal(), "y_test": [0, 1] * 20}
    with pytest.raises(ValueError, match=message):
        knn_accuracy(**{**good, **change})


# Reconstructions.


@pytest.mark.parametrize(
    ("cost", "expected"), [("sqeuclidean", 12.5), ("euclidean", 2.5), ("cityblock", 3.5)]
)
def test_error_sums_over_features_and_averages_over_rows(cost, expected):
    X = _normal(2, 2)
    assert reconstruction_error(X, X + [[3, 4], [0, 0]], cost=cost) == pytest.approx(expected)


def test_weights_of_rows_are_repetitions():
    X, Y, weight = _normal(5), _normal(5, seed=1), np.arange(5)
    expected = reconstruction_error(X.repeat(weight, axis=0), Y.repeat(weight, axis=0))
    assert reconstruction_error(X, Y, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"cost": "mse"},
            r"cost='mse'; expected one of \['sqeuclidean'",
        ),
        ({"sample_weight": [1.0]}, r"sample_weight is invalid: .*expected \(40,\)"),
        ({"sample_weight": np.zeros(40)}, "sample_weight is invalid: .*non-zero"),
        ({"X_reconstructed": _normal(3)}, "X has 40 rows and X_reconstructed has 3"),
        ({"X_reconstructed": _normal(40, 2)}, "X has 3 columns and X_reconstructed has 2"),
    ],
)
def test_bad_input_of_the_error_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        reconstruction_error(**{"X": _normal(), "X_reconstructed": _normal(), **params})


def test_data_frames_of_other_columns_are_refused():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(_normal(), columns=list("abc"))
    assert reconstruction_error(X, X) == 0.0
    with pytest.raises(ValueError, match="X and X_reconstructed must have columns of the same"):
        reconstruction_error(X, X[list("acb")])


# The gap.


def test_the_gap_to_draws_is_the_mmd():
    Z, draws = _normal(), 2 * _normal(50, seed=1)
    bandwidth = math.sqrt(draws.var(axis=0).mean())
    assert prior_gap(Z, draws) == pytest.approx(mmd(Z, draws, bandwidth=bandwidth))
    assert prior_gap(Z, draws, bandwidth=0.5) == pytest.approx(mmd(Z, draws, bandwidth=0.5))


def test_a_prior_is_drawn_from_and_gives_the_bandwidth():
    Z = _normal(300)
    value = prior_gap(Z, NormalPrior(), random_state=0)
    assert value == prior_gap(Z, "normal", random_state=0)
    assert value == prior_gap(Z, random_state=0, bandwidth=1.0)
    assert value != prior_gap(Z, random_state=1)
    assert value != prior_gap(Z, n_samples=299, random_state=0)


def test_the_bandwidth_is_the_width_of_the_draws_of_a_subclass():
    class Wide(NormalPrior):
        def sample(self, *args, **kwargs):
            return 4.0 * super().sample(*args, **kwargs)

    Z = _normal(300)
    assert prior_gap(Z, Wide(), random_state=0) == pytest.approx(
        prior_gap(Z, NormalPrior(4.0), random_state=0), rel=0.05
    )


def test_the_gap_is_about_zero_for_the_prior_only():
    on_sphere = _normal(1000)
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    assert abs(prior_gap(on_sphere, SpherePrior(), random_state=0)) < 0.02
    assert prior_gap(on_sphere, "normal", random_state=0) > 0.1


def test_the_gap_to_draws_has_no_units():
    Z, draws = _normal(), _normal(50, seed=1) + 1
    for scale in (1e-8, 1e8):
        assert prior_gap(scale * Z, scale * draws) == pytest.approx(prior_gap(Z, draws))


def test_the_gap_of_points():
    assert prior_gap(np.zeros((5, 2)), np.zeros((4, 2))) == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(prior_gap([[1.0]], random_state=0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prior": "cauchy"}, "prior='cauchy' is not known"),
        ({"prior": _normal(4, 2)}, "Z has 3 columns and prior has 2"),
        ({"prior": _normal(), "n_samples": 3}, "n_samples=3; expected None with an array"),
        ({"n_samples": 0}, "n_samples == 0"),
        ({"bandwidth": 0.0}, "bandwidth must be .* got 0"),
        ({"Z": _normal(40, 1), "prior": "dirichlet"}, "n_components=1 is too small"),
        ({"random_state": -1}, "random_state .* got -1"),
    ],
)
def test_bad_input_of_the_gap_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        prior_gap(**{"Z": _normal(), **params})


def test_bytes_are_no_text():
    Z = _normal(10)
    with pytest.raises(ValueError, match="expected labels of one type"):
        knn_accuracy(Z, [b"a", b"b"] * 5, Z, ["a", "b"] * 5)
    assert knn_accuracy(Z, [b"a", b"b"] * 5, Z, [b"a", b"b"] * 5, n_neighbors=1) == 1.0


def test_weights_whose_sum_is_out_of_range():
    X = _normal(3)
    with pytest.raises(ValueError, match="sample_weight is invalid: its sum is beyond the range"):
        reconstruction_error(X, X + 1.0, sample_weight=[1e308, 1e308, 1.0])
