"""What MIM claims beyond what it shares with VampPriorVAE."""

import numpy as np
import pytest
import torch
from torch import nn

from skotae import MIM, VAE
from skotae.autoencoders.bases.pseudo_inputs import mixture_log_density
from skotae.autoencoders.bases.variational import gaussian_log_density
from skotae.costs import GaussianCost
from skotae.networks import MLP
from skotae.testing import make_data

X = make_data(48)


def moments_of(model, rows):
    with torch.no_grad():
        return model.encoder_.moments(model._inference(np.float32).tensor(rows))


def test_terms_in_closed_form():
    """With q(z|x) = N(x, s² I) and one pseudo-input u, half of two entropies of Gaussians."""
    n, d, scale = 4000, 3, 0.7
    rows = np.random.RandomState(0).normal(size=(n, d))
    encoder = nn.utils.skip_init(nn.Linear, d, 2 * d)
    with torch.no_grad():
        encoder.weight.zero_()[:d] = torch.eye(d)
        encoder.bias.zero_()[d:] = np.log(scale)
    model = MIM(
        n_components=d,
        n_pseudo_inputs=1,
        min_scale=0.1,
        encoder=encoder,
        cost=GaussianCost(variance=1.0),
        cost_scale=2.0,
        learning_rate_init=1e-12,
        max_iter=1,
        random_state=0,
    ).fit(rows)
    entropy = d * (np.log(scale) + 0.5 * np.log(2 * np.pi) + 0.5)
    square = np.square((rows - model.pseudo_inputs_) / model.data_scale_).sum(axis=1).mean()
    cross_entropy = entropy + 0.5 * square / scale**2
    assert model.history_["posterior"][0] == pytest.approx(0.5 * entropy / 2.0, rel=0.03)
    assert model.history_["prior"][0] == pytest.approx(0.5 * cross_entropy / 2.0, rel=0.03)


@pytest.mark.parametrize("min_scale", [0.3, 1.0])
def test_posteriors_are_as_narrow_as_they_may(min_scale):
    model = MIM(
        n_components=2,
        min_scale=min_scale,
        hidden_layer_sizes=(16,),
        learning_rate_init=0.01,
        max_iter=60,
        random_state=0,
    ).fit(X)
    scale = moments_of(model, X)[1].exp()
    assert scale.min() >= min_scale * 0.9999
    assert scale.mean() < 1.05 * min_scale


def information(model, rows, n_draws=20):
    """I(x; z) for x uniform on the rows: E log q(z|x) - E log mean q(z|x')."""
    mean, log_scale = moments_of(model, rows)
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(n_draws):
        noise = torch.randn(mean.shape, generator=generator)
        z = mean + log_scale.exp() * noise
        marginal = mixture_log_density(z, mean, log_scale)
        total += float((gaussian_log_density(noise, log_scale) - marginal).mean())
    return total / n_draws


def told(cls, start, seed):
    """Information in codes of factors from strong to weaker than noise."""
    rng = np.random.RandomState(seed)
    directions = np.linalg.qr(rng.normal(size=(20, 6)))[0].T
    factors = rng.normal(size=(200, 6)) * [2.0, 1.0, 0.7, 0.5, 0.35, 0.25]
    rows = factors @ directions + 0.3 * rng.normal(size=(200, 20))
    networks = dict.fromkeys(("encoder", "decoder"), MLP((32,), start=start))
    model = cls(n_components=8, max_iter=60, random_state=seed, **networks).fit(rows)
    return information(model, rows)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_codes_tell_more_than_those_of_a_vae(seed):
    """Where a VAE gives some of its dimensions up, as one with random weights does."""
    assert told(MIM, "random", seed) > 1.05 * told(VAE, "random", seed) > 0.1


@pytest.mark.parametrize("cls", [VAE, MIM])
def test_no_dimension_is_given_up_from_principal_components(cls):
    assert told(cls, "pca", 0) > 1.8 * told(cls, "random", 0)
