"""What InfoVAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skotae import VAE, InfoVAE
from skotae.divergences import MMD
from skotae.metrics import mmd
from skotae.priors import GaussianMixturePrior, NormalPrior
from skotae.testing import make_data, scaled_normals
from skotae.training import Step

X = make_data(64)


def small(cls=InfoVAE, **params):
    return cls(2, hidden_layer_sizes=(16,), **{"max_iter": 3, "random_state": 0, **params})


@pytest.mark.parametrize(
    "alpha, lam, beta", [(0.0, 1.0, 1.0), (0.5, 0.5, 0.5), (0.9, 0.1, 1.0 - 0.9), (-1.0, 2.0, 2.0)]
)
def test_is_vae_where_the_last_term_has_no_weight(alpha, lam, beta):
    info, vae = small(alpha=alpha, lam=lam).fit(X), small(VAE, beta=beta).fit(X)
    assert info.history_ == vae.history_
    np.testing.assert_array_equal(info.transform(X), vae.transform(X))
    np.testing.assert_array_equal(info.elbo(X, random_state=0), vae.elbo(X, random_state=0))


def test_terms_are_those_of_the_paper():
    """Equation 4 with the plain sums, from the same codes."""
    model = small(alpha=0.3, lam=4.0, cost_scale=1.0).fit(X)
    x = model._inference(np.float32).tensor(X)
    step = Step(torch.Generator().manual_seed(0), torch.arange(64), 64)
    with torch.no_grad():
        terms = model.model_.terms(x, step)
        generator = torch.Generator().manual_seed(0)
        z, divergence = model.model_.draw(x, generator)
        square = MMD()(z, model.prior_.sample(100_000, 2, generator))
        likelihood = -model.decoder_.cost.from_raw(x, model.decoder_.net(z)).mean()
    torch.testing.assert_close(terms["reconstruction"], -likelihood)
    torch.testing.assert_close(terms["kl"], (1 - 0.3) * divergence.mean())
    torch.testing.assert_close(terms["mmd"], (0.3 + 4.0 - 1) * square, rtol=0.02, atol=0)


@pytest.mark.parametrize("d", [1, 2, 8, 64])
def test_the_discrepancy_is_in_nats(d):
    """d / 2 times it, for a slight shift, is the Kullback-Leibler divergence."""
    shift = 0.3
    pairs = [scaled_normals(800, d, 1.0, random_state=seed)[:2] for seed in range(4)]
    # The same clouds without the shift take most of the sampling error away.
    values = [MMD()(z + shift / d**0.5, y) - MMD()(z, y) for z, y in pairs]
    values += [MMD()(z - shift / d**0.5, y) - MMD()(z, y) for z, y in pairs]
    np.testing.assert_allclose(d / 2 * np.mean(values), shift**2 / 2, rtol=0.25)


def test_aggregate_posterior_is_nearer_to_the_prior():
    data = load_digits().data[:500] / 16
    prior = np.random.RandomState(0).normal(size=(1500, 8))
    gaps = []
    for lam in (1.0, 10.0):
        model = InfoVAE(8, lam=lam, hidden_layer_sizes=(64,), max_iter=40, random_state=0)
        codes = model.fit(data).sample_posterior(data, 3, random_state=0).reshape(-1, 8)
        gaps.append(mmd(codes, prior))
    assert gaps[1] < 0.5 * gaps[0], gaps


@pytest.mark.parametrize("alpha, lam", [(0.0, 0.5), (0.5, 0.001), (-3.0, 2.0)])
def test_negative_weight_is_refused(alpha, lam):
    with pytest.raises(ValueError, match=rf"alpha={alpha} and lam={lam} .* alpha \+ lam >= 1"):
        small(alpha=alpha, lam=lam).fit(X)


@pytest.mark.parametrize(
    "prior, bandwidth", [(NormalPrior(0.3), 0.3), (GaussianMixturePrior(1, scale=2.0), 2.0)]
)
def test_bandwidth_is_that_of_the_prior(prior, bandwidth):
    model = small(prior=prior).fit(X)
    np.testing.assert_allclose(model.divergence_.bandwidth, bandwidth)
