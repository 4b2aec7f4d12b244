"""Plans, potentials and costs of batches are what single calls return."""

import math
import warnings
from functools import partial

import pytest
import torch

from skotae.exceptions import ConvergenceWarning
from skotae.transport import sinkhorn_cost, sinkhorn_plan, sinkhorn_potentials
from skotae.transport.entropic import rounds

from .batches import batch

TIGHT = {"tol": 1e-11, "max_iter": 5000}


def matrices(n=12, m=12, dtype=torch.float64, **options):
    """Costs of widely different scales, and weights."""
    x, y, a, b = batch(n=n, m=m, **options)
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    return cost.to(dtype), a.to(dtype), b.to(dtype)


def assert_near(found, expected, rtol):
    """In the norm of each problem: entries of a plan may be as small as they like."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    error = (found - expected).flatten(1).norm(dim=1)
    assert (error <= rtol * expected.flatten(1).norm(dim=1)).all()


def assert_equal_to_single_calls(rtol=1e-7, **given):
    """Plans and potentials, of tensors (B, ...) or options."""
    batched = {name for name, each in given.items() if isinstance(each, torch.Tensor)}
    size = len(given[min(batched & {"x", "cost"})])
    alone = [
        {name: each[k] if name in batched else each for name, each in given.items()}
        for k in range(size)
    ]
    plans = sinkhorn_plan(**given)
    *potentials, info = sinkhorn_potentials(**given)
    assert_near(plans, torch.stack([sinkhorn_plan(**one) for one in alone]), rtol)
    *expected, infos = zip(*(sinkhorn_potentials(**one) for one in alone), strict=True)
    for found, each in zip(potentials, expected, strict=True):
        assert_near(found, torch.stack(each), rtol)
    assert [one.converged for one in info.problems] == [one.converged for one in infos]
    return info


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "m"), [(12, 12), (9, 14), (1, 4)])
def test_plans_and_potentials(n, m, dtype, weighted):
    given = {**TIGHT, "rtol": 1e-7} if dtype == torch.float64 else {"tol": 1e-6, "rtol": 1e-4}
    x, y, *_ = batch(n=n, m=m, dtype=dtype)
    cost, a, b = matrices(n, m, dtype)
    weights = {"a": a, "b": b} if weighted else {}
    assert assert_equal_to_single_calls(x=x, y=y, **weights, **given).converged
    assert assert_equal_to_single_calls(cost=cost, **weights, **given).converged


EPSILONS = [
    {"epsilon": 0.3, "relative": False},  # of another depth for each problem
    {"epsilon": 1e-3},  # deep: Newton steps
    {"epsilon": 0.01},
    {"epsilon": 100.0},
]


@pytest.mark.parametrize(
    ("options", "clouds"),
    [
        *[(options, clouds) for options in EPSILONS for clouds in (True, False)],
        ({"p": 1}, True),
        ({"p": 1.5, "metric": "euclidean"}, True),
    ],
    ids=str,
)
def test_options(options, clouds):
    x, y, a, b = batch()
    given = {"x": x, "y": y} if clouds else {"cost": matrices()[0]}
    given |= {"a": a, "b": b, "tol": 1e-10, "max_iter": 5000}
    assert assert_equal_to_single_calls(**given, **options).converged


def test_scales_at_the_ends_of_the_range():
    x, y, *_ = batch(size=4)
    scales = torch.tensor([1e-150, 1.0, 1e150, 1.0], dtype=torch.float64)[:, None, None]
    x, y = (cloud / cloud.flatten(1).std(1)[:, None, None] * scales for cloud in (x, y))
    assert assert_equal_to_single_calls(x=x, y=y, tol=1e-10).converged
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    assert assert_equal_to_single_calls(cost=cost, tol=1e-10).converged
    values = sinkhorn_cost(cost, tol=1e-10)
    alone = torch.stack([sinkhorn_cost(one, tol=1e-10) for one in cost])
    torch.testing.assert_close(values, alone, rtol=1e-9, atol=0)


@pytest.mark.parametrize("max_memory", [1e-4, 5e-3])
def test_kernels_that_are_not_stored(max_memory):
    x, y, a, b = batch()
    given = {"a": a, "b": b, "p": 1, **TIGHT}
    found = sinkhorn_potentials(x, y, max_memory=max_memory, **given)
    expected = sinkhorn_potentials(x, y, **given)
    assert_near(found[0], expected[0], 1e-7)
    assert_near(found[1], expected[1], 1e-7)


def test_the_tolerance_is_that_of_each_problem():
    cost, a, b = matrices(size=8, n=30, m=20)
    plans = sinkhorn_plan(cost=cost, a=a, b=b, tol=1e-4)
    rows, columns = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    torch.testing.assert_close(plans.sum(2), rows)
    assert ((plans.sum(1) - columns).abs().sum(1) <= 1e-4).all()
    f, g, info = sinkhorn_potentials(cost=cost, a=a, b=b, tol=1e-4)
    assert all(0 <= one.marginal_violation <= 1e-4 for one in info.problems)
    epsilon = 0.05 * (rows[:, :, None] * cost * columns[:, None]).sum((1, 2))[:, None, None]
    exponent = (f[:, :, None] + g[:, None] - cost) / epsilon
    torch.testing.assert_close(plans, rows[:, :, None] * columns[:, None] * exponent.exp())
    torch.testing.assert_close((rows * f).sum(1), (columns * g).sum(1))


def test_problems_are_solved_together(monkeypatch):
    calls = []
    scale = rounds.scale
    monkeypatch.setattr(rounds, "scale", lambda *a, **k: calls.append(0) or scale(*a, **k))
    x, y, *_ = batch(size=200, n=10, m=10, dtype=torch.float32)
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    for given in ({"x": x, "y": y}, {"x": x, "y": y, "p": 1}, {"cost": cost}):
        calls.clear()
        assert len(sinkhorn_potentials(**given)[2].problems) == 200 and 0 < len(calls) < 10
    calls.clear()
    sinkhorn_cost(cost.requires_grad_()).sum().backward()
    assert 0 < len(calls) < 10


def test_more_problems_than_are_solved_at_once():
    x, y, *_ = batch(size=90, n=70, m=80, d=2)
    assert assert_equal_to_single_calls(x=x, y=y, epsilon=0.1, tol=1e-10).converged


def test_a_problem_out_of_the_ordinary_spoils_no_other():
    x, y, a, b = batch(size=8)
    x[0, 1:6] = x[0, 0]  # duplicates
    y[1] = x[1]
    x[2], y[2] = 1.5, 1.5  # all points are equal
    y[3] += 1e5  # far apart
    a[4, :5], b[4, 7] = 0.0, 0.0  # points without mass
    x[6, 0] = 1e6  # an outlier: of another depth than the others
    assert_equal_to_single_calls(x=x, y=y, a=a, b=b, **TIGHT, rtol=1e-6)
    assert_equal_to_single_calls(x=x, y=y, **TIGHT, rtol=1e-6)
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    cost[5] -= 3 * cost[5].mean()
    cost /= cost.flatten(1).std(1).clamp_min(1)[:, None, None]
    given = {"cost": cost}
    assert_equal_to_single_calls(**given, a=a, b=b, relative=False, **TIGHT, rtol=1e-6)


def test_what_is_not_finite_is_refused():
    x, y, *_ = batch()
    cost = matrices()[0]
    x[3, 2, 1], cost[3, 2, 1] = math.nan, math.inf
    with pytest.raises(ValueError, match="x or y must be finite"):
        sinkhorn_plan(x, y)
    with pytest.raises(ValueError, match="cost must be finite"):
        sinkhorn_potentials(cost=cost)
    with pytest.raises(ValueError, match="cost must be finite"):
        sinkhorn_cost(cost)
    with pytest.raises(ValueError, match="non-negative mean"):
        sinkhorn_cost(torch.cat([matrices()[0], -matrices()[0][:1]]))
    with pytest.raises(ValueError, match="b must be finite, non-negative, of positive sum"):
        sinkhorn_cost(matrices()[0], b=torch.zeros(5, 12))


def slow_one():
    """Six problems, of which one has two far clusters of different masses."""
    x, y, *_ = batch(size=6, n=30, m=30)
    x[2], y[2] = 0.01 * x[2] / x[2].std(), 0.01 * y[2] / y[2].std()
    x[2, 14:, 0] += 1
    y[2, 16:, 0] += 1
    return x, y, (x[:, :, None] - y[:, None]).square().sum(3)


def test_one_that_does_not_converge():
    x, y, cost = slow_one()
    options = {"tol": 1e-6, "epsilon": 0.1, "max_iter": 40}
    for given in ({"x": x, "y": y}, {"cost": cost}):
        with pytest.warns(ConvergenceWarning, match="in 1 of 6 problems"):
            f, g, info = sinkhorn_potentials(**given, **options)
        assert [one.converged for one in info.problems] == [k != 2 for k in range(6)]
        assert info.problems[2].n_iter >= 40
        with pytest.warns(ConvergenceWarning):
            alone = sinkhorn_potentials(**{name: t[2] for name, t in given.items()}, **options)
        torch.testing.assert_close((f[2], g[2]), alone[:2], rtol=1e-9, atol=0)
        many = {"tol": 1e-10, "epsilon": 0.1, "max_iter": 1000}
        assert assert_equal_to_single_calls(**given, **many).converged
    with pytest.warns(ConvergenceWarning, match="in 1 of 6 problems"):
        _, info = sinkhorn_cost(cost, **options, return_info=True)
    assert [one.converged for one in info.problems] == [k != 2 for k in range(6)]


def test_what_leaves_the_range_of_float32_goes_on_alone():
    x, y, *_ = batch(size=6, n=20, m=20, d=1, dtype=torch.float32)
    x[3] = torch.linspace(0, 1, 20)[:, None] ** 8
    y[3] = 1 - x[3]
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    options = {"epsilon": 0.012, "max_iter": 5000, "tol": 1e-4, "rtol": 1e-2}
    assert assert_equal_to_single_calls(x=x, y=y, **options).converged
    assert assert_equal_to_single_calls(cost=cost, **options).converged


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clouds", [True, False])
def test_potentials_to_start_from(clouds, dtype):
    x, y, a, b = batch(size=6, n=30, m=20, dtype=dtype)
    given = {"x": x, "y": y} if clouds else {"cost": (x[:, :, None] - y[:, None]).square().sum(3)}
    given |= {"a": a, "b": b, "tol": 1e-9 if dtype == torch.float64 else 1e-5, "max_iter": 5000}
    rtol = 1e-6 if dtype == torch.float64 else 1e-4
    f, g, cold = sinkhorn_potentials(**given)
    *_, warm = sinkhorn_potentials(**given, potentials_init=(f, g))
    assert warm.converged and warm.n_iter <= 5 < min(one.n_iter for one in cold.problems)
    wrong = g.clone()
    wrong[2] = torch.linspace(-1e9, 1e9, 20, dtype=dtype)  # of no help to one of the problems
    again = sinkhorn_potentials(**given, potentials_init=(f, wrong))
    assert again[2].converged
    assert_near(again[0], f, rtol)
    assert_near(again[1], g, rtol)
    near = 1 + 1e-3 * torch.linspace(-1, 1, 20, dtype=dtype)
    plans = sinkhorn_plan(**given, potentials_init=(f, g * near))
    assert_near(plans, sinkhorn_plan(**given), rtol if dtype == torch.float64 else 1e-3)
    with pytest.raises(ValueError, match="potentials_init must be finite"):
        sinkhorn_plan(**given, potentials_init=(f, g * math.nan))


def value_and_gradients(cost, a, b, wanted, **options):
    leaves = {"cost": cost, "a": a, "b": b}
    leaves = {name: None if t is None else t.clone() for name, t in leaves.items()}
    for name in wanted:
        leaves[name].requires_grad_()
    value = sinkhorn_cost(leaves.pop("cost"), **leaves, **options)
    return value, leaves


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"epsilon": 0.3, "relative": False}, {"epsilon": 0.01}, {"sharp": True}],
    ids=str,
)
def test_costs_and_their_gradients(options, weighted, dtype):
    cost, a, b = matrices(9, 14, dtype)
    tensors = (cost, a, b) if weighted else (cost,)
    given = (
        {**TIGHT, "tol": 1e-10, **options} if dtype == torch.float64 else {**options, "tol": 1e-6}
    )
    rtol = 1e-7 if dtype == torch.float64 else 2e-3
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]

    def value(cost, a=None, b=None):
        return sinkhorn_cost(cost, a=a, b=b, **given)

    values = value(*leaves)
    assert values.shape == (5,) and values.dtype == dtype
    factors = torch.arange(1, 6, dtype=dtype)
    gradients = torch.autograd.grad((factors * values).sum(), leaves)
    alone = torch.stack([value(*each) for each in zip(*leaves, strict=True)])
    torch.testing.assert_close(values, alone, rtol=rtol / 10, atol=0)
    expected = torch.autograd.grad((factors * alone).sum(), leaves)
    for gradient, want in zip(gradients, expected, strict=True):
        assert_near(gradient, want, rtol)


@pytest.mark.parametrize("wanted", ["a", "b"])
def test_gradients_of_one_side_alone(wanted):
    cost, a, b = matrices()
    weights = {"a": a.clone(), "b": b.clone()}
    weights[wanted].requires_grad_()
    sinkhorn_cost(cost, **weights, **TIGHT).sum().backward()
    one = {name: tensor[3].detach().clone() for name, tensor in weights.items()}
    one[wanted].requires_grad_()
    sinkhorn_cost(cost[3], **one, **TIGHT).backward()
    torch.testing.assert_close(weights[wanted].grad[3], one[wanted].grad, rtol=1e-7, atol=1e-9)


def test_shared_weights_and_transforms():
    cost, a, b = matrices(size=6)
    shared = a[0].clone().requires_grad_()
    sinkhorn_cost(cost, a=shared, b=b, **TIGHT).sum().backward()
    each = a[:1].expand(6, 12).clone().requires_grad_()
    sinkhorn_cost(cost, a=each, b=b, **TIGHT).sum().backward()
    torch.testing.assert_close(shared.grad, each.grad.sum(0))
    grid = sinkhorn_cost(cost.view(2, 3, 12, 12), a=a.view(2, 3, 12), **TIGHT)
    torch.testing.assert_close(grid.flatten(), sinkhorn_cost(cost, a=a, **TIGHT))
    mapped = torch.func.vmap(partial(sinkhorn_cost, **TIGHT))(cost)
    torch.testing.assert_close(mapped, sinkhorn_cost(cost, **TIGHT))
    assert sinkhorn_cost(cost[:0]).shape == (0,) and sinkhorn_cost(cost[:1]).shape == (1,)
    assert sinkhorn_plan(cost=cost[:1]).shape == (1, 12, 12)


def test_inputs_are_left_as_they_are_and_results_are_of_their_own_memory():
    x, y, a, b = batch()
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    tensors = [x, y, a, b, cost]
    copies = [tensor.clone() for tensor in tensors]
    plans = sinkhorn_plan(x, y, a=a, b=b)
    kept = plans.clone()
    sinkhorn_plan(cost=cost, a=a, b=b, epsilon=0.3)
    sinkhorn_potentials(x, y, p=1)
    sinkhorn_cost(cost, a=a, b=b)
    assert torch.equal(plans, kept) and not plans.requires_grad
    for tensor, copy in zip(tensors, copies, strict=True):
        assert torch.equal(tensor, copy)


def test_half_precision_and_its_range():
    x, y, *_ = batch(dtype=torch.float32)
    plans = sinkhorn_plan(x[1:4].half(), y[1:4].half())
    assert plans.dtype == torch.float16 and plans.isfinite().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f, *_ = sinkhorn_potentials(x[1:4].half(), y[1:4].half())
    assert f.dtype == torch.float16
    far = y[1:4].half() + 1000
    with pytest.raises(ValueError, match=r"potential is in the range of torch\.float16"):
        sinkhorn_potentials(x[1:4].half(), far)
