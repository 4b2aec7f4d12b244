"""Confidence intervals of the measures."""

import math
import warnings

import numpy as np
import pytest

from skotae import metrics
from skotae.metrics import confidence_interval

MEASURES = [
    "clustering_accuracy",
    "density_coverage",
    "frechet_distance",
    "high_density_ratio",
    "knn_accuracy",
    "mmd",
    "precision_recall",
    "prior_gap",
    "reconstruction_error",
]


def _arguments(name, n=100, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + 0.5
    y = (X[:, 0] > 0).astype(int)
    return {
        "clustering_accuracy": (y, (X.sum(axis=1) > 0).astype(int)),
        "high_density_ratio": (X, [[0.0, 0.0], [1.0, 1.0]], 0.2),
        "knn_accuracy": (X, y, Y, (Y[:, 0] > 0).astype(int)),
        "prior_gap": (Y, "normal"),
    }.get(name, (X, Y))


def _tuple(estimates):
    return (estimates,) if isinstance(estimates, metrics.Estimate) else estimates


@pytest.mark.parametrize("name", MEASURES)
def test_the_value_is_the_measure_and_lies_between_the_ends(name):
    metric, args = getattr(metrics, name), _arguments(name)
    seed = {"random_state": 0} if name == "prior_gap" else {}
    value = metric(*args, **seed)
    estimates = _tuple(confidence_interval(metric, *args, random_state=0))
    assert np.array([e.value for e in estimates]) == pytest.approx(np.atleast_1d(value))
    for estimate in estimates:
        assert estimate.low <= estimate.value <= estimate.high
        assert all(type(number) is float for number in estimate)
    assert any(estimate.low < estimate.high for estimate in estimates)


@pytest.mark.parametrize("name", MEASURES)
def test_the_random_state_decides(name):
    metric, args = getattr(metrics, name), _arguments(name)
    first, again, other = (
        confidence_interval(metric, *args, n_resamples=5, random_state=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert (first == other) == (name == "mmd")  # its jackknife draws nothing


@pytest.mark.parametrize("name", MEASURES)
def test_more_confidence_takes_a_longer_interval(name):
    metric, args = getattr(metrics, name), _arguments(name)
    wide, narrow = (
        _tuple(confidence_interval(metric, *args, confidence_level=level, random_state=0))
        for level in (0.99, 0.5)
    )
    for more, less in zip(wide, narrow, strict=True):
        assert more.low <= less.low and less.high <= more.high
    assert wide != narrow


def test_the_bootstrap_of_a_mean_is_its_standard_error():
    X = np.random.default_rng(0).normal(size=(2000, 1)) + 3
    low, high = confidence_interval(
        metrics.reconstruction_error, X, 0 * X, n_resamples=4000, random_state=0
    )[1:]
    assert high - low == pytest.approx(2 * 1.96 * np.std(X**2) / math.sqrt(2000), rel=0.05)


def test_intervals_of_weighted_rows():
    X, weight = np.random.default_rng(0).normal(size=(50, 1)), np.r_[np.ones(25), np.zeros(25)]
    args = metrics.reconstruction_error, X, 0 * X
    half = confidence_interval(args[0], X[:25], 0 * X[:25], random_state=0)
    estimate = confidence_interval(*args, sample_weight=weight, random_state=0)
    assert estimate.value == pytest.approx(half.value)
    assert estimate.high - estimate.low == pytest.approx(half.high - half.low, rel=0.2)


@pytest.mark.parametrize(
    ("name", "d", "scale", "expected"),
    [
        ("frechet_distance", 3, 1.0, 0.0),
        ("frechet_distance", 3, 1.5, 0.75),
        ("frechet_distance", 30, 1.0, 0.0),
        ("mmd", 3, 1.0, 0.0),
        ("reconstruction_error", 3, 0.0, 3.0),
    ],
)
def test_intervals_contain_the_value_of_the_distributions(name, d, scale, expected):
    metric, hits, reps = getattr(metrics, name), 0, 40
    for seed in range(reps):
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(150, d)), scale * rng.normal(size=(150, d))
        estimate = confidence_interval(metric, X, Y, n_resamples=200, random_state=seed)
        hits += estimate.low <= expected <= estimate.high
    # Of 40 intervals of 95 %, 32 or fewer contain it with probability under 0.001.
    assert hits > 32


def test_intervals_of_neighbours_contain_the_mean_of_fresh_samples():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(100, 2)), 0.7 * rng.normal(size=(100, 2))
        found.append(
            [
                *confidence_interval(metrics.precision_recall, X, Y, random_state=seed),
                *confidence_interval(metrics.density_coverage, X, Y, random_state=seed),
            ]
        )
    value, low, high = np.moveaxis(np.array(found), 2, 0)
    mean = value.mean(axis=0)
    assert (((low <= mean) & (mean <= high)).sum(axis=0) > 50).all()


@pytest.mark.parametrize("metric", [metrics.precision_recall, metrics.density_coverage])
def test_the_jackknife_of_neighbours_leaves_groups_out(metric):
    X, Y = _arguments("", n=12)
    X, Y = X[:12], Y[:12]
    # Twelve groups of one row each, paired at random.
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    rng = np.random.default_rng(seed)
    x_group, y_group = rng.permutation(12), rng.permutation(12)
    without = np.array([metric(X[x_group != g], Y[y_group != g], n_neighbors=2) for g in range(12)])
    error = np.sqrt(11 * without.var(axis=0))
    estimates = confidence_interval(
        metric, X, Y, n_neighbors=2, confidence_level=0.5, random_state=3
    )
    for estimate, s in zip(estimates, error, strict=True):
        assert estimate.low == pytest.approx(max(0.0, estimate.value - 0.697445 * s), rel=1e-4)


def test_shares_stay_in_their_range():
    X, Y = _arguments("", n=30)
    estimates = [
        *confidence_interval(metrics.precision_recall, X, Y, random_state=0),
        confidence_interval(metrics.density_coverage, X, Y, random_state=0)[1],
    ]
    assert all(0 <= e.low and e.high <= 1 for e in estimates)


@pytest.mark.parametrize("name", MEASURES)
def test_a_single_row_says_nothing(name):
    args = {
        "clustering_accuracy": ([1], [1]),
        "high_density_ratio": ([[0.0]], [[0.0]], 1.0),
        "knn_accuracy": ([[0.0]] * 5, [0] * 5, [[0.0]], [0]),
        "density_coverage": ([[0.0]] * 6, [[0.0]]),
        "precision_recall": ([[0.0]] * 4, [[0.0]] * 4),
    }.get(name, ([[0.0]], [[1.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimates = _tuple(confidence_interval(getattr(metrics, name), *args, random_state=0))
    for value, low, high in estimates:
        assert math.isfinite(value) and math.isnan(low) and math.isnan(high)


def test_samples_without_a_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ratio, n_modes, within = confidence_interval(
            metrics.high_density_ratio, np.ones((10, 1)), [[0.0]], 0.1, random_state=0
        )
    assert ratio == n_modes == (0.0, 0.0, 0.0) and all(map(math.isnan, within))


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8])
@pytest.mark.parametrize(
    "name", ["frechet_distance", "precision_recall", "density_coverage", "mmd"]
)
def test_awkward_samples(name, scale):
    X, Y = (scale * part for part in _arguments(name))
    for value, low, high in _tuple(confidence_interval(getattr(metrics, name), X, Y)):
        assert low <= value <= high


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"metric": np.mean},
            "metric=mean has no interval; expected one of .'clustering_",
        ),
        ({"metric": metrics.exact_wasserstein}, "metric=exact_wasserstein has no interval"),
        ({"metric": []}, r"metric=\[\] has no interval"),
        ({"confidence_level": 95}, r"confidence_level=95; expected a number in \(0, 1\)"),
        ({"n_resamples": 0}, "n_resamples == 0"),
        ({"random_state": -1}, "random_state .* got -1"),
        ({"cost": "mse"}, "cost='mse'"),
    ],
)
def test_bad_options_are_named(params, message):
    X, Y = _arguments("")
    params = {"metric": metrics.reconstruction_error, **params}
    with pytest.raises(ValueError, match=message):
        confidence_interval(params.pop("metric"), X, Y, **params)
