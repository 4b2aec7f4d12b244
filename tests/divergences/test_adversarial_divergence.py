"""The discriminator and its two losses."""

import math

import numpy as np
import pytest
import torch

from skotae import WAEEstimator
from skotae.divergences import AdversarialDivergence
from skotae.priors import NormalPrior
from skotae.testing import gaussian_in_subspace


def _draws(n=256, seed=0):
    return NormalPrior().sample(n, 2, torch.Generator().manual_seed(seed))


def number(tensor):
    return tensor.detach().item()


def _discriminator(d=2, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AdversarialDivergence((32,), **options).build(NormalPrior(), d)


def _trained(shift, n_steps=150, **options):
    discriminator = _discriminator(**options)
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    for step in range(n_steps):
        optimiser.zero_grad()
        z, draws = _draws(seed=2 * step) + shift, _draws(seed=2 * step + 1)
        discriminator.adversary_loss(z, draws).backward()
        optimiser.step()
    return discriminator


def test_discriminator_learns_to_separate():
    discriminator = _trained(4.0)
    assert discriminator.net(_draws()).mean() > 1
    assert discriminator.net(_draws() + 4.0).mean() < -1


def test_penalty_is_large_where_codes_are_told_apart():
    assert number(_trained(4.0)(_draws() + 4.0, _draws(seed=1))) > 1


def test_penalty_is_near_log_2_where_they_are_not():
    assert number(_trained(0.0)(_draws(seed=998), _draws(seed=999))) == pytest.approx(
        math.log(2), abs=0.1
    )


def test_penalty_of_an_undecided_discriminator_is_log_2():
    discriminator = _discriminator()
    torch.nn.init.zeros_(discriminator.net[-1].weight)
    torch.nn.init.zeros_(discriminator.net[-1].bias)
    assert number(discriminator(_draws(), _draws(seed=1))) == pytest.approx(math.log(2))


def test_loss_of_an_undecided_discriminator_is_twice_log_2():
    discriminator = _discriminator()
    torch.nn.init.zeros_(discriminator.net[-1].weight)
    torch.nn.init.zeros_(discriminator.net[-1].bias)
    loss = discriminator.adversary_loss(_draws(), _draws(seed=1))
    assert number(loss) == pytest.approx(2 * math.log(2))


def test_penalty_has_a_gradient_in_the_codes():
    z = _draws().requires_grad_()
    _discriminator()(z, _draws(seed=1)).backward()
    assert z.grad.abs().sum() > 0


def test_adversary_loss_has_no_gradient_in_the_codes():
    z = _draws().requires_grad_()
    _discriminator().adversary_loss(z, _draws(seed=1)).backward()
    assert z.grad is None


def test_adversary_loss_trains_every_weight():
    discriminator = _discriminator()
    discriminator.adversary_loss(_draws(), _draws(seed=1)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_gradient_penalty_is_half_the_mean_square_slope():
    z, y = _draws(), _draws(seed=1)
    plain, damped = (_discriminator(gradient_penalty=r).adversary_loss(z, y) for r in (0.0, 3.0))
    net, y = _discriminator().net, y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(y).sum(), y)
    expected = 1.5 * slope.square().sum(1).mean()
    assert number(damped - plain) == pytest.approx(number(expected), rel=1e-4)


def test_extreme_codes_have_a_finite_penalty():
    assert _discriminator()(1e6 * _draws(), _draws(seed=1)).isfinite()


def test_weights_are_refused():
    with pytest.raises(ValueError, match=r"AdversarialDivergence\(.* takes no weights"):
        _discriminator()(_draws(4), _draws(4, 1), weights=torch.full((4,), 0.25))


def test_there_is_no_value_without_a_training_run():
    with pytest.raises(ValueError, match="AdversarialDivergence has no value on its own.*build"):
        AdversarialDivergence()(_draws(), _draws(seed=1))


class LogRatio(torch.nn.Module):
    """log p - log q of N(0, 1) and N(1, 1)."""

    def forward(self, z):
        return 0.5 - z


# Of N(1, 1) from N(0, 1): the divergence, and how it grows with the mean of the first.
KNOWN = {
    "kl": (0.5, 1.0),
    "reverse-kl": (0.5, 1.0),
    "hellinger": (2 - 2 * math.exp(-1 / 8), 0.5 * math.exp(-1 / 8)),
}


@pytest.mark.parametrize("loss", KNOWN)
def test_divergences_of_two_gaussians(loss):
    """With the best discriminator: the value and, although it stays fixed, the gradient."""
    discriminator = _discriminator(1, loss=loss)
    discriminator.net = LogRatio()
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(2, 400_000, 1, generator=generator, dtype=torch.float64)
    z = (z + 1.0).requires_grad_()
    value = discriminator(z, y)
    value.backward()
    expected, slope = KNOWN[loss]
    assert number(value) == pytest.approx(expected, abs=0.03)
    assert z.grad.sum().item() == pytest.approx(slope, abs=0.03)


@pytest.mark.parametrize("loss", ["jensen-shannon", *KNOWN])
def test_divergences_are_zero_where_nothing_is_told_apart(loss):
    discriminator = _discriminator(loss=loss)
    torch.nn.init.zeros_(discriminator.net[-1].weight)
    torch.nn.init.zeros_(discriminator.net[-1].bias)
    assert number(discriminator(_draws(), _draws(seed=1))) == pytest.approx(0.0, abs=1e-6)


def test_jensen_shannon_of_what_has_nothing_in_common_is_twice_log_2():
    discriminator = _discriminator(1, loss="jensen-shannon")
    discriminator.net = torch.nn.Identity()
    far = torch.full((5, 1), 80.0)
    assert number(discriminator(-far, far)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("loss", ["jensen-shannon", *KNOWN])
def test_codes_follow_the_prior_by_each_loss(loss):
    data, _ = gaussian_in_subspace(400, 4, 2, random_state=0)
    penalty = AdversarialDivergence((32,), loss=loss)
    model = WAEEstimator(
        2, penalty=penalty, lam=0.3, prior="normal", hidden_layer_sizes=(32,), random_state=0
    ).fit(0.2 * data)
    np.testing.assert_allclose(model.transform(0.2 * data).std(axis=0), 1.0, atol=0.25)


def test_an_unknown_loss():
    with pytest.raises(ValueError, match="loss='wasserstein' of Adversarial.*'non-saturating', 'j"):
        _discriminator(loss="wasserstein")
