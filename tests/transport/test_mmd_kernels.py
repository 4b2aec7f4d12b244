"""The squared discrepancy with Gaussian, energy-distance and user kernels, pair by pair."""

import pytest
import torch
from scipy.stats import energy_distance

from skotae.transport import squared_mmd
from skotae.transport._mmd import SCALES


def _clouds(n=9, m=7, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3


def _pair_by_pair(x, y, w, kernel):
    """The formula of the docstring, one pair after the other."""
    n, m = len(x), len(y)
    within_x = sum(w[i] * w[j] * kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    across = sum(w[i] * kernel(x[i], y[j]) for i in range(n) for j in range(m))
    return within_x / (1 - (w**2).sum()) + within_y / (m * (m - 1)) - 2 * across / m


def _multiquadric(x, y, bandwidth, scales):
    constants = [2 * len(x) * bandwidth**2 * scale for scale in scales]
    return sum(c / (c + (x - y).square().sum()) for c in constants)


def _gaussian(x, y, bandwidth, scales):
    constants = [2 * len(x) * bandwidth**2 * scale for scale in scales]
    return sum(torch.exp(-(x - y).square().sum() / c) for c in constants)


def _energy(x, y, bandwidth, scales):
    return -(x - y).norm()


KERNELS = {"multiquadric": _multiquadric, "gaussian": _gaussian, "energy": _energy}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("bandwidth", "scales"), [(1.0, SCALES), (0.4, (1.0, 3.0))])
@pytest.mark.parametrize("name", KERNELS)
def test_values(name, bandwidth, scales, weighted):
    x, y = _clouds()
    w = torch.arange(1.0, 10.0).double() if weighted else torch.ones(9).double()
    w = w / w.sum()
    options = {"bandwidth": bandwidth, "scales": scales}
    expected = _pair_by_pair(x, y, w, lambda u, v: KERNELS[name](u, v, **options))
    given = {"weights": w} if weighted else {}
    value = squared_mmd(x, y, kernel=name, **options, **given)
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("name", KERNELS)
def test_gradients(name):
    x, y = (cloud.requires_grad_() for cloud in _clouds())
    w = torch.linspace(1, 2, 9, dtype=torch.float64)
    w = (w / w.sum()).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y, w: squared_mmd(x, y, weights=w, kernel=name), (x, y, w)
    )


@pytest.mark.parametrize("seed", range(3))
def test_on_a_line_the_energy_distance_is_scipys(seed):
    x, y = _clouds(60, 50, 1, seed)
    value = squared_mmd(x, y, kernel="energy").item()
    # SciPy's is the root of half of it, with the pairs of a point with itself in the means.
    biased = 2 * energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2 / 2
    own = [torch.cdist(cloud, cloud).mean().item() for cloud in (x, y)]
    across = torch.cdist(x, y).mean().item()
    assert biased == pytest.approx(2 * across - own[0] - own[1])
    assert value == pytest.approx(2 * across - own[0] * 60 / 59 - own[1] * 50 / 49)


def test_a_kernel_of_ones_own():
    x, y = (cloud.requires_grad_() for cloud in _clouds())

    def gaussian(u, v):
        return (-torch.cdist(u, v).square() / 6.0).exp()

    named = squared_mmd(x, y, kernel="gaussian", scales=(1.0,))
    own = squared_mmd(x, y, kernel=gaussian)
    torch.testing.assert_close(own, named)
    torch.testing.assert_close(torch.autograd.grad(own, (x, y)), torch.autograd.grad(named, (x, y)))


@pytest.mark.parametrize("name", ["gaussian", "energy"])
def test_equal_points_and_single_points(name):
    x = torch.ones(4, 2, requires_grad=True)
    value = squared_mmd(x, torch.ones(3, 2), kernel=name)
    (gradient,) = torch.autograd.grad(value, x)
    assert abs(value.item()) < 1e-6 and gradient.abs().max() < 1e-6
    assert squared_mmd(x[:1], torch.zeros(1, 2), kernel=name).isfinite()


@pytest.mark.parametrize(
    ("kernel", "match"),
    [
        (
            "cauchy",
            "kernel must be 'multiquadric', 'gaussian', 'energy' or a callable, got 'cauchy'",
        ),
        (None, "kernel must be .* got None"),
        (lambda x, y: (x[:, None] - y).norm(), r"kernel must return a tensor of shape \(9, 7\)"),
        (lambda x, y: 1.0, "kernel must return a tensor of shape .* got float"),
    ],
)
def test_bad_kernels(kernel, match):
    with pytest.raises(ValueError, match=match):
        squared_mmd(*_clouds(), kernel=kernel)
