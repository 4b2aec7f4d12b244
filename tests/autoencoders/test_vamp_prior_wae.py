"""What VampPriorWAE claims: a prior of posteriors, and any penalty that has a gradient for it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skotae import VampPriorWAE, WAEEstimator, load
from skotae.divergences import MMD, SinkhornDivergence
from skotae.testing import make_data
from skotae.training import Step

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return VampPriorWAE(**{**defaults, **params})


@pytest.mark.parametrize("posterior", ["gaussian", "deterministic"])
def test_codes_of_samples_are_posteriors_of_pseudo_inputs(posterior):
    model = small(n_pseudo_inputs=4, posterior=posterior, max_iter=5).fit(X)
    draws = model.model_.draw_codes(4000, torch.Generator().manual_seed(0), torch.float32)
    with torch.no_grad():
        mean, log_scale = model.encoder_.moments(model.encoder_.pseudo_inputs)
    if posterior == "deterministic":
        assert log_scale is None
        found = np.unique(draws.detach().numpy().round(4), axis=0)
        wanted = np.unique(mean.numpy().round(4), axis=0)
        np.testing.assert_allclose(found, wanted, atol=1e-3)
        return
    np.testing.assert_allclose(draws.detach().mean(0), mean.mean(0), atol=0.1)
    variance = mean.var(0, correction=0) + log_scale.exp().square().mean(0)
    np.testing.assert_allclose(draws.detach().var(0), variance, rtol=0.2)


@pytest.mark.parametrize("penalty", ["mmd", "sinkhorn", "exact", "sliced"])
def test_pseudo_inputs_learn(penalty):
    start, end = (
        small(penalty=penalty, n_pseudo_inputs=8, **options).fit(X).pseudo_inputs_
        for options in ({"max_iter": 1, "learning_rate_init": 1e-12}, {"max_iter": 10})
    )
    assert np.abs(start - end).max() > 1e-3


@pytest.mark.parametrize("penalty", ["gan", "gaussian"])
def test_penalties_without_a_gradient_for_the_prior(penalty):
    with pytest.raises(ValueError, match=f"penalty='{penalty}'.*'mmd', 'sinkhorn', 'exact'"):
        small(penalty=penalty).fit(X)


@pytest.mark.parametrize("penalty", [MMD(), SinkhornDivergence(debias="paired")])
def test_codes_that_are_all_smaller_gain_nothing(penalty):
    model = small(penalty=penalty).fit(X).model_
    z, draws = (torch.randn(32, 3, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    values = [
        model.compare(scale * z + 0.5 * scale, scale * draws, torch.Generator()).item()
        for scale in (1.0, 0.01)
    ]
    assert values[0] > 0.01
    assert values[1] == pytest.approx(values[0], rel=1e-3)


def test_the_penalty_has_the_weight():
    model = small(lam=2.0, learning_rate_init=1e-12, max_iter=1).fit(X)
    assert model.lam_ == 2.0
    other = small(lam=4.0, learning_rate_init=1e-12, max_iter=1).fit(X)
    ratio = other.history_["penalty"][0] / model.history_["penalty"][0]
    assert ratio == pytest.approx(2.0, rel=1e-3)


def test_gradient_reaches_the_pseudo_inputs_from_the_penalty_alone():
    model = small(batch_size=16).fit(X).model_
    batch = torch.from_numpy(X[:16].astype(np.float32))
    step = Step(torch.Generator().manual_seed(0), torch.arange(16), len(X))
    terms = model.terms(batch, step)
    inputs = [model.encoder.pseudo_inputs]
    (of_cost,) = torch.autograd.grad(terms["reconstruction"], inputs, allow_unused=True)
    (of_penalty,) = torch.autograd.grad(terms["penalty"], inputs)
    assert of_cost is None
    assert of_penalty.abs().max() > 0


def test_save_and_load(tmp_path):
    model = small(penalty="sinkhorn", posterior="deterministic").fit(X)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.transform(X), model.transform(X))
    assert np.array_equal(again.sample(5, random_state=0), model.sample(5, random_state=0))


def test_samples_of_digits_beside_a_fixed_prior():
    """The prior follows the codes: samples from it are nearer to rows than from a fixed one."""
    digits = load_digits().data[::2] / 16
    options = {"n_components": 8, "latent": "prior", "max_iter": 30, "random_state": 0}
    learned = VampPriorWAE(**options).fit(digits).score(digits)
    fixed = WAEEstimator(prior="normal", **options).fit(digits).score(digits)
    assert learned > fixed + 0.03
