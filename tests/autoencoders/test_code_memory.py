"""Codes of recent mini-batches beside those of the present one in the penalty (`n_memory`)."""

import numpy as np
import pytest
import torch
from torch import nn

from skotae import SinkhornAE, WAEEstimator
from skotae.divergences import DIVERGENCES
from skotae.networks import MLP
from skotae.testing import gaussian_in_subspace, make_data

X = make_data(48)


def small(cls=SinkhornAE, **params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return cls(**{**defaults, **params})


@pytest.mark.parametrize("batch_size", [16, 20])
def test_it_keeps_the_codes_of_the_last_rows(batch_size):
    model = small(n_memory=32, batch_size=batch_size, learning_rate_init=1e-12).fit(X)
    kept = model.code_memory_.codes.double().numpy()
    distances = np.linalg.norm(kept[:, None] - model.transform(X), axis=2)
    assert distances.min(axis=1).max() < 1e-5
    assert len(set(distances.argmin(axis=1))) == 32


@pytest.mark.parametrize("penalty", sorted(DIVERGENCES))
def test_every_penalty_takes_it(penalty):
    model = small(WAEEstimator, penalty=penalty, n_memory=10, batch_size=16).fit(X)
    assert np.isfinite(model.history_["loss"]).all()
    without = small(WAEEstimator, penalty=penalty, batch_size=16).fit(X)
    assert np.abs(model.transform(X) - without.transform(X)).max() > 0


def test_codes_spread_as_the_prior_does():
    """Mini-batches of 8 say little of a distribution in 16 dimensions."""
    data, _ = gaussian_in_subspace(512, 16, 16, random_state=0)

    def error(n_memory):
        model = SinkhornAE(
            16,
            beta=1.0,
            n_memory=n_memory,
            hidden_layer_sizes=(),
            learning_rate_init=0.01,
            batch_size=8,
            max_iter=10,
            random_state=0,
        )
        return np.abs(np.cov(model.fit_transform(data).T) - np.eye(16)).max()

    assert error(64) < min(0.2, 0.6 * error(0))


class FailsOnce(nn.Module):
    """A network of which one step of training gives codes that are not numbers."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = MLP((16,)).build(n_in, n_out)
        self.n_calls = 0

    def forward(self, x):
        out = self.net(x)
        self.n_calls += self.training
        return out * torch.nan if self.n_calls == 5 and self.training else out


def test_codes_that_are_not_finite_are_not_kept_for_long():
    """Training goes on from before them."""
    model = small(encoder=FailsOnce, n_memory=32, batch_size=16, max_iter=4).fit(X)
    assert model.n_iter_ == 4
    n_steps = 3 * (model.n_iter_ + 1)
    assert model.encoder_.net.n_calls == n_steps  # one epoch was run again
    assert np.isfinite(model.history_["loss"]).all()
    assert torch.isfinite(model.code_memory_.codes).all()


def test_training_goes_on_with_what_is_kept():
    model = small(n_memory=32, warm_start=True).fit(X)
    kept = model.code_memory_
    model.fit(X)
    assert model.code_memory_ is kept
    assert model.n_iter_ == 4
