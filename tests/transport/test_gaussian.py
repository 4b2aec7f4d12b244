"""Bures distances against closed forms and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from skotae.transport import fit_gaussian, gaussian_wasserstein


def _covariance(d, seed, rank=None):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, rank or d + 2, generator=generator, dtype=torch.float64)
    return factor @ factor.T


@pytest.mark.parametrize("d", [1, 2, 7])
def test_value_is_the_formula_by_scipy(d):
    first, second = _covariance(d, 0), _covariance(d, 1)
    mean1, mean2 = torch.zeros(d).double(), torch.arange(d).double()
    root = sqrtm(first.numpy())
    cross = np.real(np.trace(np.atleast_2d(sqrtm(root @ second.numpy() @ root))))
    expected = (mean1 - mean2).square().sum() + first.trace() + second.trace() - 2 * cross
    value = gaussian_wasserstein(mean1, first, mean2, second)
    assert value.item() == pytest.approx(expected.item(), rel=1e-8)


def test_commuting_covariances():
    first, second = torch.tensor([1.0, 4.0, 0.0]), torch.tensor([9.0, 1.0, 4.0])
    zero = torch.zeros(3)
    value = gaussian_wasserstein(zero, first.diag(), zero, second.diag())
    assert value.item() == pytest.approx((first.sqrt() - second.sqrt()).square().sum().item())


def test_gradient():
    mean1, mean2 = torch.zeros(4).double(), torch.ones(4).double()
    inputs = (mean1, _covariance(4, 0), mean2, _covariance(4, 1))
    assert torch.autograd.gradcheck(
        lambda m1, c1, m2, c2: gaussian_wasserstein(m1, (c1 + c1.T) / 2, m2, (c2 + c2.T) / 2),
        tuple(tensor.requires_grad_() for tensor in inputs),
    )


def test_gradient_through_repeated_eigenvalues_is_known():
    first = (4 * torch.eye(3)).requires_grad_()
    gaussian_wasserstein(torch.zeros(3), first, torch.zeros(3), torch.eye(3)).backward()
    torch.testing.assert_close(first.grad, torch.eye(3) / 2)  # d (sqrt(s) - 1)^2 / ds at 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("points", [1, 2, 5, 40])
def test_gradient_is_finite_for_singular_covariances(points, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(points, 16, generator=generator, dtype=dtype).requires_grad_()
    mean, cov = fit_gaussian(x)
    value = gaussian_wasserstein(mean, cov, torch.zeros(16).to(dtype), torch.eye(16).to(dtype))
    value.backward()
    assert value.isfinite() and x.grad.isfinite().all()
    assert x.grad.abs().max() < 100


def _cloud(points, d, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(points, d, generator=generator, dtype=torch.float64)


def _distance(x, y):
    return gaussian_wasserstein(*fit_gaussian(x), *fit_gaussian(y))


def _by_polar_factor(x, y):
    """The distance with the polar factor P of Y X' constant, which is its envelope's gradient."""
    rows = [(cloud - cloud.mean(0)) / (len(cloud) - 1) ** 0.5 for cloud in (x, y)]
    cross = rows[1] @ rows[0].T
    left, singular, right = torch.linalg.svd(cross.detach(), full_matrices=False)
    keep = singular > 1e-10 * singular[0]
    polar = left[:, keep] @ right[keep]
    spread = sum(row.square().sum() for row in rows)
    return (x.mean(0) - y.mean(0)).square().sum() + spread - 2 * (polar * cross).sum()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.float64, 1e-5)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(3, 50, 16), (50, 3, 16), (3, 4, 16), (8, 50, 8), (9, 2, 1), (40, 50, 2)]
)
def test_gradient_of_points_in_a_subspace(n, m, d, scale, dtype, tolerance):
    x, y = _cloud(n, d, 0, scale).requires_grad_(), _cloud(m, d, 1, 2 * scale).requires_grad_()
    value = _by_polar_factor(x, y)
    expected = torch.autograd.grad(value, (x, y))
    narrow = [cloud.detach().to(dtype).requires_grad_() for cloud in (x, y)]
    found = _distance(*narrow)
    assert found.item() == pytest.approx(value.item(), rel=tolerance)
    for gradient, reference in zip(torch.autograd.grad(found, narrow), expected, strict=True):
        assert (gradient - reference).norm() < tolerance * reference.norm()


@pytest.mark.parametrize(("points", "d"), [(40, 3), (60, 16), (9, 1)])
def test_gradient_of_points(points, d):
    x, y = _cloud(points, d, 0).requires_grad_(), _cloud(points, d, 1, 2.0).requires_grad_()
    assert torch.autograd.gradcheck(_distance, (x, y))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("points", [2, 5, 16, 17, 100])
@pytest.mark.parametrize("start", [0.1, 3.0])
def test_descent_leads_to_the_identity(points, start, scale):
    """As far as so few points can span it."""
    d = 16
    x = _cloud(points, d, 0, start * scale).float().requires_grad_()
    target = torch.zeros(d), scale**2 * torch.eye(d)
    values = []
    for _ in range(60):
        value = gaussian_wasserstein(*fit_gaussian(x), *target)
        values.append(value.item() / scale**2)
        (gradient,) = torch.autograd.grad(value, x)
        x = (x - 0.25 * points * gradient).detach().requires_grad_()
    least = max(0, d - points + 1)
    assert all(late <= early + 5e-3 for early, late in zip(values, values[1:], strict=False))
    assert values[-1] == pytest.approx(least, abs=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("points", [3, 600])
def test_512_dimensions(points, dtype):
    x, y = _cloud(points, 512, 0).to(dtype).requires_grad_(), _cloud(600, 512, 1).to(dtype)
    value = _distance(x, y)
    (gradient,) = torch.autograd.grad(value, x)
    with torch.no_grad():
        assert _distance(x - 0.1 * len(x) * gradient, y) < value


def test_identical_gaussians_and_zero_covariances():
    cov = _covariance(5, 0, rank=2).float().requires_grad_()
    zero = torch.zeros(5)
    value = gaussian_wasserstein(zero, cov, zero, cov.detach().clone())
    value.backward()
    assert 0 <= value.item() < 1e-4 and cov.grad.isfinite().all()
    null = torch.zeros(5, 5, requires_grad=True)
    value = gaussian_wasserstein(zero, null, zero, torch.zeros(5, 5))
    value.backward()
    assert value == 0 and null.grad.isfinite().all()


def test_fit_gaussian_is_numpys_covariance():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, cov = fit_gaussian(x)
    np.testing.assert_allclose(mean, x.numpy().mean(0))
    np.testing.assert_allclose(cov, np.cov(x.numpy().T))
    for scale in (1.0, 7.0):
        weighted = fit_gaussian(x, torch.full((12,), scale))
        torch.testing.assert_close(weighted, (mean, cov))
    weights = torch.arange(12.0).double()
    np.testing.assert_allclose(fit_gaussian(x, weights)[1], np.cov(x.numpy().T, aweights=weights))
    assert (fit_gaussian(x, torch.eye(12)[3])[1] == 0).all()


def test_bad_arguments():
    zero, eye = torch.zeros(2), torch.eye(2)
    with pytest.raises(ValueError, match=r"cov2 must have shape \(2, 2\), got \(3, 3\)"):
        gaussian_wasserstein(zero, eye, zero, torch.eye(3))
    with pytest.raises(ValueError, match="mean1"):
        gaussian_wasserstein(eye, eye, zero, eye)
    with pytest.raises(ValueError, match="x must be"):
        fit_gaussian(zero)
    with pytest.raises(ValueError, match="weights must be"):
        fit_gaussian(eye, -zero - 1)
