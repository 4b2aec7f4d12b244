"""CoupledVAE's posterior, where the true one is known."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from skotae import CoupledVAE
from skotae.costs import GaussianCost
from skotae.testing import linear_gaussian

from .coupled import small

WEIGHTS = np.array([[1.0], [-2.0], [0.5]])
NOISE = 0.7


class ExactDecoder(nn.Module):
    """x = W z, in the units of the standardised data."""

    def __init__(self, data):
        super().__init__()
        mean = data.mean(axis=0)
        scale = np.sqrt(np.mean((data - mean) ** 2))
        self.weight = nn.Parameter(torch.tensor(WEIGHTS / scale, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(-mean / scale, dtype=torch.float32))

    def forward(self, z):
        return z @ self.weight.T + self.bias


@pytest.mark.parametrize("potential, tolerance", [("table", 0.1), ("network", 0.2)])
def test_posterior_of_the_true_model(potential, tolerance):
    """With the decoder that made the data, mean and variance are the exact ones."""
    data, means, covariance = linear_gaussian(600, WEIGHTS, noise=NOISE, random_state=0)
    model = CoupledVAE(
        1,
        decoder=ExactDecoder(data),
        cost=GaussianCost(variance=NOISE**2),
        potential=potential,
        hidden_layer_sizes=(32,),
        # The decoder stays what it is; a table of potentials does not learn by gradients.
        learning_rate_init=1e-12 if potential == "table" else 1e-3,
        learning_rate="constant",
        max_iter=20 if potential == "table" else 60,
        n_bank=1024,
        random_state=0,
    ).fit(data)
    error = model.transform(data) - means
    assert np.sqrt(np.mean(error**2)) < tolerance
    draws = model.sample_posterior(data[:100], 50, random_state=0)
    np.testing.assert_allclose(np.mean(draws.var(axis=1)), covariance.item(), rtol=0.2)


def test_posterior_of_a_learned_model():
    """The code is the exact posterior mean up to its sign, the scale that of the noise."""
    data, means, _ = linear_gaussian(1000, WEIGHTS, noise=NOISE, random_state=0)
    params = {"hidden_layer_sizes": (32,), "max_iter": 120, "learning_rate_init": 0.003}
    model = CoupledVAE(1, random_state=3, **params).fit(data)
    correlation = np.corrcoef(model.transform(data)[:, 0], means[:, 0])[0, 1]
    assert abs(correlation) > 0.95
    assert model.scale_ == pytest.approx(NOISE, rel=0.25)


class Known(nn.Module):
    """x = f(z), in the units of the standardised data."""

    def __init__(self, f, data):
        super().__init__()
        mean = data.mean()
        self.f = f
        self.scale = nn.Parameter(torch.tensor(1.0 / np.sqrt(np.mean((data - mean) ** 2))).float())
        self.mean = nn.Parameter(torch.tensor(mean).float())

    def forward(self, z):
        return (self.f(z) - self.mean) * self.scale


def test_posterior_with_two_modes():
    """Figure 1, column 5 of the paper: the plan has whatever modes the model gives it."""
    rng = np.random.RandomState(0)
    noise = 0.2
    data = np.abs(rng.normal(size=(600, 1))) + noise * rng.normal(size=(600, 1))
    model = CoupledVAE(
        1,
        decoder=Known(torch.abs, data),
        cost=GaussianCost(variance=noise**2),
        learning_rate_init=1e-12,
        learning_rate="constant",
        max_iter=20,
        n_bank=2048,
        random_state=0,
    ).fit(data)
    draws = model.sample_posterior(np.array([[1.0], [1.5]]), 2000, random_state=0)[:, :, 0]
    # The posterior of the model that made the data, on a grid.
    z = np.linspace(-6, 6, 4001)
    for x, drawn in zip((1.0, 1.5), draws, strict=True):
        weight = np.exp(-((x - np.abs(z)) ** 2) / (2 * noise**2) - z**2 / 2)
        weight /= weight.sum()
        assert abs((drawn > 0).mean() - 0.5) < 0.1
        assert (np.abs(drawn) < 0.3).mean() < 0.01
        assert np.abs(drawn).mean() == pytest.approx(weight @ np.abs(z), abs=0.05)
        assert np.abs(drawn).std() == pytest.approx(
            np.sqrt(weight @ z**2 - (weight @ np.abs(z)) ** 2), rel=0.2
        )


def square(z):
    return (z - 0.1) ** 2


def test_encoder_learns_the_mean():
    """Of a posterior with two modes: between them, where it has little density."""
    rng = np.random.RandomState(0)
    noise = 0.2
    data = square(rng.normal(size=(1000, 1))) + noise * rng.normal(size=(1000, 1))
    model = CoupledVAE(
        1,
        decoder=Known(square, data).requires_grad_(False),
        cost=GaussianCost(variance=noise**2),
        posterior="amortised",
        hidden_layer_sizes=(64,),
        learning_rate_init=0.003,
        batch_size=1000,
        max_iter=120,
        n_bank=512,
        random_state=0,
    ).fit(data)
    z = np.linspace(-6, 6, 4001)
    x = np.array([[0.5], [1.0], [2.0]])
    weight = np.exp(-((x - square(z)) ** 2) / (2 * noise**2) - z**2 / 2)
    exact = (weight @ z) / weight.sum(axis=1)
    np.testing.assert_allclose(model.transform(x)[:, 0], exact, atol=0.25)


def test_posteriors_average_to_the_prior():
    """Of training rows: more closely than with the potentials of training."""
    data = load_digits().data[:300] / 16
    distance = []
    for n_bank_steps in (0, 200):
        model = small(cost="bernoulli", n_bank_steps=n_bank_steps, n_bank=400, max_iter=30)
        rows = torch.tensor(data, dtype=torch.float32)
        weights = model.fit(data).model_.log_posterior(rows).detach().softmax(1)
        distance.append(float((400 * weights.mean(0) - 1).abs().mean()))
    assert distance[1] < 0.05 * distance[0]
