"""A Dirichlet prior whose concentration is learned."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from skotae import VAE, CoupledVAE, SinkhornAE, SinkhornEncoder, WAEEstimator
from skotae.divergences import MMD, SinkhornDivergence
from skotae.priors import DirichletPrior
from skotae.testing import check_autoencoder, make_data

X = make_data(48)
SMALL = {"n_components": 3, "hidden_layer_sizes": (16,), "random_state": 0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_only_learn_builds_a_module():
    prior = DirichletPrior(0.5)
    assert prior.build(3) is prior
    module = DirichletPrior(0.5, learn=True).build(3)
    assert isinstance(module, nn.Module)
    np.testing.assert_allclose(module.concentration_, [0.5] * 3)
    assert [p.shape for p in module.parameters()] == [(1,)]
    module = DirichletPrior([0.5, 1.0, 2.0], learn=True).build(3)
    np.testing.assert_allclose(module.concentration_, [0.5, 1.0, 2.0], rtol=1e-6)
    assert [p.shape for p in module.parameters()] == [(3,)]


def test_the_module_is_the_distribution():
    concentration = [0.5, 1.0, 2.0]
    module = DirichletPrior(concentration, learn=True).build(3)
    fixed = DirichletPrior(concentration)
    z = module.sample(50, 3, generator(), dtype=torch.float64).detach()
    torch.testing.assert_close(z, fixed.sample(50, 3, generator(), dtype=torch.float64))
    torch.testing.assert_close(module.log_prob(z).detach(), fixed.log_prob(z))
    expected = stats.dirichlet(concentration).logpdf(z.numpy().T)
    np.testing.assert_allclose(module.log_prob(z).detach(), expected)
    for ours, theirs in zip(module.moments(3), fixed.moments(3), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(module.interpolate(z[0], z[1], 0.3), 0.7 * z[0] + 0.3 * z[1])
    assert torch.equal(module.head(3)(z), fixed.head(3)(z))
    with pytest.raises(ValueError, match="n_components=4"):
        module.check_dimension(4)


@pytest.mark.parametrize("a", [1e-3, 0.01, 0.1, 0.2, 1.0, 10.0, 1000.0])
def test_gradient_of_an_expectation(a):
    """The derivative of E sum z² = (a + 1) / (d a + 1), from draws."""
    d, n = 5, 20_000
    module = DirichletPrior(a, learn=True).build(d)
    z = module.sample(n, d, generator(), dtype=torch.float64)
    assert z.isfinite().all()
    z.square().sum(1).mean().backward()
    exact = a * (1 - d) / (d * a + 1) ** 2
    np.testing.assert_allclose(module.log_concentration.grad.item(), exact, rtol=0.2)


@pytest.mark.parametrize("a", [1e-30, 1e-6, 1e6])
def test_gradient_is_finite(a):
    module = DirichletPrior(a, learn=True).build(4)
    module.sample(100, 4, generator()).square().sum().backward()
    assert module.log_concentration.grad.isfinite().all()


@pytest.mark.parametrize("start, target", [(0.05, 0.5), (0.2, 2.0), (1.0, 0.2)])
@pytest.mark.parametrize("divergence", [SinkhornDivergence(), MMD()], ids=lambda d: repr(d))
def test_concentration_is_recovered(start, target, divergence):
    """Against draws with a known concentration, descent on the prior alone finds it."""
    module = DirichletPrior(start, learn=True).build(4)
    codes, noise = DirichletPrior(target), generator()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(150):
        value = divergence(codes.sample(128, 4, noise), module.sample(128, 4, noise))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    np.testing.assert_allclose(module.concentration_, target, rtol=0.2)


@pytest.mark.slow
def test_every_concentration_is_recovered():
    target = [0.2, 1.0, 3.0]
    module = DirichletPrior([1.0, 1.0, 1.0], learn=True).build(3)
    codes, noise, divergence = DirichletPrior(target), generator(), SinkhornDivergence()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(300):
        value = divergence(codes.sample(256, 3, noise), module.sample(256, 3, noise))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    np.testing.assert_allclose(module.concentration_, target, rtol=0.2)


@pytest.mark.parametrize(
    "estimator",
    [
        SinkhornAE(**SMALL),
        SinkhornAE(debias="paired", sharp=True, **SMALL),
        SinkhornEncoder(**SMALL),
        WAEEstimator(**SMALL),
        WAEEstimator(penalty="sliced", **SMALL),
        WAEEstimator(penalty="exact", **SMALL),
    ],
    ids=lambda e: repr(e)[:40],
)
def test_estimators_that_learn(estimator):
    prior = DirichletPrior(0.2, learn=True)
    model = estimator.set_params(prior=prior, max_iter=20, learning_rate_init=0.01).fit(X)
    for values in model.history_.values():
        assert np.isfinite(values).all()
    assert np.isfinite(model.prior_.concentration_).all()
    assert not np.isclose(model.prior_.concentration_[0], 0.2, rtol=1e-2)
    assert prior.get_params() == {"concentration": 0.2, "learn": True}
    Z = model.transform(X)
    np.testing.assert_allclose(Z.sum(axis=1), 1.0)
    assert np.isfinite(model.score(X))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.prior_.concentration_, model.prior_.concentration_)
    if hasattr(model, "sample"):
        assert np.isfinite(model.sample(5, random_state=0)).all()
        assert np.isfinite(model.interpolate(X[:2], X[2:4], 3)).all()


@pytest.mark.parametrize(
    "estimator",
    [
        WAEEstimator(penalty="gan", **SMALL),
        WAEEstimator(penalty="gaussian", **SMALL),
        CoupledVAE(**SMALL),
        VAE(**SMALL),
    ],
    ids=lambda e: repr(e)[:40],
)
def test_estimators_that_do_not_learn_say_so(estimator):
    with pytest.raises(ValueError, match="learn=True.*does not learn; expected a fixed prior"):
        estimator.set_params(prior=DirichletPrior(learn=True)).fit(X)


@pytest.mark.parametrize("cls", [SinkhornEncoder, pytest.param(SinkhornAE, marks=pytest.mark.slow)])
def test_all_checks_pass(cls):
    prior = DirichletPrior(0.2, learn=True)
    check_autoencoder(cls(3, prior=prior, hidden_layer_sizes=(8,), max_iter=2))
