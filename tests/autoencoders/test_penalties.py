"""Transport penalties of WAEEstimator: HAE ("exact"), sliced WAE and W2GAE ("gaussian")."""

import numpy as np
import pytest
import torch

from skotae import WAEEstimator
from skotae.divergences import MMD, ExactDivergence, SlicedDivergence
from skotae.metrics import exact_wasserstein
from skotae.priors import DirichletPrior, SpherePrior
from skotae.testing import make_data

SHIFT = torch.tensor([1.0, -2.0, 0.5])
SQUARE = float(SHIFT @ SHIFT)

# What a penalty of the same clouds has to be asked for: no debiasing by halves of a batch.
PENALTIES = {
    "exact": ExactDivergence(debias="none"),
    "sliced": SlicedDivergence(n_projections=4000),
    "gaussian": "gaussian",
}


def penalty_of(name, z, y):
    """What a fitted estimator's penalty gives for codes z and prior draws y."""
    model = WAEEstimator(
        3, penalty=PENALTIES[name], hidden_layer_sizes=(4,), max_iter=1, random_state=0
    ).fit(make_data(24))
    return float(model.divergence_(z, y, generator=torch.Generator().manual_seed(0)))


def draws(n=64, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["exact", "sliced"])
def test_equal_clouds_cost_nothing(name):
    y = draws()
    assert penalty_of(name, y.flip(0), y) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["exact", "sliced"])
def test_a_shift_costs_its_square(name):
    y = draws()
    assert penalty_of(name, y.flip(0) + SHIFT, y) == pytest.approx(SQUARE, rel=0.06)


def whitened(x):
    """Moved and turned so that its mean is 0 and its covariance the identity."""
    x = (x - x.mean(0)).double()
    values, vectors = torch.linalg.eigh(x.T.cov())
    return (x @ vectors @ torch.diag(values.rsqrt()) @ vectors.T).float()


def test_gaussian_penalty_is_to_the_prior_itself():
    """Nothing where mean and covariance are the prior's, whatever the draws."""
    z = whitened(draws())
    assert penalty_of("gaussian", z, draws(seed=1)) == pytest.approx(0.0, abs=1e-5)
    assert penalty_of("gaussian", z + SHIFT, draws(seed=1)) == pytest.approx(SQUARE, rel=1e-4)


@pytest.mark.parametrize("prior", [SpherePrior(), DirichletPrior(0.2)], ids=str)
@pytest.mark.parametrize("penalty", ["exact", "sliced"])
def test_codes_cover_a_sphere_and_a_simplex(penalty, prior):
    """They stay on it, and come nearer to the prior than without the penalty."""
    X = np.random.RandomState(0).normal(size=(256, 3))

    def gap(lam):
        model = WAEEstimator(
            3,
            penalty=penalty,
            prior=prior,
            lam=lam,
            hidden_layer_sizes=(32,),
            learning_rate_init=0.01,
            batch_size=64,
            max_iter=30,
            random_state=1,
        ).fit(X)
        Z = model.transform(X)
        if isinstance(prior, SpherePrior):
            np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1.0)
        else:
            assert (Z >= 0).all()
            np.testing.assert_allclose(Z.sum(axis=1), 1.0)
        generator = torch.Generator().manual_seed(1)
        target = model.prior_.sample(256, 3, generator, dtype=torch.float64).numpy()
        return exact_wasserstein(Z, target)

    assert gap(10.0) < 0.6 * gap(0.0)


@pytest.mark.parametrize("penalty, weight", [("mmd", 0.5), ("exact", 0.02), (MMD(), 0.5)], ids=str)
def test_automatic_weight(penalty, weight):
    """It is the penalty's own, and the same as that number."""
    X = make_data(24)
    options = {"penalty": penalty, "hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
    model, expected = (WAEEstimator(3, lam=lam, **options).fit(X) for lam in ("auto", weight))
    assert model.lam_ == weight
    np.testing.assert_array_equal(model.transform(X), expected.transform(X))
