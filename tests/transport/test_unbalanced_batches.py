"""Batches of unbalanced problems are what a loop over them is."""

import math
import warnings
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.exceptions import ConvergenceWarning
from skotae.transport import (
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

from .batches import assert_equal_to_loop, batch, outcome

TIGHT = {"tol": 1e-11, "max_iter": 5000}
HALF = {"debias": "none", "rho": (0.4, math.inf)}
unbalanced = partial(outcome, function=unbalanced_sinkhorn_divergence)
equal = partial(assert_equal_to_loop, function=unbalanced_sinkhorn_divergence)


def masses(size, n, m, dtype=torch.float64):
    """Of sums that differ, between problems and between both sides of one."""
    a, b = batch(size, n, m, dtype=dtype, seed=3)[2:]
    return a * torch.logspace(-1, 2, size, dtype=dtype)[:, None], b


@pytest.mark.parametrize("unbalanced_type", ["kl", "tv"])
@pytest.mark.parametrize("options", [{}, {"debias": "none"}, HALF], ids=["paired", "none", "half"])
@pytest.mark.parametrize(("n", "m"), [(12, 12), (9, 13), (1, 4)])
def test_values_and_gradients_are_those_of_a_loop(n, m, options, unbalanced_type):
    x, y, *_ = batch(n=n, m=m)
    given = {"unbalanced_type": unbalanced_type, **options, **TIGHT}
    equal(x, y, *masses(5, n, m), **given)
    equal(x, y, **given)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    size=st.integers(2, 6),
    n=st.integers(1, 7),
    m=st.integers(1, 7),
    epsilon=st.floats(0.01, 10),
    rho=st.floats(0.01, 100),
    unbalanced_type=st.sampled_from(["kl", "tv"]),
    relative=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_batch_is_its_problems(size, n, m, seed, **options):
    x, y, *_ = batch(size, n, m, seed=seed)
    if not options["relative"]:
        x, y = (cloud / cloud.flatten(1).std(1)[:, None, None].clamp_min(1) for cloud in (x, y))
    # Masses that differ by a factor of 1,000 leave no more digits.
    given = {**options, **TIGHT, "tol": 1e-8, "debias": "none"}
    a, b = masses(size, n, m)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, _ = outcome(x, y, a, b, function=unbalanced_sinkhorn_divergence, **given)
        expected, _ = outcome(
            x, y, a, b, function=unbalanced_sinkhorn_divergence, loop=True, **given
        )
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("unbalanced_type", ["kl", "tv"])
def test_float32_is_as_near_as_its_digits(unbalanced_type):
    x, y, *_ = batch(dtype=torch.float32)
    given = {"unbalanced_type": unbalanced_type, "tol": 1e-7, "max_iter": 5000}
    values, info = unbalanced_sinkhorn_divergence(x, y, return_info=True, **given)
    assert values.dtype == torch.float32 and info.converged and len(info.problems) == 5
    equal(x, y, *masses(5, 12, 12, torch.float32), rtol=2e-5, **given)


@pytest.mark.parametrize(
    "options",
    [
        {"p": 1},
        {"p": 1.5, "metric": "euclidean"},
        {"epsilon": 1e-3},  # deep: levels of epsilon
        {
            "epsilon": 3.0,
            "rho": 1e5,
            "relative": False,
            "debias": "none",
        },  # of another depth for each problem
        {"epsilon": 1e9},  # out of proportion
        {"max_memory": 1e-4},
        {"max_memory": 4e-3},
    ],
    ids=str,
)
def test_options(options):
    x, y, *_ = batch()
    equal(x, y, *masses(5, 12, 12), **{**TIGHT, **options, "tol": 1e-9})


def test_more_problems_than_are_solved_at_once():
    x, y, *_ = batch(size=90, n=80, m=70, d=2)
    equal(x, y, debias="none", **TIGHT)


def test_a_problem_out_of_the_ordinary_spoils_no_other():
    x, y, a, b = batch(size=8)
    good, _ = unbalanced(x, y, a, b, **TIGHT)
    x[1, 3, 0] = math.nan
    x[2], y[2] = x[2] * 1e155, y[2] * 1e157  # costs beyond float64
    x[3], y[3] = 1.5, 1.5  # all points are equal
    a[4, :5], b[4, 7] = 0.0, 0.0  # points without mass
    x[6, 0] = 1e6  # an outlier: of another depth than the others
    values, info = unbalanced_sinkhorn_divergence(x, y, a=a, b=b, return_info=True, **TIGHT)
    assert values[[1, 2]].isnan().all() and values[3] == 0
    kept = [0, 5, 7]
    torch.testing.assert_close(values[kept], good[kept], rtol=1e-9, atol=0)
    odd = [4, 6]
    equal(x[odd], y[odd], a[odd], b[odd], **TIGHT)
    equal(x[[4, 5, 6]], y[[4, 5, 6]], a[[4, 5, 6]], b[[4, 5, 6]], **TIGHT)
    assert [k for k, one in enumerate(info.problems) if not one.converged] == [1, 2]


def test_what_is_slow_goes_on_alone():
    x, y, a, b = batch(size=6)
    # Total variation at a small epsilon: more than 200 iterations, then Newton steps.
    options = {"unbalanced_type": "tv", "epsilon": 0.003, "rho": 0.3, "debias": "none"}
    values, info = unbalanced_sinkhorn_divergence(
        x, y, a=a, b=b, return_info=True, **options, **TIGHT
    )
    assert info.converged and max(one.n_iter for one in info.problems) > 200
    equal(x, y, a, b, **options, **TIGHT)
    with pytest.warns(ConvergenceWarning, match="of 6 problems"):
        _, info = unbalanced_sinkhorn_divergence(
            x, y, a=a, b=b, return_info=True, **options, tol=1e-11, max_iter=60
        )
    assert all(one.n_iter >= 60 for one in info.problems if not one.converged)


def test_what_leaves_the_range_of_the_kernel_leaves_the_others():
    x, y, *_ = batch(size=4, d=1)
    x[2] = torch.linspace(0, 1, 12)[:, None] ** 8
    y[2] = 30 - x[2]
    options = {"rho": (1e3, math.inf), "debias": "none", "epsilon": 1e-4, "relative": False}
    scale = x.flatten(1).std(1)[:, None, None]
    scale[2] = 1.0
    equal(x / scale, y / scale, **options, **TIGHT)


def problem(dtype):
    x, y, *_ = batch(dtype=dtype)
    return ((x[:, :, None] - y[:, None]) ** 2).sum(3), *masses(5, 12, 12, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"unbalanced_type": "tv"}, {"rho": (0.4, math.inf)}])
