"""The discrepancy from a normal prior that is known, without draws from it."""

import numpy as np
import pytest
import torch
from scipy import stats

from skotae.divergences import MMD
from skotae.priors import NormalPrior, SpherePrior
from skotae.transport.kernel_means import SCALES, NormalMean, constants_of


def cloud(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mean_kernel(d, square, variance=1.0):
    """Of a point and normal ones: the square of their distance is noncentral chi-squared."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    found = 0.0
    q = 0.5 * (nodes + 1)
    if square:
        distance = variance * stats.ncx2(d, square / variance).ppf(q)
    else:
        distance = variance * stats.chi2(d).ppf(q)
    for c in constants_of(d):
        found += 0.5 * (weights * c / (c + distance)).sum()
    return found


@pytest.mark.parametrize("d", [1, 2, 8, 64, 512])
@pytest.mark.parametrize("distance", [0.0, 0.3, 2.0, 10.0])
def test_the_mean_is_that_over_the_distribution_of_distances(d, distance):
    normal = NormalMean(torch.ones(d), constants_of(d))
    x = torch.zeros(1, d, dtype=torch.float64)
    x[0, 0] = distance * d**0.5
    expected = mean_kernel(d, float(x.square().sum()))
    assert float(normal(x, torch.ones(1).double())) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("d", [1, 2, 8, 512])
def test_pairs_of_draws_are_twice_as_wide(d):
    within = NormalMean(torch.ones(d), constants_of(d)).within
    assert within == pytest.approx(mean_kernel(d, 0.0, 2.0), rel=1e-4)


@pytest.mark.parametrize("d, scale", [(1, 0.3), (2, (1.0, 7.0)), (8, 2.0)])
def test_the_value_is_the_mean_over_draws(d, scale):
    prior = NormalPrior(scale)
    known = MMD().build(prior, d)
    z = 1.5 * prior.sample(50, d, torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = prior.sample(20_000, d, torch.Generator().manual_seed(1), dtype=torch.float64)
    values = [float(MMD(known.bandwidth)(z, some)) for some in draws.split(2000)]
    error = np.std(values) / len(values) ** 0.5
    assert abs(float(known(z, draws)) - np.mean(values)) < 3 * error


def test_gradients_are_those_of_differences():
    known = MMD().build(NormalPrior((0.5, 2.0, 1.0)), 3)
    z = cloud(6, 3).requires_grad_()
    w = torch.linspace(1, 2, 6).double()
    w = (w / w.sum()).requires_grad_()
    assert torch.autograd.gradcheck(lambda z, w: known(z, z.detach(), weights=w), (z, w))


def test_float32_is_as_good_as_float64():
    known = MMD().build(NormalPrior(), 8)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        z = (1.2 * cloud(64, 8)).to(dtype).requires_grad_()
        gradients.append(torch.autograd.grad(known(z, z), z)[0].double())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-7)


def test_codes_out_of_range_have_no_gradient():
    z = torch.tensor([[1e30, 0.0], [0.0, 0.0], [3e38, 1e20]], requires_grad=True)
    value = MMD().build(NormalPrior(), 2)(z, z.detach())
    (gradient,) = torch.autograd.grad(value, z)
    assert value.isfinite() and (gradient == 0).all()


@pytest.mark.parametrize("bandwidth", [1e-300, 1e-30, 1e30, 1e300])
def test_bandwidths_at_the_ends_of_the_range(bandwidth):
    z = torch.zeros(3, 2)
    z[1:] = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    z.requires_grad_()
    value = MMD(bandwidth).build(NormalPrior(), 2)(z, z.detach())
    (gradient,) = torch.autograd.grad(value, z)
    assert value.isfinite() and gradient.isfinite().all()
    # All are far apart, or all in one place.
    assert float(value.detach()) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("n", [1, 2])
def test_one_code_has_no_pairs(n):
    known = MMD().build(NormalPrior(), 3)
    z = torch.zeros(n, 3, dtype=torch.float64)
    w = torch.full((n,), 1 / n, dtype=torch.float64)
    across = float(known.prior_mean(z, w))
    within = len(SCALES) if n > 1 else 0.0
    assert float(known(z, z)) == pytest.approx(within - 2 * across + known.prior_mean.within)


def test_the_variance_is_less_than_that_with_draws():
    prior, generator = NormalPrior(), torch.Generator().manual_seed(0)
    known = MMD().build(prior, 2)
    pairs = [(prior.sample(32, 2, generator), prior.sample(32, 2, generator)) for _ in range(200)]
    of_draws = [float(MMD()(z, y)) for z, y in pairs]
    of_prior = [float(known(z, y)) for z, y in pairs]
    assert abs(np.mean(of_prior)) < 4 * np.std(of_prior) / 200**0.5
    assert np.std(of_prior) < 0.6 * np.std(of_draws)


class Shifted(NormalPrior):
    def sample(self, *args, **kwargs):
        return 3.0 + super().sample(*args, **kwargs)


class ShiftedKnown(Shifted):
    def moments(self, d):
        mean, covariance = super().moments(d)
        return mean + 3.0, covariance


@pytest.mark.parametrize("prior", [Shifted(), ShiftedKnown(), SpherePrior()])
def test_other_priors_are_drawn_from(prior):
    z, y = cloud(40, 2), prior.sample(40, 2, torch.Generator().manual_seed(1)).double()
    built = MMD().build(prior, 2)
    assert float(built(z, y)) == float(MMD(built.bandwidth)(z, y))
