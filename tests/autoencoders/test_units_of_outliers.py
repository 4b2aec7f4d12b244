"""Values far off do not decide the units of the others."""

import numpy as np
import pytest
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
)

from .tables import columns_of, one_unit, table


@pytest.mark.parametrize("scale", ["auto", "columns", "global"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_far_off_blinds_nothing(dtype, scale, small):
    X = one_unit(300).astype(dtype)
    X[17, 2] = 1e7
    rest = np.delete(np.arange(300), 17)
    model = small("SinkhornAE", hidden_layer_sizes=(32,), max_iter=20, scale=scale).fit(X)
    assert np.ndim(model.data_scale_) == (scale == "columns")
    error = np.square(X - model.reconstruct(X))[rest].mean(axis=0) / X[rest].var(axis=0)
    assert error.max() < 0.3
    assert model.score_samples(X).argmin() == 17
    without = small("SinkhornAE", scale=scale).fit(X[rest])
    np.testing.assert_allclose(model.data_scale_, without.data_scale_, rtol=0.5)


def test_limits_are_for_columns_with_values_far_off_alone(small):
    X = table(300)
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
    columns = columns_of(X)
    assert columns.limits is None
    np.testing.assert_allclose(columns.spread, X.std(axis=0))


def test_rows_that_take_turns():
    """Of every second row, or of each midnight, the others would all be far off."""
    rng = np.random.default_rng(0)
    for period in (2, 24):
        X = rng.normal(size=(24 * 1100, 3))
        X[np.arange(len(X)) % period != 0] *= 1000
        columns = columns_of(X)
        assert columns.limits is None and columns.counts.all()
        np.testing.assert_allclose(columns.spread, X.std(axis=0))
        shuffled = columns_of(rng.permutation(X))
        np.testing.assert_allclose(columns.size, shuffled.size, rtol=0.01)


def test_a_value_far_off_among_zeros():
    X = np.random.default_rng(0).poisson(0.2, size=(500, 3)).astype(float)
    spread = X.std(axis=0)
    X[0, 0] = 1e7
    columns = columns_of(X)
    assert np.isfinite(columns.limits[:, 0]).all()
    np.testing.assert_allclose(columns.spread, spread, rtol=3)
