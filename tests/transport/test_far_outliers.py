"""Points far away from all others: what the others cost keeps its digits."""

import pytest
import torch

from skotae.transport import (
    exact_cost,
    exact_plan,
    fit_gaussian,
    free_support_barycenter,
    gaussian_wasserstein,
    partial_cost,
)

FAR = [1e4, 1e6, 1e8, 1e10]


def _clouds(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, 2, generator=generator, dtype=torch.float64)


def _outlying(cloud, far):
    return torch.cat([cloud, cloud.new_tensor([[far, 0.0]])])


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("n", [8, 150])
@pytest.mark.parametrize("weighted", [False, True])
def test_outliers_that_belong_together(far, n, weighted):
    """They cost nothing: the value is that of the others, whichever solver finds it."""
    x, y = _clouds(n)
    weights = x.new_ones(n + 1) if weighted else None
    value = exact_cost(_outlying(x, far), _outlying(y, far), a=weights, b=weights)
    expected = exact_cost(x, y).item() * n / (n + 1)
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [256, 512])
def test_outliers_at_equal_distances(n):
    """Where they stand among the others makes no difference."""
    x, y = _clouds(n)
    weights = torch.ones(n, dtype=torch.float64)
    weights[1::4] = 1.5
    outlying = torch.arange(n) % (n * n // 4096) == 0
    for cloud in (x, y):
        cloud[outlying, 0] += 1e8
    value = exact_cost(x, y, a=weights, b=weights).item()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    expected = exact_cost(x[order], y[order], a=weights[order], b=weights[order]).item()
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("far", FAR)
def test_an_outlier_is_left_out_of_partial_transport(far):
    x, y = _clouds(40, seed=2)
    masses = x.new_full((40,), 1.0 / 41)
    value = partial_cost(_outlying(x, far), y, mass=0.5)
    assert value.item() == pytest.approx(partial_cost(x, y, a=masses, mass=0.5).item(), rel=1e-9)


@pytest.mark.parametrize("far", [1e6, 1e9])
def test_groups_far_apart(far):
    """Of unequal numbers, and of masses that are equal but for the rounding of their sums."""
    x, y = _clouds(20, seed=3)
    near_x, near_y = torch.arange(20) < 13, torch.arange(20) < 6
    a, b = (torch.rand(20, generator=torch.Generator().manual_seed(k)) + 0.1 for k in (0, 1))
    a, b = a.double(), b.double()
    for weights, near in ((a, near_x), (b, near_y)):
        weights[near] /= weights[near].sum()
        weights[~near] /= weights[~near].sum()
    shift = x.new_tensor([far, -far])
    plan = exact_plan(x + shift * near_x[:, None], y + shift * near_y[:, None], a=a, b=b)
    value, expected = 0.0, 0.0
    for mine, others in ((near_x, near_y), (~near_x, ~near_y)):
        costs = (x[mine, None] - y[others]).square().sum(2)
        value += (plan[mine][:, others] * costs).sum().item()
        expected += exact_cost(x[mine], y[others], a=a[mine], b=b[others]).item() / 2
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(plan.sum(1), a / 2)


def test_costs_that_are_cut_off_are_paid_where_they_must_be():
    """One cheap column only: what is dear cannot be done without."""
    costs = [[1.0, 1e9, 3e20], [2.0, 2e9, 5e20], [1.5, 1e9, 4e20]]
    cost, a, b = (
        torch.tensor(each, dtype=torch.float64)
        for each in (costs, [0.2, 0.3, 0.5], [0.1, 0.5, 0.4])
    )
    plan, f, g = exact_plan(cost=cost, a=a, b=b, return_potentials=True)
    value = (plan * cost).sum().item()
    assert value == pytest.approx(0.2 * 3e20 + 0.2 * 4e20, rel=1e-6)
    assert (a @ f + b @ g).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("far", [1e3, 1e5])
def test_gaussian_of_a_cloud_far_from_zero(far, weighted):
    x = (_clouds(5000)[0] + far).float().requires_grad_()
    weights = torch.rand(5000, generator=torch.Generator().manual_seed(1)) if weighted else None
    wide = None if weights is None else weights.double()
    (mean, cov), (_, expected) = fit_gaussian(x, weights), fit_gaussian(x.double(), wide)
    torch.testing.assert_close(cov.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(mean[0] + cov[0, 1], x)
    (reference,) = torch.autograd.grad(fit_gaussian(x.double(), wide)[0][0] + expected[0, 1], x)
    torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_gaussian_of_weights_whose_sum_is_out_of_their_range(dtype):
    x = _clouds(6)[0].to(dtype)
    weights = torch.full((6,), torch.finfo(dtype).max / 2, dtype=dtype)
    weights[0] /= 2
    mean, cov = fit_gaussian(x, weights)
    expected = fit_gaussian(x.double(), weights.double())
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(cov.double(), expected[1], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["mean1", "cov1", "mean2", "cov2"])
def test_infinite_gaussians_are_infinitely_far(dtype, name):
    eye = torch.eye(2, dtype=dtype)
    given = {"mean1": eye[0], "cov1": eye, "mean2": eye[1], "cov2": eye}
    given[name] = given[name] * 0.0 + torch.inf
    with pytest.warns(RuntimeWarning, match="beyond the range"):
        assert gaussian_wasserstein(**given).item() == torch.inf


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("weight", [1e-6, 1e-12])
def test_barycentre_of_a_point_with_hardly_any_weight(d, weight):
    clouds = [torch.arange(5.0).double()[:, None].repeat(1, d) ** 2, torch.ones(7, d).double() * 3]
    start = torch.arange(3.0).double()[:, None].repeat(1, d)
    b = torch.tensor([1.0, weight, 1.0]).double()
    found = free_support_barycenter(clouds, None, start, b=b)
    torch.testing.assert_close(found[1], torch.full((d,), 3.5).double(), rtol=1e-9, atol=0)


def test_barycentre_of_a_point_whose_weight_is_lost():
    clouds = [torch.tensor([[2.0], [5.0], [6.0]]), torch.tensor([[4.0], [7.0]])]
    b = torch.tensor([1.0, 1e-30, 1.0])
    found = free_support_barycenter(clouds, None, torch.tensor([[0.0], [1.0], [2.0]]), b=b)
    assert 1.0 <= found[1].item() <= 7.0  # it stays, or goes to some point; never to zero
