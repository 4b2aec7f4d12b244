"""The von Mises-Fisher distribution against numerical integration."""

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.special import expit

from skotae.priors._von_mises_fisher import sample_von_mises_fisher, sphere_integrals


def moments(kappa, d, functions, end=np.pi):
    """Integral of the density up to a factor, and means of functions of the angle up to `end`."""

    def density(t):
        # Relative to the largest value, which is near e^kappa.
        return np.sin(t) ** (d - 2) * np.exp(kappa * (np.cos(t) - 1))

    width = 1 / np.sqrt(kappa + d)
    peak = np.arctan2(np.sqrt(d - 1), kappa / np.sqrt(d))
    points = np.clip(peak + width * np.array([-12, -6, -2, 0, 2, 6, 12]), 0, np.pi)

    def integral(f, end):
        inner = np.unique(points[(points > 0) & (points < end)])
        options = {"points": inner, "limit": 400, "epsabs": 0, "epsrel": 1e-11}
        return integrate.quad(lambda t: f(t) * density(t), 0, end, **options)[0]

    total = integral(lambda t: 1.0, np.pi)
    return total, [integral(f, end) / total for f in functions]


def reference(kappa, d):
    """A, 1 - A, A' (the variance of the cosine), L and the divergence."""
    total, (gap,) = moments(kappa, d, [lambda t: 1 - np.cos(t)])
    _, (variance,) = moments(kappa, d, [lambda t: (1 - np.cos(t) - gap) ** 2])
    uniform, _ = moments(0.0, d, [])
    log_normaliser = kappa + np.log(total / uniform)
    ratio = 1 - gap
    return ratio, gap, variance, log_normaliser, kappa * ratio - log_normaliser


def with_slopes(kappa, d, dtype=torch.float64):
    kappa = torch.tensor(kappa, dtype=dtype, requires_grad=True)
    values = sphere_integrals(kappa, d)
    slopes = [torch.autograd.grad(value.sum(), kappa, retain_graph=True)[0] for value in values[:3]]
    return values, slopes


@pytest.mark.parametrize("d", [2, *range(3, 21), 27, 64])
@pytest.mark.parametrize("kappa", [0.3, 1.7, 10.0, 80.0, 300.0])
def test_integrals(kappa, d):
    ratio, gap, variance, log_normaliser, divergence = reference(kappa, d)
    values, slopes = with_slopes(kappa, d)
    expected = [ratio, divergence, log_normaliser, gap]
    np.testing.assert_allclose([float(v.detach()) for v in values], expected, rtol=1e-8)
    np.testing.assert_allclose(
        [float(slope) for slope in slopes], [variance, kappa * variance, ratio], rtol=1e-8
    )


@pytest.mark.parametrize("d", [2, 3, 8, 25, 26, 27, 128, 1000])
def test_float32(d):
    """Finite, and equal to the results in float64, over twelve orders of magnitude."""
    kappa = np.logspace(-6, 6, 60).astype(np.float32)
    values, slopes = with_slopes(kappa, d, torch.float32)
    exact, exact_slopes = with_slopes(kappa.astype(np.float64), d)
    for value, expected in zip(values, exact, strict=True):
        np.testing.assert_allclose(value.detach(), expected.detach(), rtol=1e-5)
    for value, expected in zip(slopes, exact_slopes, strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-4)


@pytest.mark.parametrize("d", [2, 3, 128, 1000])
def test_limits(d):
    small, large = 1e-5, 1e8
    (ratio, divergence, log_normaliser, gap), slopes = with_slopes([0.0, small, large], d)
    values = (ratio, divergence, log_normaliser, gap)
    assert [v[0].item() for v in values] == [0, 0, 0, 1]
    np.testing.assert_allclose([s[0].item() for s in slopes], [1 / d, 0, 0], rtol=1e-10)
    np.testing.assert_allclose(divergence[1].item(), small**2 / (2 * d), rtol=1e-8)
    np.testing.assert_allclose(gap[2].item(), (d - 1) / (2 * large), rtol=1e-4)
    np.testing.assert_allclose(float(slopes[0][2]), (d - 1) / (2 * large**2), rtol=1e-4)


