"""Masses, prices and regularisation that differ by many orders of magnitude."""

import pytest
import torch

from skotae.transport import (
    partial_cost,
    partial_plan,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_potentials,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

X = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X[:5].flip(0) + 1
MANY = torch.full((5,), 1e30, dtype=torch.float64)


def test_partial_transport_beside_masses_that_are_larger_by_far():
    few = torch.rand(8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    nearest = torch.cdist(X, Y).square().min(1)
    plan = partial_plan(X, Y, a=few, b=MANY)
    torch.testing.assert_close(plan.sum(1), few)
    assert torch.equal(plan.argmax(1), nearest.indices)
    a, b = few.clone().requires_grad_(), MANY.clone().requires_grad_()
    value = partial_cost(X, Y, a=a, b=b)
    torch.testing.assert_close(value.detach(), few @ nearest.values)
    value.backward()
    # As beside masses of which each is enough, with the same mass moved.
    alike = few.clone().requires_grad_()
    partial_cost(X, Y, a=alike, b=1e-26 * MANY).backward()
    torch.testing.assert_close(a.grad, alike.grad)
    assert not b.grad.any()
    torch.testing.assert_close(partial_plan(Y, X, a=MANY, b=few), plan.T)


def test_prices_that_potentials_cannot_hold_are_named():
    for options in ({"rho": 1e300, "b": MANY}, {"rho": 1e-300, "epsilon": 30.0}):
        with pytest.raises(ValueError, match="rho"):
            unbalanced_sinkhorn_plan(1e-20 * X, 1e-20 * Y, **options)
    # Equal masses need none.
    plan = unbalanced_sinkhorn_plan(X, Y, rho=1e30)
    torch.testing.assert_close(plan.sum(), plan.new_tensor(1.0))


def test_costs_out_of_range_in_units_of_epsilon_are_named():
    for divergence in (sinkhorn_divergence, sinkhorn_potentials):
        with pytest.raises(ValueError, match="units of epsilon"):
            divergence(1e-302 * X, 1e-302 * Y, p=1, epsilon=1e-8)
    with pytest.raises(ValueError, match="epsilon|costs in the range"):
        unbalanced_sinkhorn_potentials(
            5e154 * X, 5e154 * Y, p=1.5, metric="euclidean", unbalanced_type="tv"
        )


def test_any_epsilon_of_costs_that_are_a_sum():
    cost = torch.outer(X[:, 0].exp(), torch.ones(5, dtype=X.dtype)) * 1e30
    for relative in (True, False):
        value, info = sinkhorn_cost(cost, epsilon=1e300, relative=relative, return_info=True)
        assert info.converged
        torch.testing.assert_close(value, cost.mean())


def test_a_far_point_of_weight_zero_counts_for_nothing():
    a = torch.ones(8, dtype=X.dtype)
    a[0] = 0
    x = X.clone()
    x[0] = 1e6
    options = {"sharp": True, "max_iter": 30, "p": 1.5}
    leaves = x.requires_grad_(), X[1:].clone().requires_grad_()
    whole = sinkhorn_divergence(leaves[0], Y, a=a, **options)
    part = sinkhorn_divergence(leaves[1], Y, **options)
    torch.testing.assert_close(whole, part, rtol=1e-3, atol=0)
    whole.backward()
    assert leaves[0].grad.isfinite().all() and not leaves[0].grad[0].any()
