"""How CoupledVAE starts, and that it stays steady."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from skotae import CoupledVAE
from skotae.autoencoders.coupled import _potentials
from skotae.autoencoders.coupled._potentials import DualTable, Way, annealed
from skotae.costs import GaussianCost
from skotae.metrics import density_coverage
from skotae.networks import MLP

from .coupled import ATOMS, X, small


@pytest.fixture(scope="module")
def wine():
    return StandardScaler().fit_transform(load_wine().data)


@pytest.mark.parametrize("prior", [None, "uniform", "sphere", "atoms"])
@pytest.mark.parametrize("cost", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("potential", ["table", "network"])
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_options_of_start_and_plan(prior, cost, potential):
    model = small(
        prior=ATOMS if prior == "atoms" else prior,
        cost=cost,
        potential=potential,
        init="principal",
        plan_decay=0.9,
        max_iter=4,
    ).fit(X)
    assert np.isfinite(model.history_["loss"]).all()
    assert model.sample(3, random_state=0).shape == (3, 6)
    model.partial_fit(X)


@pytest.mark.filterwarnings("ignore:scale='global':UserWarning")
def test_start_from_principal_components(monkeypatch):
    """Before the first plan the decoder learns the Gaussian of the first components."""
    monkeypatch.setattr("skotae.autoencoders.coupled._cooling.PRINCIPAL_SHARES", (1.0, 1.1))
    rng = np.random.RandomState(0)
    data = 5.0 + rng.normal(size=(500, 3)) * [3.0, 1.0, 0.1]
    model = small(
        init="principal",
        scale="global",
        clip=False,
        max_iter=150,
        learning_rate_init=0.01,
        batch_size=128,
    ).fit(data)
    samples = model.sample(5000, random_state=0)
    np.testing.assert_allclose(samples.mean(axis=0), 5.0, atol=0.15)
    expected = np.cov(data.T)
    expected[2, 2] = 0.0
    np.testing.assert_allclose(np.cov(samples.T), expected, atol=0.7)


@pytest.mark.parametrize("posterior, start", [("importance", "random"), ("amortised", "pca")])
def test_average_of_the_decoder(posterior, start):
    """Before each step it goes a share of the way to the decoder."""
    one, two = (
        small(
            posterior=posterior,
            decoder=MLP((16,), start=start),
            plan_decay=0.75,
            learning_rate="constant",
            batch_size=48,
            max_iter=n,
            cost=GaussianCost(variance=100.0),
        ).fit(X)
        # The first step from principal components has no slope but for the last layer.
        for n in (2, 3)
    )
    before = {name: weight for name, weight in one.average_.named_parameters()}
    for name, weight in one.decoder_.net.named_parameters():
        assert not torch.equal(weight, before[name])
        expected = torch.lerp(before[name], weight, 0.25)
        torch.testing.assert_close(two.average_.get_parameter(name), expected)


def test_plan_of_few_rows(wine):
    """With plans of the decoder itself it loses most of the data: coverage 0.03 to 0.25."""
    model = CoupledVAE(2, max_iter=100, random_state=0).fit(wine)
    samples = model.sample(len(wine), random_state=0)
    assert density_coverage(wine, samples)[1] > 0.7


def test_full_dual_does_not_overflow(wine):
    """A sharp likelihood puts the potential networks of many rows far from their solution."""
    model = CoupledVAE(
        2,
        potential="network",
        dual="full",
        hidden_layer_sizes=(64, 64),
        max_iter=100,
        random_state=0,
    ).fit(wine)
    assert np.isfinite(model.history_["loss"]).all()


def test_stored_potentials_come_to_rest():
    """They go half of the way, and a quarter with the second move after one of half."""
    log_kernel = -torch.arange(12.0).reshape(4, 3)
    log_b = torch.full((3,), 1 / 3).log()
    rows = torch.tensor([2, 0, 3, 1])
    moved = []
    for n_halving in (None, 1):
        table = DualTable()
        for _ in range(2):
            u = table.move(log_kernel, log_b, rows, 4, Way(2, n_halving), unit=2.0)
            torch.testing.assert_close(table.values[rows], 2.0 * u)
            moved.append(u)
    first, half, same, quarter = moved
    assert first.std() > 0
    torch.testing.assert_close(same, first)
    torch.testing.assert_close(quarter, torch.lerp(first, half, 0.5))


@pytest.mark.parametrize("way, share", [(0.3, 0.5), (1.0, 1.0)])
def test_stored_potentials_catch_up_with_a_decoder(way, share):
    """They go all of the way where the half of it leaves the draws to few of the rows."""
    generator = torch.Generator().manual_seed(0)
    x, y, side = torch.randn((129, 8), generator=generator).split([64, 64, 1])
    x = 20.0 * x
    log_b, rows, table = torch.full((64,), 1 / 64).log(), torch.arange(64), DualTable()

    def move(y, n_steps):
        log_kernel = -0.5 * torch.cdist(x, y).square()
        u = table.move(log_kernel, log_b, rows, 64, Way(n_steps), unit=1.0)
        return u, log_kernel

    for _ in range(60):
        start, log_kernel = move(y, 30)
    torch.testing.assert_close(masses(start, log_kernel), torch.ones(64), rtol=0.0, atol=0.01)
    u, log_kernel = move(y + way * side, 3)
    f = start
    for _ in range(3):
        g = -(f[:, None] + log_kernel).logsumexp(0)
        f = -(g + log_kernel).logsumexp(1)
    f = f + (start - f).mean()
    torch.testing.assert_close(u, torch.lerp(start, f, share), rtol=1e-3, atol=0.01)
    half, whole = (masses(torch.lerp(start, f, part), log_kernel) for part in (0.5, 1.0))
    assert (whole - 1).abs().mean() < 1.0
    assert ((half - 1).abs().mean() > 1.0) == (share == 1.0)


@pytest.mark.parametrize("first, least, most", [(True, 0.0, 0.2), (False, 1.0, 1.4)])
def test_stored_potentials_that_are_far_behind_are_found_anew(first, least, most):
    """From the next epoch on, at temperatures that fall: three iterations at the last are few."""
    generator = torch.Generator().manual_seed(0)
    x, y, side = torch.randn((129, 8), generator=generator).split([64, 64, 1])
    log_b, rows, table = torch.full((64,), 1 / 64).log(), torch.arange(64), DualTable()

    def deviation(y, n_steps):
        log_kernel = -0.5 * torch.cdist(20.0 * x, y).square()
        u = table.move(log_kernel, log_b, rows, 64, Way(n_steps), unit=1.0, first=first)
        return float((masses(u, log_kernel) - 1).abs().mean())

    for _ in range(60):
        deviation(y, 30)
    assert deviation(y + 3.0 * side, 3) > 1.0
    assert least <= deviation(y + 3.0 * side, 3) < most


def test_what_is_balanced_is_not_solved_anew(monkeypatch):
    """In an epoch in which others are: it would be thrown away."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn((128, 8), generator=generator).split([64, 64])
    log_b, rows, table = torch.full((64,), 1 / 64).log(), torch.arange(128), DualTable()
    solved = []

    def counted(log_kernel, *options):
        solved.append(log_kernel)
        return annealed(log_kernel, *options)

    monkeypatch.setattr(_potentials, "annealed", counted)
    flat, steep = (-0.5 * torch.cdist(size * x, y).square() for size in (0.1, 20.0))

    def move(log_kernel, rows, first):
        return table.move(log_kernel, log_b, rows, 128, Way(1), unit=1.0, first=first)

    move(steep, rows[:64], True)
    found = move(flat, rows[64:], True)
    assert not solved and found.isfinite().all() and found.std() > 0
    move(steep, rows[:64], False)
    assert len(solved) == 1


def masses(u, log_kernel):
    """Of the rows under the plan of potentials u, over 1 / n."""
    return len(u) * (u[:, None] + log_kernel).softmax(0).mean(1)


def test_few_rows_far_off_do_not_take_the_draws_of_the_others():
    """One row of a hundred is sixty standard deviations away."""
    data = np.random.RandomState(0).normal(size=(400, 6))
    data[:4] = 60 + 0.1 * data[:4]
    params = {"n_components": 3, "batch_size": 100, "n_bank": 256, "max_iter": 200}
    model = small(hidden_layer_sizes=(32,), scale="global", **params).fit(data)
    samples = model.sample(2000, random_state=0)
    where = samples.mean(axis=1)
    assert np.mean((where > 4) & (where < 56)) < 0.03
    assert samples[where <= 4].std(axis=0).mean() == pytest.approx(1.0, abs=0.2)
