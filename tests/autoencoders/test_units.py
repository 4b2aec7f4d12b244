"""Units: one scale or one for each column, values far off, and what comes back."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import all_estimators

import skotae
from skotae.columns import CHUNK, Columns, Units, differ
from skotae.costs import BernoulliCost, CallableCost, GaussianCost, SquaredEuclideanCost

NAMES = sorted(name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit"))
DECODING = [name for name in NAMES if hasattr(getattr(skotae, name), "sample")]
few = settings(deadline=None, derandomize=True, max_examples=10)


def _columns(X):
    return Columns(X, X.min(axis=0), X.max(axis=0))


def _differ(X):
    return differ(_columns(X), len(X))


def _table(n=60, seed=0):
    """Three related columns in different units, and one that has two values."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 80, n)
    income = 20000 + 800 * age + 4000 * rng.normal(size=n)
    ratio = 1 / (1 + np.exp((50 - age) / 10)) + 0.02 * rng.normal(size=n)
    return np.column_stack([age, income, ratio, age > 50])


def _one_unit(n=60, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.1 * rng.normal(size=(n, d))


# --- what "auto" decides ---------------------------------------------------------------


def _docs():
    found = (cls.__doc__ for _, cls in all_estimators())
    return [doc for doc in found if doc]


def _one_hot(n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(30, size=(n, 2), p=np.arange(1, 31) / 465)
    return OneHotEncoder(sparse_output=False).fit_transform(labels)


ONE_UNIT = {
    "iris": lambda: load_iris().data,
    "digits": lambda: load_digits().data,
    "twenty digits": lambda: load_digits().data[:20],
    "digits, padded": lambda: np.pad(load_digits().data, ((0, 0), (0, 100))),
    "standardised": lambda: load_diabetes().data,
    "words": lambda: TfidfVectorizer().fit_transform(_docs()).toarray(),
    "frequent words": lambda: TfidfVectorizer(max_features=200).fit_transform(_docs()).toarray(),
    "categories": _one_hot,
    "constant": lambda: np.full((20, 3), [1.0, 1e6, 1e-6]),
    "rounding errors": lambda: np.column_stack(
        [load_iris().data, 1e9 + np.spacing(1e9) * (np.arange(150) % 2)]
    ),
}
MIXED = {
    "wine": lambda: load_wine().data,
    "breast cancer": lambda: load_breast_cancer().data,
    "diabetes": lambda: load_diabetes(scaled=False).data,
    "linnerud": lambda: load_linnerud().data,
    "table": _table,
    "an amount among categories": lambda: np.column_stack(
        [_one_hot(), np.random.default_rng(0).lognormal(10, 1, 300)]
    ),
    "a rare amount among categories": lambda: np.column_stack(
        [_one_hot(), 1e4 * (np.random.default_rng(0).uniform(size=300) < 0.05)]
    ),
    "one column in thirty": lambda: _one_unit(d=30) * np.where(np.arange(30) == 7, 100, 1),
}


@pytest.mark.parametrize("name", ONE_UNIT)
def test_columns_with_one_unit(name):
    assert not _differ(ONE_UNIT[name]())


@pytest.mark.parametrize("name", MIXED)
def test_columns_with_units_of_their_own(name):
    assert _differ(MIXED[name]())


def test_too_few_rows_decide_nothing():
    X = np.random.default_rng(0).normal(size=(4, 50))
    assert not _differ(X)


def test_one_scale_is_the_root_mean_square_of_all(small):
    X = load_digits().data[:300]
    model = small("WAEEstimator").fit(X)
    assert isinstance(model.data_scale_, float)
    assert model.data_limits_ is None
    np.testing.assert_allclose(model.data_scale_, np.sqrt(X.var(axis=0).mean()), rtol=1e-12)
    np.testing.assert_allclose(model.data_mean_, X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_tells_units_apart(name, small):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        apart, one = small(name).fit(_table()), small(name).fit(_one_unit())
    np.testing.assert_allclose(apart.data_scale_, _table().std(axis=0), rtol=1e-12)
    assert np.ndim(one.data_scale_) == 0
    forced = small(name, scale="columns").fit(_one_unit())
    np.testing.assert_allclose(forced.data_scale_, _one_unit().std(axis=0), rtol=1e-12)


# --- "global" where it blinds, and costs with one unit -----------------------------------


def test_a_forced_scale_names_the_columns_that_dominate(small):
    frame = pd.DataFrame(_table(), columns=["age", "income", "ratio", "old"])
    model = small("WAEEstimator", scale="global")
    with pytest.warns(UserWarning, match=r"1 of 4 columns.*'income'.*scale='columns'") as caught:
        model.fit(frame)
    assert caught[0].filename == __file__
    assert "age" not in str(caught[0].message)
    assert np.ndim(model.data_scale_) == 0
    with pytest.warns(UserWarning, match=r"\(column 1\)"):
        model.fit(frame.to_numpy())


def test_many_columns_that_dominate_are_counted(small):
    X = np.hstack([_one_unit(d=10), 1e3 * _one_unit(d=20, seed=1)])
    with pytest.warns(UserWarning, match=r"and \d+ more"):
        small("WAEEstimator", scale="global").fit(X)


def test_a_forced_scale_that_blinds_nothing_is_no_matter(small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small("WAEEstimator", scale="global").fit(_one_unit())


@pytest.mark.parametrize(
    "cost",
    [
        "bernoulli",
        BernoulliCost(),
        lambda x, y: (x - y).square().sum(-1),
        CallableCost(lambda x, y: (x - y).abs().sum(-1)),
        GaussianCost(variance=0.1),
    ],
)
def test_costs_to_which_columns_have_one_unit(cost, small):
    X = np.clip(_one_unit() / 10 + 0.5, 0, 1) * [1, 1, 1, 1, 1e-3]
    with pytest.raises(ValueError, match=r"scale='columns' with cost=.*one unit; expected"):
        small("WAEEstimator", cost=cost, scale="columns").fit(X)
    for scale in ("auto", "global"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = small("WAEEstimator", cost=cost, scale=scale).fit(X)
        assert np.ndim(model.data_scale_) == 0


def test_bounds_hold_in_each_column(small):
    X = np.clip(_one_unit() / 8 + 0.5, 0, 1) * [1, 0.5, 1e-4, 1, 1]
    model = small("WAEEstimator", cost=SquaredEuclideanCost(bounds=(0, 1)), scale="columns").fit(X)
    rows = model.set_params(clip=False).sample(500, random_state=0)
    assert rows.min() >= -1e-6 and rows.max() <= 1 + 1e-6


# --- what comes back -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["auto", "global", "columns"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DECODING)
def test_constant_columns_come_back_exactly(name, dtype, scale, small):
    X = _one_unit(d=6)
    X[:, 1:5] = [1e9, -0.1, 0.0, 1e-9]
    X = X.astype(dtype)
    model = small(name, scale=scale).fit(X)
    rows = [model.sample(5, random_state=0), model.set_params(clip=False).sample(5)]
    if hasattr(model, "reconstruct"):
        rows += [model.reconstruct(X), model.inverse_transform(model.transform(X))]
        rows += [model.interpolate(X[:2], X[2:4], 3).reshape(6, -1)]
    for some in rows:
        assert some.dtype == dtype
        np.testing.assert_array_equal(some[:, 1:5], np.broadcast_to(X[0, 1:5], (len(some), 4)))
        assert (np.ptp(some[:, [0, 5]], axis=0) > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["auto", "columns"])
def test_spreads_from_one_end_of_the_range_to_the_other(dtype, scale, small):
    big = 1e15 if dtype == np.float32 else 1e150
    X = (_one_unit(d=4) * [1 / big, 1.0, big, 1e-40 if dtype == np.float32 else 1e-200]).astype(
        dtype
    )
    model = small("SinkhornAE", scale=scale, max_iter=60, learning_rate_init=0.01).fit(X)
    rows = model.reconstruct(X)
    z = (rows.astype(np.longdouble) - X) / X.std(axis=0, dtype=np.longdouble)
    assert (np.square(z).mean(axis=0) < 0.5).all()
    assert np.isfinite(model.score_samples(X)).all() and np.isfinite(model.score(X))


@pytest.mark.parametrize("size", [1e-200, 1e-40, 1e40, 1e200])
def test_one_scale_at_the_ends_of_the_range(size, small):
    X = _one_unit()
    model, scaled = small("WAEEstimator").fit(X), small("WAEEstimator").fit(size * X)
    np.testing.assert_allclose(scaled.transform(size * X), model.transform(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scaled.data_scale_ / size, model.data_scale_, rtol=1e-9)
    # Also where the square is out of the range.
    assert np.isfinite(scaled.score_samples(size * X)).all()


def test_float32_below_its_normal_numbers(small):
    X = _one_unit()
    tiny = (1e-40 * X).astype(np.float32)
    model, scaled = small("WAEEstimator").fit(X), small("WAEEstimator").fit(tiny)
    np.testing.assert_allclose(scaled.transform(tiny), model.transform(X), rtol=0.02, atol=0.02)
    assert (np.ptp(scaled.sample(9, random_state=0), axis=0) > 0).all()


# --- units do not matter --------------------------------------------------------------------


@few
@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.sampled_from(["columns", "auto"]))
def test_the_units_of_columns_do_not_matter(small, exponents, scale):
    X, factor = _table(), 10.0 ** np.array(exponents)
    model, other = small("SinkhornAE", scale="columns"), small("SinkhornAE", scale="columns")
    model.fit(X), other.fit(factor * X)
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(other.data_scale_ / factor, model.data_scale_, rtol=1e-9)
    np.testing.assert_allclose(other.transform(factor * X), model.transform(X), **close)
    np.testing.assert_allclose(
        other.reconstruct(factor * X) / factor / model.data_scale_,
        model.reconstruct(X) / model.data_scale_,
        **close,
    )
    np.testing.assert_allclose(other.score_samples(factor * X), model.score_samples(X), **close)
    np.testing.assert_allclose(other.score(factor * X), model.score(X), rtol=0.01)


@few
@given(st.floats(-30, 30), st.sampled_from(["global", "auto"]))
def test_the_unit_of_all_does_not_matter(small, exponent, scale):
    X, factor = _one_unit(), 10.0**exponent
    model, other = (small("SinkhornAE", scale=scale).fit(rows) for rows in (X, factor * X))
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(other.data_scale_ / factor, model.data_scale_, rtol=1e-9)
    np.testing.assert_allclose(other.transform(factor * X), model.transform(X), **close)
    np.testing.assert_allclose(
        other.score_samples(factor * X) / factor**2, model.score_samples(X), **close
    )


@pytest.mark.parametrize("name", ["VAE", "PlanarFlowVAE", "InfoVAE", "HypersphericalVAE"])
def test_bounds_are_those_of_the_density_of_the_data(name, small):
    """Dividing a column by s multiplies a density by s."""
    X, factor = _table(), np.array([10.0, 1e-3, 1e4, 0.5])
    model, other = (small(name, scale="columns").fit(rows) for rows in (X, X * factor))
    bounds = [m.elbo(rows, 20, random_state=0) for m, rows in ((model, X), (other, X * factor))]
    np.testing.assert_allclose(bounds[1], bounds[0] - np.log(factor).sum(), rtol=1e-3, atol=0.02)


def test_the_gaussian_likelihood_is_that_of_the_data(small):
    X = _table()
    model = small("VAE", scale="columns", cost=GaussianCost(per_feature=True)).fit(X)
    deviation = model.decoder_.cost.log_scale.detach().double().exp().numpy() * model.data_scale_
    density = torch.distributions.Normal(
        torch.from_numpy(model.reconstruct(X)), torch.from_numpy(deviation)
    )
    expected = density.log_prob(torch.from_numpy(X)).sum(1)
    scores = model.score_samples(X, reconstruction_only=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_costs_are_those_of_standardised_columns(small):
    X = _table()
    for cost, power in (("sqeuclidean", 2), ("cityblock", 1)):
        model = small("WAEEstimator", cost=cost, cost_scale=3.0).fit(X)
        z = np.abs((X - model.reconstruct(X)) / X.std(axis=0)) ** power
        scores = model.score_samples(X, reconstruction_only=True)
        np.testing.assert_allclose(scores, -z.sum(axis=1), rtol=1e-6)
        assert model.cost_scale_ == 3.0
    model = small("WAEEstimator").fit(X)
    np.testing.assert_allclose(model.cost_scale_, 4.0)


def test_the_score_is_that_of_standardised_columns(small):
    X = _table()
    model = small("SinkhornAE", max_iter=50).fit(X)
    rows = [model.reconstruct(X), model.sample(60, random_state=0)]
    standardised = [(part - X.mean(axis=0)) / X.std(axis=0) for part in (X, *rows)]
    left = np.square(standardised[0] - standardised[1]).mean()
    assert 0.5 < model.score(X) <= 1 - left


def test_the_deviation_of_a_coupled_likelihood(small):
    model = small("CoupledVAE").fit(_table())
    learned = float(model.decoder_.cost.scale)
    np.testing.assert_allclose(model.scale_, learned * model.data_scale_)


def test_the_critic_measures_standardised_columns(small):
    X, factor = _table(), np.array([8.0, 2.0**-9, 4.0, 2.0])
    model, other = (small("WGAN").fit(rows) for rows in (X, X * factor))
    values = model.wasserstein(X, random_state=0), other.wasserstein(X * factor, random_state=0)
    np.testing.assert_allclose(*values, rtol=1e-3)


@pytest.mark.parametrize("name", ["VampPriorVAE", "VampPriorWAE", "MIM", "SymmetricWAE"])
def test_pseudo_inputs_start_at_rows(name, small):
    """In the units of the data."""
    X = _table()
    model = small(name, max_iter=1, learning_rate_init=1e-12).fit(X)
    z = (model.pseudo_inputs_[:, None] - X) / X.std(axis=0)
    assert np.abs(z).max(axis=2).min(axis=1).max() < 1e-4


# --- values far off -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["auto", "columns", "global"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_far_off_blinds_nothing(dtype, scale, small):
    X = _one_unit(300).astype(dtype)
    X[17, 2] = 1e7
    rest = np.delete(np.arange(300), 17)
    model = small("SinkhornAE", hidden_layer_sizes=(32,), max_iter=60, scale=scale).fit(X)
    assert np.ndim(model.data_scale_) == (scale == "columns")
    error = np.square(X - model.reconstruct(X))[rest].mean(axis=0) / X[rest].var(axis=0)
    assert error.max() < 0.3
    assert model.score_samples(X).argmin() == 17
    without = small("SinkhornAE", scale=scale).fit(X[rest])
    np.testing.assert_allclose(model.data_scale_, without.data_scale_, rtol=0.5)


def test_limits_are_for_columns_with_values_far_off_alone(small):
    X = _table(300)
    X[3, 0] = -1e12
    model = small("WAEEstimator").fit(X)
    low, high = model.data_limits_
    assert np.isinf(low[1:]).all() and np.isinf(high[1:]).all()
    ordinary = np.delete(X[:, 0], 3)
    assert -1e4 < low[0] < ordinary.min() and ordinary.max() < high[0] < 1e4
    np.testing.assert_allclose(model.data_scale_[1:], X[:, 1:].std(axis=0))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=(2000, 3)),
        lambda rng: rng.lognormal(size=(2000, 3)),
        lambda rng: rng.standard_t(3, size=(2000, 3)),
        lambda rng: rng.poisson(0.1, size=(2000, 3)),
        lambda rng: rng.uniform(size=(2000, 3)) < 0.01,
        lambda rng: np.where(rng.uniform(size=(2000, 3)) < 0.1, 3, -3) + 0.01 * rng.normal(size=3),
        lambda rng: load_digits().data,
        lambda rng: load_breast_cancer().data,
    ],
)
def test_ordinary_data_have_no_limits(draw):
    X = draw(np.random.default_rng(0)).astype(float)
    columns = _columns(X)
    assert columns.limits is None
    np.testing.assert_allclose(columns.spread, X.std(axis=0))


def test_a_value_far_off_among_zeros():
    X = np.random.default_rng(0).poisson(0.2, size=(500, 3)).astype(float)
    spread = X.std(axis=0)
    X[0, 0] = 1e7
    columns = _columns(X)
    assert np.isfinite(columns.limits[:, 0]).all()
    np.testing.assert_allclose(columns.spread, spread, rtol=3)


# --- memory, chunks, files ------------------------------------------------------------------


def test_columns_are_read_in_blocks(tmp_path):
    X = _table(3 * CHUNK + 5).astype(np.float32)
    X[7, 0] = 1e7
    X.tofile(tmp_path / "rows.bin")
    mapped = np.memmap(tmp_path / "rows.bin", dtype=np.float32, mode="r", shape=X.shape)
    taken = []

    class Watched(np.memmap):
        def astype(self, *args, **kwargs):
            taken.append(self.shape[0])
            return super().astype(*args, **kwargs)

    found, expected = _columns(mapped.view(Watched)), _columns(X)
    assert taken and max(taken) < 2 * CHUNK
    for name in ("mean", "spread", "counts", "limits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_first_chunk_decides(small):
    X = _table()
    model = small("WAEEstimator").partial_fit(X)
    scale = model.data_scale_.copy()
    model.partial_fit(100 * X)
    np.testing.assert_array_equal(model.data_scale_, scale)
    with pytest.raises(ValueError, match=r"scale='global' \(was 'auto'\) cannot change"):
        model.set_params(scale="global").partial_fit(X)


def test_a_column_that_varies_later_is_no_longer_constant(small):
    X = _table()
    model = small("WAEEstimator").partial_fit(np.column_stack([X[:, :2], np.ones(len(X))]))
    assert (model.reconstruct(X[:, :3])[:, 2] == 1).all()
    model.partial_fit(X[:, :3])
    assert np.ptp(model.reconstruct(X[:, :3])[:, 2]) > 0


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("scale", ["auto", "columns"])
def test_files_hold_the_units(tmp_path, scale, far, small, digest):
    X = _one_unit(300)
    X[5, 1] = 1e7 if far else 0
    model = small("WAEEstimator", scale=scale).fit(X)
    model.save(tmp_path / "model.safetensors")
    again = skotae.load(tmp_path / "model.safetensors")
    assert type(again.data_scale_) is type(model.data_scale_)
    np.testing.assert_array_equal(again.data_limits_, model.data_limits_)
    assert digest(again, X) == digest(model, X)


def test_states_from_before_the_parameter(tmp_path, small, monkeypatch):
    """They have one scale, and no limits."""
    X = _one_unit()
    model = small("WAEEstimator", scale="global").fit(X)
    state = model.__getstate__()
    del state["scale"], state["data_limits_"]
    again = small("WAEEstimator")
    again.__setstate__(dict(state))
    monkeypatch.setattr(type(model), "__getstate__", lambda self: state)
    monkeypatch.setattr("skotae.persistence._models._state", lambda estimator: state)
    model.save(tmp_path / "old.safetensors")
    monkeypatch.undo()
    for old in (again, skotae.load(tmp_path / "old.safetensors")):
        assert old.scale == "global" and old.data_limits_ is None
        np.testing.assert_array_equal(old.transform(X), model.transform(X))


def test_units_there_and_back():
    X = _table()
    for units in (
        Units(X.mean(axis=0), X.std(axis=0)),
        Units(X.mean(axis=0), 3.0),
        Units(np.zeros(4), 1.0),
    ):
        back = units.restored(units.standardised(X), X.dtype)
        np.testing.assert_allclose(back, X, rtol=1e-12)
    assert Units(np.zeros(4), 1.0).is_identity
