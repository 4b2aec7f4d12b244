"""A part of one's own that is not finite is what the error tells of."""

import re

import numpy as np
import pytest
import torch

from skotae.costs import BaseCost, CallableCost
from skotae.divergences import SinkhornDivergence
from skotae.exceptions import NonFiniteLossError
from skotae.priors import NormalPrior
from skotae.priors.base import BasePrior

X = np.random.default_rng(0).normal(size=(16, 3))


def log_gap(x, y):
    return (x - y).log().sum(-1)


def kinked(x, y):
    """Finite itself, with a slope of 0 / 0."""
    return (x - y).square().sum(-1) + (0 * y).square().sum(-1).sqrt()


def squared(x, y):
    return (x - y).square().sum(-1)


class LogLoss(BaseCost):
    likelihood = True

    def __call__(self, x, y):
        return log_gap(x, y)


class OwnPrior(BasePrior):
    def sample(self, n, d, generator, *, dtype=torch.float32):
        return NormalPrior().sample(n, d, generator, dtype=dtype)

    def log_prob(self, z):
        return NormalPrior().log_prob(z) + kinked(z, z)


def message_of(model):
    with pytest.raises(NonFiniteLossError) as raised:
        model.fit(X)
    return str(raised.value)


# Weights far from their defaults that are to blame for nothing.
WEIGHTS = {
    "WAEEstimator": {"lam": 1e-5},
    "SinkhornAE": {"beta": 1e-5},
    "VampPriorWAE": {"lam": 1e-5},
    "SymmetricWAE": {"alpha": 1e-5},
    "GMWAE": {"lam": 1e-9},
    "CoupledVAE": {"anchor": 1e-5},
}


COSTS = {"log": log_gap, "kink": kinked, "wrapped": CallableCost(log_gap), "class": LogLoss()}


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("name", WEIGHTS)
def test_the_cost_is_named_before_the_weights(name, cost, small):
    [(weight, value)] = WEIGHTS[name].items()
    text = message_of(small(name, cost=cost, **WEIGHTS[name]))
    assert re.search(r"term '(reconstruction|denoising|transport)'", text)
    assert re.search(r"Look at cost=\S.* first: values and their slopes have to be finite", text)
    assert text.index(" first") < text.index(f"{weight}={value!r} too")
    assert "cost=" not in message_of(small(name, learning_rate_init=1e30))


@pytest.mark.parametrize("name", ["VAE", "MIM", "HypersphericalVAE", "GMVAE"])
def test_of_a_likelihood(name, small):
    text = message_of(small(name, cost=LogLoss()))
    assert "'reconstruction'" in text and "Look at cost=LogLoss() first" in text


def test_a_cost_that_is_fine_is_one_of_two(small):
    """Steps that are far too large make any cost infinite."""
    text = message_of(small("WAEEstimator", cost=squared, learning_rate_init=1e30))
    assert "learning_rate_init=1e+30" in text


def only_with_gradients(x, y):
    return squared(x, y) if torch.is_grad_enabled() else squared(x, y) / 0.0


def test_a_fault_among_the_rows_that_are_held_out(small):
    params = {"early_stopping": True, "validation_fraction": 0.25, "cost_scale": 1.0}
    text = message_of(small("WAEEstimator", cost=only_with_gradients, **params))
    assert "'validation_loss'" in text and "Look at cost=<function only_with_gradients" in text


def test_a_prior_of_ones_own(small):
    text = message_of(small("VAE", prior=OwnPrior()))
    assert "'kl'" in text and "Look at prior=OwnPrior() first" in text


def matrix_of_logs(x, y):
    return (x[:, None] - y).log().sum(-1)


def matrix_with_a_kink(x, y):
    return (x[:, None] - y).square().sum(-1) + (0 * (x[:, None] - y)).norm(dim=-1).square().sqrt()


@pytest.mark.parametrize("cost, n_iter", [(matrix_of_logs, 3), (matrix_with_a_kink, None)])
def test_a_part_within_a_part(cost, n_iter, small):
    penalty = SinkhornDivergence(cost=cost, n_iter=n_iter)
    text = message_of(small("WAEEstimator", penalty=penalty))
    assert "'penalty'" in text and f"Look at penalty__cost=<function {cost.__name__}" in text


class LogDraws(NormalPrior):
    def sample(self, n, d, generator, *, dtype=torch.float32):
        return super().sample(n, d, generator, dtype=dtype).log()


def test_a_prior_that_a_penalty_compares_with(small):
    text = message_of(small("WAEEstimator", prior=LogDraws()))
    assert "'penalty'" in text and "Look at prior=LogDraws() first" in text


class LogLayer(torch.nn.Linear):
    """Finite in evaluation mode."""

    def forward(self, x):
        value = super().forward(x)
        return value.log() if self.training else value


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_a_network(name, small):
    text = message_of(small("WAEEstimator", **{name: LogLayer}))
    assert f"Look at {name}=<class" in text and "LogLayer'> first: values and their sl" in text
    text = message_of(small("WAEEstimator", **{name: torch.nn.Linear}, learning_rate_init=1e30))
    assert "Linear" not in text and "Look at learning_rate_init=1e+30 first" in text