def test_sphere_in_three_dimensions():
    kappa = np.array([0.5, 5.0, 50.0])
    values, _ = with_slopes(kappa, 3)
    np.testing.assert_allclose(values.ratio.detach(), 1 / np.tanh(kappa) - 1 / kappa, rtol=1e-10)
    np.testing.assert_allclose(
        values.log_normaliser.detach(), np.log(np.sinh(kappa) / kappa), rtol=1e-10
    )


def test_gradients_against_differences():
    kappa = torch.tensor([0.1, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    for d in (2, 9, 100):
        torch.autograd.gradcheck(lambda k, d=d: sphere_integrals(k, d)[:3], kappa)


def draws(kappa, d, n, seed=0, dtype=torch.float64):
    """n draws around one random direction, and that direction."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.nn.functional.normalize(torch.randn(d, generator=generator, dtype=dtype), dim=0)
    kappas = torch.full((n,), kappa, dtype=dtype)
    return sample_von_mises_fisher(mean.expand(n, d), kappas, generator), mean


@pytest.mark.parametrize("d", [2, 3, 8, 64, 512])
@pytest.mark.parametrize("kappa", [0.1, 1.0, 10.0, 100.0, 1000.0])
def test_draws(kappa, d):
    """Unit length; the cosine has its mean A and variance A'; symmetric around the mean."""
    n = min(20_000, 2_000_000 // d)
    z, mean = draws(kappa, d, n)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(n, dtype=z.dtype), rtol=1e-12, atol=0)
    values, slopes = with_slopes(kappa, d)
    ratio, variance = float(values.ratio.detach()), float(slopes[0])
    cos = z @ mean
    assert abs(float(cos.mean()) - ratio) < 5 * np.sqrt(variance / n)
    square = (cos - ratio) ** 2
    assert abs(float(square.mean()) - variance) < 5 * float(square.std()) / np.sqrt(n)
    across = (z - cos[:, None] * mean).mean(0)
    assert float(across.norm()) < np.sqrt((1 - ratio**2) / n) * (1 + 5 / np.sqrt(d))


@pytest.mark.parametrize("d, kappa", [(2, 30.0), (3, 0.5), (5, 20.0), (40, 60.0)])
def test_distribution_of_the_cosine(d, kappa):
    z, mean = draws(kappa, d, 20_000)
    angles = torch.arccos(z @ mean).numpy()
    grid = np.quantile(angles, np.linspace(0.05, 0.95, 19))
    levels = [moments(kappa, d, [lambda t: 1.0], end)[1][0] for end in grid]
    np.testing.assert_allclose(levels, np.linspace(0.05, 0.95, 19), atol=0.015)


@pytest.mark.parametrize("d", [2, 3, 8])
def test_draws_cover_the_directions_around_the_mean(d):
    """The covariance is the sum of A' along the mean and (1 - E cos²) / (d - 1) across."""
    kappa, n = 3.0, 40_000
    z, mean = draws(kappa, d, n)
    values, slopes = with_slopes(kappa, d)
    ratio, variance = float(values.ratio.detach()), float(slopes[0])
    across = (1 - variance - ratio**2) / (d - 1)
    along = torch.outer(mean, mean)
    expected = across * torch.eye(d, dtype=z.dtype) + (variance - across) * along
    np.testing.assert_allclose(torch.cov(z.T), expected, atol=0.012)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_mean_directions_on_an_axis(axis, sign):
    mean = torch.zeros(500, 4)
    mean[:, axis] = sign
    mean.requires_grad_()
    z = sample_von_mises_fisher(mean, torch.full((500,), 50.0), torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(z.square().sum() + z[:, 1].sum(), mean)
    assert z.isfinite().all() and gradient.isfinite().all()
    assert float((z[:, axis] * sign).detach().min()) > 0.6


@pytest.mark.parametrize("d", [2, 3, 8, 64, 512])
@pytest.mark.parametrize("kappa", [0.1, 3.0, 100.0])
def test_gradient_by_the_concentration(kappa, d):
    """The mean of d/dkappa f(z) is d/dkappa E f(z), for f = cos and a steep function."""
    n = min(20_000, 2_000_000 // d)
    generator = torch.Generator().manual_seed(1)
    mean = torch.eye(d, dtype=torch.float64)[0].expand(n, d)
    kappas = torch.full((n,), kappa, dtype=torch.float64, requires_grad=True)
    cos = sample_von_mises_fisher(mean, kappas, generator)[:, 0]
    _, slopes = with_slopes(kappa, d)
    width = float(slopes[0]) ** 0.5
    level = float(with_slopes(kappa, d)[0].ratio.detach())

    def expected_steep(k):
        return moments(k, d, [lambda t: expit(3 * (np.cos(t) - level) / width)])[1][0]

    (by_cos,) = torch.autograd.grad(cos.sum(), kappas, retain_graph=True)
    (by_steep,) = torch.autograd.grad(torch.sigmoid(3 * (cos - level) / width).sum(), kappas)
    step = 1e-3 * kappa
    numeric = (expected_steep(kappa + step) - expected_steep(kappa - step)) / (2 * step)
    for gradient, expected in [(by_cos, float(slopes[0])), (by_steep, numeric)]:
        error = abs(float(gradient.mean()) - expected)
        assert error < 5 * float(gradient.std()) / np.sqrt(n) + 1e-5 * expected


@pytest.mark.parametrize("d", [2, 3, 16])
def test_gradient_by_the_mean_direction(d):
    """The mean of the gradient of <b, z>² is that of its expectation in closed form."""
    kappa, n = 5.0, 40_000
    generator = torch.Generator().manual_seed(2)
    raw = torch.randn(d, generator=generator, dtype=torch.float64)
    b = torch.randn(d, generator=generator, dtype=torch.float64)
    raws = raw.expand(n, d).clone().requires_grad_()
    mean = torch.nn.functional.normalize(raws, dim=1)
    z = sample_von_mises_fisher(mean, torch.full((n,), kappa, dtype=torch.float64), generator)
    (gradient,) = torch.autograd.grad((z @ b).square().sum(), raws)
    values, slopes = with_slopes(kappa, d)
    square = float(slopes[0] + values.ratio.detach() ** 2)
    # E <b, z>² = square <b, mean>² + (1 - square) / (d - 1) (|b|² - <b, mean>²).
    raw = raw.requires_grad_()
    weight = square - (1 - square) / (d - 1)
    along = (torch.nn.functional.normalize(raw, dim=0) @ b) ** 2
    (expected,) = torch.autograd.grad(weight * along, raw)
    error = (gradient.mean(0) - expected).abs()
    assert (error < 5 * gradient.std(0) / np.sqrt(n) + 1e-12).all()


@pytest.mark.parametrize("d", [2, 3, 128, 1000])
@pytest.mark.parametrize("kappa", [0.0, 1e-6, 1.7, 1e3, 1e6])
def test_draws_in_float32(kappa, d):
    generator = torch.Generator().manual_seed(0)
    mean = torch.nn.functional.normalize(torch.randn(2000, d, generator=generator), dim=1)
    kappas = torch.full((2000,), kappa, requires_grad=True)
    z = sample_von_mises_fisher(mean, kappas, generator)
    assert z.dtype == torch.float32
    np.testing.assert_allclose(z.detach().norm(dim=1), 1.0, atol=1e-6)
    (gradient,) = torch.autograd.grad((z * mean).sum(), kappas)
    assert gradient.isfinite().all()
    slope = float(with_slopes(kappa, d)[1][0])
    assert abs(float(gradient.mean()) / slope - 1) < 0.15


def test_draws_depend_on_the_generator_alone():
    first, second = draws(3.0, 5, 10, seed=4)[0], draws(3.0, 5, 10, seed=4)[0]
    assert torch.equal(first, second)
    state = torch.random.get_rng_state()
    draws(3.0, 2, 10)
    assert torch.equal(torch.random.get_rng_state(), state)
