"""Exact transport of a part of the mass."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from skotae.transport import exact_cost, exact_plan, partial_cost, partial_plan

quick = settings(deadline=None, derandomize=True, max_examples=30)


def clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y, a, b = (
        torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
        for shape in ((n, d), (m, d), (n,), (m,))
    )
    return x, y, a, b


def by_linear_programme(cost, a, b, mass):
    """The least cost, of a formulation of its own."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    found = linprog(
        cost.ravel(),
        A_ub=np.vstack([rows, columns]),
        b_ub=np.concatenate([a, b]),
        A_eq=np.ones((1, n * m)),
        b_eq=[mass],
    )
    assert found.success
    return found.fun


@quick
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 1000),
    st.floats(0.01, 1.0),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.booleans(),
)
def test_no_plan_is_cheaper(n, m, seed, share, scale, negative):
    x, y, a, b = clouds(n, m, 2, seed)
    cost = scale * (torch.cdist(x, y) - (0.7 if negative else 0.0))
    mass = share * min(a.sum().item(), b.sum().item())
    plan = partial_plan(cost=cost, a=a, b=b, mass=mass)
    assert plan.min() >= 0 and plan.sum().item() == pytest.approx(mass, rel=1e-12)
    assert (plan.sum(1) <= a + 1e-9).all() and (plan.sum(0) <= b + 1e-9).all()
    value = partial_cost(cost=cost, a=a, b=b, mass=mass)
    # Whose tolerances are absolute.
    expected = scale * by_linear_programme((cost / scale).numpy(), a.numpy(), b.numpy(), mass)
    assert value.item() == pytest.approx(expected, rel=1e-7, abs=1e-9 * scale)
    assert value.item() == pytest.approx((plan * cost).sum().item(), rel=1e-9, abs=1e-12 * scale)


@pytest.mark.parametrize("p, metric", [(1, "minkowski"), (1, "euclidean"), (2, "euclidean")])
@pytest.mark.parametrize("mass", [0.3, 2.0])
def test_beside_pot(p, metric, mass):
    x, y, a, b = clouds(12, 9, 3)
    distances = torch.cdist(x, y, p=1 if metric == "minkowski" else 2) ** p
    expected = ot.partial.partial_wasserstein(a.numpy(), b.numpy(), distances.numpy(), m=mass)
    plan = partial_plan(x, y, a=a, b=b, mass=mass, p=p, metric=metric)
    np.testing.assert_allclose(plan.numpy(), expected, atol=1e-9)
    value = partial_cost(x, y, a=a, b=b, mass=mass, p=p, metric=metric)
    assert value.item() == pytest.approx((expected * distances.numpy()).sum(), rel=1e-9)


def test_all_mass_is_exact_transport():
    x, y, *_ = clouds(10, 7, 2)
    torch.testing.assert_close(partial_plan(x, y), exact_plan(x, y))
    for p in (1, 2):
        torch.testing.assert_close(partial_cost(x, y, p=p, mass=1.0), exact_cost(x, y, p=p))


@pytest.mark.parametrize("mass", [0.8, None])
def test_gradients_by_finite_differences(mass):
    x, y, a, b = (each.requires_grad_() for each in clouds(6, 5, 2))

    def of_clouds(x, y, a, b):
        return partial_cost(x, y, a=a, b=b, mass=mass, p=1.5, metric="euclidean")

    # Of the smaller sum, by default: it moves with the masses.
    inputs = (x, y, a, b) if mass else (x, y, a.detach(), b.detach())
    assert torch.autograd.gradcheck(of_clouds, inputs, atol=1e-6)
    cost = torch.cdist(x, y).detach().requires_grad_()
    (plan,) = torch.autograd.grad(partial_cost(cost=cost, mass=mass and 0.5), cost)
    torch.testing.assert_close(plan, partial_plan(cost=cost, mass=mass and 0.5))


def test_dtypes_zero_masses_and_equal_points():
    x, y, a, b = (each.float() for each in clouds(6, 5, 2))
    a[2:4] = 0.0
    plan = partial_plan(x, y, a=a, b=b, mass=0.4)
    assert plan.dtype == torch.float32 and (plan[2:4] == 0).all()
    same = torch.ones(4, 2, requires_grad=True)
    value = partial_cost(same, same.detach()[:3], mass=0.5, p=1, metric="euclidean")
    value.backward()
    assert value == 0.0 and (same.grad == 0).all()


def test_bad_arguments():
    x, y, a, b = clouds(6, 5, 2)
    with pytest.raises(ValueError, match="mass must be at most 1, .* got 1.5"):
        partial_cost(x, y, mass=1.5)
    for mass in (0.0, -1.0, float("nan"), "half"):
        with pytest.raises((TypeError, ValueError), match="mass"):
            partial_plan(x, y, mass=mass)
    with pytest.raises(ValueError, match="x and y must be finite"):
        partial_plan(x * torch.nan, y)
    assert partial_cost(x * torch.nan, y).isnan()
    with pytest.raises(ValueError, match="cost must be finite"):
        partial_cost(cost=x * torch.nan)
    with pytest.raises(RuntimeError, match="partial_cost cannot be differentiated twice"):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(partial_cost(x, y), x, create_graph=True)
        slope.sum().backward()
