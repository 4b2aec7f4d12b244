"""MMD against a naive double sum in float64."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.divergences import MMD
from skotae.priors import NormalPrior, SpherePrior, UniformPrior

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def _cloud(n, d, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def _kernel(a, b, bandwidth):
    constants = [2 * len(a) * bandwidth**2 * s for s in SCALES]
    square = (a - b).square().sum()
    return sum(c / (c + square) for c in constants)


def _naive(z, y, bandwidth=1.0, weights=None):
    """The formula of the docstring, pair by pair."""
    n, m = len(z), len(y)
    w = torch.full((n,), 1.0 / n, dtype=z.dtype) if weights is None else weights
    w = w / w.sum()
    value = -2 * sum(w[i] * _kernel(z[i], y[j], bandwidth) / m for i in range(n) for j in range(m))
    if n > 1:
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        within = sum(w[i] * w[j] * _kernel(z[i], z[j], bandwidth) for i, j in pairs)
        value = value + within / (1 - (w * w).sum())
    if m > 1:
        pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
        value = value + sum(_kernel(y[i], y[j], bandwidth) for i, j in pairs) / (m * (m - 1))
    return value


sizes = st.integers(1, 7)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(sizes, sizes, st.integers(1, 4), st.floats(0.1, 10), st.integers(0, 2**31))
def test_value_is_the_double_sum(n, m, d, bandwidth, seed):
    z, y = _cloud(n, d, seed), _cloud(m, d, seed + 1, shift=0.5)
    torch.testing.assert_close(MMD(bandwidth)(z, y), _naive(z, y, bandwidth))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=7), sizes, st.integers(0, 2**31))
def test_weighted_value_is_the_double_sum(raw, m, seed):
    weights = torch.tensor(raw, dtype=torch.float64)
    weights = weights / weights.sum()
    z, y = _cloud(len(raw), 2, seed), _cloud(m, 2, seed + 1, shift=0.5)
    torch.testing.assert_close(MMD()(z, y, weights=weights), _naive(z, y, weights=weights))


def _dense(z, y, w):
    """The same sums by whole matrices."""

    def kernel(a, b):
        square = (a[:, None] - b).square().sum(2)
        constants = [2 * a.shape[1] * s for s in SCALES]
        return sum(c / (c + square) for c in constants)

    w, v = w / w.sum(), torch.full((len(y),), 1 / len(y), dtype=y.dtype)
    value = -2 * w @ kernel(z, y) @ v
    for points, u in ((z, w), (y, v)):
        off_diagonal = 1 - torch.eye(len(points), dtype=points.dtype)
        value = value + u @ (kernel(points, points) * off_diagonal) @ u / (1 - u @ u)
    return value


@pytest.mark.parametrize(("n", "m"), [(300, 300), (401, 7), (7, 401)])
def test_many_points(n, m):
    """Enough of them to be worked off in several blocks; value and all gradients."""
    inputs = [_cloud(n, 2), _cloud(m, 2, 1, shift=0.3), _cloud(n, 1, 2)[:, 0].softmax(0)]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    z, y, w = inputs
    value, expected = MMD()(z, y, weights=w), _dense(z, y, w)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs)
    )


def test_equal_weights_are_no_weights():
    z, y = _cloud(6, 3), _cloud(5, 3, 1)
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    torch.testing.assert_close(MMD()(z, y, weights=weights), MMD()(z, y))


def test_a_code_of_weight_zero_does_not_count():
    z, y = _cloud(5, 3), _cloud(5, 3, 1)
    weights = torch.tensor([0.2, 0.3, 0.1, 0.4, 0.0], dtype=torch.float64)
    torch.testing.assert_close(MMD()(z, y, weights=weights), MMD()(z[:4], y, weights=weights[:4]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_weight_on_one_code_is_a_cloud_of_one(dtype):
    z, y = _cloud(4, 3).to(dtype), _cloud(5, 3, 1).to(dtype)
    weights = torch.tensor([0, 1, 0, 0], dtype=dtype)
    torch.testing.assert_close(MMD()(z, y, weights=weights), MMD()(z[1:2], y))


@pytest.mark.parametrize("cloud", [0, 1])
def test_gradient_is_that_of_the_double_sum(cloud):
    clouds = [_cloud(5, 3).requires_grad_(), _cloud(4, 3, 1, shift=0.5).requires_grad_()]
    (gradient,) = torch.autograd.grad(MMD()(*clouds), clouds[cloud])
    (expected,) = torch.autograd.grad(_naive(*clouds), clouds[cloud])
    torch.testing.assert_close(gradient, expected)


def test_gradient_of_the_weights_is_that_of_the_double_sum():
    z, y = _cloud(5, 3), _cloud(4, 3, 1)
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    weights = (weights / weights.sum()).requires_grad_()
    (gradient,) = torch.autograd.grad(MMD()(z, y, weights=weights), weights)
    (expected,) = torch.autograd.grad(_naive(z, y, weights=weights), weights)
    torch.testing.assert_close(gradient, expected)


def test_gradient_of_float32_is_that_of_float64():
    z, y = _cloud(64, 8), _cloud(64, 8, 1)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        x = z.to(dtype).requires_grad_()
        gradients.append(torch.autograd.grad(MMD()(x, y.to(dtype)), x)[0].double())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-7)


def test_is_unbiased():
    """The mean over all sub-samples is the value of the whole, exactly."""
    z, y = _cloud(5, 2), _cloud(5, 2, 1, shift=0.3)
    parts = [
        MMD()(z[list(i)], y[list(j)])
        for i, j in product(combinations(range(5), 3), combinations(range(5), 2))
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), MMD()(z, y))


def test_is_zero_on_average_for_equal_distributions():
    values = torch.stack([MMD()(_cloud(8, 4, 2 * i), _cloud(8, 4, 2 * i + 1)) for i in range(300)])
    assert values.mean().abs() < 4 * values.std() / 300**0.5


def test_tells_distributions_apart():
    assert MMD()(_cloud(200, 4), _cloud(200, 4, 1, shift=1.0)) > 0.3


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (5, 1)])
def test_a_cloud_of_one_has_a_finite_gradient(n, m):
    z = _cloud(n, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(MMD()(z, _cloud(m, 3, 1)), z)
    assert gradient.isfinite().all()


def test_identical_clouds():
    # Without the diagonal: sum of i != j within, but all pairs across.
    z = _cloud(6, 3)
    torch.testing.assert_close(MMD()(z, z), _naive(z, z))


def test_identical_points_have_a_zero_gradient():
    z = torch.ones(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(MMD()(z, torch.ones(4, 3)), z)
    assert (gradient == 0).all()


def test_is_invariant_to_a_common_shift_in_float32():
    z, y = _cloud(64, 4).float(), _cloud(64, 4, 1, shift=0.3).float()
    shift = 4096.0  # exact for rows rounded to 1/1024
    z, y = (torch.round(cloud * 1024) / 1024 for cloud in (z, y))
    torch.testing.assert_close(MMD()(z + shift, y + shift), MMD()(z, y), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("unit", [1e-6, 0.2, 7.0, 1e6])
def test_bandwidth_has_the_units_of_the_codes(unit):
    z, y = _cloud(6, 3), _cloud(5, 3, 1)
    torch.testing.assert_close(MMD(unit)(unit * z, unit * y), MMD(1.0)(z, y))
    wide, unit_wide = (MMD().build(NormalPrior(scale), 3) for scale in (unit, 1.0))
    torch.testing.assert_close(wide(unit * z, unit * y), unit_wide(z, y))


@pytest.mark.parametrize(
    ("prior", "d", "width"),
    [
        (NormalPrior(), 3, 1.0),
        (NormalPrior(0.2), 3, 0.2),
        (NormalPrior((1.0, 7.0)), 2, 5.0),
        (SpherePrior(2.0), 4, 1.0),
        (UniformPrior(-3.0, 3.0), 2, 3**0.5),
    ],
)
def test_bandwidth_is_the_width_of_the_prior(prior, d, width):
    assert MMD().build(prior, d).bandwidth == pytest.approx(width)
    assert MMD(0.5).build(prior, d).bandwidth == 0.5


def test_a_prior_without_moments_is_drawn_from():
    class Drawn:
        def sample(self, *args, **options):
            return NormalPrior(0.2).sample(*args, **options)

    assert MMD().build(Drawn(), 3).bandwidth == pytest.approx(0.2, rel=0.05)


def test_power_on_the_sphere():
    """Of the test of level .05 against codes that crowd at two poles, beside a width of 1."""
    prior, n, d, n_repeats = SpherePrior(), 64, 13, 200

    def crowded(seed):
        z = _cloud(n, d, seed)
        z[:, 0] *= 3
        return z / z.norm(dim=1, keepdim=True)

    def draws(seed):
        generator = torch.Generator().manual_seed(seed)
        return prior.sample(n, d, generator, dtype=torch.float64)

    def power(divergence):
        seeds = range(n_repeats)
        null = [divergence(draws(3 * seed), draws(3 * seed + 1)) for seed in seeds]
        found = [divergence(crowded(seed), draws(3 * seed + 2)) for seed in seeds]
        level = torch.stack(null).quantile(0.95)
        return float((torch.stack(found) > level).double().mean())

    assert power(MMD().build(prior, d)) > 2 * power(MMD(1.0))


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan")])
def test_bandwidth_has_to_be_positive(bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be"):
        MMD(bandwidth)(_cloud(3, 2), _cloud(3, 2, 1))


def test_double_backward_is_refused():
    z = _cloud(4, 2).requires_grad_()
    value = MMD()(z, _cloud(4, 2, 1)) + z.square().sum()
    (gradient,) = torch.autograd.grad(value, z, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        gradient.sum().backward()
