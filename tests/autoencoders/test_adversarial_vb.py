"""What AdversarialVB claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from skotae import VAE, AdversarialVB
from skotae.autoencoders.bases.variational import gaussian_divergence
from skotae.costs import GaussianCost
from skotae.priors import NormalPrior
from skotae.testing import make_data
from skotae.training import Step

X = make_data(48)
NOISE = 0.3


def small(cls=AdversarialVB, **params):
    defaults = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0}
    return cls(**{**defaults, **params})


def batch_of(model):
    return model._inference(np.float32).tensor(X)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Modulus(nn.Module):
    """The known decoder |z|, in standardised units; what it has of weights does nothing."""

    def __init__(self, mean, scale):
        super().__init__()
        self.mean, self.scale = mean, scale
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return (z.abs() - self.mean) / self.scale + 0 * self.idle


@pytest.fixture(scope="module")
def folded():
    """Rows x = |z| + noise, whose posteriors have a mode on either side of 0."""
    rng = np.random.RandomState(0)
    return (np.abs(rng.normal(size=1000)) + NOISE * rng.normal(size=1000))[:, None]


def fit_folded(cls, data, **params):
    decoder = Modulus(float(data.mean()), float(data.std()))
    options = {
        "decoder": decoder,
        "cost": GaussianCost(variance=NOISE**2),
        "hidden_layer_sizes": (64, 64),
        "batch_size": 128,
        "max_iter": 150,
        "random_state": 0,
    }
    return cls(1, **{**options, **params}).fit(data)


@pytest.fixture(scope="module")
def implicit(folded):
    return fit_folded(AdversarialVB, folded, temperature=10.0)


@pytest.fixture(scope="module")
def gaussian(folded):
    return fit_folded(VAE, folded)


def sides(model, x):
    """Shares of the posterior of x on either side of 0, and in the middle between the modes."""
    z = model.sample_posterior(np.array([[x]]), 2000, random_state=0).ravel()
    return min((z > 0).mean(), (z < 0).mean()), (np.abs(z) < 0.3 * x).mean()


@pytest.mark.slow
@pytest.mark.parametrize("x", [1.0, 1.5])
def test_posterior_with_two_modes(implicit, gaussian, x):
    smaller, middle = sides(implicit, x)
    assert smaller > 0.3 and middle < 0.15
    smaller, middle = sides(gaussian, x)
    assert smaller < 0.05 or middle > 0.15


@pytest.mark.slow
def test_estimate_of_the_likelihood(implicit, gaussian, folded):
    grid = np.linspace(-6, 6, 2001)
    joint = norm.pdf(grid) * norm.pdf(folded[:300], np.abs(grid), NOISE)
    likelihood = np.log(np.trapezoid(joint, grid, axis=1)).mean()
    estimate = implicit.elbo(folded[:300], 20, random_state=0).mean()
    bound = gaussian.elbo(folded[:300], 20, random_state=0).mean()
    assert bound < estimate < likelihood + 0.1


def test_transform_is_the_posterior_mean():
    model = small(max_iter=20).fit(X)
    draws = model.sample_posterior(X, 4000, random_state=0)
    error = np.abs(draws.mean(axis=1) - model.transform(X))
    assert np.all(error < 6 * draws.std(axis=1) / np.sqrt(4000))


def test_divergence_of_a_blind_discriminator_is_that_of_the_gaussian():
    """With T = 0, log r - log p has the mean KL(r | p): both depend on the moments alone."""
    model = small(prior=NormalPrior(scale=3.0)).fit(X)
    for parameter in model.discriminator_.parameters():
        nn.init.zeros_(parameter)
    x = batch_of(model)
    with torch.no_grad():
        found = [model.model_.draw(x, generator(seed))[1] for seed in range(400)]
        _, mean, log_scale = model.encoder_.sample_with_moments(x, generator())
    expected = gaussian_divergence(mean, log_scale, 3.0).mean()
    assert float(torch.stack(found).mean()) == pytest.approx(float(expected), rel=0.05)


def test_contrast_is_standard_normal_or_the_prior():
    x = torch.zeros(4000, 6)
    for adaptive, scale in ((True, 1.0), (False, 3.0)):
        model = small(adaptive_contrast=adaptive, prior=NormalPrior(scale=3.0)).fit(X)
        with torch.no_grad():
            z, seen, _, other = model.model_.contrast(x, generator())
        assert float(other.std()) == pytest.approx(scale, rel=0.05)
        if adaptive:
            assert float(seen.std()) == pytest.approx(1.0, rel=0.1)
        else:
            assert seen is z


def test_temperature_falls_to_1_in_half_of_the_epochs():
    model = small(temperature=8.0).fit(X)
    x = batch_of(model)

    def reconstruction(progress, training=True):
        step = Step(generator(), torch.arange(48), 48, progress, training)
        with torch.no_grad():
            return float(model.model_.terms(x, step)["reconstruction"])

    cold = reconstruction(0.5)
    assert reconstruction(0.0) == pytest.approx(cold / 8)
    assert reconstruction(0.25) == pytest.approx(cold / 8**0.5)
    assert reconstruction(0.9) == reconstruction(0.0, training=False) == cold


def test_networks_of_the_user():
    model = small(encoder=nn.Linear, n_noise=3, discriminator=nn.Linear).fit(X)
    assert model.encoder_.net.weight.shape == (2 * 4, 6)
    assert model.discriminator_.weight.shape == (1, 6 + 2)
    assert model.transform(X).shape == (48, 2)
