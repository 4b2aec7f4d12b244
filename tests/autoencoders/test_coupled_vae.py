"""What CoupledVAE claims beyond what all autoencoders do."""

import warnings

import numpy as np
import pytest
from torch import nn

import skotae
from skotae.costs import GaussianCost

from .coupled import ATOMS, X, small

COMBINATIONS = [("table", "semi"), ("network", "semi"), ("network", "full")]


@pytest.mark.parametrize("prior", [None, "uniform", "sphere", "atoms"])
@pytest.mark.parametrize("cost", ["gaussian", "bernoulli", "sqeuclidean", GaussianCost(0.1)])
@pytest.mark.parametrize("strategy", ["dual", "primal"])
@pytest.mark.parametrize("potential, dual", COMBINATIONS)
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_options(prior, cost, strategy, potential, dual):
    model = small(
        prior=ATOMS if prior == "atoms" else prior,
        cost=cost,
        strategy=strategy,
        potential=potential,
        dual=dual,
    ).fit(X)
    assert "transport" in model.history_
    assert np.isfinite(model.history_["loss"]).all()
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.score(X))
    assert model.sample(3, random_state=0).shape == (3, 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential, dual", COMBINATIONS)
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_effective_sample_size(potential, dual, dtype):
    model = small(potential=potential, dual=dual).fit(X)
    size = model.effective_sample_size(X.astype(dtype))
    assert size.shape == (48,) and size.dtype == dtype
    assert (size >= 1 - 1e-6).all() and (size <= 64 + 1e-3).all()


def test_few_effective_draws_warn():
    model = small(n_bank=2).fit(X)
    with pytest.warns(UserWarning, match="n_bank=2.*epsilon=1.0.*posterior='amortised'"):
        model.transform(X)


def test_amortised_posterior_does_not_warn():
    model = small(posterior="amortised", n_bank=2).fit(X)
    assert isinstance(model.encoder_, nn.Module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.transform(X)


@pytest.mark.parametrize("n_components, amortised", [(1, False), (2, False), (3, True)])
def test_automatic_posterior(n_components, amortised):
    model = small(n_components=n_components).fit(X)
    assert hasattr(model, "encoder_") == amortised


def test_atoms():
    """Codes are means of the atoms, draws are atoms, samples what the atoms decode to."""
    model = small(prior=ATOMS, max_iter=20).fit(X)
    atoms = np.asarray(ATOMS.atoms)
    Z = model.transform(X)
    assert (Z >= -1e-6).all() and (Z[:, 0] + Z[:, 1] / 2 <= 1 + 1e-6).all()
    draws = model.sample_posterior(X, 5, random_state=0).reshape(-1, 2)
    assert np.abs(draws[:, None] - atoms).max(axis=2).min(axis=1).max() < 1e-6
    samples = model.sample(200, random_state=0)
    decoded = model.inverse_transform(atoms)
    gap = np.abs(samples[:, None] - decoded).max(axis=2)
    assert gap.min(axis=1).max() < 1e-5
    share = np.bincount(gap.argmin(axis=1), minlength=3) / 200
    np.testing.assert_allclose(share, ATOMS.weights, atol=0.12)
    assert (model.effective_sample_size(X) <= 3 + 1e-6).all()


def test_given_variance():
    model = small(cost=GaussianCost(variance=0.25)).fit(10 * X)
    assert model.scale_ == pytest.approx(0.5, rel=1e-5)


def test_learned_scale_has_the_units_of_the_data():
    scales = [small(max_iter=5).fit(factor * X).scale_ for factor in (1.0, 1000.0)]
    assert scales[1] / scales[0] == pytest.approx(1000.0, rel=0.05)


def test_each_feature_has_its_own_scale(tmp_path):
    """In the units of the data: the noise of each column, about a curve they share."""
    rng = np.random.RandomState(0)
    noise = np.array([0.1, 0.8, 0.3])
    data = rng.normal(size=(800, 1)) * [1.0, -1.0, 1.0] + noise * rng.normal(size=(800, 3))
    params = {"n_components": 1, "max_iter": 90, "hidden_layer_sizes": (32,), "n_bank": 512}
    params |= {"learning_rate_init": 0.003, "scale": "global", "clip": False}
    model = small(**params, cost=GaussianCost(per_feature=True)).fit(data)
    assert model.scale_.shape == (3,)
    np.testing.assert_allclose(model.scale_[1:], noise[1:], rtol=0.15)
    assert model.scale_[0] < 0.3
    noisy, clean = (model.sample(20_000, noise=on, random_state=0) for on in (True, False))
    np.testing.assert_allclose((noisy - clean).std(axis=0), model.scale_, rtol=0.05)
    path, kept = tmp_path / "model.safetensors", model.scale_
    model.save(path)
    np.testing.assert_allclose(model.partial_fit(data).scale_, kept, rtol=0.1)
    np.testing.assert_array_equal(skotae.load(path).partial_fit(data).scale_, model.scale_)


@pytest.mark.parametrize(
    "first, second",
    [
        ({"potential": "network"}, {"potential": "table"}),
        ({"posterior": "amortised"}, {"posterior": "importance"}),
        ({"cost": "gaussian"}, {"cost": "bernoulli"}),
    ],
    ids=str,
)
def test_another_fit_forgets_the_options_before(first, second):
    model = small(**first).fit(X).set_params(**second).fit(X)
    expected = small(**{**first, **second}).fit(X)
    extra = set(vars(model)) ^ set(vars(expected))
    assert not extra, f"left of the fit before: {sorted(extra)}"
    np.testing.assert_array_equal(
        model.sample(5, random_state=0), expected.sample(5, random_state=0)
    )
