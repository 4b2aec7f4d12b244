"""What every prior keeps to."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone

from skotae.priors import (
    PRIORS,
    AtomsPrior,
    BasePrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)

D = 3
CASES = [
    NormalPrior(),
    NormalPrior(scale=0.3),
    UniformPrior(),
    UniformPrior(low=2.0, high=5.0),
    SpherePrior(),
    SpherePrior(radius=2.5),
    DirichletPrior(),
    DirichletPrior(0.05),
    DirichletPrior([0.5, 1.0, 4.0]),
    GaussianMixturePrior(n_mixtures=3),
    GaussianMixturePrior(n_mixtures=7, scale=0.5, separation=2.0),
    GaussianMixturePrior(means=np.eye(3), weights=[0.2, 0.3, 0.5]),
    AtomsPrior(np.arange(12.0).reshape(4, 3) / 6, weights=[1.0, 2.0, 0.0, 1.0]),
    DistributionPrior(torch.distributions.Laplace(1.0, 2.0)),
    DistributionPrior(torch.distributions.Normal(torch.arange(3.0), torch.ones(3))),
    DistributionPrior(
        torch.distributions.MultivariateNormal(torch.arange(3.0), torch.diag(torch.ones(3)) + 0.5)
    ),
    DistributionPrior(stats.t(df=8)),
    DistributionPrior(stats.norm(loc=[0.0, 1.0, 2.0])),
    DistributionPrior(stats.multivariate_normal(np.arange(3.0), np.eye(3) + 0.5)),
    DistributionPrior(stats.dirichlet([1.0, 2.0, 3.0])),
]
each = pytest.mark.parametrize("prior", CASES, ids=lambda prior: repr(prior)[:60])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@each
def test_sample_shape_dtype_and_finite(prior):
    prior.check_dimension(D)
    for n in (0, 1, 5):
        for dtype in (torch.float32, torch.float64):
            z = prior.sample(n, D, generator(), dtype=dtype)
            assert z.shape == (n, D) and z.dtype == dtype
            assert z.isfinite().all()


@each
def test_sample_is_reproducible_and_moves_no_global_state(prior):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    g = generator()
    first, second = prior.sample(8, D, g), prior.sample(8, D, g)
    assert torch.equal(first, prior.sample(8, D, generator()))
    assert not torch.equal(first, second)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


@each
def test_sample_without_generator_follows_torch_seed(prior):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        first = prior.sample(4, D)
        torch.manual_seed(3)
        assert torch.equal(first, prior.sample(4, D))


@each
def test_moments_match_samples(prior):
    mean, cov = prior.moments(D)
    assert mean.shape == (D,) and cov.shape == (D, D)
    assert mean.dtype == cov.dtype == torch.float64
    z = prior.sample(40_000, D, generator(1), dtype=torch.float64)
    scale = cov.diagonal().max().sqrt()
    assert torch.allclose(z.mean(0), mean, atol=0.03 * float(scale))
    assert torch.allclose(z.T.cov(), cov, atol=0.06 * float(scale) ** 2)


@each
def test_clone_pickle_and_immutable(prior):
    before = set(vars(prior))
    again = pickle.loads(pickle.dumps(clone(prior)))
    assert torch.equal(prior.sample(4, D, generator()), again.sample(4, D, generator()))
    assert pickle.loads(pickle.dumps(prior.head(D))) is not None
    assert set(vars(prior)) == before == set(prior.get_params(deep=False))


@each
def test_wrong_dimension_names_n_components(prior):
    prior = clone(prior)
    wrong = 0 if prior.min_components == 1 else prior.min_components - 1
    with pytest.raises(ValueError, match=f"n_components={wrong}"):
        prior.check_dimension(wrong)


@pytest.mark.parametrize("name", PRIORS)
def test_named_priors(name):
    prior = PRIORS[name]()
    assert isinstance(prior, BasePrior)
    d = max(2, prior.min_components)
    assert prior.sample(3, d, generator()).shape == (3, d)


@pytest.mark.parametrize(
    ("prior", "parameter"),
    [
        (NormalPrior(scale=0.0), "scale=0.0"),
        (UniformPrior(low=1.0, high=1.0), "low=1.0"),
        (SpherePrior(radius=-1.0), "radius=-1.0"),
        (DirichletPrior(0.0), "concentration=0.0"),
        (DirichletPrior([1.0, 1.0]), "concentration"),
        (GaussianMixturePrior(n_mixtures=0), "n_mixtures=0"),
        (GaussianMixturePrior(weights=[1.0]), "weights"),
        (GaussianMixturePrior(separation=np.nan), "separation"),
        (GaussianMixturePrior(means=np.eye(2)), "means"),
        (AtomsPrior(np.eye(2)), "atoms"),
        (AtomsPrior(np.eye(3), weights=[1.0, -1.0, 1.0]), "weights"),
        (AtomsPrior([1.0, 2.0]), "atoms"),
        (DistributionPrior(stats.dirichlet([1.0, 2.0])), "distribution"),
    ],
)
def test_bad_parameters_are_named(prior, parameter):
    with pytest.raises(ValueError, match=parameter):
        prior.check_dimension(D)


def test_default_interpolation_is_straight():
    z1, z2 = torch.zeros(2, 3), torch.ones(2, 3)
    prior = NormalPrior()
    assert torch.equal(prior.interpolate(z1, z2, 0.25), torch.full((2, 3), 0.25))
    t = torch.tensor([[0.0], [1.0]])
    assert torch.equal(prior.interpolate(z1, z2, t), torch.stack([z1[0], z2[0]]))


@pytest.mark.parametrize("concentration", [1e4, 1e6])
def test_dirichlet_densities_of_large_concentrations_in_single_precision(concentration):
    """Its terms are of millions, and their sum is of tens."""
    prior = DirichletPrior(concentration)
    z = prior.sample(50, 10, torch.Generator().manual_seed(0))
    expected = prior.log_prob(z.double())
    value = prior.log_prob(z)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)