def test_costs_plans_and_potentials(options, dtype):
    cost, a, b = problem(dtype)
    given = {**options, "tol": 1e-11 if dtype == torch.float64 else 1e-7, "max_iter": 5000}
    rtol = 1e-7 if dtype == torch.float64 else 2e-5
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    values = unbalanced_sinkhorn_cost(leaves[0], a=leaves[1], b=leaves[2], **given)
    gradients = torch.autograd.grad(values.sum(), leaves)
    plans = unbalanced_sinkhorn_plan(cost=cost, a=a, b=b, **given)
    f, g, info = unbalanced_sinkhorn_potentials(cost=cost, a=a, b=b, **given)
    for k in range(5):
        leaves = [tensor[k].clone().requires_grad_() for tensor in (cost, a, b)]
        value = unbalanced_sinkhorn_cost(leaves[0], a=leaves[1], b=leaves[2], **given)
        expected = torch.autograd.grad(value, leaves)
        torch.testing.assert_close(values[k], value, rtol=rtol, atol=0)
        alone = {"cost": cost[k], "a": a[k], "b": b[k], **given}
        pairs = [(gradient[k], want) for gradient, want in zip(gradients, expected, strict=True)]
        pairs.append((plans[k], unbalanced_sinkhorn_plan(**alone)))
        pairs += zip((f[k], g[k]), unbalanced_sinkhorn_potentials(**alone)[:2], strict=True)
        for got, want in pairs:
            assert got.dtype == dtype
            assert (got - want).norm() <= rtol * want.norm()
    assert info.converged and len(info.problems) == 5


