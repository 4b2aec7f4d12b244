"""Exact plans, dual potentials, cost matrices and Euclidean costs, against POT and duality."""

import math

import numpy as np
import ot
import pytest
import torch

from skotae.transport import exact_cost, exact_plan

SIZES = [(1, 1), (1, 4), (30, 30), (20, 31), (40, 17)]


def _clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3


def _weights(n, m, zeros, seed=1):
    a, b = torch.rand(n + m, generator=torch.Generator().manual_seed(seed)).double().split((n, m))
    if zeros:
        a, b = a.clone(), b.clone()
        a[1::3], b[2::3] = 0.0, 0.0
    return a, b


def _costs(x, y, p=2, metric="minkowski"):
    gap = (x[:, None] - y).double()
    if metric == "euclidean":
        return gap.square().sum(2).sqrt().pow(p)
    return gap.abs().pow(p).sum(2)


def _check_optimal(plan, f, g, cost, a=None, b=None, tol=1e-11):
    """Feasible plan, feasible potentials, no gap: what proves both to be optimal."""
    n, m = cost.shape
    a = torch.full((n,), 1 / n, dtype=torch.float64) if a is None else a / a.sum()
    b = torch.full((m,), 1 / m, dtype=torch.float64) if b is None else b / b.sum()
    unit = cost.abs().max().item() or 1.0
    assert (plan >= 0).all() and (plan > 0).sum() <= n + m - 1
    torch.testing.assert_close(plan.sum(1), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(plan.sum(0), b, rtol=0, atol=1e-12)
    slack = cost - f[:, None] - g
    assert slack.min() >= -tol * unit
    assert slack[plan > 1e-14].abs().max() <= tol * unit
    assert abs(((plan * cost).sum() - a @ f - b @ g).item()) <= tol * unit
    assert abs((a @ f - b @ g).item()) <= tol * unit


@pytest.mark.parametrize("zeros", [None, False, True])
@pytest.mark.parametrize(("p", "metric"), [(2, "minkowski"), (1.5, "minkowski"), (1, "euclidean")])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_plans_are_optimal(n, m, d, p, metric, zeros):
    x, y = _clouds(n, m, d)
    a, b = (None, None) if zeros is None else _weights(n, m, zeros)
    options = {"p": p, "metric": metric, "a": a, "b": b}
    plan, f, g = exact_plan(x, y, **options, return_potentials=True)
    cost = _costs(x, y, p, metric)
    _check_optimal(plan, f, g, cost, a, b)
    value = exact_cost(x, y, **options)
    torch.testing.assert_close((plan * cost).sum(), value, rtol=1e-11, atol=0)
    alone = exact_plan(x, y, **options)
    torch.testing.assert_close((alone * cost).sum(), value, rtol=1e-11, atol=0)
    torch.testing.assert_close(alone.sum(1), plan.sum(1))
    torch.testing.assert_close(alone.sum(0), plan.sum(0))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_plan_and_value_of_a_matrix_are_pots(n, m, weighted):
    cost = torch.randn(n, m, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    a, b = _weights(n, m, False) if weighted else (torch.ones(n).double(), torch.ones(m).double())
    masses = (a / a.sum()).numpy(), (b / b.sum()).numpy()
    given = {"a": a, "b": b} if weighted else {}
    expected = ot.emd(*masses, cost.numpy())
    np.testing.assert_allclose(exact_plan(cost=cost, **given), expected, atol=1e-14)
    value = exact_cost(cost=cost, **given).item()
    assert value == pytest.approx(ot.emd2(*masses, cost.numpy()), rel=1e-10, abs=1e-14)
    _check_optimal(*exact_plan(cost=cost, **given, return_potentials=True), cost, a, b)


@pytest.mark.parametrize("scale", [1e-290, 1e-30, 1e30, 1e290])
@pytest.mark.parametrize(("n", "m"), [(200, 200), (20, 31)])
def test_costs_of_any_scale_and_offset(n, m, scale):
    cost = torch.randn(n, m, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plan, f, g = exact_plan(cost=cost, return_potentials=True)
    scaled, scaled_f, scaled_g = exact_plan(cost=scale * cost, return_potentials=True)
    torch.testing.assert_close(scaled, plan)
    torch.testing.assert_close(scaled_f / scale + scaled_g[0] / scale, f + g[0])
    torch.testing.assert_close(exact_plan(cost=scale * cost), plan)
    # A part that every plan pays costs no digits but those of the sum.
    rows = 1e6 * torch.randn(n, 1, generator=torch.Generator().manual_seed(3)).double()
    torch.testing.assert_close(exact_plan(cost=cost + rows, return_potentials=True)[0], plan)
    torch.testing.assert_close(exact_cost(cost=cost + rows), exact_cost(cost=cost) + rows.mean())


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e12, 1e100])
@pytest.mark.parametrize("d", [1, 3])
def test_clouds_of_any_scale_and_place(d, scale):
    x, y = _clouds(25, 30, d)
    a, b = _weights(25, 30, True)
    plan, f, g = exact_plan(x, y, a=a, b=b, return_potentials=True)
    scaled = exact_plan(scale * x, scale * y, a=a, b=b, return_potentials=True)
    torch.testing.assert_close(scaled[0], plan)
    torch.testing.assert_close(scaled[1] / scale / scale, f, rtol=1e-7, atol=1e-9)
    # The plan of a shifted cloud is the same for squared costs, however far.
    far = exact_plan(x, y + 1e6, a=a, b=b, return_potentials=True)
    torch.testing.assert_close(far[0], plan)


DUPLICATES = {
    "duplicates": lambda x, y: (x[torch.arange(len(x)) % 4], y[torch.arange(len(y)) % 3]),
    "shared points": lambda x, y: (x, torch.cat((x[: len(y) // 2], y[len(y) // 2 :]))),
    "one point": lambda x, y: (torch.ones_like(x), torch.ones_like(y)),
    "integers": lambda x, y: (x.round(), (2 * y).round()),
}


@pytest.mark.parametrize(("p", "metric"), [(2, "minkowski"), (1, "minkowski"), (1, "euclidean")])
@pytest.mark.parametrize("name", DUPLICATES)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("zeros", [False, True])
def test_duplicates(d, name, p, metric, zeros):
    x, y = DUPLICATES[name](*_clouds(20, 14, d))
    a, b = _weights(20, 14, zeros)
    options = {"p": p, "metric": metric, "a": a, "b": b}
    plan, f, g = exact_plan(x, y, **options, return_potentials=True)
    _check_optimal(plan, f, g, _costs(x, y, p, metric), a, b)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(exact_cost(x, y, **options), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (25, 25), (20, 31)])
def test_euclidean_cost_is_pots(n, m, p):
    x, y = _clouds(n, m, 3)
    cost = ot.dist(x.numpy(), y.numpy(), metric="euclidean") ** p
    expected = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
    assert exact_cost(x, y, p=p, metric="euclidean").item() == pytest.approx(expected, rel=1e-9)
    # It does not know the axes; the other one does, but for p = 2.
    turn = torch.linalg.qr(_clouds(3, 3, 3)[0])[0]
    turned = exact_cost(x @ turn, y @ turn, p=p, metric="euclidean").item()
    assert turned == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("p", [1, 1.5, 3])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
def test_euclidean_gradient(n, m, p):
    x, y = (cloud.requires_grad_() for cloud in _clouds(n, m, 2))
    a, b = (weights.requires_grad_() for weights in _weights(n, m, False))
    assert torch.autograd.gradcheck(
        lambda u, v, s, t: exact_cost(u, v, p=p, metric="euclidean", a=s, b=t), (x, y, a, b)
    )


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 7)])
def test_gradient_of_a_matrix(n, m):
    cost = torch.randn(n, m, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cost.requires_grad_()
    assert torch.autograd.gradcheck(lambda c: exact_cost(cost=c), (cost,))
    (gradient,) = torch.autograd.grad(exact_cost(cost=cost), cost)
    torch.testing.assert_close(gradient, exact_plan(cost=cost))
    a, b = (weights.requires_grad_() for weights in _weights(n, m, False))
    assert torch.autograd.gradcheck(lambda c, s, t: exact_cost(cost=c, a=s, b=t), (cost, a, b))


def test_dtypes_and_second_derivatives():
    x, y = (cloud.float() for cloud in _clouds(6, 8, 2))
    assert all(part.dtype == torch.float32 for part in exact_plan(x, y, return_potentials=True))
    cost = _costs(x, y).half().requires_grad_()
    value = exact_cost(cost=cost)
    assert value.dtype == torch.float16 and not exact_plan(cost=cost).requires_grad
    (gradient,) = torch.autograd.grad(value, cost, create_graph=True)
    with pytest.raises(RuntimeError, match="exact_cost cannot be differentiated twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("function", [exact_cost, exact_plan])
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "Either x or cost must be given"),
        ({"x": torch.ones(2, 1)}, "x must be given with y"),
        ({"x": torch.ones(2, 1), "cost": torch.ones(2, 2)}, "cost must be given alone"),
        ({"cost": torch.ones(2)}, "cost must be a non-empty floating-point matrix"),
        ({"cost": torch.tensor([[1.0, math.inf]])}, "cost must be finite"),
        ({"cost": torch.ones(2, 2), "a": torch.ones(3)}, "a must be a tensor of shape"),
        ({"x": torch.ones(2, 1), "y": torch.ones(2, 1), "metric": "cosine"}, "metric must be one"),
        ({"x": torch.ones(2, 1), "y": torch.ones(2, 1), "p": 0.5}, "p must be"),
    ],
)
def test_bad_arguments(function, arguments, match):
    with pytest.raises(ValueError, match=match):
        function(**arguments)


@pytest.mark.parametrize("d", [1, 2])
def test_no_plan_of_points_that_are_not_finite(d):
    x, y = _clouds(4, 5, d)
    x[1, 0] = math.nan
    with pytest.raises(ValueError, match="x and y must be finite"):
        exact_plan(x, y)
