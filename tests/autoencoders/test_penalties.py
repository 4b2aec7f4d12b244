"""Transport penalties of WAEEstimator: HAE ("exact"), sliced WAE and W2GAE ("gaussian")."""

import numpy as np
import pytest
import torch

from skotae import WAEEstimator
from skotae.divergences import MMD, ExactDivergence, SlicedDivergence
from skotae.metrics import exact_wasserstein
from skotae.networks import MLP
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


def fitted(name, prior="normal"):
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0}
    return WAEEstimator(3, penalty=PENALTIES[name], prior=prior, **params).fit(make_data(24))


def penalty_of(name, z, y, prior="normal"):
    """What a fitted estimator's penalty gives for codes z and prior draws y."""
    model = fitted(name, prior)
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


@pytest.mark.parametrize("prior", ["normal", "principal"])
def test_gaussian_penalty_is_to_the_prior_itself(prior):
    """Nothing where mean and covariance are the prior's, whatever the draws."""
    scale = torch.as_tensor(fitted("gaussian", prior).prior_.scale).float()
    z, y = scale * whitened(draws()), draws(seed=1)
    assert penalty_of("gaussian", z, y, prior) == pytest.approx(0.0, abs=1e-5)
    assert penalty_of("gaussian", z + SHIFT, y, prior) == pytest.approx(SQUARE, rel=1e-4)
    if prior == "principal":
        assert scale.max() > 1.1 * scale.min()
        assert penalty_of("gaussian", whitened(draws()), y, prior) > 0.01


def gap_to_prior(penalty, prior, lam, start):
    """Distance of codes from draws of the prior, and of other draws from these."""
    X = np.random.RandomState(0).normal(size=(256, 3))
    model = WAEEstimator(
        3,
        penalty=penalty,
        prior=prior,
        lam=lam,
        encoder=MLP((32,), start=start),
        decoder=MLP((32,), start=start),
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
    target, others = (
        model.prior_.sample(256, 3, generator, dtype=torch.float64).numpy() for _ in range(2)
    )
    return exact_wasserstein(Z, target), exact_wasserstein(others, target)


COMPACT = pytest.mark.parametrize("prior", [SpherePrior(), DirichletPrior(0.2)], ids=str)


@COMPACT
@pytest.mark.parametrize("penalty", ["exact", "sliced"])
def test_codes_cover_a_sphere_and_a_simplex(penalty, prior):
    """They stay on it, and come nearer to the prior than without the penalty."""
    (near, _), (far, _) = (gap_to_prior(penalty, prior, lam, "random") for lam in (10.0, 0.0))
    assert near < 0.6 * far


@COMPACT
@pytest.mark.parametrize("penalty", ["exact", "sliced"])
def test_codes_that_start_as_components_cover_them_too(penalty, prior):
    """Hardly farther from draws of the prior than other draws are."""
    codes, others = gap_to_prior(penalty, prior, 10.0, "pca")
    assert codes < 1.3 * others


@pytest.mark.parametrize("penalty, weight", [("mmd", 0.5), ("exact", 0.02), (MMD(), 0.5)], ids=str)
def test_automatic_weight(penalty, weight):
    """It is the penalty's own where draws of the prior are decoded, and the same as that number."""
    X = make_data(24)
    options = {"penalty": penalty, "hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
    options["latent"] = "prior"
    model, expected = (WAEEstimator(3, lam=lam, **options).fit(X) for lam in ("auto", weight))
    assert model.lam_ == weight
    np.testing.assert_array_equal(model.transform(X), expected.transform(X))
