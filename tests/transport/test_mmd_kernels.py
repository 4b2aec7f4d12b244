"""The squared discrepancy with Gaussian, energy-distance and user kernels, pair by pair."""

import pytest
import torch
from geomloss import SamplesLoss
from scipy.stats import energy_distance

from skotae.transport import squared_mmd
from skotae.transport.kernel_means import SCALES


def _clouds(n=9, m=7, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3


def _within(x, w, kernel, unbiased):
    n = len(x)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j or not unbiased]
    found = sum(w[i] * w[j] * kernel(x[i], x[j]) for i, j in pairs)
    return found / (1 - (w**2).sum()) if unbiased else found


def _pair_by_pair(x, y, w, v, kernel, unbiased=True):
    """The formula of the docstring, one pair after the other."""
    n, m = len(x), len(y)
    across = sum(w[i] * v[j] * kernel(x[i], y[j]) for i in range(n) for j in range(m))
    return _within(x, w, kernel, unbiased) + _within(y, v, kernel, unbiased) - 2 * across


def _multiquadric(x, y, bandwidth, scales):
    constants = [2 * len(x) * bandwidth**2 * scale for scale in scales]
    return sum(c / (c + (x - y).square().sum()) for c in constants)


def _gaussian(x, y, bandwidth, scales):
    constants = [2 * len(x) * bandwidth**2 * scale for scale in scales]
    return sum(torch.exp(-(x - y).square().sum() / c) for c in constants)


def _energy(x, y, bandwidth, scales):
    return -(x - y).norm()


def _laplacian(x, y, bandwidth, scales):
    lengths = [(len(x) * scale) ** 0.5 * bandwidth for scale in scales]
    return sum(torch.exp(-(x - y).norm() / length) for length in lengths)


KERNELS = {
    "multiquadric": _multiquadric,
    "gaussian": _gaussian,
    "laplacian": _laplacian,
    "energy": _energy,
}


def _weights(n, total=1.0):
    w = torch.arange(1.0, n + 1).double()
    return w * (total / w.sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("bandwidth", "scales"), [(1.0, SCALES), (0.4, (1.0, 3.0))])
@pytest.mark.parametrize("name", KERNELS)
def test_values(name, bandwidth, scales, weighted):
    x, y = _clouds()
    w = _weights(9) if weighted else torch.full((9,), 1 / 9, dtype=torch.float64)
    options = {"bandwidth": bandwidth, "scales": scales}
    v = torch.full((7,), 1 / 7, dtype=torch.float64)
    expected = _pair_by_pair(x, y, w, v, lambda s, t: KERNELS[name](s, t, **options))
    given = {"weights": w} if weighted else {}
    value = squared_mmd(x, y, kernel=name, **options, **given)
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_weights_of_both_clouds_and_pairs_of_a_point_with_itself(name, unbiased):
    x, y = _clouds()
    totals = (1.0, 1.0) if unbiased else (3.0, 0.4)
    w, v = (_weights(n, total) for n, total in zip((9, 7), totals, strict=True))
    options = {"bandwidth": 1.3, "scales": (0.5, 2.0)}
    expected = _pair_by_pair(x, y, w, v, lambda s, t: KERNELS[name](s, t, **options), unbiased)
    given = {"weights": w, "y_weights": v, "kernel": name, "unbiased": unbiased, **options}
    assert squared_mmd(x, y, **given).item() == pytest.approx(expected.item(), rel=1e-10)
    leaves = [tensor.requires_grad_() for tensor in (x, y, w, v)]
    assert torch.autograd.gradcheck(
        lambda x, y, w, v: squared_mmd(x, y, **given | {"weights": w, "y_weights": v}), leaves
    )


@pytest.mark.parametrize("name", KERNELS)
def test_the_plain_one_is_a_squared_norm(name):
    x, y = _clouds()
    assert squared_mmd(x, x.flip(0), kernel=name, unbiased=False).abs() < 1e-12
    assert squared_mmd(x[:1], y[:1], kernel=name, unbiased=False) > 0
    assert squared_mmd(x, y, kernel=name, unbiased=False) > 0


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "energy"])
def test_half_of_it_is_the_kernel_loss_of_geomloss(name):
    x, y = _clouds()
    blur, tol = 0.6, 1e-9 if name == "gaussian" else 1e-4  # its distances are at least 1e-4
    w, v = _weights(9, 1.5), _weights(7)
    expected = SamplesLoss(name, blur=blur, backend="tensorized")(w, x, v, y)
    options = {"kernel": name, "bandwidth": blur, "scales": (1 / 3,), "unbiased": False}
    value = squared_mmd(x, y, weights=w, y_weights=v, **options)
    assert value.item() / 2 == pytest.approx(expected.item(), rel=tol)


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


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "energy"])
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
            "kernel must be 'multiquadric', 'gaussian', 'laplacian', 'energy' or a callable, "
            "got 'cauchy'",
        ),
        (None, "kernel must be .* got None"),
        (lambda x, y: (x[:, None] - y).norm(), r"kernel must return a tensor of shape \(9, 7\)"),
        (lambda x, y: 1.0, "kernel must return a tensor of shape .* got float"),
    ],
)
def test_bad_kernels(kernel, match):
    with pytest.raises(ValueError, match=match):
        squared_mmd(*_clouds(), kernel=kernel)


@pytest.mark.parametrize("name", ["weights", "y_weights"])
def test_weights_of_another_length(name):
    with pytest.raises(ValueError, match=rf"^{name} must be a tensor of shape"):
        squared_mmd(*_clouds(), **{name: torch.ones(3)})


@pytest.mark.parametrize("kernel", ["multiquadric", "gaussian", "laplacian", "energy"])
def test_clouds_and_weights_of_several_dtypes(kernel):
    """The wider dtype of the clouds is that of the value, whatever the weights have."""
    x, y = _clouds()
    w, counts = torch.full((9,), 1 / 9), torch.ones(7, dtype=torch.int64)
    counts[1:] = 0
    options = {"kernel": kernel, "unbiased": False}
    expected = squared_mmd(x, y, weights=w.double(), y_weights=counts.double(), **options)
    value = squared_mmd(x, y, weights=w, y_weights=counts, **options)
    torch.testing.assert_close(value, expected)
    for first, second in ((x.float(), y), (x, y.float())):
        value = squared_mmd(first, second, weights=w, y_weights=counts, **options)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
