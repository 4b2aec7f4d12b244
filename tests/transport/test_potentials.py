"""Plans and potentials, of clouds and of arbitrary costs."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.exceptions import ConvergenceWarning
from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_divergence,
)


def _cost(n, m, spread, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.rand(n, m, generator=generator, dtype=torch.float64)).to(dtype)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    n=st.integers(1, 20),
    m=st.integers(1, 20),
    spread=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    offset=st.sampled_from([-1e6, 0.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_marginals_and_formula(n, m, spread, offset, seed):
    cost = _cost(n, m, spread, seed) + offset
    a = torch.linspace(1, 2, n, dtype=torch.float64)
    options = {"cost": cost, "epsilon": 1.0, "relative": False, "a": a, "max_iter": 20_000}
    f, g, info = sinkhorn_potentials(**options)
    plan = sinkhorn_plan(**options)
    weights = a / a.sum()
    assert info.converged
    torch.testing.assert_close(plan.sum(1), weights)
    assert (plan.sum(0) - 1 / m).abs().sum() <= 1.1e-3
    formula = weights[:, None] / m * torch.exp(f[:, None] + g - cost)
    torch.testing.assert_close(plan, formula, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(weights @ f, g.mean(), rtol=1e-9, atol=1e-9)


def test_float32_costs_of_wide_range():
    cost = _cost(100, 80, 1e3, dtype=torch.float32)
    f, g, info = sinkhorn_potentials(cost=cost, epsilon=1.0, relative=False, max_iter=5000)
    assert info.converged and f.dtype == g.dtype == torch.float32
    exact, _, _ = sinkhorn_potentials(
        cost=cost.double(), epsilon=1.0, relative=False, max_iter=5000
    )
    torch.testing.assert_close(f.double(), exact, rtol=0, atol=1e-2)


def test_clouds_and_their_cost_agree():
    x, y = _cost(12, 3, 1.0), _cost(9, 3, 1.0, seed=1)
    cost = (x[:, None] - y).square().sum(2)
    of_clouds = sinkhorn_plan(x, y, tol=1e-9)
    torch.testing.assert_close(of_clouds, sinkhorn_plan(cost=cost, tol=1e-9))
    own = sinkhorn_plan(x, tol=1e-9)
    torch.testing.assert_close(own, own.T)


def test_constant_and_zero_costs():
    for level in (0.0, 3.0):
        plan = sinkhorn_plan(cost=torch.full((2, 4), level))
        torch.testing.assert_close(plan, torch.full((2, 4), 0.125))
        f, g, _ = sinkhorn_potentials(cost=torch.full((2, 4), level))
        torch.testing.assert_close(f[:, None] + g, torch.full((2, 4), level))


def test_no_gradient_is_attached():
    x = _cost(5, 2, 1.0).requires_grad_()
    assert not sinkhorn_plan(x).requires_grad


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "x or cost must be given"),
        ({"x": torch.zeros(2, 2), "cost": torch.zeros(2, 2)}, "cost must be given alone"),
        ({"cost": torch.zeros(2)}, "cost must be a non-empty"),
        ({"cost": torch.tensor([[float("inf")]])}, "cost must be finite"),
        ({"cost": -torch.ones(2, 2)}, "relative=True"),
        ({"cost": torch.ones(2, 2), "epsilon": 0}, "epsilon"),
        ({"cost": torch.ones(2, 2), "a": torch.ones(3)}, "a must be"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        sinkhorn_plan(**arguments)


@pytest.mark.parametrize(
    "function",
    [
        sinkhorn_divergence,
        unbalanced_sinkhorn_divergence,
        sinkhorn_plan,
        sinkhorn_potentials,
        lambda x, y, **options: sinkhorn_cost(torch.cdist(x, y), **options),
    ],
)
def test_the_warning_names_the_line_of_the_caller(function):
    x, y = _cost(12, 3, 1.0), _cost(9, 3, 1.0, seed=1)
    with pytest.warns(ConvergenceWarning, match="Increase `max_iter`") as caught:
        function(x, y, epsilon=0.01, max_iter=1, tol=1e-9)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("max_iter", [6, 7, 8, 9, 12, 15, 1000])
def test_an_extrapolation_that_is_far_off_is_no_solution(max_iter):
    # Of iterates on a line: what it is multiplied by is beyond the range of a kernel.
    cost = torch.tensor([[7.5439, 16.6288], [3.2224, 5.7268]], dtype=torch.float64)
    a = torch.tensor([0.4737, 0.3012], dtype=torch.float64)
    b = torch.tensor([0.1220, 0.9498], dtype=torch.float64)
    options = {"a": a, "b": b, "epsilon": 0.0173377808, "tol": 1e-9, "max_iter": max_iter}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        f, g, info = sinkhorn_potentials(cost=cost, **options)
    a, b = a / a.sum(), b / b.sum()
    epsilon = options["epsilon"] * (a @ cost @ b)
    plan = a[:, None] * b * ((f[:, None] + g - cost) / epsilon).exp()
    torch.testing.assert_close(plan.sum(1), a)
    violation = float((plan.sum(0) - b).abs().sum())
    assert info.marginal_violation == pytest.approx(violation, abs=1e-9)
    assert info.n_iter <= max_iter and (info.converged or max_iter < 1000)
    if max_iter == 1000:  # but for 1e-22, all of the smallest mass is on the diagonal
        exact = torch.stack([torch.stack([b[0], a[0] - b[0]]), torch.stack([0 * b[0], a[1]])])
        entropy = torch.xlogy(exact, exact / (a[:, None] * b)).sum()
        expected = (exact * cost).sum() + epsilon * entropy
        torch.testing.assert_close(sinkhorn_cost(cost, **options), expected, rtol=1e-8, atol=0)
