"""A part that breaks its contract is told what it returns, and what was expected."""

import pytest
import torch
from torch import nn

from skotae.base import BaseCost, BaseDivergence, BaseNetwork, BasePrior
from skotae.testing import check_cost, check_divergence, check_network, check_prior


class Prior(BasePrior):
    """Draws of which `change` makes something else."""

    def __init__(self, change=None):
        self.change = change

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        z = torch.randn(n, d, generator=generator, dtype=dtype)
        return z if self.change is None else self.change(z)


class Cost(BaseCost):
    """A distance of which `change` makes something else."""

    def __init__(self, change=None):
        self.change = change

    def __call__(self, x, y):
        cost = (x - y).abs().sum(-1)
        return cost if self.change is None else self.change(cost)


class Divergence(BaseDivergence):
    """A distance of means of which `change` makes something else."""

    def __init__(self, change=None):
        self.change = change

    def __call__(self, z, prior_draws, *, weights=None, generator=None):
        value = (z.mean(0) - prior_draws.mean(0)).square().sum()
        return value if self.change is None else self.change(value)


class Network(BaseNetwork):
    """A linear layer of which `change` makes something else."""

    def __init__(self, change=None):
        self.change = change

    def build(self, n_in, n_out):
        module = nn.Linear(n_in, n_out)
        return module if self.change is None else self.change(module)


def nothing(value):
    return None


def number(value):
    return float(value.detach().sum())


def half(value):
    return value.half()


def longer(value):
    return value[None]


def constant(value):
    return value.detach()


WRONG = [
    (check_prior, Prior, nothing, r"sample returns NoneType; expected a tensor of torch.float32"),
    (check_prior, Prior, half, r"sample returns torch.float16 of shape \(200, 3\)"),
    (check_cost, Cost, number, r"the cost .* returns float; expected a tensor of torch.float32"),
    (check_cost, Cost, half, r"the cost .* returns torch.float16 of shape \(7, 5\)"),
    (check_divergence, Divergence, nothing, r"the divergence returns NoneType; expected a tensor"),
    (check_divergence, Divergence, number, r"the divergence returns float; expected a tensor"),
    (check_divergence, Divergence, longer, r"the divergence returns torch.float32 of shape \(1,\)"),
    (check_divergence, Divergence, constant, r"the divergence has no gradient for codes"),
    (check_network, Network, nothing, r"build returns NoneType; expected a Module"),
]


@pytest.mark.parametrize("check, part, change, words", WRONG)
def test_what_a_part_returns_is_told(check, part, change, words):
    check(part())
    with pytest.raises(AssertionError, match=words):
        check(part(change))
