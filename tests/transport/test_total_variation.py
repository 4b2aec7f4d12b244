"""Unbalanced transport with total variation: duality, linear programmes, closed forms, laws."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from skotae.transport import (
    sinkhorn_divergence,
    sinkhorn_plan,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

from .unbalanced import clouds, cost, kl, random_masses

TV = {"unbalanced_type": "tv", "relative": False, "tol": 1e-9, "max_iter": 5000}
RHOS = [0.2, 2.0, 50.0, (0.3, math.inf), (2.0, 0.2)]
quick = settings(deadline=None, derandomize=True, max_examples=10)


def pair(rho):
    return rho if isinstance(rho, tuple) else (rho, rho)


def primal(plan, matrix, a, b, epsilon, rho):
    """The objective by its definition; where a marginal is exact the plan has to have it."""
    total = (plan * matrix).sum() + epsilon * kl(plan, torch.outer(a, b))
    for axis, (masses, price) in enumerate(zip((a, b), pair(rho), strict=True)):
        gap = (plan.sum(1 - axis) - masses).abs().sum()
        total = total + (price * gap if price < math.inf else 1e3 * gap)
    return total.item()


def check_slopes(value, inputs):
    """The gradient along a direction in all inputs, by a central difference."""
    generator = torch.Generator().manual_seed(3)
    leaves = [each.clone().requires_grad_() for each in inputs]
    ways = [torch.randn(each.shape, generator=generator).double() for each in inputs]
    slopes = torch.autograd.grad(value(*leaves), leaves)
    for k, (slope, way) in enumerate(zip(slopes, ways, strict=True)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = [each + step * way if j == k else each for j, each in enumerate(inputs)]
            ends.append(value(*moved).item())
        expected = (ends[0] - ends[1]) / 2e-5
        assert (slope * way).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("rho", [RHOS[0], *RHOS[2:]], ids=str)
@pytest.mark.parametrize("epsilon, p, total", [(1.0, 2, 1.0), (0.05, 1, 0.4), (0.002, 2, 0.8)])
def test_there_is_no_duality_gap(rho, epsilon, p, total):
    x, y = clouds()
    a, b = random_masses(12, 1, total), random_masses(9, 2)
    matrix, options = cost(x, y, p), {"a": a, "b": b, "epsilon": epsilon, "rho": rho, **TV}
    value, info = unbalanced_sinkhorn_cost(matrix, return_info=True, **options)
    assert info.converged
    # A plan costs at least what any potentials earn, so that equal values are the optimum.
    plan = unbalanced_sinkhorn_plan(x, y, p=p, **options)
    assert primal(plan, matrix, a, b, epsilon, rho) == pytest.approx(value.item(), rel=1e-7)
    f, g, info = unbalanced_sinkhorn_potentials(cost=matrix, potentials_init=(a, b), **options)
    formula = a[:, None] * b * ((f[:, None] + g - matrix) / epsilon).exp()
    torch.testing.assert_close(plan, formula, rtol=1e-6, atol=1e-9)
    for potential, price in zip((f, g), pair(rho), strict=True):
        assert potential.abs().max() <= price * (1 + 1e-12)


def test_it_is_no_worse_than_pots():
    x, y = clouds()
    a, b = random_masses(12, 1, 0.6), random_masses(9, 2)
    matrix = cost(x, y)
    arrays = [each.numpy() for each in (a, b, matrix)]
    options = {"reg_div": "kl", "regm_div": "tv", "numItermax": 5000, "stopThr": 1e-15}
    expected = ot.unbalanced.lbfgsb_unbalanced(*arrays, 0.2, 0.5, **options)
    plan = unbalanced_sinkhorn_plan(cost=matrix, a=a, b=b, epsilon=0.2, rho=0.5, **TV)
    value = primal(plan, matrix, a, b, 0.2, 0.5)
    # It minimises what has kinks as if it were smooth, and does not come as near.
    theirs = primal(torch.tensor(expected), matrix, a, b, 0.2, 0.5)
    assert value <= theirs * (1 + 1e-12) and value == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("rho", [0.3, 1.5, (0.3, math.inf)], ids=str)
def test_a_small_epsilon_is_the_linear_programme(rho):
    x, y = clouds()
    a, b = random_masses(12, 1, 0.7), random_masses(9, 2, 1.2)
    matrix, (n, m) = cost(x, y), (12, 9)
    # Rows and columns of the plan, what they lack of the masses, and what they have beyond them.
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    gaps = np.eye(n + m)
    prices = np.repeat([1e6 if price == math.inf else price for price in pair(rho)], [n, m])
    found = linprog(
        np.concatenate([matrix.numpy().ravel(), prices, prices]),
        A_eq=np.hstack([np.vstack([rows, columns]), gaps, -gaps]),
        b_eq=np.concatenate([a, b]),
    )
    options = {"a": a, "b": b, "rho": rho, **TV}
    value = unbalanced_sinkhorn_cost(matrix, epsilon=1e-4, **options)
    assert value.item() == pytest.approx(found.fun, rel=1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("rho", [0.05, 0.45, 3.0])
@pytest.mark.parametrize("a, b", [(1.0, 1.0), (0.2, 3.0), (2.0, 4.0)])
def test_two_diracs(epsilon, rho, a, b):
    def total(distance, a, b):
        low, high = sorted((a, b))
        # Where the slope is zero with both marginals below, one, or none of them.
        under, between, over = (
            a * b * math.exp((price - distance) / epsilon) for price in (2 * rho, 0.0, -2 * rho)
        )
        t = sorted((under, low, between, high, over))[2]
        entropy = t * math.log(t / (a * b)) - t + a * b
        return t * distance + rho * (abs(t - a) + abs(t - b)) + epsilon * entropy

    x, y = torch.zeros(1, 2).double(), torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    masses = {
        name: torch.tensor([mass], dtype=torch.float64) for name, mass in (("a", a), ("b", b))
    }
    options = {"epsilon": epsilon, "rho": rho, **masses, **TV}
    value = unbalanced_sinkhorn_divergence(x, y, debias="none", **options)
    assert value.item() == pytest.approx(total(1.0, a, b), rel=1e-8)
    expected = total(1.0, a, b) - (total(0.0, a, a) + total(0.0, b, b)) / 2
    expected += epsilon * (a - b) ** 2 / 2
    value = unbalanced_sinkhorn_divergence(x, y, **options)
    assert value.item() == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("rho", RHOS[:3])
@pytest.mark.parametrize("debias, p", [("none", 2), ("paired", 1.5), ("paired", 2)])
def test_gradients(rho, debias, p):
    x, y = clouds(7, 5)
    inputs = (x, y, random_masses(7, 1, 0.7), random_masses(5, 2))

    def value(x, y, a, b):
        return unbalanced_sinkhorn_divergence(
            x, y, a=a, b=b, p=p, debias=debias, epsilon=0.2, rho=rho, **TV
        )

    check_slopes(value, inputs)


def test_gradients_of_costs_and_of_masses_of_zero():
    x, y = clouds(7, 5)
    a, b = random_masses(7, 1, 0.7), random_masses(5, 2)
    options = {"epsilon": 0.2, "rho": 1.0, **TV}

    def value(matrix, a, b):
        return unbalanced_sinkhorn_cost(matrix, a=a, b=b, **options)

    inputs = cost(x, y), a, b
    check_slopes(value, inputs)
    # At no mass: by one side's difference, with clouds and with their costs.
    a[2] = 0.0
    for function in (
        value,
        lambda matrix, a, b: unbalanced_sinkhorn_divergence(
            x, y, a=a, b=b, debias="none", **options
        ),
    ):
        none = a.clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(cost(x, y), none, b), none)
        little = a.clone()
        little[2] = 1e-6
        rise = function(cost(x, y), little, b) - function(cost(x, y), a, b)
        assert slope[2].item() == pytest.approx(rise.item() / 1e-6, rel=1e-4)
    plan = unbalanced_sinkhorn_plan(cost=cost(x, y), a=a, b=b, **options)
    assert not plan[2].any()


@pytest.mark.parametrize("p", [1, 2])
def test_a_large_price_is_balanced(p):
    x, y = (cloud.requires_grad_() for cloud in clouds())
    options = {"p": p, "epsilon": 0.1, "tol": 1e-10, "max_iter": 5000}
    pairs = []
    for function, more in (
        (sinkhorn_divergence, {}),
        (unbalanced_sinkhorn_divergence, {"rho": 1e6, "unbalanced_type": "tv"}),
    ):
        value = function(x, y, **options, **more)
        pairs.append((value, *torch.autograd.grad(value, (x, y))))
    torch.testing.assert_close(*pairs, rtol=1e-7, atol=1e-8)
    x, y = x.detach(), y.detach()
    plan = unbalanced_sinkhorn_plan(x, y, rho=1e6, unbalanced_type="tv", **options)
    torch.testing.assert_close(plan, sinkhorn_plan(x, y, **options), rtol=1e-6, atol=1e-10)


@quick
@given(
    st.integers(1, 10),
    st.integers(1, 10),
    st.integers(0, 1000),
    st.sampled_from([0.02, 0.3, 2.0]),
    st.sampled_from([0.05, 0.5, 5.0, 1e4]),
    st.sampled_from([1, 2]),
)
def test_laws(n, m, seed, epsilon, rho, p):
    x, y = clouds(n, m, 2, seed)
    a, b = random_masses(n, seed, 0.7), random_masses(m, seed + 1)
    options = {"epsilon": epsilon, "rho": rho, "p": p, **TV}
    plan = unbalanced_sinkhorn_plan(x, y, a=a, b=b, **options)
    # With totals of at most one no mass is created.
    assert (plan.sum(1) <= a * (1 + 1e-7)).all() and (plan.sum(0) <= b * (1 + 1e-7)).all()
    forth = unbalanced_sinkhorn_divergence(x, y, a=a, b=b, **options).item()
    back = unbalanced_sinkhorn_divergence(y, x, a=b, b=a, **options).item()
    unit = cost(x, y, p).mean().item() + min(rho, 100.0)
    assert forth >= -1e-8 * unit
    assert forth == pytest.approx(back, rel=1e-6, abs=1e-8 * unit)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    own = unbalanced_sinkhorn_divergence(x, x[order], a=a, b=a[order], **options).item()
    assert abs(own) <= 1e-8 * unit


def test_a_batch_is_its_problems():
    x, y = torch.randn(2, 3, 6, 2, generator=torch.Generator().manual_seed(0)).double()
    a = torch.stack([random_masses(6, seed, 0.8) for seed in range(3)])
    options = {"epsilon": 0.1, "rho": 0.5, **TV}
    inputs = x.clone().requires_grad_(), a.clone().requires_grad_()
    values, info = unbalanced_sinkhorn_divergence(
        inputs[0], y, a=inputs[1], return_info=True, **options
    )
    assert len(info.problems) == 3 and info.converged
    slopes = torch.autograd.grad(values.sum(), inputs)
    plans = unbalanced_sinkhorn_plan(x, y, a=a, **options)
    f, g, _ = unbalanced_sinkhorn_potentials(x, y, a=a, **options)
    matrices = torch.stack([cost(*clouds_) for clouds_ in zip(x, y, strict=True)])
    costs = unbalanced_sinkhorn_cost(matrices, a=a, **options)
    mapped = torch.func.vmap(lambda x, y, a: unbalanced_sinkhorn_divergence(x, y, a=a, **options))(
        x, y, a
    )
    torch.testing.assert_close(mapped, values.detach())
    for k in range(3):
        leaves = x[k].clone().requires_grad_(), a[k].clone().requires_grad_()
        value = unbalanced_sinkhorn_divergence(leaves[0], y[k], a=leaves[1], **options)
        torch.testing.assert_close(values[k], value)
        for all_, one in zip(slopes, torch.autograd.grad(value, leaves), strict=True):
            torch.testing.assert_close(all_[k], one)
        torch.testing.assert_close(
            plans[k], unbalanced_sinkhorn_plan(x[k], y[k], a=a[k], **options)
        )
        one = unbalanced_sinkhorn_potentials(x[k], y[k], a=a[k], **options)
        torch.testing.assert_close((f[k], g[k]), one[:2])
        single = unbalanced_sinkhorn_cost(matrices[k], a=a[k], **options)
        torch.testing.assert_close(costs[k], single)


@pytest.mark.parametrize("wrong", ["TV", "l2", None, ["tv"]])
def test_what_it_knows_is_named(wrong):
    with pytest.raises(ValueError, match="unbalanced_type must be 'kl' or 'tv'"):
        unbalanced_sinkhorn_plan(*clouds(), unbalanced_type=wrong)
