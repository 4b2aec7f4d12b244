"""Attributes that a part inherits with a method of its own that they do not hold for."""

import numpy as np
import pytest
import torch

from skotae.costs import BernoulliCost
from skotae.priors import DirichletPrior, SpherePrior, UniformPrior
from skotae.priors.base import check_draws

X = np.random.default_rng(0).uniform(size=(24, 3))


class Squares(BernoulliCost):
    """Of which exp(-cost) has no sum of one over rows of 0 and 1."""

    def __call__(self, x, y):
        return 0.01 * (x - y).square().sum(-1)


class Halves(BernoulliCost):
    likelihood = True

    def __call__(self, x, y):
        return BernoulliCost.__call__(self, x, y)


def test_bounds_on_the_likelihood_ask_for_one(small):
    words = r"cost=Squares\(\) is no likelihood, which VAE needs; .* the class that its __call__"
    with pytest.raises(ValueError, match=words):
        small("VAE", cost=Squares()).fit(X)
    bound = small("VAE", cost=Halves()).fit(X).elbo(X, random_state=0)
    expected = small("VAE", cost="bernoulli").fit(X).elbo(X, random_state=0)
    np.testing.assert_allclose(bound, expected, rtol=1e-3)
    small("WAEEstimator", cost=Squares()).fit(X)  # where it needs to be none


def shifted(kind):
    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return 3.0 + torch.randn(n, d, generator=generator, dtype=dtype)

    return type(f"Shifted{kind.__name__}", (kind,), {"sample": sample})


@pytest.mark.parametrize("kind", [SpherePrior, UniformPrior, DirichletPrior])
def test_draws_are_where_the_support_says(kind, small):
    prior = shifted(kind)()
    words = rf"prior={type(prior).__name__}\(\) .* not on the {kind.support} that support="
    with pytest.raises(ValueError, match=words):
        small("WAEEstimator", prior=prior, n_components=3).fit(X)
    # Draws that are there, and what says something else of itself.
    half = {"sample": lambda self, *args, **options: kind.sample(self, *args, **options).flip(1)}
    check_draws(type("Half", (kind,), half)(), 3)
    said = {"support": "space", "head": lambda self, d: torch.nn.Identity()}
    check_draws(type("Said", (type(prior),), {**said, "sample": type(prior).sample})(), 3)


def test_draws_that_are_no_numbers_are_for_the_training_to_tell():
    broken = {"sample": lambda self, n, d, *args, **options: torch.full((n, d), torch.nan)}
    check_draws(type("Broken", (SpherePrior,), broken)(), 3)
