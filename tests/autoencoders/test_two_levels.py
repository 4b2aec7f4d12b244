"""Codes of two levels, with a mixture of posteriors as prior of the upper one."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import skotae
from skotae import MIM, VampPriorVAE
from skotae.testing import make_data
from skotae.utils._random import make_generator

X = make_data(60)
UPPER = 2
both = pytest.mark.parametrize("cls", [VampPriorVAE, MIM])


def fitted(cls, **params):
    defaults = {"n_components": 5, "n_upper": UPPER, "n_pseudo_inputs": 4, "max_iter": 3}
    params = {**defaults, "hidden_layer_sizes": (16,), "latent": "prior", **params}
    return cls(**params, random_state=0).fit(X)


def gaussian(mean, log_scale):
    return Independent(Normal(mean, log_scale.exp()), 1)


@both
@torch.no_grad()
def test_densities_are_those_of_torch(cls):
    model = fitted(cls)
    encoder = model.encoder_
    x = model._inference(np.float32).tensor(X[:9])
    z, log_posterior, log_prior = encoder.densities(x, make_generator(3))
    upper, lower = z[:, :UPPER], z[:, UPPER:]
    mean, log_scale = encoder.moments(x)
    alone = mean[:, UPPER:], log_scale[:, UPPER:]
    shift, widening = encoder.joint(torch.cat([*alone, upper], 1)).chunk(2, 1)
    least = 0.0 if cls is MIM else -6.0
    posterior = gaussian(alone[0] + shift, (alone[1] + widening).clamp(least, 2.0))
    expected = gaussian(mean[:, :UPPER], log_scale[:, :UPPER]).log_prob(upper)
    torch.testing.assert_close(log_posterior, expected + posterior.log_prob(lower))
    centres, widths = (part[:, :UPPER] for part in encoder.moments(encoder.pseudo_inputs))
    mixture = MixtureSameFamily(Categorical(torch.ones(4)), gaussian(centres, widths))
    below = gaussian(*encoder.below(upper).chunk(2, 1))
    torch.testing.assert_close(log_prior, mixture.log_prob(upper) + below.log_prob(lower))


@both
@torch.no_grad()
def test_draws_of_the_prior(cls):
    """Of the upper level they have the mixture's mean; given it, of the lower those of below."""
    model = fitted(cls)
    z = model.model_.draw_codes(20000, make_generator(0), torch.float32)
    mean, log_scale = (
        part[:, :UPPER] for part in model.encoder_.moments(model.encoder_.pseudo_inputs)
    )
    assert z.shape == (20000, 5)
    torch.testing.assert_close(z[:, :UPPER].mean(0), mean.mean(0), rtol=0, atol=0.05)
    variance = (log_scale.exp() ** 2).mean(0) + mean.var(0, correction=0)
    torch.testing.assert_close(z[:, :UPPER].var(0), variance, rtol=0.05, atol=0.02)
    centre, width = model.encoder_.below(z[:, :UPPER]).chunk(2, 1)
    noise = (z[:, UPPER:] - centre) * (-width).exp()
    assert noise.mean(0).abs().max() < 0.05 and (noise.std(0) - 1).abs().max() < 0.05


@both
def test_codes_and_files(cls, tmp_path):
    model = fitted(cls)
    draws = model.sample_posterior(X[:3], 2000, random_state=0)
    assert draws.shape == (3, 2000, 5)
    np.testing.assert_allclose(
        draws.mean(axis=1)[:, :UPPER], model.transform(X[:3])[:, :UPPER], atol=0.15
    )
    model.save(tmp_path / "model.safetensors")
    again = skotae.load(tmp_path / "model.safetensors")
    assert again.sample(9, random_state=0).tobytes() == model.sample(9, random_state=0).tobytes()
    with pytest.raises(ValueError, match="n_upper=2 is no mixture of Gaussians; .*'mixture'"):
        model.to_onnx(tmp_path / "model.onnx", method="sample")


@both
def test_an_upper_level_is_a_part(cls):
    with pytest.raises(ValueError, match="n_upper=5 with n_components=5; expected fewer"):
        fitted(cls, n_upper=5)


@pytest.mark.slow
@both
def test_two_levels_fit_digits_better(cls):
    from sklearn.datasets import load_digits

    data = load_digits().data
    one, two = (
        cls(8, n_upper=n_upper, max_iter=60, random_state=0).fit(data[:900])
        for n_upper in (None, 4)
    )
    bounds = [model.elbo(data[900:], random_state=0).mean() for model in (two, one)]
    assert bounds[0] > bounds[1]
