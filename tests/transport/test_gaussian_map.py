"""The linear map between Gaussians."""

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.transport import exact_plan, fit_gaussian, gaussian_map, gaussian_wasserstein

quick = settings(deadline=None, derandomize=True, max_examples=30)


def gaussian(d, seed, rank=None):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, rank or d, generator=generator, dtype=torch.float64)
    return torch.randn(d, generator=generator, dtype=torch.float64), factor @ factor.T / d


def test_one_dimension():
    one, two = torch.tensor([[4.0]]).double(), torch.tensor([[9.0]]).double()
    A, b = gaussian_map(one[0], one, two[0], two)
    assert A.item() == pytest.approx(1.5) and b.item() == pytest.approx(9 - 1.5 * 4)


@quick
@given(st.integers(1, 8), st.integers(0, 1000), st.sampled_from([1e-8, 1.0, 1e8]))
def test_it_carries_one_to_the_other_at_the_least_cost(d, seed, scale):
    (mean1, cov1), (mean2, cov2) = gaussian(d, seed), gaussian(d, seed + 1)
    cov1, cov2 = scale * cov1, scale * cov2
    A, b = gaussian_map(mean1, cov1, mean2, cov2)
    close = {"rtol": 1e-6, "atol": 1e-8 * scale * d}
    torch.testing.assert_close(A, A.T)
    assert torch.linalg.eigvalsh(A).min() > -1e-9
    torch.testing.assert_close(A @ cov1 @ A, cov2, **close)
    torch.testing.assert_close(A @ mean1 + b, mean2)
    gap = torch.eye(d).double() - A
    cost = (mean1 - mean2).square().sum() + (gap @ cov1 @ gap).trace()
    expected = gaussian_wasserstein(mean1, cov1, mean2, cov2)
    torch.testing.assert_close(cost, expected, **close)


@pytest.mark.parametrize("d", [1, 5, 512])
def test_beside_pot(d):
    (mean1, cov1), (mean2, cov2) = gaussian(d, 0, 2 * d), gaussian(d, 1, 2 * d)
    A, b = gaussian_map(mean1, cov1, mean2, cov2)
    expected, shift = ot.gaussian.bures_wasserstein_mapping(mean1, mean2, cov1, cov2)
    torch.testing.assert_close(A, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(b, shift.reshape(-1), rtol=1e-6, atol=1e-6)
    single = gaussian_map(*(each.float() for each in (mean1, cov1, mean2, cov2)))
    assert single[0].dtype == torch.float32
    torch.testing.assert_close(single[0].double(), A, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("d", [2, 5, 512])
def test_singular_covariances(d):
    (mean1, cov1), (mean2, cov2) = gaussian(d, 0), gaussian(d, 1, d // 2)
    # Onto a subspace there is a map.
    A, b = gaussian_map(mean1, cov1, mean2, cov2)
    torch.testing.assert_close(A @ cov1 @ A, cov2, rtol=1e-6, atol=1e-7)
    # Out of one there is none: what is reached is the conditional mean of the coupling.
    back, _ = gaussian_map(mean2, cov2, mean1, cov1)
    reached = back @ cov2 @ back
    assert back.isfinite().all() and reached.trace() < 0.999 * cov1.trace()
    assert torch.linalg.eigvalsh(cov1 - reached).min() > -1e-7
    # The cost is that of the mean and of what is left around it.
    gap = torch.eye(d).double() - back
    cost = (gap @ cov2 @ gap).trace() + (cov1 - reached).trace()
    value = gaussian_wasserstein(mean2, cov2, mean1, cov1) - (mean1 - mean2).square().sum()
    torch.testing.assert_close(cost, value, rtol=1e-6, atol=1e-7)
    zero = torch.zeros(d, d).double()
    assert (gaussian_map(mean1, zero, mean2, zero)[0] == 0).all()


def test_points_of_one_line_are_mapped_as_by_their_plan():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 1, generator=generator, dtype=torch.float64)
    y = 3.0 * x[torch.randperm(50, generator=generator)] - 1.0
    A, b = gaussian_map(*fit_gaussian(x), *fit_gaussian(y))
    torch.testing.assert_close(x @ A + b, 50 * exact_plan(x, y) @ y)


def test_bad_arguments_and_values():
    mean, cov = gaussian(2, 0)
    with pytest.raises(ValueError, match=r"cov2 must have shape \(2, 2\), got \(3, 3\)"):
        gaussian_map(mean, cov, mean, torch.eye(3).double())
    A, b = gaussian_map(mean, cov * torch.nan, mean, cov)
    assert A.isnan().all() and b.isnan().all()
