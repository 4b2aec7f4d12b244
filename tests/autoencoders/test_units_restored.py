"""What comes back is in the units of the data, whatever they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context

from skotae.costs import GaussianCost

from .tables import DECODING, few, one_unit, table


@pytest.mark.parametrize("scale", ["auto", "global", "columns"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DECODING)
def test_constant_columns_come_back_exactly(name, dtype, scale, small):
    X = one_unit(d=6)
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
    X = (one_unit(d=4) * [1 / big, 1.0, big, 1e-40 if dtype == np.float32 else 1e-200]).astype(
        dtype
    )
    model = small("SinkhornAE", scale=scale, max_iter=60, learning_rate_init=0.01).fit(X)
    rows = model.reconstruct(X)
    z = (rows.astype(np.longdouble) - X) / X.std(axis=0, dtype=np.longdouble)
    assert (np.square(z).mean(axis=0) < 0.5).all()
    assert np.isfinite(model.score_samples(X)).all() and np.isfinite(model.score(X))


@pytest.mark.parametrize("size", [1e-200, 1e-40, 1e40, 1e200])
def test_one_scale_at_the_ends_of_the_range(size, small):
    X = one_unit()
    model, scaled = small("WAEEstimator").fit(X), small("WAEEstimator").fit(size * X)
    np.testing.assert_allclose(scaled.transform(size * X), model.transform(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scaled.data_scale_ / size, model.data_scale_, rtol=1e-9)
    # Also where the square is out of the range.
    assert np.isfinite(scaled.score_samples(size * X)).all()


def test_float32_below_its_normal_numbers(small):
    X = one_unit()
    tiny = (1e-40 * X).astype(np.float32)
    model, scaled = small("WAEEstimator").fit(X), small("WAEEstimator").fit(tiny)
    np.testing.assert_allclose(scaled.transform(tiny), model.transform(X), rtol=0.02, atol=0.02)
    assert (np.ptp(scaled.sample(9, random_state=0), axis=0) > 0).all()


@pytest.mark.parametrize("scale", ["global", "columns"])
def test_float64_below_its_normal_numbers(scale, small):
    X = one_unit()
    model, scaled = (small("WAEEstimator", scale=scale).fit(s * X) for s in (1.0, 3e-309))
    rows = model.reconstruct(X)
    np.testing.assert_allclose(scaled.reconstruct(3e-309 * X) / 3e-309, rows, atol=0.6)
    assert (np.ptp(scaled.sample(9, random_state=0), axis=0) > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["WAEEstimator", "GMWAE", "WGAN", "VAE"])
def test_rows_up_to_the_end_of_the_range(name, dtype, small):
    """Where draws lie beyond it they are brought to its end."""
    X = one_unit()
    most = np.finfo(dtype).max / np.abs(X).max() / (1 if dtype == np.float32 else 2.1)
    model, large = small(name).fit(X), small(name).fit((X * most).astype(dtype))
    np.testing.assert_allclose(large.score((X * most).astype(dtype)), model.score(X), rtol=1e-3)
    assert np.isfinite(large.set_params(clip=False).sample(9, random_state=0)).all()


def test_differences_beyond_the_range_are_refused(small):
    X = one_unit()
    X[0, 1], X[1, 1] = 1e308, -1.5e308
    words = r"from -1.5e\+308 to 1e\+308 in column 1; expected .* within the range of float64"
    with pytest.raises(ValueError, match=words):
        small("WAEEstimator").fit(X)
    X[0, 1] = np.nan
    with config_context(assume_finite=True), pytest.raises(ValueError, match="column 1; .* finite"):
        small("WAEEstimator").fit(X)


# --- units do not matter --------------------------------------------------------------------


@few
@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.sampled_from(["columns", "auto"]))
def test_the_units_of_columns_do_not_matter(small, exponents, scale):
    X, factor = table(), 10.0 ** np.array(exponents)
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
    X, factor = one_unit(), 10.0**exponent
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
    X, factor = table(), np.array([10.0, 1e-3, 1e4, 0.5])
    model, other = (small(name, scale="columns").fit(rows) for rows in (X, X * factor))
    bounds = [m.elbo(rows, 20, random_state=0) for m, rows in ((model, X), (other, X * factor))]
    np.testing.assert_allclose(bounds[1], bounds[0] - np.log(factor).sum(), rtol=1e-3, atol=0.02)


def test_the_gaussian_likelihood_is_that_of_the_data(small):
    X = table()
    model = small("VAE", scale="columns", cost=GaussianCost(per_feature=True)).fit(X)
    deviation = model.decoder_.cost.log_scale.detach().double().exp().numpy() * model.data_scale_
    density = torch.distributions.Normal(
        torch.from_numpy(model.reconstruct(X)), torch.from_numpy(deviation)
    )
    expected = density.log_prob(torch.from_numpy(X)).sum(1)
    scores = model.score_samples(X, reconstruction_only=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_costs_are_those_of_standardised_columns(small):
    X = table()
    for cost, power in (("sqeuclidean", 2), ("cityblock", 1)):
        model = small("WAEEstimator", cost=cost, cost_scale=3.0).fit(X)
        z = np.abs((X - model.reconstruct(X)) / X.std(axis=0)) ** power
        scores = model.score_samples(X, reconstruction_only=True)
        np.testing.assert_allclose(scores, -z.sum(axis=1), rtol=1e-6)
        assert model.cost_scale_ == 3.0
    model = small("WAEEstimator").fit(X)
    np.testing.assert_allclose(model.cost_scale_, 4.0)


def test_the_score_is_that_of_standardised_columns(small):
    X = table()
    model = small("SinkhornAE", max_iter=50).fit(X)
    rows = [model.reconstruct(X), model.sample(60, random_state=0)]
    standardised = [(part - X.mean(axis=0)) / X.std(axis=0) for part in (X, *rows)]
    left = np.square(standardised[0] - standardised[1]).mean()
    assert 0.5 < model.score(X) <= 1 - left


def test_the_deviation_of_a_coupled_likelihood(small):
    model = small("CoupledVAE").fit(table())
    learned = float(model.decoder_.cost.scale)
    np.testing.assert_allclose(model.scale_, learned * model.data_scale_)


def test_the_critic_measures_standardised_columns(small):
    X, factor = table(), np.array([8.0, 2.0**-9, 4.0, 2.0])
    model, other = (small("WGAN").fit(rows) for rows in (X, X * factor))
    values = model.wasserstein(X, random_state=0), other.wasserstein(X * factor, random_state=0)
    np.testing.assert_allclose(*values, rtol=1e-3)


@pytest.mark.parametrize("name", ["VampPriorVAE", "VampPriorWAE", "MIM", "SymmetricWAE"])
def test_pseudo_inputs_start_at_rows(name, small):
    """In the units of the data."""
    X = table()
    model = small(name, max_iter=1, learning_rate_init=1e-12).fit(X)
    z = (model.pseudo_inputs_[:, None] - X) / X.std(axis=0)
    assert np.abs(z).max(axis=2).min(axis=1).max() < 1e-4
