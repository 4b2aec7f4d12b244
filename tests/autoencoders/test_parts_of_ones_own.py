"""Priors, costs and penalties of one's own that give something else than they should."""

import numpy as np
import pytest
import torch
from torch import nn

from skotae.costs import BaseCost
from skotae.displays import ManifoldDisplay
from skotae.divergences import BaseDivergence, SinkhornDivergence
from skotae.priors import BasePrior, NormalPrior
from skotae.testing import make_data

X = make_data(24, 3)
pytestmark = pytest.mark.filterwarnings("ignore:Reconstructions of:UserWarning")


class Own(BasePrior):
    """The standard normal distribution, with what is in the way of it."""

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return torch.randn(n, d, generator=generator, dtype=dtype)

    def log_prob(self, z):
        return -0.5 * z.square().sum(-1)


def prior_with(**functions):
    def method(function):
        return lambda self, *args, **options: function(*args, **options)

    return type("Own", (Own,), {name: method(each) for name, each in functions.items()})()


def draws_with(change):
    def sample(n, d, generator=None, *, dtype=torch.float32):
        return change(torch.randn(n, d, generator=generator, dtype=dtype))

    return prior_with(sample=sample)


DRAWS = {
    "other numbers of codes": (
        lambda z: z[:-1],
        r"of shape \(4, 2\); expected .* \(5, 2\)",
    ),
    "one code": (lambda z: z[:1], r"of shape \(1, 2\)"),
    "turned": (lambda z: z.T, r"of shape \(2, 5\)"),
    "too wide": (lambda z: torch.cat([z, z], dim=1), r"of shape \(5, 4\)"),
    "double": (lambda z: z.double(), "returned torch.float64"),
    "array": (lambda z: z.numpy(), "returned ndarray"),
    "of torch's generator": (torch.randn_like, "draws other codes from the same generator"),
}


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("change, words", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("name", ["WAEEstimator", "CoupledVAE", "WGAN", "VAE"])
def test_draws_that_are_none_are_refused(small, name, change, words):
    with pytest.raises(ValueError, match=rf"^prior=Own\(\) .*{words}"):
        small(name, prior=draws_with(change)).fit(X)


DENSITIES = {
    "columns": (lambda z: -z.square().sum(-1, keepdim=True), r"log_prob\(\) that returned shape"),
    "sum": (lambda z: -z.square().sum(), r"log_prob\(\) that returned shape \(\) for codes"),
    "by coordinate": (lambda z: -z.square(), r"log_prob\(\) that returned shape"),
    "number": (lambda z: -1.0, r"log_prob\(\) that returned float"),
    "in place": (lambda z: -z.square_().sum(-1), "writes into the rows that it is given"),
}


@pytest.mark.parametrize("density, words", DENSITIES.values(), ids=DENSITIES)
@pytest.mark.parametrize("name", ["VAE", "InfoVAE", "PlanarFlowVAE", "AdversarialVB"])
def test_densities_that_are_none_are_refused(small, name, density, words):
    with pytest.raises(ValueError, match=rf"^prior=Own\(\) .*{words}"):
        small(name, prior=prior_with(log_prob=density)).fit(X)


@pytest.mark.parametrize("name", ["VAE", "PlanarFlowVAE", "AdversarialVB"])
def test_densities_in_another_dtype_are_those_of_the_codes(small, name):
    wide = prior_with(log_prob=lambda z: -0.5 * z.double().square().sum(-1))
    models = [small(name, prior=prior).fit(X) for prior in (wide, Own())]
    assert models[0].history_["loss"] == pytest.approx(models[1].history_["loss"], rel=1e-4)


@pytest.mark.parametrize("d", [1, 3])
def test_moments_and_heads_of_another_width_are_refused(small, d):
    moments = prior_with(moments=lambda _: (torch.zeros(d), torch.eye(d)))
    for prior in (moments, prior_with(moments=lambda n: (torch.zeros(n), torch.ones(n)))):
        with pytest.raises(ValueError, match=r"^prior=Own\(\) has moments of shapes"):
            small("WAEEstimator", prior=prior).fit(X)
    with pytest.raises(ValueError, match=rf"^prior=Own\(\) has a head\(\) from 2 numbers to {d}"):
        small("WAEEstimator", prior=prior_with(head=lambda n: nn.Linear(n, d))).fit(X)


class Elsewhere(Own):
    support = "a word of one's own"

    def interpolate(self, z1, z2, t):
        return z1.mul_(1 - t) + t * z2


def test_paths_that_write_into_their_ends_are_refused(small):
    model = small("WAEEstimator", prior=Elsewhere()).fit(X)
    words = r"^prior=Elsewhere\(\) writes into the rows that it is given"
    with pytest.raises(ValueError, match=words):
        model.interpolate(X[:2], X[2:4])
    with pytest.raises(ValueError, match=words):
        ManifoldDisplay.from_estimator(model)


class OwnCost(BaseCost):
    standardise = likelihood = True

    def __init__(self, change):
        self.change = change

    def __call__(self, x, y):
        return self.change((x - y).square())


COSTS = {
    "columns": (lambda square: square.sum(-1, keepdim=True), r"returned \(\d+, 1\)"),
    "by coordinate": (lambda square: square, r"returned \(\d+, 3\)"),
    "mean": (lambda square: square.mean(), r"returned \(\)"),
    "one": (lambda square: square.sum(-1).mean(0, keepdim=True), r"returned \(1,\)"),
    "number": (lambda square: float(square.sum()), "returned float"),
    "whole": (lambda square: square.sum(-1).long(), "returned torch.int64"),
}
NAMES = ["WAEEstimator", "VAE", "CoupledVAE", "SymmetricWAE", "MIM", "GMWAE", "GMVAE"]


@pytest.mark.parametrize("change, words", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("name", NAMES)
def test_costs_that_are_no_number_for_each_row_are_refused(small, name, change, words):
    with pytest.raises(ValueError, match=rf"^cost=OwnCost\(.*{words}"):
        small(name, cost=OwnCost(change)).fit(X)


@pytest.mark.parametrize(
    "name, params, words",
    [
        ("WAEEstimator", {"cost": lambda x: x}, "cost=.* with two tensors of rows"),
        ("CoupledVAE", {"cost": lambda x: x}, "cost=.* with two tensors of rows"),
        ("SinkhornAE", {"latent_cost": lambda x: x}, "latent_cost=.* with two clouds of points"),
        (
            "WAEEstimator",
            {"penalty": SinkhornDivergence(cost=lambda x: x)},
            "cost=.* of SinkhornDivergence cannot .* with two clouds",
        ),
    ],
)
def test_functions_of_another_number_of_arguments_are_named(small, name, params, words):
    with pytest.raises(
        TypeError, match=rf"^{words}[^;]* \(.* takes 1 positional argument but 2 .*\);"
    ):
        small(name, **params).fit(X)


def in_double(square):
    return square.double().sum(-1)


def in_single(square):
    return square.sum(-1)


@pytest.mark.parametrize("name", NAMES)
def test_costs_in_another_dtype_are_those_of_the_rows(small, name):
    models = [small(name, cost=OwnCost(change)).fit(X) for change in (in_double, in_single)]
    assert models[0].history_["loss"] == pytest.approx(models[1].history_["loss"], rel=1e-3)
    scores = [model.score_samples(X.astype(np.float32)) for model in models]
    assert scores[0].dtype == np.float32 and scores[0].shape == (24,)
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)


class OwnPenalty(BaseDivergence):
    prior_gradient = True

    def __init__(self, change):
        self.change = change

    def __call__(self, z, prior_draws, *, generator=None, weights=None):
        return self.change((z.mean(0) - prior_draws.mean(0)).square())


PENALTIES = {
    "by coordinate": (lambda gap: gap, r"returned torch.float32 of shape \(2,\)"),
    "one": (lambda gap: gap.sum()[None], r"returned torch.float32 of shape \(1,\)"),
    "whole": (lambda gap: gap.sum().long(), "returned torch.int64"),
    "number": (lambda gap: float(gap.detach().sum()), "returned float"),
    "nothing": (lambda gap: None, "returned NoneType"),
    "detached": (lambda gap: gap.sum().detach(), "has no gradient for codes"),
}


@pytest.mark.parametrize("change, words", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("name", ["WAEEstimator", "VampPriorWAE"])
def test_penalties_that_are_no_number_with_a_gradient_are_refused(small, name, change, words):
    with pytest.raises(ValueError, match=rf"^penalty=OwnPenalty\(.*{words}"):
        small(name, penalty=OwnPenalty(change)).fit(X)


@pytest.mark.moves_torch_rng
def test_no_gradient_is_asked_for_where_none_is_wanted(small):
    frozen = nn.Linear(3, 2).requires_grad_(False)
    small("WAEEstimator", encoder=frozen, penalty=OwnPenalty(PENALTIES["detached"][0])).fit(X)


def test_what_gives_what_it_should_is_let_through(small):
    wide = OwnPenalty(lambda gap: gap.double().sum())
    model = small("WAEEstimator", prior=Own(), penalty=wide).fit(X)
    own, given = (small("VAE", prior=prior).fit(X) for prior in (Own(), NormalPrior()))
    assert np.isfinite(model.score(X)) and own.elbo(X).shape == given.elbo(X).shape == (24,)
