"""Heads, densities and paths, against what they are by definition."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n, d, seed=0):
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


# --- heads -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e20, 3e38])
def test_heads_land_on_the_support(size):
    x = torch.randn(50, 4, generator=generator()).clamp(-1, 1) * size
    cube = UniformPrior(low=-0.3, high=0.7).head(4)(x)
    assert ((cube >= -0.3) & (cube <= 0.7)).all()
    sphere = SpherePrior(radius=2.0).head(4)(x)
    assert torch.allclose(sphere.norm(dim=1), torch.full((50,), 2.0))
    simplex = DirichletPrior().head(4)(x)
    assert torch.allclose(simplex.sum(1), torch.ones(50)) and (simplex >= 0).all()
    assert torch.equal(NormalPrior().head(4)(x), x)


def test_sphere_head_gradient():
    head = SpherePrior(radius=3.0).head(4)
    assert torch.autograd.gradcheck(head, points(5, 4).requires_grad_())
    zero = torch.zeros(2, 4, requires_grad=True)
    head(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_sphere_head_does_not_change_its_input():
    x = torch.zeros(2, 3)
    SpherePrior().head(3)(x)
    assert torch.equal(x, torch.zeros(2, 3))


# --- paths -----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    d=st.integers(2, 6),
    log_gap=st.floats(-12, 0),
    opposite=st.booleans(),
    t=st.floats(0, 1),
)
def test_slerp_has_constant_speed(seed, d, log_gap, opposite, t):
    prior = SpherePrior(radius=2.0)
    z1 = 2 * torch.nn.functional.normalize(points(1, d, seed))
    z2 = z1 + 10**log_gap * points(1, d, seed + 1)
    z2 = 2 * torch.nn.functional.normalize(z2) * (-1 if opposite else 1)

    def angle(a, b):
        return 2 * math.atan2(float((a - b).norm()), float((a + b).norm()))

    z = prior.interpolate(z1, z2, t)
    assert z.norm().item() == pytest.approx(2.0)
    assert angle(z1, z) == pytest.approx(t * angle(z1, z2), abs=1e-9)
    assert angle(z, z2) == pytest.approx((1 - t) * angle(z1, z2), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_of_equal_and_antipodal_points(dtype):
    prior = SpherePrior()
    z1 = torch.cat([torch.eye(3), torch.full((1, 3), 3**-0.5)]).to(dtype)
    for z2 in (z1, -z1):
        for t in (0.0, 0.5, 1.0):
            z = prior.interpolate(z1, z2, t)
            assert z.dtype == dtype
            assert torch.allclose(z.norm(dim=1), torch.ones(4, dtype=dtype))
        assert torch.allclose(prior.interpolate(z1, z2, 0.0), z1, atol=1e-6)
        assert torch.allclose(prior.interpolate(z1, z2, 1.0), z2, atol=1e-6)
    assert torch.allclose(prior.interpolate(z1, z1, 0.5), z1)


def test_slerp_takes_a_position_for_each_row():
    z1, z2 = torch.eye(2)[[0, 0]], torch.eye(2)[[1, 1]]
    z = SpherePrior().interpolate(z1, z2, torch.tensor([[0.0], [1.0]]))
    assert torch.allclose(z, torch.eye(2), atol=1e-6)


# --- densities -------------------------------------------------------------------------


def test_log_prob_against_scipy():
    z = points(20, 3)
    normal = stats.multivariate_normal(np.zeros(3), 0.49 * np.eye(3))
    np.testing.assert_allclose(NormalPrior(0.7).log_prob(z), normal.logpdf(z))
    cube = stats.uniform(-1, 3).logpdf(z).sum(1)
    np.testing.assert_allclose(UniformPrior(-1, 2).log_prob(z), cube)
    prior = GaussianMixturePrior(n_mixtures=5, scale=0.4, weights=[1, 2, 3, 4, 0])
    mixture = sum(
        w / 10 * stats.multivariate_normal(m, 0.16 * np.eye(3)).pdf(z)
        for w, m in zip([1, 2, 3, 4, 0], prior.component_means(3).numpy(), strict=True)
    )
    np.testing.assert_allclose(prior.log_prob(z), np.log(mixture))
    a = [0.3, 1.0, 2.5]
    z = z.softmax(1)
    np.testing.assert_allclose(
        DirichletPrior(a).log_prob(z), [stats.dirichlet(a).logpdf(row) for row in z.numpy()]
    )


@pytest.mark.parametrize(("d", "area"), [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_sphere_density_is_one_over_the_area(d, area):
    z = torch.ones(2, d, dtype=torch.float64)
    assert SpherePrior().log_prob(z).exp() == pytest.approx(1 / area)
    assert SpherePrior(2.0).log_prob(z).exp() == pytest.approx(1 / (area * 2 ** (d - 1)))
    assert SpherePrior().log_prob(torch.ones(2, 1000)).isfinite().all()


def test_log_prob_keeps_leading_axes_and_has_a_gradient():
    z = points(6, 3).softmax(1).reshape(2, 3, 3).requires_grad_()
    for prior in (NormalPrior(), UniformPrior(), GaussianMixturePrior(), DirichletPrior(2.0)):
        assert prior.log_prob(z).shape == (2, 3)
    assert torch.autograd.gradcheck(GaussianMixturePrior(3).log_prob, (z,))


# --- Dirichlet -------------------------------------------------------------------------


@pytest.mark.parametrize("concentration", [1e-300, 1e-8, 1e-3, 0.1, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dirichlet_draws_are_on_the_simplex_whatever_the_concentration(concentration, dtype):
    prior = DirichletPrior(concentration)
    z = prior.sample(500, 5, generator(), dtype=dtype)
    assert (z >= 0).all()
    assert torch.allclose(z.sum(1), torch.ones(500, dtype=dtype))
    assert prior.log_prob(z).isfinite().all()


def test_small_concentration_picks_corners_evenly():
    z = DirichletPrior(1e-4).sample(4000, 4, generator())
    assert (z.amax(1) > 0.99).float().mean() > 0.99
    share = torch.bincount(z.argmax(1), minlength=4) / 4000
    assert torch.allclose(share, torch.full((4,), 0.25), atol=0.03)


# --- mixture ---------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "d"), [(1, 1), (2, 1), (3, 2), (4, 8), (10, 10), (11, 10)])
def test_means_are_equidistant_where_possible(k, d):
    means = GaussianMixturePrior(k, scale=0.5, separation=3.0).component_means(d)
    assert means.shape == (k, d) and means.dtype == torch.float64
    assert torch.allclose(torch.pdist(means), torch.tensor(1.5, dtype=torch.float64))
    assert torch.allclose(means.mean(0), torch.zeros(d, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(("k", "d"), [(3, 1), (10, 1), (4, 2), (10, 2), (10, 3), (30, 5)])
def test_means_are_spread_evenly_otherwise(k, d):
    prior = GaussianMixturePrior(k, separation=4.0)
    means = prior.component_means(d)
    distance = torch.cdist(means, means) + torch.diag(torch.full((k,), torch.inf)).double()
    nearest = distance.amin(1)
    assert nearest.mean().item() == pytest.approx(4.0)
    assert nearest.min() > 0.9 * 4.0
    assert torch.equal(means, GaussianMixturePrior(k, separation=4.0).component_means(d))


def test_means_that_are_handed_out_are_not_shared():
    prior = GaussianMixturePrior(3)
    prior.component_means(2).zero_()
    assert prior.component_means(2).abs().sum() > 0


def test_components():
    prior = GaussianMixturePrior(3, scale=0.1, separation=12.0, weights=[0.0, 1.0, 3.0])
    z, k = prior.sample_with_component(4000, 2, generator())
    means = prior.component_means(2).float()
    assert torch.equal(torch.cdist(z, means).argmin(1), k)
    assert torch.bincount(k, minlength=3)[0] == 0
    assert (k == 2).float().mean().item() == pytest.approx(0.75, abs=0.03)
    one = prior.sample(100, 2, generator(), component=0)
    assert torch.equal(torch.cdist(one, means).argmin(1), torch.zeros(100, dtype=torch.int64))
    with pytest.raises(ValueError, match="component=3"):
        prior.sample(2, 2, component=3)


# --- atoms and distributions -----------------------------------------------------------


def test_atoms_are_the_support():
    prior = AtomsPrior(np.eye(3), weights=[1.0, 0.0, 3.0])
    z = prior.sample(1000, 3, generator())
    assert z[:, 1].sum() == 0 and set(z.unique().tolist()) == {0.0, 1.0}
    atoms, log_weights = prior.weighted_atoms()
    assert torch.equal(atoms, torch.eye(3))
    assert torch.allclose(log_weights.exp(), torch.tensor([0.25, 0.0, 0.75]))
    assert not hasattr(prior, "log_prob")


def test_distribution_log_prob():
    z = points(6, 3).reshape(2, 3, 3)
    expected = stats.norm(1.0, 2.0).logpdf(z).sum(-1)
    for distribution in (
        torch.distributions.Normal(torch.tensor(1.0).double(), 2.0),
        torch.distributions.Normal(torch.ones(3).double(), torch.full((3,), 2.0).double()),
        torch.distributions.MultivariateNormal(torch.ones(3).double(), 4 * torch.eye(3).double()),
        stats.norm(1.0, 2.0),
        stats.norm([1.0, 1.0, 1.0], 2.0),
        stats.multivariate_normal(np.ones(3), 4 * np.eye(3)),
        stats.multivariate_normal(1.0, 4.0),
    ):
        value = DistributionPrior(distribution).log_prob(z)
        np.testing.assert_allclose(value, expected, err_msg=repr(distribution))


def test_distribution_lacks_what_there_is_not():
    for heavy in (torch.distributions.Cauchy(0.0, 1.0), stats.t(df=1)):
        prior = DistributionPrior(heavy)
        assert hasattr(prior, "log_prob") and not hasattr(prior, "moments")
    assert not hasattr(DistributionPrior(stats.poisson(3.0)), "log_prob")


def test_distribution_refuses_other_things():
    for other in (3.0, stats.norm, torch.distributions.Normal):
        with pytest.raises(TypeError, match="distribution"):
            DistributionPrior(other).sample(2, 2, generator())


def test_distribution_draws_equal_in_threads():
    prior = DistributionPrior(torch.distributions.Gamma(2.0, 1.0))
    serial = [prior.sample(200, 3, generator(seed)) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda seed: prior.sample(200, 3, generator(seed)), range(16)))
    assert all(torch.equal(a, b) for a, b in zip(serial, threaded, strict=True))
