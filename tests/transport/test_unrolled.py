"""A fixed number of Sinkhorn iterations, and distances on a sphere."""

import numpy as np
import pytest
import torch

from skotae.transport import geodesic_distances, sinkhorn_cost, unrolled_sinkhorn_cost


def clouds(n=12, m=9, d=3):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, torch.randn(m, d, generator=g, dtype=torch.float64)


def by_hand(cost, epsilon, n_iter):
    """Algorithm 1 of the paper, and Algorithm 2 of Altschuler et al."""
    n, m = cost.shape
    kernel, u = np.exp(-cost / epsilon), np.ones(n)
    for _ in range(n_iter):
        v = 1 / m / (kernel.T @ u)
        u = 1 / n / (kernel @ v)
    plan = u[:, None] * kernel * v
    plan *= np.minimum(1 / n / plan.sum(1), 1)[:, None]
    plan *= np.minimum(1 / m / plan.sum(0), 1)
    row, column = 1 / n - plan.sum(1), 1 / m - plan.sum(0)
    return plan + np.outer(row, column) / row.sum()


@pytest.mark.parametrize("n_iter", [1, 2, 7])
@pytest.mark.parametrize("sharp", [True, False])
def test_value_is_that_of_the_paper_s_algorithm(n_iter, sharp):
    x, y = clouds()
    cost = torch.cdist(x, y).square()
    options = {"epsilon": 0.5, "relative": False, "n_iter": n_iter, "sharp": sharp}
    value = unrolled_sinkhorn_cost(cost, **options).item()
    plan = by_hand(cost.numpy(), 0.5, n_iter)
    assert np.allclose(plan.sum(0), 1 / 9) and np.allclose(plan.sum(1), 1 / 12)
    expected = (plan * cost.numpy()).sum()
    if not sharp:
        expected += 0.5 * (plan * np.log(plan * plan.size)).sum()
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sharp", [True, False])
def test_gradient(sharp):
    x, y = clouds(5, 4)

    def value(x):
        cost = torch.cdist(x, y).square()
        return unrolled_sinkhorn_cost(cost, epsilon=1.0, relative=False, n_iter=3, sharp=sharp)

    assert torch.autograd.gradcheck(value, x.requires_grad_())


@pytest.mark.parametrize("sharp", [True, False])
def test_many_iterations_are_the_converged_cost(sharp):
    x, y = clouds()
    x.requires_grad_()
    cost = torch.cdist(x, y).square()
    limit = sinkhorn_cost(cost, epsilon=0.1, tol=1e-10, max_iter=10**5, sharp=sharp)
    value = unrolled_sinkhorn_cost(cost, epsilon=0.1, n_iter=500, sharp=sharp)
    assert value.item() == pytest.approx(limit.item(), rel=1e-7)
    ours, theirs = (torch.autograd.grad(v, x, retain_graph=True)[0] for v in (value, limit))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    few = unrolled_sinkhorn_cost(cost, epsilon=0.1, n_iter=2, sharp=sharp)
    assert few.item() > limit.item() + 1e-3


def test_points_that_are_the_same_cost_nothing():
    cost = torch.zeros(3, 4, requires_grad=True)
    value = unrolled_sinkhorn_cost(cost, n_iter=5)
    value.backward()
    assert value.item() == 0 and cost.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_iter": 0}, "n_iter must be an integer >= 1"),
        ({"n_iter": 2, "epsilon": -1.0}, "epsilon"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        unrolled_sinkhorn_cost(torch.ones(2, 2), **options)


def test_geodesic_distances():
    x, y = (3.0 * torch.nn.functional.normalize(part) for part in clouds())
    angle = torch.acos(((x / 3) @ (y / 3).T).clamp(-1, 1))
    torch.testing.assert_close(geodesic_distances(x, y), 3 * angle)
    # Where the arc cosine has lost half of the digits.
    near = torch.tensor([[1.0, 1e-9]], dtype=torch.float64)
    east = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert geodesic_distances(near, east).item() == pytest.approx(1e-9, rel=1e-6)


def test_geodesic_gradients_at_the_ends():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    distances = geodesic_distances(x, x)
    assert distances[0, 0].item() == 0
    assert distances[0, 1].item() == pytest.approx(np.pi)
    distances.square().sum().backward()
    assert x.grad.isfinite().all()
