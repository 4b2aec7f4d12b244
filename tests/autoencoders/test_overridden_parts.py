"""Subclasses of our own parts: what they override is what is computed with."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skotae import GMWAE, VAE, WAEEstimator
from skotae.costs import SquaredEuclideanCost
from skotae.priors import AtomsPrior, GaussianMixturePrior, NormalPrior, PrincipalPrior
from skotae.testing import make_data
from skotae.utils._random import make_generator
from skotae.utils.base import overrides, stale

X = make_data(60, 3)
pytestmark = pytest.mark.filterwarnings("ignore:Reconstructions of:UserWarning")


# --- priors ----------------------------------------------------------------------------


class Laplace(NormalPrior):
    """Another distribution, of which NormalPrior knows nothing."""

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        u = torch.rand(n, d, generator=generator, dtype=dtype) - 0.5
        return -self.scale * u.sign() * torch.log1p(-2 * u.abs())

    def log_prob(self, z):
        return -(z.abs() / self.scale).sum(-1) - z.shape[-1] * math.log(2 * self.scale)

    def moments(self, d):
        return torch.zeros(d).double(), 2 * self.scale**2 * torch.eye(d).double()


class SameNormal(NormalPrior):
    """What it overrides stays as it is."""

    def sample(self, *args, **kwargs):
        return super().sample(*args, **kwargs)


def divergences_of(prior, n_draws=4000):
    """Mean of what the model takes for the divergence of two posteriors, and its spread."""
    model = VAE(2, prior=prior, hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X).model_
    means, log_scales = torch.tensor([[1.0, -0.5], [0.2, 2.0]]), torch.tensor([[-1.0, 0.3]] * 2)
    rows = torch.arange(2).repeat_interleave(n_draws)
    model.encoder.moments = lambda x: (means[rows], log_scales[rows])
    _, values = model.draw(torch.zeros(len(rows), 3), torch.Generator().manual_seed(0))
    values = values.detach().reshape(2, n_draws).double()
    return means, log_scales, values.mean(1).numpy(), values.std(1).numpy()


def test_a_density_of_ones_own_takes_the_place_of_the_closed_form():
    prior = Laplace(0.7)
    means, log_scales, found, spread = divergences_of(prior)
    # By quadrature: minus the entropy of q less the mean of log p.
    nodes = np.linspace(-8.0, 8.0, 4001)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    exact = np.zeros(2)
    for mean, log_scale in zip(means.T.numpy(), log_scales.T.numpy(), strict=True):
        z = mean[:, None] + np.exp(log_scale)[:, None] * nodes
        log_prior = -np.abs(z) / 0.7 - math.log(2 * 0.7)
        exact += -0.5 * math.log(2 * math.pi * math.e) - log_scale - log_prior @ weights
    np.testing.assert_array_less(np.abs(found - exact), 5 * spread / math.sqrt(4000))


def test_the_closed_form_stays_where_the_density_does():
    _, _, found, spread = divergences_of(SameNormal(0.7))
    _, _, usual, _ = divergences_of(NormalPrior(0.7))
    np.testing.assert_array_equal(found, usual)
    np.testing.assert_array_less(spread, 1e-5)


class Mirrored(GaussianMixturePrior):
    """Other draws of the same distribution."""

    def sample(self, n, d, *args, **kwargs):
        half = super().sample(-(-n // 2), d, *args, **kwargs)
        return torch.cat([half, -half])[:n]


class Moved(GaussianMixturePrior):
    def sample(self, *args, **kwargs):
        return super().sample(*args, **kwargs) + 1.0


class Narrow(NormalPrior):
    def sample(self, *args, **kwargs):
        return 0.5 * super().sample(*args, **kwargs)


@pytest.mark.parametrize("name", ["VAE", "AdversarialVB"])
def test_a_density_that_draws_are_not_of_is_refused(small, name):
    for prior in (Moved(2), Narrow()):
        with pytest.raises(ValueError, match=r"prior=.* sample\(\) of its own.*log_prob\(\)"):
            small(name, prior=prior).fit(X)
    for prior in (Mirrored(2), SameNormal(3.0), Laplace()):
        assert np.isfinite(small(name, prior=prior).fit(X).transform(X)).all()


class Rounded(NormalPrior):
    def head(self, d):
        return nn.Tanh()


def test_a_head_that_a_posterior_does_not_go_through_is_refused(small):
    with pytest.raises(ValueError, match=r"prior=Rounded\(\) has a head\(\).*of VAE"):
        small("VAE", prior=Rounded()).fit(X)
    codes = small("WAEEstimator", prior=Rounded()).fit(X).transform(X)
    assert np.abs(codes).max() <= 1.0


class Shifted(PrincipalPrior):
    def sample(self, *args, **kwargs):
        return super().sample(*args, **kwargs) + 5.0


def test_a_principal_prior_of_ones_own_has_the_widths_and_what_it_overrides():
    options = {"latent": "prior", "hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0}
    usual, own = (WAEEstimator(2, prior=p, **options).fit(X) for p in ("principal", Shifted()))
    assert isinstance(own.prior_, Shifted)
    np.testing.assert_array_equal(own.prior_.scale, usual.prior_.scale)
    draws = own.prior_.sample(2000, 2, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(draws.mean(0), 5.0, atol=0.2)
    np.testing.assert_allclose(draws.std(0), usual.prior_.scale, rtol=0.1)


class Between(AtomsPrior):
    """Draws that are no atoms."""

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        u = torch.rand(n, 1, generator=generator, dtype=dtype)
        return u * torch.tensor(self.atoms[0]) + (1 - u) * torch.tensor(self.atoms[1])


def test_draws_that_are_not_the_atoms_are_drawn(small):
    atoms = [[0.0, 0.0], [4.0, 4.0]]
    usual, own = (small("CoupledVAE", prior=kind(atoms)).fit(X) for kind in (AtomsPrior, Between))
    for model, n_codes in ((usual, 2), (own, 16)):
        codes, log_weights = model.model_.weighted_draws(torch.zeros(16, 3), make_generator(0))
        assert len(codes.unique(dim=0)) == len(log_weights) == n_codes
        assert log_weights.exp().sum().item() == pytest.approx(1.0)


# --- costs -----------------------------------------------------------------------------

WEIGHTS = torch.tensor([100.0, 1.0, 0.01])


class Weighted(SquaredEuclideanCost):
    def __call__(self, x, y):
        return ((x - y).square() * WEIGHTS.to(x)).sum(-1)


def test_the_coupling_pays_the_cost_that_a_subclass_asks_for(small):
    """And not the one that its base has between all rows and codes."""
    decoder = small("CoupledVAE", cost=Weighted()).fit(X).decoder_
    x, z = torch.from_numpy(X[:5]).float(), torch.randn(4, 2, generator=make_generator(0))
    with torch.no_grad():
        raw = decoder.net(z)
        pairs = (x[:, None] - decoder(z)).square() @ WEIGHTS
        torch.testing.assert_close(decoder.cost.pairwise_from_raw(x, raw), pairs)


class Relative(SquaredEuclideanCost):
    def __call__(self, x, y):
        return ((x - y) / (1 + x.abs())).square().sum(-1)


class Cubed(SquaredEuclideanCost):
    def __call__(self, x, y):
        return (x - y).abs().pow(3).sum(-1)


class CubedAsIs(Cubed):
    degree = 3.0


class RelativeAsIs(Relative):
    standardise, degree = False, None


@pytest.mark.parametrize("cost, words", [(Relative(), "standardise=True"), (Cubed(), "degree=2.0")])
def test_what_a_formula_inherits_and_does_not_keep_is_refused(small, cost, words):
    with pytest.raises(ValueError, match=rf"cost={cost!r}.*{words}".replace("()", r"\(\)")):
        small("WAEEstimator", cost=cost).fit(X)


@pytest.mark.parametrize("cost, factor", [(CubedAsIs(), 8**3), (Weighted(), 8**2)])
def test_what_it_says_itself_is_taken(small, cost, factor):
    model = small("WAEEstimator", cost=cost, scale="global")
    one, other = (model.fit(rows).score_samples(rows) for rows in (X, 8 * X))
    np.testing.assert_allclose(other, factor * one, rtol=1e-3)


def test_rows_are_left_in_their_units_where_it_says_so(small):
    assert small("WAEEstimator", cost=RelativeAsIs()).fit(X).data_scale_ == 1.0


def test_the_last_layer_is_solved_for_the_squared_error_alone():
    options = {"hidden_layer_sizes": (24,), "max_iter": 3, "random_state": 0}
    for cost, changes in ((SquaredEuclideanCost(), True), (Weighted(), False)):
        without, refitted = (
            GMWAE(2, n_mixtures=2, cost=cost, refit_decoder=refit, **options).fit(X)
            for refit in (False, True)
        )
        pairs = zip(without.decoder_.parameters(), refitted.decoder_.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs) is changes


# --- what is known of a method -----------------------------------------------------------


class Base:
    def value(self):
        return 1

    def shortcut(self):
        return 1


class Value(Base):
    def value(self):
        return 2


class Both(Value):
    def shortcut(self):
        return 2


@pytest.mark.parametrize(
    "cls, other, old", [(Base, False, False), (Value, True, True), (Both, True, False)]
)
def test_what_an_override_leaves_behind(cls, other, old):
    assert overrides(cls(), Base, "value") is other
    assert stale(cls(), "shortcut", "value") is old


def test_an_override_of_one_object():
    part = Base()
    part.value = lambda: 2
    assert overrides(part, Base, "value") and stale(part, "shortcut", "value")
