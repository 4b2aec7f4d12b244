"""Losses within torch.utils.checkpoint have the gradients that they have without."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from skotae import transport


def gaussian(x, y):
    return transport.gaussian_wasserstein(*transport.fit_gaussian(x), *transport.fit_gaussian(y))


LOSSES = {
    "sinkhorn_divergence": transport.sinkhorn_divergence,
    "sharp": lambda x, y: transport.sinkhorn_divergence(x, y, sharp=True),
    "unbalanced": transport.unbalanced_sinkhorn_divergence,
    "exact_cost": transport.exact_cost,
    "sliced_wasserstein": lambda x, y: transport.sliced_wasserstein(
        x, y, generator=torch.Generator().manual_seed(0)
    ),
    "max_sliced_wasserstein": lambda x, y: transport.max_sliced_wasserstein(
        x, y, generator=torch.Generator().manual_seed(0)
    ),
    "squared_mmd": transport.squared_mmd,
    "gaussian_wasserstein": gaussian,
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_same(name):
    draw = torch.Generator().manual_seed(0)
    y = torch.rand(20, 2, generator=draw)
    x = torch.rand(20, 2, generator=draw).requires_grad_()
    loss = LOSSES[name]
    (expected,) = torch.autograd.grad(loss(x, y), x)
    within = checkpoint(loss, x, y, use_reentrant=False, preserve_rng_state=False)
    (gradient,) = torch.autograd.grad(within, x)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)
