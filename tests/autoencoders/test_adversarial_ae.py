"""What AdversarialAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from skotae import AdversarialAE, WAEEstimator
from skotae.divergences import AdversarialDivergence
from skotae.metrics import mmd
from skotae.networks import base
from skotae.networks.base import FIXED
from skotae.priors import GaussianMixturePrior
from skotae.testing import make_data
from skotae.training import Step

X = make_data(48)


def small(cls=AdversarialAE, **params):
    defaults = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0}
    return cls(**{**defaults, **params})


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("cost_scale", ["auto", 1.0])
@pytest.mark.parametrize("sigma", [0.1, 0.7])
def test_equals_penalised_optimal_transport(sigma, cost_scale, posterior):
    """Section 4.1 of the VEGAN cookbook: eq. 7 is eq. 13 with lambda = 2 sigma^2."""
    options = {"cost_scale": cost_scale, "posterior": posterior}
    aae = small(sigma=sigma, **options).fit(X)
    pot = small(WAEEstimator, penalty="gan", lam=2 * sigma**2, **options).fit(X)
    assert aae.history_ == pot.history_
    np.testing.assert_array_equal(aae.transform(X), pot.transform(X))
    for name in ("encoder_", "decoder_", "divergence_"):
        ours, theirs = (getattr(m, name).state_dict().values() for m in (aae, pot))
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_sigma_is_in_units_of_the_data_where_cost_scale_is_1():
    """The reconstruction term is 2 sigma^2 times -log N(x; G(E(x)), sigma^2), but for log sigma."""
    data, sigma = 100 * X, 7.0
    model = small(sigma=sigma, cost_scale=1.0).fit(data)
    batch = model._inference(np.float32).tensor(data)
    step = Step(torch.Generator().manual_seed(0), torch.arange(48), 48, training=False)
    term = float(model.model_.terms(batch, step)["reconstruction"].detach())
    nll = -stats.norm(model.reconstruct(data), sigma).logpdf(data).sum(axis=1).mean()
    constant = 6 * np.log(sigma * np.sqrt(2 * np.pi))
    assert term == pytest.approx(2 * sigma**2 * (nll - constant), rel=1e-4)


def test_log_density_is_added_to_the_network():
    prior = GaussianMixturePrior(n_mixtures=2, separation=6.0)
    model = small(log_density=True, prior=prior).fit(X)
    z = model.prior_.sample(50, 2, torch.Generator().manual_seed(0))
    whole = model.divergence_.logits(z)
    gap = whole - model.divergence_.net(z).squeeze(1) - model.prior_.log_prob(z)
    assert float(gap.detach().std()) < 1e-5
    without = small(prior=prior).fit(X)
    assert not np.array_equal(model.transform(X), without.transform(X))


def two_groups(n=600):
    rng = np.random.RandomState(0)
    centres = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None] * [1.0, 0.0]
    return centres + 0.5 * rng.normal(size=(n, 2))


def codes(**params):
    options = {"sigma": 0.2, "hidden_layer_sizes": (64,), "max_iter": 60, "batch_size": 64}
    return small(**{**options, **params}).fit_transform(two_groups())


def test_matches_a_prior_of_two_far_modes():
    prior = GaussianMixturePrior(means=[[-2.0, 0.0], [2.0, 0.0]], scale=0.5)
    draws = prior.sample(1000, 2, torch.Generator().manual_seed(1)).numpy()
    Z = codes(prior=prior)
    assert 0.4 < (Z[:, 0] > 0).mean() < 0.6
    assert (np.abs(Z[:, 0]) < 0.5).mean() < 0.1
    assert mmd(Z, draws) < 0.2 * mmd(codes(), draws)


@pytest.mark.slow
def test_log_density_matches_the_prior():
    draws = np.random.RandomState(0).normal(size=(1000, 2))
    assert mmd(codes(log_density=True), draws) < 0.5 * mmd(codes(sigma=0.0), draws)


def test_prior_with_a_support_has_no_log_density():
    with pytest.raises(ValueError, match="prior=SpherePrior.*log_density=True"):
        small(log_density=True, prior="sphere").fit(X)


def test_log_density_of_the_divergence_in_other_estimators():
    penalty = AdversarialDivergence(log_density=True)
    ours = small(log_density=True).fit(X)
    theirs = small(WAEEstimator, penalty=penalty, lam=2 * ours.sigma**2).fit(X)
    np.testing.assert_array_equal(ours.transform(X), theirs.transform(X))


class Counted(nn.Sequential):
    """Layers that count how often they are called in training."""

    calls = 0

    def forward(self, x):
        Counted.calls += self.training
        return super().forward(x)


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_codes_are_found_once_in_a_step(posterior, monkeypatch):
    """By networks that would give the same twice; results are those of two calls."""
    X = make_data(40, seed=0)
    params = {"penalty": "gan", "posterior": posterior, "max_iter": 2, "batch_size": 20}
    width = 2 if posterior == "deterministic" else 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Counted(nn.Linear(X.shape[1], 8), nn.Tanh(), nn.Linear(8, width))
    results = []
    for known in (set(), {Counted}):
        monkeypatch.setattr(base, "FIXED", FIXED | known)
        Counted.calls = 0
        model = WAEEstimator(2, encoder=net, random_state=0, **params).fit(X)
        results.append((Counted.calls, model.history_, model.transform(X).tolist()))
    twice, once = results
    assert twice[1:] == once[1:]
    # Four steps, and what is looked at before the first.
    assert twice[0] - once[0] == (4 if posterior == "deterministic" else 0)
