"""The transport functions as measures for NumPy users."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae import metrics, transport
from skotae.testing import permuted_shift, scaled_normals
from skotae.utils._random import draw_seed, make_generator

ALL = [
    "exact_wasserstein",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "max_sliced_wasserstein",
    "gaussian_wasserstein",
    "mmd",
]
RANDOM = ["sliced_wasserstein", "max_sliced_wasserstein"]
DEFAULTS = {"sliced_wasserstein": {"n_projections": 200}, "max_sliced_wasserstein": {}}
WEIGHTED = [
    "exact_wasserstein",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "max_sliced_wasserstein",
    "gaussian_wasserstein",
]


def _measure(name, X, Y, **params):
    if name in RANDOM:
        params.setdefault("random_state", 0)
    return getattr(metrics, name)(X, Y, **params)


def _samples(n=30, m=30, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) + 0.5


# Values.


@pytest.mark.parametrize("name", ALL[:1] + ALL[3:5])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_distance_of_a_permuted_shift_is_its_length(name, shift):
    x, y, cost = permuted_shift(50, 4, shift, random_state=0)
    assert _measure(name, x.numpy(), y.numpy()) == pytest.approx(math.sqrt(cost), abs=1e-6)


def test_the_sinkhorn_divergence_of_a_permuted_shift_is_its_square():
    x, y, cost = permuted_shift(50, 4, 2.0, random_state=0)
    assert metrics.sinkhorn_divergence(x.numpy(), y.numpy()) == pytest.approx(cost, rel=1e-5)
    assert metrics.sinkhorn_divergence(x.numpy(), x.numpy()) == pytest.approx(0.0, abs=1e-9)


def test_the_sliced_distance_of_a_shift_lacks_the_root_of_the_dimension():
    x, y, cost = permuted_shift(50, 4, 2.0, random_state=0)
    value = metrics.sliced_wasserstein(x.numpy(), y.numpy(), n_projections=20_000, random_state=0)
    assert value == pytest.approx(math.sqrt(cost / 4), rel=0.02)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaled_normals(scale):
    x, y, cost = (
        part if isinstance(part, float) else part.numpy()
        for part in scaled_normals(20_000, 4, scale, random_state=0)
    )
    assert metrics.gaussian_wasserstein(x, y) == pytest.approx(math.sqrt(cost), rel=0.03)
    assert _measure("sliced_wasserstein", x, y) == pytest.approx(math.sqrt(cost / 4), rel=0.03)


def test_the_largest_slice_is_the_planted_one():
    X, Y = np.random.default_rng(0).normal(size=(2, 500, 16))
    Y[:, 3] += 2.0
    largest = metrics.max_sliced_wasserstein(X, Y, random_state=0)
    assert 2.0 < largest < 2.3
    assert largest > 3 * metrics.sliced_wasserstein(X, Y, random_state=0)


def test_gaussian_distance_of_one_dimension():
    X, Y = _samples(d=1)
    expected = math.hypot(X.mean() - Y.mean(), X.std(ddof=1) - Y.std(ddof=1))
    assert metrics.gaussian_wasserstein(X, Y) == pytest.approx(expected)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("m", [30, 41])
def test_values_are_those_of_the_tensor_functions(p, m):
    X, Y = _samples(m=m)
    x, y = torch.tensor(X), torch.tensor(Y)

    def rooted(value):
        return float(value) ** (1 / p)

    assert metrics.exact_wasserstein(X, Y, p=p) == rooted(transport.exact_cost(x, y, p=p))
    options = {"p": p, "tol": 1e-6, "max_iter": 2000, "epsilon": 0.1}
    for debias in ("paired", "independent", "none"):
        assert metrics.sinkhorn_divergence(X, Y, debias=debias, **options) == pytest.approx(
            float(transport.sinkhorn_divergence(x, y, debias=debias, **options)), rel=1e-12
        )
    if p == 2:
        fits = (*transport.fit_gaussian(x), *transport.fit_gaussian(y))
        assert metrics.gaussian_wasserstein(X, Y) == rooted(transport.gaussian_wasserstein(*fits))
    for name in RANDOM:
        generator = make_generator(draw_seed(0))
        value = getattr(transport, name)(x, y, p=p, **DEFAULTS[name], generator=generator)
        assert _measure(name, X, Y, p=p) == rooted(value)
    assert metrics.mmd(X, Y) == float(transport.squared_mmd(x, y))


@pytest.mark.parametrize("name", ALL)
def test_values_are_symmetric(name):
    X, Y = _samples(m=41)
    assert _measure(name, X, Y) == pytest.approx(_measure(name, Y, X), rel=1e-4)


def test_a_euclidean_distance_does_not_know_the_axes():
    X, Y = _samples()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    value = metrics.exact_wasserstein(X, Y, p=1, metric="euclidean")
    assert metrics.exact_wasserstein(X @ turn, Y @ turn, p=1, metric="euclidean") == (
        pytest.approx(value)
    )
    assert metrics.exact_wasserstein(X, Y, p=1) > value


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_plans(scale):
    X, Y = _samples(20, 31)
    weight = np.r_[np.zeros(3), np.arange(1, 18)]
    plan = metrics.exact_plan(scale * X, scale * Y, X_weight=weight)
    assert type(plan) is np.ndarray and plan.dtype == np.float64
    np.testing.assert_allclose(plan.sum(1), weight / weight.sum(), atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), 1 / 31, atol=1e-12)
    cost = ((X[:, None] - Y) ** 2).sum(2)
    distance = metrics.exact_wasserstein(X, Y, X_weight=weight)
    assert (plan * cost).sum() == pytest.approx(distance**2)
    pandas = pytest.importorskip("pandas")
    for kind in (pandas.DataFrame, torch.tensor, np.ndarray.tolist):
        again = metrics.exact_plan(kind(scale * X), kind(scale * Y), X_weight=weight)
        np.testing.assert_array_equal(again, plan)


def test_plans_of_equal_sizes_are_permutations():
    X, Y = _samples()
    for p, metric in ((1, "euclidean"), (1, "minkowski"), (2, "minkowski")):
        plan = metrics.exact_plan(X, Y, p=p, metric=metric)
        assert sorted((30 * plan).argmax(0)) == list(range(30)) and (plan > 0).sum() == 30
    with pytest.raises(ValueError, match="metric must be one of"):
        metrics.exact_plan(X, Y, metric="cosine")


# Weights.


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_that_are_equal_change_nothing(name):
    X, Y = _samples()
    value = _measure(name, X, Y)
    assert _measure(name, X, Y, X_weight=np.full(30, 3), Y_weight=[0.1] * 30) == value


@pytest.mark.parametrize("name", WEIGHTED)
def test_rows_without_weight_do_not_count(name):
    X, Y = _samples()
    weight = np.r_[np.ones(20), np.zeros(10)]
    value = _measure(name, X, Y, X_weight=weight, Y_weight=weight)
    assert value == pytest.approx(_measure(name, X[:20], Y[:20]), rel=1e-5)


@pytest.mark.parametrize("name", WEIGHTED[:4])
def test_weights_are_repetitions(name):
    X, Y = _samples(12, 20)
    weight = np.arange(1, 13)
    value = _measure(name, X, Y, X_weight=weight)
    assert value == pytest.approx(_measure(name, X.repeat(weight, axis=0), Y), rel=1e-5)


@pytest.mark.parametrize("which", ["X_weight", "Y_weight"])
@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"\(2,\), expected \(30,\)"),
        (np.r_[-1.0, np.ones(29)], "Negative values"),
        (np.zeros(30), "non-zero"),
        (np.full(30, np.nan), "NaN"),
        (np.ones((30, 2)), "1D array"),
    ],
)
def test_bad_weights_are_named(name, which, weight, message):
    with pytest.raises(ValueError, match=f"{which} is invalid: .*{message}"):
        _measure(name, *_samples(), **{which: weight})


# Containers and dtypes.


def _same_as_arrays(name, X, Y, convert):
    assert _measure(name, convert(X), convert(Y)) == _measure(name, X, Y)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.tolist(),
        lambda X: [tuple(row) for row in X],
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X.astype(object),
        lambda X: X.astype(np.longdouble),
    ],
)
def test_containers(name, convert):
    _same_as_arrays(name, *_samples(), convert)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", ALL)
def test_data_frames(name, library):
    frames = pytest.importorskip(library)
    _same_as_arrays(
        name, *_samples(), lambda X: frames.DataFrame(dict(zip("abc", X.T, strict=True)))
    )


def test_pandas_columns_that_are_numbers_are_no_names():
    pandas = pytest.importorskip("pandas")
    X, Y = _samples()
    frame = pandas.DataFrame(Y, columns=[5, 6, 7])
    assert _measure("exact_wasserstein", pandas.DataFrame(X), frame) > 0


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("columns", ["acb", "abd"])
def test_data_frames_of_other_columns_are_refused(name, columns, library):
    frames = pytest.importorskip(library)
    X, Y = (
        frames.DataFrame(dict(zip(names, data.T, strict=True)))
        for names, data in zip(("abc", columns), _samples(), strict=True)
    )
    with pytest.raises(ValueError, match=r"same names in the same order, got \['a', 'b', 'c'\]"):
        _measure(name, X, Y)
    _measure(name, X, Y.to_numpy())  # an array has no names to differ in


@pytest.mark.parametrize("name", ALL)
def test_integers_and_single_precision_are_computed_in_double(name):
    X, Y = (np.round(3 * data) for data in _samples())
    for dtype in (np.int64, np.int8, np.float32):
        assert _measure(name, X.astype(dtype), Y.astype(dtype)) == _measure(name, X, Y)


@pytest.mark.parametrize("name", ALL)
def test_input_is_only_read(name):
    X, Y = _samples()
    before = X.copy(), Y.copy()
    for data in (X, Y):
        data.setflags(write=False)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # torch says it once a process only
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value = _measure(name, X, Y)
    finally:
        torch.set_warn_always(always)
    assert type(value) is float
    assert np.array_equal(X, before[0]) and np.array_equal(Y, before[1])


# Random state.


@pytest.mark.parametrize("name", RANDOM)
def test_the_random_state_decides(name):
    X, Y = _samples()
    options = {"n_starts": 1, "n_steps": 1} if name.startswith("max") else {"n_projections": 3}
    first, again, other = (_measure(name, X, Y, random_state=s, **options) for s in (0, 0, 1))
    assert first == again
    if not name.startswith("max"):  # the planned starts may win whatever is drawn
        assert first != other
    state = np.random.RandomState(0)
    assert _measure(name, X, Y, random_state=state, **options) == first


@pytest.mark.parametrize("name", RANDOM)
def test_numpys_global_state_is_used_for_none(name):
    X, Y = _samples()
    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(3)  # noqa: NPY002
        first = _measure(name, X, Y, random_state=None)
        np.random.seed(3)  # noqa: NPY002
        assert _measure(name, X, Y, random_state=None) == first
    finally:
        np.random.set_state(before)  # noqa: NPY002


# Refusals.


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("which", ["X", "Y"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((4, 3), np.nan), "Input {} contains NaN"),
        (np.full((4, 3), np.inf), "Input {} contains infinity"),
        (np.zeros(3), r"{} must have shape .* got shape \(3,\). One feature is {}.reshape"),
        ([1.0, 2.0], r"{} must have shape .* got shape \(2,\)"),
        (np.zeros((0, 3)), r"{} must have shape .* got shape \(0, 3\)"),
        (np.zeros((3, 0)), r"{} must have shape .* got shape \(3, 0\)"),
        (np.zeros((2, 3, 4)), r"{} must have shape .* got shape \(2, 3, 4\)"),
        ([["a", "b", "c"]], "could not convert string to float"),
    ],
)
def test_bad_samples_are_named(name, which, bad, message):
    good = _samples()[0]
    X, Y = (bad, good) if which == "X" else (good, bad)
    with pytest.raises(ValueError, match=message.format(which, which)):
        _measure(name, X, Y)


@pytest.mark.parametrize("name", ALL)
def test_widths_that_differ_are_refused(name):
    X, Y = _samples()
    with pytest.raises(ValueError, match="X has 3 columns and Y has 2; expected equal numbers"):
        _measure(name, X, Y[:, :2])


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        (
            "sliced_wasserstein",
            {"n_projections": 0},
            ValueError,
            "n_projections == 0, must be >= 1",
        ),
        ("sliced_wasserstein", {"n_projections": 2.5}, TypeError, "n_projections must be"),
        ("sliced_wasserstein", {"random_state": "seed"}, ValueError, "random_state .* got 'seed'"),
        ("sliced_wasserstein", {"random_state": -1}, ValueError, "random_state .* got -1"),
        ("max_sliced_wasserstein", {"n_starts": 0}, ValueError, "n_starts == 0"),
        ("max_sliced_wasserstein", {"n_steps": 0}, ValueError, "n_steps == 0"),
        ("max_sliced_wasserstein", {"random_state": 1.5}, ValueError, "random_state .* got 1.5"),
        ("sinkhorn_divergence", {"epsilon": 0}, ValueError, "epsilon must be .* > 0, got 0"),
        ("sinkhorn_divergence", {"epsilon": "1"}, TypeError, "epsilon must be"),
        ("sinkhorn_divergence", {"tol": -1.0}, ValueError, "tol must be .* got -1"),
        ("sinkhorn_divergence", {"max_iter": 0}, ValueError, "max_iter == 0"),
        ("sinkhorn_divergence", {"debias": "both"}, ValueError, "debias must be .* got 'both'"),
        ("mmd", {"bandwidth": 0.0}, ValueError, "bandwidth must be .* got 0"),
        *(
            (name, {"p": p}, ValueError, f"p must be .* >= 1, got {p}")
            for name in ALL[:4]
            for p in (0.5, math.nan)
        ),
    ],
)
def test_bad_options_are_named(name, params, error, message):
    with pytest.raises(error, match=message):
        _measure(name, *_samples(), **params)


@pytest.mark.parametrize("name", RANDOM)
def test_numpys_numbers_are_numbers(name):
    options = {"n_starts": np.int32(2)} if name.startswith("max") else {"n_projections": np.int8(5)}
    assert _measure(name, *_samples(), p=np.float32(2), random_state=np.int64(1), **options) > 0


def test_what_has_not_converged_says_so():
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        metrics.sinkhorn_divergence(*_samples(), max_iter=1, tol=1e-12)


@pytest.mark.parametrize("name", [name for name in ALL if name != "mmd"])
def test_a_single_row(name):
    value = _measure(name, [[1.0, 2.0]], [[4.0, 6.0]])
    if name == "sinkhorn_divergence":
        assert value == pytest.approx(25.0)
    elif name in ("exact_wasserstein", "max_sliced_wasserstein", "gaussian_wasserstein"):
        assert value == pytest.approx(5.0)
    else:
        assert math.isfinite(value)
