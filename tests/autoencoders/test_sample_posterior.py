"""Many draws from one posterior."""

import numpy as np
import pytest
import torch
from torch import nn

from skotae.autoencoders.bases import inference

X = np.random.default_rng(0).normal(size=(12, 4))
NAMES = {
    "VAE": {},
    "PlanarFlowVAE": {},
    "HypersphericalVAE": {"n_components": 3},
    "AdversarialVB": {},
    "GMWAE": {},
    "CoupledVAE": {},
    "WAEEstimator": {},
}


class Counted(nn.Linear):
    """Counts the rows it is sent."""

    rows = 0

    def forward(self, x):
        if not torch.is_grad_enabled():
            Counted.rows += len(x)
        return super().forward(x)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_encoded_once(small, name, monkeypatch):
    # With blocks of few rows, so that there are several.
    monkeypatch.setattr(inference, "CHUNK", 64)
    model = small(name, encoder=Counted, **NAMES[name]).fit(X)
    Counted.rows = 0
    Z = model.sample_posterior(X, 40, random_state=0)
    assert Counted.rows <= len(X)
    assert Z.shape == (12, 40, model.n_components_) and Z.dtype == X.dtype
    assert np.isfinite(Z).all()
    # Draws of one row belong together: they are about that row's posterior.
    many = model.sample_posterior(X[:2], 1000, random_state=1)
    one = model.sample_posterior(np.repeat(X[:2], 300, axis=0)).reshape(2, 300, -1)
    spread = one.std(axis=1) + 1e-6
    assert (np.abs(many.mean(axis=1) - one.mean(axis=1)) < 6 * spread / 300**0.5).all()
    assert (np.abs(many.std(axis=1) - one.std(axis=1)) < 0.35 * spread + 1e-5).all()


def test_more_draws_than_a_block_has(small, monkeypatch):
    monkeypatch.setattr(inference, "CHUNK", 8)
    Z = small("VAE").fit(X).sample_posterior(X, 21, random_state=0)
    assert Z.shape == (12, 21, 2)
    assert len(np.unique(Z.reshape(-1, 2), axis=0)) == 12 * 21


class Noisy(nn.Linear):
    """A network that draws, when it is used too."""

    def forward(self, x):
        return super().forward(x) + torch.randn(len(x), 1)


def test_networks_with_noise_draw_it_anew(small):
    model = small("WAEEstimator", encoder=Noisy).fit(X)
    Z = model.sample_posterior(X, 5, random_state=0)
    assert len(np.unique(Z.reshape(-1, 2), axis=0)) == 60
