"""One scale or one for each column: what decides, and what it means for costs."""

import warnings

import numpy as np
import pandas as pd
import pytest
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

from skotae.costs import BernoulliCost, CallableCost, GaussianCost, SquaredEuclideanCost

from .tables import NAMES, have_different_units, one_unit, table


def _docs():
    found = (cls.__doc__ for _, cls in all_estimators())
    return [doc for doc in found if doc]


def _one_hot(n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(30, size=(n, 2), p=np.arange(1, 31) / 465)
    return OneHotEncoder(sparse_output=False).fit_transform(labels)


def _in_bands(n=100, n_bands=60, seed=0):
    """Levels of neighbouring bands differ little, those of the ends by a factor of 50."""
    level = np.exp(np.linspace(0, np.log(50), n_bands))
    angle = np.linspace(0, 2 * np.pi, n_bands)
    waves = [np.ones(n_bands), np.sin(angle), np.cos(angle)]
    return level * (np.random.default_rng(seed).normal(size=(n, 3)) @ waves)


ONE_UNIT = {
    "iris": lambda: load_iris().data,
    "digits": lambda: load_digits().data,
    "twenty digits": lambda: load_digits().data[:20],
    "digits, padded": lambda: np.pad(load_digits().data, ((0, 0), (0, 100))),
    "standardised": lambda: load_diabetes().data,
    "words": lambda: TfidfVectorizer().fit_transform(_docs()).toarray(),
    "frequent words": lambda: TfidfVectorizer(max_features=200).fit_transform(_docs()).toarray(),
    "categories": _one_hot,
    "bands": _in_bands,
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
    "table": table,
    "an amount among categories": lambda: np.column_stack(
        [_one_hot(), np.random.default_rng(0).lognormal(10, 1, 300)]
    ),
    "a rare amount among categories": lambda: np.column_stack(
        [_one_hot(), 1e4 * (np.random.default_rng(0).uniform(size=300) < 0.05)]
    ),
    "two spectra in units of their own": lambda: np.hstack([_in_bands(), 1e3 * _in_bands(seed=1)]),
    "bands in any order": lambda: np.random.default_rng(0).permutation(_in_bands(), axis=1),
    "a few columns that grow": lambda: _in_bands(n_bands=10),
    "one column in thirty": lambda: one_unit(d=30) * np.where(np.arange(30) == 7, 100, 1),
}


@pytest.mark.parametrize("name", ONE_UNIT)
def test_columns_with_one_unit(name):
    assert not have_different_units(ONE_UNIT[name]())


@pytest.mark.parametrize("name", MIXED)
def test_columns_with_units_of_their_own(name):
    assert have_different_units(MIXED[name]())


def test_too_few_rows_decide_nothing():
    X = np.random.default_rng(0).normal(size=(4, 50))
    assert not have_different_units(X)


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
        apart, one = small(name).fit(table()), small(name).fit(one_unit())
    np.testing.assert_allclose(apart.data_scale_, table().std(axis=0), rtol=1e-12)
    assert np.ndim(one.data_scale_) == 0
    forced = small(name, scale="columns").fit(one_unit())
    np.testing.assert_allclose(forced.data_scale_, one_unit().std(axis=0), rtol=1e-12)


# --- "global" where it blinds, and costs with one unit -----------------------------------


def test_a_forced_scale_names_the_columns_that_dominate(small):
    frame = pd.DataFrame(table(), columns=["age", "income", "ratio", "old"])
    model = small("WAEEstimator", scale="global")
    with pytest.warns(UserWarning, match=r"1 of 4 columns.*'income'.*scale='columns'") as caught:
        model.fit(frame)
    assert caught[0].filename == __file__
    assert "age" not in str(caught[0].message)
    assert np.ndim(model.data_scale_) == 0
    with pytest.warns(UserWarning, match=r"\(column 1\)"):
        model.fit(frame.to_numpy())


def test_many_columns_that_dominate_are_counted(small):
    X = np.hstack([one_unit(d=10), 1e3 * one_unit(d=20, seed=1)])
    with pytest.warns(UserWarning, match=r"and \d+ more"):
        small("WAEEstimator", scale="global").fit(X)


def test_a_forced_scale_that_blinds_nothing_is_no_matter(small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small("WAEEstimator", scale="global").fit(one_unit())


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
    X = np.clip(one_unit() / 10 + 0.5, 0, 1) * [1, 1, 1, 1, 1e-3]
    with pytest.raises(ValueError, match=r"scale='columns' with cost=.*one unit; expected"):
        small("WAEEstimator", cost=cost, scale="columns").fit(X)
    for scale in ("auto", "global"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = small("WAEEstimator", cost=cost, scale=scale).fit(X)
        assert np.ndim(model.data_scale_) == 0


def test_bounds_hold_in_each_column(small):
    X = np.clip(one_unit() / 8 + 0.5, 0, 1) * [1, 0.5, 1e-4, 1, 1]
    model = small("WAEEstimator", cost=SquaredEuclideanCost(bounds=(0, 1)), scale="columns").fit(X)
    rows = model.set_params(clip=False).sample(500, random_state=0)
    assert rows.min() >= -1e-6 and rows.max() <= 1 + 1e-6
