"""Codes of standard normal numbers are distributed as those that samples are decoded from."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, norm

import skotae
from skotae.autoencoders.bases._noise import CodesOfNoise, codes_of_noise
from skotae.priors import (
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)

from .quick_fits import quick_fit

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "sample")]
RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(40, 4)), RNG.normal(5, 0.5, size=(80, 4))]) * [1, 10, 100, 1]
N = 3000


def fitted(name, **params):
    return quick_fit(name, X, 3, **{"max_iter": 3, **params})


def check_distribution(model):
    module = codes_of_noise(model)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N, module.n_noise, generator=generator)
    found = module(noise).numpy()
    with torch.no_grad():
        expected = model._drawn_codes(N, generator, np.dtype(np.float32)).numpy()
    assert found.shape == expected.shape
    directions = np.concatenate([np.eye(3), RNG.normal(size=(5, 3))])
    for direction in directions:
        assert ks_2samp(found @ direction, expected @ direction).pvalue > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_estimators(name):
    check_distribution(fitted(name))


@pytest.mark.parametrize("name", ["VampPriorVAE", "VampPriorWAE", "SymmetricWAE", "GMWAE", "GMVAE"])
def test_learned_priors_and_mixtures(name):
    latent = {"latent": "prior"} if hasattr(getattr(skotae, name)(), "latent") else {}
    check_distribution(fitted(name, **latent))


@pytest.mark.parametrize("latent", ["prior", "mixture"])
@pytest.mark.parametrize(
    "prior",
    [
        NormalPrior([1.0, 2.0, 0.5]),
        SpherePrior(2.0),
        UniformPrior(-3.0, 1.0),
        GaussianMixturePrior(4, scale=0.5, weights=[4, 3, 2, 1]),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_priors(prior, latent):
    check_distribution(fitted("WAEEstimator", prior=prior, latent=latent))


class Shifted(NormalPrior):
    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return super().sample(n, d, generator, dtype=dtype) + 1.0


@pytest.mark.parametrize(
    "prior",
    [
        DirichletPrior(0.5),
        DistributionPrior(torch.distributions.Laplace(0.0, 1.0)),
        Shifted(),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_refused_by_name_but_not_with_the_mixture_of_codes(prior):
    model = fitted("WAEEstimator", prior=prior, latent="prior")
    with pytest.raises(ValueError, match=rf"prior={type(prior).__name__}\(.*latent='mixture'"):
        codes_of_noise(model)
    check_distribution(fitted("WAEEstimator", prior=prior, latent="mixture"))


def test_a_mixture_by_hand():
    """Shares, means and factors of two components, one of them a line."""
    means = torch.tensor([[0.0, 0.0], [10.0, 20.0]])
    factors = torch.tensor([[[1.0, 0.0], [0.5, 2.0]], [[0.0, 0.0], [3.0, 0.0]]])
    module = CodesOfNoise(means, factors, torch.tensor([0.25, 0.75]))
    assert module.n_noise == 3
    edge = norm.ppf(0.25)
    noise = torch.tensor([[edge - 1e-3, 1.0, -1.0], [edge + 1e-3, 1.0, -1.0], [9.0, 0.0, 5.0]])
    expected = [[1.0, -1.5], [10.0, 23.0], [10.0, 20.0]]
    np.testing.assert_allclose(module(noise.float()), expected, rtol=1e-6)
