"""Priors in float64, at the edges of their parameters, and of distributions of every kind."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import distributions

from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)

quickly = settings(deadline=None, derandomize=True, max_examples=40)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


COVARIANCE = np.array([[2.0, 0.3], [0.3, 1.0]])
MEAN = np.array([1.0, -1.0])

# --- precision -------------------------------------------------------------------------

DENSITIES = [
    NormalPrior(1.7),
    UniformPrior(-1.0, 2.0),
    SpherePrior(2.0),
    DirichletPrior([0.5, 3.0]),
    GaussianMixturePrior(4, scale=0.5),
    DistributionPrior(distributions.Laplace(0.5, 1.0)),
    DistributionPrior(
        distributions.MultivariateNormal(torch.zeros(2), torch.tensor(COVARIANCE).float())
    ),
    DistributionPrior(distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())),
    DistributionPrior(stats.t(df=5)),
    DistributionPrior(stats.multivariate_normal(MEAN, COVARIANCE)),
]


@pytest.mark.parametrize("prior", DENSITIES, ids=lambda prior: repr(prior)[:60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_has_the_dtype_of_the_codes(prior, dtype):
    z = prior.sample(4, 2, generator(), dtype=dtype)
    assert prior.log_prob(z).dtype == dtype


@pytest.mark.parametrize(
    ("prior", "reference"),
    [
        (NormalPrior(1.7), lambda z: stats.norm(scale=1.7).logpdf(z).sum(1)),
        (UniformPrior(-1.0, 2.0), lambda z: stats.uniform(-1.0, 3.0).logpdf(z).sum(1)),
        (SpherePrior(3.0), lambda z: np.full(len(z), -math.log(2 * math.pi * 3.0))),
        (DirichletPrior([0.5, 3.0]), lambda z: stats.beta(0.5, 3.0).logpdf(z[:, 0])),
    ],
    ids=["normal", "uniform", "sphere", "dirichlet"],
)
def test_density_is_exact_in_float64(prior, reference):
    z = prior.sample(50, 2, generator(), dtype=torch.float64)
    np.testing.assert_allclose(prior.log_prob(z).numpy(), reference(z.numpy()), rtol=1e-12)


def test_uniform_density_is_zero_outside():
    z = torch.tensor([[0.0, 0.0], [0.0, 2.5]])
    assert UniformPrior(-1.0, 2.0).log_prob(z).isneginf().tolist() == [False, True]


def test_dirichlet_density_is_finite_on_the_boundary():
    assert DirichletPrior(0.5).log_prob(torch.tensor([[0.0, 0.0, 1.0]])).isfinite().all()


# --- heads -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prior", [SpherePrior(2.0), UniformPrior(-0.3, 0.7), DirichletPrior()], ids=repr
)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e20])
def test_heads_have_finite_gradients(prior, size):
    x = (size * torch.tensor([[1.0, -0.5, 0.2]])).requires_grad_()
    prior.head(3)(x)[0, 0].backward()
    assert x.grad.isfinite().all()


@quickly
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_no_draw_and_no_code_leaves_the_cube(low, width):
    prior = UniformPrior(low, low + width)
    x = torch.linspace(-30, 30, 61)[:, None]
    for z in (prior.sample(100, 1, generator()), prior.head(1)(x)):
        # float32 may round an end, but by no more than it rounds the end itself.
        assert (z >= torch.tensor(prior.low)).all() and (z <= torch.tensor(prior.high)).all()


# --- one at a time ---------------------------------------------------------------------


def test_dirichlet_marginals_are_beta():
    z = DirichletPrior([0.2, 0.5, 2.0]).sample(3000, 3, generator(), dtype=torch.float64)
    for k, (a, b) in enumerate([(0.2, 2.5), (0.5, 2.2), (2.0, 0.7)]):
        assert stats.kstest(z[:, k].numpy(), stats.beta(a, b).cdf).pvalue > 0.01


def test_sphere_draws_are_uniform():
    # The first coordinate on the sphere in three dimensions is uniform (Archimedes).
    z = SpherePrior().sample(3000, 3, generator(), dtype=torch.float64)
    assert stats.kstest(z[:, 0].numpy(), stats.uniform(-1, 2).cdf).pvalue > 0.01


@quickly
@given(st.integers(2, 9), st.integers(0, 5), st.floats(0.1, 10), st.floats(0.1, 10))
def test_few_means_are_equidistant(k, spare, scale, separation):
    prior = GaussianMixturePrior(k, scale=scale, separation=separation)
    distances = torch.pdist(prior.component_means(k - 1 + spare))
    torch.testing.assert_close(distances, torch.full_like(distances, scale * separation))


@pytest.mark.parametrize(("k", "d", "radius"), [(10, 2, 2.0), (20, 3, 2.0)])
def test_many_means_fill_a_ball(k, d, radius):
    # In units of the distance of neighbours; a line of k means would reach to (k - 1) / 2.
    means = GaussianMixturePrior(k, separation=1.0).component_means(d)
    assert means.norm(dim=1).max() < radius


def test_components_of_far_weight_ratio_are_drawn():
    _, k = GaussianMixturePrior(2, weights=[1, 99]).sample_with_component(20_000, 2, generator())
    assert float((k == 0).double().mean()) == pytest.approx(0.01, abs=0.003)


def test_density_of_a_component_without_weight_is_left_out():
    prior = GaussianMixturePrior(means=[[0.0], [5.0]], weights=[1.0, 0.0])
    z = torch.tensor([[4.0]], dtype=torch.float64, requires_grad=True)
    value = prior.log_prob(z)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(stats.norm.logpdf(4.0))
    assert float(z.grad) == pytest.approx(-4.0)


@pytest.mark.parametrize("component", [-1, 3])
def test_an_unknown_component_is_refused(component):
    with pytest.raises(ValueError, match=f"component={component}; expected an integer from 0 to 2"):
        GaussianMixturePrior(3).sample(1, 2, component=component)


def test_atoms_are_not_shared_with_the_caller():
    atoms = np.zeros((2, 2))
    AtomsPrior(atoms).weighted_atoms(dtype=torch.float64)[0].add_(1.0)
    assert (atoms == 0).all()


def test_atoms_fix_the_dimension():
    assert AtomsPrior(np.zeros((4, 3))).min_components == 3


# --- distributions of torch and scipy --------------------------------------------------

DISTRIBUTIONS = {
    "torch number": (distributions.Gamma(2.0, 2.0), 4),
    "torch numbers of several kinds": (distributions.Normal(torch.zeros(2), torch.ones(2)), 2),
    "torch independent": (
        distributions.Independent(distributions.Laplace(torch.zeros(3), torch.ones(3)), 1),
        3,
    ),
    "torch vector": (
        distributions.MultivariateNormal(torch.tensor(MEAN), torch.tensor(COVARIANCE)),
        2,
    ),
    "torch simplex": (distributions.Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double()), 3),
    "torch mixture": (
        distributions.MixtureSameFamily(
            distributions.Categorical(torch.ones(2)),
            distributions.Normal(torch.tensor([-3.0, 3.0]), torch.ones(2)),
        ),
        2,
    ),
    "torch transformed": (distributions.LogNormal(0.0, 1.0), 2),
    "scipy number": (stats.t(df=5), 3),
    "scipy numbers of several kinds": (stats.norm(loc=[0.0, 5.0]), 2),
    "scipy vector": (stats.multivariate_normal(MEAN, COVARIANCE), 2),
    "scipy vector of one": (stats.multivariate_normal([1.0], [[2.0]]), 2),
    "scipy heavy tails": (stats.multivariate_t(MEAN, COVARIANCE, df=5), 2),
    "scipy simplex": (stats.dirichlet([1.0, 2.0, 3.0]), 3),
    "scipy sphere": (stats.vonmises_fisher([1.0, 0.0, 0.0], 3.0), 3),
}
every_distribution = pytest.mark.parametrize(
    ("distribution", "d"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS
)


@every_distribution
@pytest.mark.parametrize("n", [1, 6])
def test_any_distribution_is_a_prior(distribution, d, n):
    z = DistributionPrior(distribution).sample(n, d, generator())
    assert z.shape == (n, d) and z.isfinite().all()


@every_distribution
def test_density_of_a_distribution_is_its_own(distribution, d):
    z = DistributionPrior(distribution).sample(5, d, generator(), dtype=torch.float64)
    if isinstance(distribution, distributions.Distribution):
        expected = distribution.log_prob(z)
        expected = expected if distribution.event_shape else expected.sum(1)
    else:
        rows = [np.sum(distribution.logpdf(row)) for row in z.numpy()]
        expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(DistributionPrior(distribution).log_prob(z), expected.double())


def test_density_of_a_distribution_of_torch_has_a_gradient():
    z = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    prior = DistributionPrior(DISTRIBUTIONS["torch vector"][0])
    assert torch.autograd.gradcheck(prior.log_prob, z)


def test_coordinates_of_a_distribution_of_numbers_are_independent():
    z = DistributionPrior(distributions.Normal(0.0, 1.0)).sample(5000, 2, generator())
    assert abs(float(torch.corrcoef(z.T)[0, 1])) < 0.05


def test_a_multivariate_discrete_distribution_has_no_density():
    prior = DistributionPrior(stats.multivariate_hypergeom([5, 5], 3))
    assert not hasattr(prior, "log_prob")


@pytest.mark.parametrize(
    "distribution",
    [distributions.Normal(torch.zeros(2, 2), 1.0), stats.ortho_group(3)],
    ids=["torch", "scipy"],
)
def test_a_distribution_of_matrices_is_refused(distribution):
    with pytest.raises(ValueError, match="expected one of vectors or of numbers"):
        DistributionPrior(distribution).check_dimension(2)


# --- messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "d", "message"),
    [
        (NormalPrior(), 0, "n_components=0 .* expected 1 or more"),
        (SpherePrior(), 1, "n_components=1 .* expected 2 or more"),
        (DirichletPrior([1.0, 2.0]), 3, "n_components=3, but concentration .* n_components=2"),
        (GaussianMixturePrior(means=[[0.0, 1.0]]), 3, "n_components=3, but means .*=2"),
        (AtomsPrior([[0.0, 1.0]]), 3, "n_components=3, but atoms .*n_components=2"),
        (
            DistributionPrior(stats.multivariate_normal(MEAN, COVARIANCE)),
            3,
            "n_components=3, but distribution=.*n_components=2",
        ),
        (NormalPrior([1.0, 2.0]), 3, "scale=.*NormalPrior; .*above 0, or n_components=3 of them"),
        (NormalPrior([1.0, 0.0]), 2, "scale=.* of NormalPrior; expected a number above 0"),
        (SpherePrior(math.inf), 2, "radius=inf of SpherePrior"),
        (UniformPrior(0.0, math.nan), 2, "high=nan of UniformPrior"),
        (DirichletPrior([1.0, math.nan]), 2, "concentration=.*nan.* of DirichletPrior"),
        (DirichletPrior(learn="yes"), 2, "learn='yes' of DirichletPrior; expected True or False"),
        (GaussianMixturePrior(2.5), 2, "n_mixtures=2.5 of GaussianMixturePrior"),
        (GaussianMixturePrior(scale=-1), 2, "scale=-1 of GaussianMixturePrior"),
        (GaussianMixturePrior(2, weights=[1.0]), 2, "weights=.*expected 2 numbers"),
        (AtomsPrior([[0.0], [1.0]], weights=[0, 0]), 1, "weights=.*do not sum to 0"),
        (AtomsPrior([[math.nan]]), 1, "atoms of AtomsPrior .*finite"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_messages_say_what_is_wrong_and_what_is_expected(prior, d, message):
    with pytest.raises(ValueError, match=message):
        prior.check_dimension(d)