def test_plans_and_potentials_of_clouds():
    x, y, *_ = batch(n=9)
    a, b = masses(5, 9, 12)
    b[3, 2] = 0.0
    plans = unbalanced_sinkhorn_plan(x, y, a=a, b=b, **TIGHT)
    f, g, _ = unbalanced_sinkhorn_potentials(x, y, a=a, b=b, **TIGHT)
    for k in range(5):
        alone = {"x": x[k], "y": y[k], "a": a[k], "b": b[k], **TIGHT}
        torch.testing.assert_close(
            plans[k], unbalanced_sinkhorn_plan(**alone), rtol=1e-7, atol=1e-9
        )
        for got, want in zip(
            (f[k], g[k]), unbalanced_sinkhorn_potentials(**alone)[:2], strict=True
        ):
            torch.testing.assert_close(got, want, rtol=1e-8, atol=0)


def test_potentials_to_start_from():
    cost, a, b = problem(torch.float64)
    given = {"cost": cost, "a": a, "b": b, **TIGHT}
    f, g, cold = unbalanced_sinkhorn_potentials(**given)
    again = unbalanced_sinkhorn_potentials(**given, potentials_init=(f, g))
    assert max(one.n_iter for one in again[2].problems) < min(one.n_iter for one in cold.problems)
    # Of no help to one of the problems.
    wrong = f.clone()
    wrong[2] = torch.linspace(-1e9, 1e9, 12, dtype=torch.float64)
    back = unbalanced_sinkhorn_potentials(**given, potentials_init=(f, wrong))
    torch.testing.assert_close(back[0], f, rtol=1e-8, atol=0)
    torch.testing.assert_close(back[1], g, rtol=1e-8, atol=0)
    with pytest.raises(ValueError, match="potentials_init must be finite"):
        unbalanced_sinkhorn_potentials(**given, potentials_init=(f, g * math.nan))


def test_a_bad_matrix_is_refused():
    cost, *_ = problem(torch.float64)
    with pytest.raises(ValueError, match="non-negative mean"):
        unbalanced_sinkhorn_cost(torch.cat([cost, -cost[:1]]))
    values = unbalanced_sinkhorn_cost(-cost[:3] / 100, relative=False)
    alone = [unbalanced_sinkhorn_cost(-one / 100, relative=False) for one in cost[:3]]
    torch.testing.assert_close(values, torch.stack(alone), rtol=1e-6, atol=0)
    cost[1, 0, 0] = math.inf
    with pytest.raises(ValueError, match="cost must be finite"):
        unbalanced_sinkhorn_cost(cost)


def test_shapes():
    x, y, a, b = batch(size=6)
    values = unbalanced_sinkhorn_divergence(x, y, a=a, **TIGHT)
    x4, y4 = x.reshape(2, 3, 12, 3), y.reshape(2, 3, 12, 3)
    grid = unbalanced_sinkhorn_divergence(x4, y4, a=a.reshape(2, 3, 12), **TIGHT)
    torch.testing.assert_close(grid, values.reshape(2, 3))
    assert unbalanced_sinkhorn_divergence(x[:0], y[:0]).shape == (0,)
    assert unbalanced_sinkhorn_plan(x[:0], y[:0]).shape == (0, 12, 12)
    assert unbalanced_sinkhorn_plan(x[:1], y[:1]).shape == (1, 12, 12)
    mapped = torch.func.vmap(partial(unbalanced_sinkhorn_divergence, **TIGHT))(x, y)
    torch.testing.assert_close(mapped, unbalanced_sinkhorn_divergence(x, y, **TIGHT))
