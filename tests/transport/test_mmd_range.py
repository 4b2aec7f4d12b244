"""The squared discrepancy of clouds, and with bandwidths, at the ends of floating point."""

import math
import warnings

import pytest
import torch

from skotae.transport import squared_mmd
from skotae.transport.kernel_means import SCALES, kernel_mean, kernel_mean_within

G = torch.Generator().manual_seed(0)
X = torch.randn(9, 2, generator=G, dtype=torch.float64)
Y = torch.randn(7, 2, generator=G, dtype=torch.float64) + 1.0
SCALED = ["multiquadric", "gaussian", "laplacian"]
SIZES = [
    (torch.float32, 1e25),
    (torch.float32, 1e38),
    (torch.float32, 1e-25),
    (torch.float64, 1e200),
    (torch.float64, 1e-200),
]


def _value_and_gradient(x, y, **options):
    x = x.clone().requires_grad_()
    value = squared_mmd(x, y, **options)
    value.backward()
    return value.detach(), x.grad


@pytest.mark.parametrize(("dtype", "size"), SIZES)
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("kernel", SCALED)
def test_the_unit_of_clouds_and_bandwidth_is_of_no_account(kernel, unbiased, dtype, size):
    options = {"kernel": kernel, "unbiased": unbiased}
    expected, slope = _value_and_gradient(X, Y, bandwidth=4.0, **options)
    x, y = (0.25 * X * size).to(dtype), (0.25 * Y * size).to(dtype)
    value, gradient = _value_and_gradient(x, y, bandwidth=size, **options)
    rounding = {"rtol": 1e-4 if dtype == torch.float32 else 1e-12, "atol": 1e-6}
    torch.testing.assert_close(value.double(), expected, **rounding)
    torch.testing.assert_close(0.25 * size * gradient.double(), slope, **rounding)


@pytest.mark.parametrize(("dtype", "size"), [case for case in SIZES if case[1] > 1])
@pytest.mark.parametrize("kernel", SCALED)
def test_points_far_beyond_the_bandwidth_have_nothing_in_common(kernel, dtype, size):
    x, y = (0.25 * X * size).to(dtype), (0.25 * Y * size).to(dtype)
    value, gradient = _value_and_gradient(x, y, kernel=kernel)
    assert value == 0 and not gradient.any()
    value, gradient = _value_and_gradient(x, y, kernel=kernel, unbiased=False)
    assert value.item() == pytest.approx(7 / 9 + 7 / 7) and not gradient.any()


def _by_differences(kernel, bandwidth):
    """The kernel in float64, which holds the square of any distance here."""
    constants = [4.0 * bandwidth**2 * scale for scale in SCALES]

    def values(x, y):
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        if kernel == "multiquadric":
            return sum(c / (c + distance.square()) for c in constants)
        if kernel == "gaussian":
            return sum(torch.exp(-distance.square() / c) for c in constants)
        return sum(torch.exp(-distance / math.sqrt(c / 2.0)) for c in constants)

    return values


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("place", ["x", "y", "both"])
@pytest.mark.parametrize("kernel", SCALED)
def test_the_others_do_not_mind_an_outlier(kernel, place, unbiased):
    x, y = X.clone(), Y.clone()
    if place != "y":
        x[0] = 1e25
    if place != "x":
        y[0] = -1e30
    options = {"bandwidth": 0.7, "unbiased": unbiased}
    value, gradient = _value_and_gradient(x.float(), y.float(), kernel=kernel, **options)
    function = _by_differences(kernel, 0.7)
    expected, slope = _value_and_gradient(x, y, kernel=function, unbiased=unbiased)
    assert value.item() == pytest.approx(expected.item(), abs=2e-6)
    torch.testing.assert_close(gradient.double(), slope, rtol=0, atol=2e-6)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("kernel", [*SCALED, "energy"])
def test_what_is_not_finite_gives_nan(kernel, value):
    x = X.clone()
    x[2, 1] = value
    assert squared_mmd(x, Y, kernel=kernel).isnan()
    assert squared_mmd(Y, x, kernel=kernel).isnan()
    assert squared_mmd(x, Y, kernel=kernel, bandwidth=1e250).isnan() or kernel == "energy"


def test_an_energy_beyond_the_range_is_said_to_be():
    x, y = (3e38 * torch.sign(X)).float(), (-3e38 * torch.sign(X)).float()
    with pytest.warns(RuntimeWarning, match="torch.float32, and infinite: rescale x and y, or"):
        assert squared_mmd(x, y[:1] + 0 * y, kernel="energy") == math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert squared_mmd(x.double(), y.double(), kernel="energy").isfinite()


def test_means_of_kernels_with_outliers():
    """Those of mixtures, whose codes are shares of rows."""
    z = X[:8].reshape(4, 2, 2).clone().float()
    z[0, 1] = 1e30
    z.requires_grad_()
    w = torch.full((4, 2), 0.5)
    kernel_mean_within(z, w).backward()
    assert z.grad.isfinite().all() and not z.grad[0].any() and z.grad[1:].any()
    flat = z.detach().flatten(0, 1).requires_grad_()
    total = kernel_mean(flat, w.flatten())
    total.backward()
    kept = torch.cat([flat[:1], flat[2:]]).detach()
    torch.testing.assert_close(total.detach(), kernel_mean(kept, w.flatten()[1:]))
    assert flat.grad.isfinite().all() and not flat.grad[1].any()
