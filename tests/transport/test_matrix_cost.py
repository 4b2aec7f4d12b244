"""Entropic transport of cost matrices, differentiated with respect to the costs."""

import math

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import (
    debias_paired,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
)

ABSOLUTE = {"epsilon": 0.5, "relative": False, "tol": 1e-10}


def _cost(n=6, m=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, m, generator=generator, dtype=torch.float64)  # negative ones as well


def _clouds():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    return x, torch.randn(15, 3, generator=generator, dtype=torch.float64) + 0.5


def _squared(x, y):
    return (x[:, None] - y).square().sum(2)


@pytest.mark.parametrize("sharp", [False, True])
def test_squared_distances_give_the_divergence(sharp):
    def cost_of(x, y):
        return sinkhorn_cost(_squared(x, y), sharp=sharp, **ABSOLUTE)

    x, y = (cloud.requires_grad_() for cloud in _clouds())
    composed = debias_paired(cost_of, x, y)
    direct = sinkhorn_divergence(x, y, sharp=sharp, **ABSOLUTE)
    torch.testing.assert_close(composed, direct)
    torch.testing.assert_close(
        torch.autograd.grad(composed, (x, y)), torch.autograd.grad(direct, (x, y))
    )


def test_the_gradient_is_the_plan():
    cost = _cost().requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_cost(cost, **ABSOLUTE), cost)
    torch.testing.assert_close(gradient, sinkhorn_plan(cost=cost, **ABSOLUTE))


@pytest.mark.parametrize("sharp", [False, True])
def test_gradient_by_finite_differences(sharp):
    cost = _cost().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: sinkhorn_cost(c, sharp=sharp, **ABSOLUTE), (cost,))


def test_weights_by_finite_differences():
    cost = _cost()
    a = torch.linspace(1, 2, 6, dtype=torch.float64, requires_grad=True)
    b = torch.linspace(3, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, v: sinkhorn_cost(cost, a=u, b=v, **ABSOLUTE), (a, b))


def test_relative_epsilon_and_offsets():
    cost = _cost().abs()
    value = sinkhorn_cost(cost, epsilon=0.1, tol=1e-9)
    absolute = 0.1 * cost.mean().item()
    torch.testing.assert_close(
        value, sinkhorn_cost(cost, epsilon=absolute, relative=False, tol=1e-9)
    )
    moved = sinkhorn_cost(cost + 1e6, epsilon=absolute, relative=False, tol=1e-9)
    torch.testing.assert_close(moved, value + 1e6)


@pytest.mark.parametrize("sharp", [False, True])
def test_equal_costs(sharp):
    cost = torch.full((3, 4), 2.0, requires_grad=True)
    value = sinkhorn_cost(cost, sharp=sharp)
    value.backward()
    assert value.item() == pytest.approx(2.0)
    torch.testing.assert_close(cost.grad, torch.full((3, 4), 1 / 12))


def test_float32_and_information():
    cost = _cost(40, 50).float()
    value, info = sinkhorn_cost(cost, epsilon=0.5, relative=False, return_info=True)
    assert value.dtype == torch.float32
    assert info.converged and info.marginal_violation <= 1e-3
    exact = sinkhorn_cost(cost.double(), **ABSOLUTE)
    assert value.item() == pytest.approx(exact.item(), abs=1e-5)


def test_not_converged_warns():
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        sinkhorn_cost(_cost(30, 30), epsilon=1e-3, relative=False, max_iter=2)


def test_double_backward_is_refused():
    cost = _cost().requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_cost(cost, **ABSOLUTE), cost, create_graph=True)
    with pytest.raises(RuntimeError, match="sinkhorn_cost cannot be differentiated twice"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cost": torch.zeros(3)}, "cost must be a non-empty floating-point matrix"),
        ({"cost": [[1.0]]}, "cost must be a torch tensor, got list"),
        ({"cost": torch.tensor([[math.nan]])}, "cost must be finite"),
        ({"cost": -torch.ones(2, 2)}, "relative=True needs a cost of non-negative mean"),
        ({"epsilon": 0.0}, "epsilon must be"),
        ({"a": torch.ones(3)}, "a must be a tensor of shape"),
        (
            {"a": torch.tensor([0.0, 1.0], requires_grad=True), "sharp": True},
            "sharp=True has no gradient for a where it is zero",
        ),
    ],
)
def test_bad_arguments(change, match):
    with pytest.raises(ValueError, match=match):
        sinkhorn_cost(**{"cost": torch.ones(2, 2), **change})
