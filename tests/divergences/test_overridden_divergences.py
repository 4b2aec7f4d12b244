"""Subclasses of our divergences and priors: what they override is what codes are compared by."""

import pytest
import torch

from skotae import WAEEstimator
from skotae.divergences import MMD, AdversarialDivergence, GaussianDivergence
from skotae.priors import NormalPrior, SpherePrior
from skotae.testing import make_data
from skotae.transport import fit_gaussian, gaussian_wasserstein

X = make_data(40, 3)


def cloud(n=200, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def thrice(kind):
    def call(self, z, prior_draws, **options):
        return 3.0 * kind.__call__(self, z, prior_draws, **options)

    return type(f"Thrice{kind.__name__}", (kind,), {"__call__": call})()


class North(SpherePrior):
    """The upper half of the sphere."""

    def sample(self, *args, **kwargs):
        z = super().sample(*args, **kwargs)
        return torch.cat([z[:, :-1], z[:, -1:].abs()], dim=1)


class Wide(NormalPrior):
    def sample(self, *args, **kwargs):
        return 4.0 * super().sample(*args, **kwargs)


class WideKnown(Wide):
    def moments(self, d):
        return torch.zeros(d).double(), 16.0 * torch.eye(d).double()


@pytest.mark.parametrize("kind", [MMD, GaussianDivergence])
def test_a_value_of_ones_own_is_what_a_fit_calls(kind):
    z, y = cloud() + 1.0, cloud(seed=1)
    own = thrice(kind)
    assert own.build(NormalPrior(), 2)(z, y).item() == pytest.approx(own(z, y).item(), rel=0.05)
    seven = {"__call__": lambda self, z, prior_draws, **options: 0.0 * z.sum() + 7.0}
    penalty = type("Seven", (kind,), seven)()
    model = WAEEstimator(2, penalty=penalty, lam=2.0, hidden_layer_sizes=(4,), max_iter=1)
    assert model.fit(X).history_["penalty"] == pytest.approx([14.0])


def test_moments_that_draws_do_not_have_are_not_compared_with():
    z = cloud()
    for prior, known in ((North(), False), (Wide(), False), (WideKnown(), True)):
        y = prior.sample(500, 2, torch.Generator().manual_seed(1))
        value = GaussianDivergence().build(prior, 2)(z, y)
        of_draws = gaussian_wasserstein(*fit_gaussian(z), *fit_gaussian(y))
        if known:
            moments = (part.float() for part in prior.moments(2))
            torch.testing.assert_close(value, gaussian_wasserstein(*fit_gaussian(z), *moments))
        else:
            torch.testing.assert_close(value, of_draws)


@pytest.mark.parametrize("kind", [Wide, WideKnown])
def test_the_bandwidth_is_the_width_of_what_is_drawn(kind):
    assert MMD().build(kind(), 2).bandwidth == pytest.approx(4.0, rel=0.05)


def test_a_discriminator_that_a_value_is_not_taken_from_is_refused():
    own = thrice(AdversarialDivergence)
    with pytest.raises(ValueError, match=r"penalty=ThriceAdv.*has a __call__\(\).*build\(\)"):
        WAEEstimator(2, penalty=own, max_iter=1).fit(X)
