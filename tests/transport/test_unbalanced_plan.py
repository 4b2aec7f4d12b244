"""Unbalanced and semi-relaxed plans and potentials, against POT and the optimality conditions."""

import math

import numpy as np
import ot
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import (
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

ABSOLUTE = {"relative": False, "tol": 1e-11, "max_iter": 5000}
RHOS = [0.3, 5.0, (0.3, math.inf), (math.inf, 0.3), (0.2, 4.0)]


def _clouds(n=12, m=9, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def _masses(n, m, total=1.0):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(n + m, generator=generator, dtype=torch.float64) + 0.1).split((n, m))
    return a * (1.5 / a.sum()), b * (total / b.sum())


def _cost(x, y, p=2):
    return (x[:, None] - y).abs().pow(p).sum(2)


def kl(p, q):
    return torch.special.xlogy(p, p / q).sum() - p.sum() + q.sum()


def _check(plan, f, g, cost, a, b, epsilon, rho, tol=1e-8):
    """The form of the plan and its marginals, which hold at the optimum of both problems only."""
    prices = rho if isinstance(rho, tuple) else (rho, rho)
    formula = a[:, None] * b * ((f[:, None] + g - cost) / epsilon).exp()
    torch.testing.assert_close(plan, formula, rtol=tol, atol=tol)
    for axis, (masses, potential, price) in enumerate(zip((a, b), (f, g), prices, strict=True)):
        asked = masses if price == math.inf else masses * (-potential / price).exp()
        torch.testing.assert_close(plan.sum(1 - axis), asked, rtol=tol, atol=tol)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_optimality(epsilon, rho, p, shift):
    x, y = _clouds()
    y = y + shift
    # Masses differ, and the exact marginal says how much is transported.
    a, b = _masses(12, 9)
    options = {"epsilon": epsilon, "rho": rho, "a": a, "b": b, **ABSOLUTE}
    cost = _cost(x, y, p)
    plans = []
    for given in ({"x": x, "y": y, "p": p}, {"cost": cost}):
        f, g, info = unbalanced_sinkhorn_potentials(**given, **options)
        assert info.converged
        plans.append(unbalanced_sinkhorn_plan(**given, **options))
        _check(plans[-1], f, g, cost, a, b, epsilon, rho)
    torch.testing.assert_close(*plans, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("rho", [0.2, 3.0, (0.2, math.inf), (math.inf, 0.2), (0.5, 2.0)])
def test_plans_are_pots(rho):
    x, y = _clouds()
    a, b = _masses(12, 9)
    cost = _cost(x, y)
    expected = ot.unbalanced.sinkhorn_unbalanced(
        *(each.numpy() for each in (a, b, cost)),
        reg=0.2,
        reg_m=rho,
        reg_type="kl",
        numItermax=100_000,
        stopThr=1e-14,
    )
    plan = unbalanced_sinkhorn_plan(cost=cost, a=a, b=b, epsilon=0.2, rho=rho, **ABSOLUTE)
    np.testing.assert_allclose(plan, expected, rtol=1e-6, atol=1e-12)


def test_an_entropy_relative_to_ones_is_a_change_of_costs():
    a, b = _masses(12, 9)
    cost, epsilon = _cost(*_clouds()), 0.2
    options = {"numItermax": 100_000, "stopThr": 1e-14, "reg_type": "entropy"}
    arrays = [each.numpy() for each in (a, b, cost)]
    expected = ot.unbalanced.sinkhorn_unbalanced(*arrays, reg=epsilon, reg_m=2.0, **options)
    changed = cost + epsilon * torch.outer(a, b).log()
    given = {"a": a, "b": b, "epsilon": epsilon, "rho": 2.0, **ABSOLUTE}
    plan = unbalanced_sinkhorn_plan(cost=changed, **given)
    np.testing.assert_allclose(plan, expected, rtol=1e-6, atol=1e-12)
    value = unbalanced_sinkhorn_cost(changed, **given) + epsilon * (12 * 9 - a.sum() * b.sum())

    marginals = kl(plan.sum(1), a) + kl(plan.sum(0), b)
    total = (plan * cost).sum() + 2.0 * marginals + epsilon * kl(plan, torch.ones(12, 9).double())
    assert value.item() == pytest.approx(total.item(), rel=1e-8)


@pytest.mark.parametrize("rho", RHOS)
def test_the_value_is_that_of_the_plan(rho):
    x, y = _clouds()
    a, b = (masses.requires_grad_() for masses in _masses(12, 9))
    options = {"epsilon": 0.2, "rho": rho, **ABSOLUTE}
    value = unbalanced_sinkhorn_divergence(x, y, a=a, b=b, debias="none", **options)
    plan = unbalanced_sinkhorn_plan(x, y, a=a, b=b, **options)
    assert not plan.requires_grad
    primal = (plan * _cost(x, y)).sum() + 0.2 * kl(plan, torch.outer(a, b))
    for axis, masses in enumerate((a, b)):
        price = rho[axis] if isinstance(rho, tuple) else rho
        primal = primal + (price * kl(plan.sum(1 - axis), masses) if price < math.inf else 0.0)
    assert value.item() == pytest.approx(primal.item(), rel=1e-8)
    # Both sides' derivatives, by differences of the value.
    slopes = torch.autograd.grad(value, (a, b))
    for k, slope in enumerate(slopes):
        ends = []
        for change in (1e-5, -1e-5):
            moved = [masses.detach().clone() for masses in (a, b)]
            moved[k][3] += change
            moved = unbalanced_sinkhorn_divergence(
                x, y, a=moved[0], b=moved[1], debias="none", **options
            )
            ends.append(moved.item())
        assert slope[3].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_a_large_price_is_balanced():
    x, y = _clouds()
    options = {"epsilon": 0.1, "tol": 1e-10}
    plan = unbalanced_sinkhorn_plan(x, y, rho=1e7, **options)
    torch.testing.assert_close(plan, sinkhorn_plan(x, y, **options), rtol=1e-5, atol=1e-9)
    f, g, _ = unbalanced_sinkhorn_potentials(x, y, rho=1e7, **options)
    other_f, other_g, _ = sinkhorn_potentials(x, y, **options)
    torch.testing.assert_close(f + g[0], other_f + other_g[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("kind", ["clouds", "cost"])
def test_points_without_mass(rho, kind):
    x, y = _clouds()
    a, b = _masses(12, 9)
    a[[0, 4]], b[3] = 0.0, 0.0
    options = {"epsilon": 0.2, "rho": rho, **ABSOLUTE}
    rows, columns = a > 0, b > 0
    cost = _cost(x, y)
    given = {"x": x, "y": y} if kind == "clouds" else {"cost": cost}
    plan = unbalanced_sinkhorn_plan(**given, a=a, b=b, **options)
    f, g, _ = unbalanced_sinkhorn_potentials(**given, a=a, b=b, **options)
    _check(plan, f, g, cost, a, b, 0.2, rho)
    alone = unbalanced_sinkhorn_plan(x[rows], y[columns], a=a[rows], b=b[columns], **options)
    torch.testing.assert_close(plan[rows][:, columns], alone, rtol=1e-8, atol=1e-12)
    # The potential there is that of a mass which is next to none.
    little = a.clone()
    little[4] = 1e-10
    near, *_ = unbalanced_sinkhorn_potentials(**given, a=little, b=b, **options)
    assert f[4].item() == pytest.approx(near[4].item(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e3, 1e12])
@pytest.mark.parametrize("rho", [0.5, (0.5, math.inf)])
def test_relative_units(scale, rho):
    x, y = _clouds()
    options = {"rho": rho, "tol": 1e-10}
    plan = unbalanced_sinkhorn_plan(x, y, **options)
    f, g, _ = unbalanced_sinkhorn_potentials(x, y, **options)
    for given in (
        {"x": scale * x, "y": scale * y},
        {"cost": scale * scale * _cost(x, y)},
    ):
        scaled = unbalanced_sinkhorn_potentials(**given, **options)
        torch.testing.assert_close(unbalanced_sinkhorn_plan(**given, **options), plan)
        torch.testing.assert_close(scaled[0] / scale**2, f)
        torch.testing.assert_close(scaled[1] / scale**2, g)


@pytest.mark.parametrize("rho", [0.5, (0.5, math.inf)])
def test_equal_points(rho):
    """With no cost between any points only the masses count; the price cancels in the plan."""
    x, y = torch.ones(3, 2), torch.ones(4, 2)
    a, b = torch.full((3,), 0.5), torch.full((4,), 0.1)
    plans = [
        unbalanced_sinkhorn_plan(**given, a=a, b=b, rho=rho, tol=1e-9)
        for given in ({"x": x, "y": y}, {"cost": torch.zeros(3, 4)})
    ]
    total = 0.4 if isinstance(rho, tuple) else None
    for plan in plans:
        torch.testing.assert_close(plan, plan[:1, :1].expand(3, 4))
        assert total is None or plan.sum().item() == pytest.approx(total, rel=1e-6)
        assert plan.sum() > 0
    torch.testing.assert_close(*plans)
    f, g, _ = unbalanced_sinkhorn_potentials(x, y, a=a, b=b, rho=rho)
    assert (f == 0).all() and (g == 0).all()


def test_negative_costs_and_offsets():
    cost = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = _masses(6, 5)
    options = {"epsilon": 0.3, "rho": 0.7, "a": a, "b": b, **ABSOLUTE}
    f, g, _ = unbalanced_sinkhorn_potentials(cost=cost, **options)
    _check(unbalanced_sinkhorn_plan(cost=cost, **options), f, g, cost, a, b, 0.3, 0.7)
    # What every plan pays changes how much is transported, not between which points.
    moved = unbalanced_sinkhorn_plan(cost=cost + 2.0, **options)
    plan = unbalanced_sinkhorn_plan(cost=cost, **options)
    torch.testing.assert_close(moved / moved.sum(), plan / plan.sum())
    assert moved.sum() < plan.sum()


def test_dtypes_blocks_and_warnings():
    x, y = (cloud.float() for cloud in _clouds(80, 60))
    plan = unbalanced_sinkhorn_plan(x, y)
    f, g, info = unbalanced_sinkhorn_potentials(x, y)
    assert plan.dtype == f.dtype == g.dtype == torch.float32 and info.converged
    in_blocks = unbalanced_sinkhorn_potentials(x, y, max_memory=1e-3)
    torch.testing.assert_close(in_blocks[0], f)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        unbalanced_sinkhorn_plan(x, y, max_iter=2, epsilon=0.01)


@pytest.mark.parametrize("function", [unbalanced_sinkhorn_plan, unbalanced_sinkhorn_potentials])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": None}, "Either x or cost"),
        ({"cost": torch.ones(4, 4)}, "cost must be given alone"),
        ({"x": torch.full((4, 2), math.inf)}, "x or y must be finite"),
        ({"x": None, "y": None, "cost": torch.full((2, 2), math.nan)}, "cost must be finite"),
        ({"x": None, "y": None, "cost": -torch.ones(2, 2)}, "non-negative mean"),
        ({"rho": 0.0}, "rho must be a finite number > 0"),
        ({"rho": (1.0, -1.0)}, "rho must be a finite number > 0"),
        ({"rho": math.inf}, "rho must be a finite number > 0"),
        ({"rho": (math.inf, math.inf)}, "rho must be one number, or two of which one is finite"),
        ({"rho": (1.0,)}, "rho must be one number, or two"),
        ({"a": torch.ones(3)}, "a must be a tensor of shape"),
        ({"epsilon": 0.0}, "epsilon must be"),
    ],
)
def test_bad_arguments(function, change, match):
    with pytest.raises(ValueError, match=match):
        function(**{"x": torch.ones(4, 2), "y": torch.zeros(4, 2), **change})


def test_a_pair_of_prices_is_not_debiased():
    with pytest.raises(ValueError, match="needs debias='none'"):
        unbalanced_sinkhorn_divergence(*_clouds(), rho=(1.0, 2.0))


@pytest.mark.parametrize("rho", RHOS)
def test_the_cost_of_a_matrix_is_that_of_clouds(rho):
    x, y = _clouds()
    a, b = (masses.requires_grad_() for masses in _masses(12, 9))
    cost = _cost(x, y).requires_grad_()
    options = {"a": a, "b": b, "epsilon": 0.2, "rho": rho, **ABSOLUTE}
    value, info = unbalanced_sinkhorn_cost(cost, **options, return_info=True)
    expected = unbalanced_sinkhorn_divergence(x, y, debias="none", **options)
    assert info.converged
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=0)
    plan, *slopes = torch.autograd.grad(value, (cost, a, b), retain_graph=True)
    torch.testing.assert_close(plan, unbalanced_sinkhorn_plan(cost=cost, **options))
    torch.testing.assert_close(slopes, [*torch.autograd.grad(expected, (a, b))])


@pytest.mark.parametrize("rho", [0.4, (0.4, math.inf), (math.inf, 0.4)])
def test_the_gradient_of_a_matrix_by_finite_differences(rho):
    generator = torch.Generator().manual_seed(0)
    cost = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    inputs = cost, *(masses.requires_grad_() for masses in _masses(5, 4))
    options = {"epsilon": 0.3, "rho": rho, **ABSOLUTE}
    assert torch.autograd.gradcheck(
        lambda cost, a, b: unbalanced_sinkhorn_cost(cost, a=a, b=b, **options), inputs, atol=1e-6
    )
    (gradient,) = torch.autograd.grad(
        unbalanced_sinkhorn_cost(cost, **options), cost, create_graph=True
    )
    with pytest.raises(RuntimeError, match="unbalanced_sinkhorn_cost cannot be differentiated"):
        gradient.sum().backward()


def test_a_matrix_of_zeros_costs_nothing():
    cost = torch.zeros(3, 4, requires_grad=True)
    value = unbalanced_sinkhorn_cost(cost)
    value.backward()
    assert value == 0
    torch.testing.assert_close(cost.grad, torch.full((3, 4), 1 / 12))
