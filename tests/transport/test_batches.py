"""Batches of clouds are what a loop over their problems is: values, gradients, failures."""

import math
import warnings

import numpy as np
import pytest
import torch

from skotae.exceptions import ConvergenceWarning
from skotae.transport import (
    SinkhornInfo,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_divergence,
)
from skotae.transport.entropic.arrays import least_mixture

MODES = ["none", "paired", "independent"]


def batch(size=5, n=12, m=12, d=3, dtype=torch.float64, seed=0):
    """Clouds of widely different scales, and weights."""
    draw = torch.Generator().manual_seed(seed)
    scales = torch.logspace(-3, 3, size, dtype=torch.float64)[:, None, None]
    x = torch.randn(size, n, d, generator=draw, dtype=torch.float64) * scales
    y = (0.7 * torch.randn(size, m, d, generator=draw, dtype=torch.float64) + 0.5) * scales
    a = 0.1 + torch.rand(size, n, generator=draw, dtype=torch.float64)
    b = 0.1 + torch.rand(size, m, generator=draw, dtype=torch.float64)
    return [tensor.to(dtype) for tensor in (x, y, a, b)]


def outcome(x, y, a=None, b=None, *, loop=False, **options):
    """Values, and gradients of a weighted sum of them."""
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in (x, y, a, b)]
    if loop:
        values = torch.stack(
            [
                sinkhorn_divergence(
                    leaves[0][k],
                    leaves[1][k],
                    a=None if a is None else leaves[2][k],
                    b=None if b is None else leaves[3][k],
                    **options,
                )
                for k in range(len(x))
            ]
        )
    else:
        values = sinkhorn_divergence(*leaves[:2], a=leaves[2], b=leaves[3], **options)
    factors = torch.arange(1, len(x) + 1, dtype=values.dtype)
    gradients = torch.autograd.grad((factors * values).sum(), [t for t in leaves if t is not None])
    return values.detach(), gradients


def assert_equal_to_loop(*tensors, rtol=1e-6, **options):
    """Each problem is compared in units of its own."""
    values, gradients = outcome(*tensors, **options)
    expected, wanted = outcome(*tensors, loop=True, **options)
    assert values.shape == expected.shape and values.dtype == expected.dtype
    torch.testing.assert_close(values, expected, rtol=rtol, atol=0)
    for gradient, want in zip(gradients, wanted, strict=True):
        error = (gradient - want).flatten(1).norm(dim=1)
        # Those of weights, of the size of a value, may be differences of equal numbers.
        floor = 1e-3 * expected.abs() if want.ndim == 2 else 0.0 * expected
        assert (error <= rtol * (want.flatten(1).norm(dim=1) + floor)).all()


@pytest.mark.parametrize("debias", MODES)
@pytest.mark.parametrize(("n", "m"), [(12, 12), (11, 17), (2, 3), (1, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_a_loop(debias, n, m, weighted):
    x, y, a, b = batch(n=n, m=m)
    weights = (a, b) if weighted else (None, None)
    assert_equal_to_loop(x, y, *weights, debias=debias, tol=1e-10)


@pytest.mark.parametrize("debias", MODES)
def test_float32_is_as_near_as_its_tolerance(debias):
    x, y, a, b = batch(dtype=torch.float32)
    values, gradients = outcome(x, y, a, b, debias=debias, tol=1e-4, epsilon=0.1)
    expected, wanted = outcome(x, y, a, b, debias=debias, tol=1e-8, epsilon=0.1, loop=True)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=0)
    for gradient, want in zip(gradients[:2], wanted[:2], strict=True):
        assert ((gradient - want).flatten(1).norm(dim=1) < 2e-3 * want.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"p": 1},
        {"p": 3},
        {"sharp": True},
        {"epsilon": 1e-3},  # deep: Newton steps
        {"epsilon": 0.008},
        {"epsilon": 100.0},
        {"epsilon": 0.3, "relative": False},  # of another depth for each problem
        {"max_memory": 1e-4},
        {"max_memory": 1e-2},
    ],
    ids=str,
)
def test_options_that_go_one_by_one(options):
    x, y, a, b = batch()
    weights = (None, None) if options.get("sharp") else (a, b)
    assert_equal_to_loop(x, y, *weights, tol=1e-10, max_iter=5000, **options)


def test_more_problems_than_are_solved_at_once():
    x, y, *_ = batch(size=40, n=40, m=40, d=2)
    assert_equal_to_loop(x, y, tol=1e-10, max_iter=3000)


def test_weights_may_be_shared_and_are_differentiable():
    x, y, a, b = batch()
    shared = a[0].clone().requires_grad_()
    value = sinkhorn_divergence(x, y, a=shared, b=b[0], tol=1e-10).sum()
    expected, (_, _, gradient, _) = outcome(x, y, a[:1].expand(5, 12), b[:1].expand(5, 12))
    torch.testing.assert_close(value.detach(), expected.sum(), rtol=1e-5, atol=0)
    each = a[:1].expand(5, 12).clone().requires_grad_()
    sinkhorn_divergence(x, y, a=each, b=b[0], tol=1e-10).sum().backward()
    value.backward()
    torch.testing.assert_close(shared.grad, each.grad.sum(0))
    assert gradient.shape == (5, 12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("debias", MODES)
def test_a_bad_problem_spoils_no_other(debias, dtype):
    x, y, *_ = batch(size=8, dtype=dtype)
    good, (grad_x, grad_y) = outcome(x, y, debias=debias, tol=1e-5)
    x, y = x.clone(), y.clone()
    x[1, 3, 0] = math.nan
    y[4, 0, 1] = math.inf
    x[6], y[6] = 1.5, 1.5  # all points are equal
    if dtype == torch.float64:
        x[2], y[2] = x[2] * 1e155, y[2] * 1e157  # costs beyond float64
    values, gradients = outcome(x, y, debias=debias, tol=1e-5)
    lost = [1, 2, 4] if dtype == torch.float64 else [1, 4]
    assert values[lost].isnan().all() and values[6] == 0
    kept = [k for k in range(8) if k not in (*lost, 6)]
    torch.testing.assert_close(values[kept], good[kept], rtol=1e-5, atol=0)
    for gradient, want in zip(gradients, (grad_x, grad_y), strict=True):
        assert gradient[lost].isnan().all() and not gradient[6].any()
        assert (
            (gradient - want)[kept].flatten(1).norm(dim=1)
            <= 1e-3 * want[kept].flatten(1).norm(dim=1)
        ).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NaN is no reason to ask for more iterations
        _, info = sinkhorn_divergence(x, y, debias=debias, tol=1e-5, return_info=True)
    assert not info.converged and math.isnan(info.marginal_violation)
    assert [k for k, one in enumerate(info.problems) if not one.converged] == lost


def test_scales_at_the_ends_of_the_range():
    x, y, *_ = batch(size=3)
    scales = torch.tensor([1e-150, 1.0, 1e150], dtype=torch.float64)[:, None, None]
    assert_equal_to_loop(x * scales, y * scales, tol=1e-10)


def test_duplicates_and_clouds_far_apart():
    x, y, *_ = batch(size=4)
    x[0, 1:6] = x[0, 0]
    y[1] = x[1]
    y[2] += 1e5
    x[3], y[3] = x[3] + 1e6, y[3] + 1e6
    values, _ = outcome(x, y, tol=1e-10)
    expected, _ = outcome(x, y, tol=1e-10, loop=True)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-12)
    assert abs(float(values[1])) < 1e-12


def test_one_that_does_not_converge():
    x, y, *_ = batch(size=6, n=30, m=30)
    # Two far clusters of different masses are the slow case of Sinkhorn iterations.
    x[2], y[2] = 0.01 * x[2] / x[2].std(), 0.01 * y[2] / y[2].std()
    x[2, 14:, 0] += 1
    y[2, 16:, 0] += 1
    options = {"tol": 1e-6, "epsilon": 0.1, "max_iter": 40, "debias": "none"}
    with pytest.warns(ConvergenceWarning, match="in 1 of 6 problems"):
        values, info = sinkhorn_divergence(x, y, **options, return_info=True)
    assert [one.converged for one in info.problems] == [k != 2 for k in range(6)]
    assert not info.converged and info.problems[2].n_iter >= 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [sinkhorn_divergence(u, v, **options) for u, v in zip(x, y, strict=True)]
    torch.testing.assert_close(values, torch.stack(alone), rtol=1e-9, atol=0)
    with pytest.warns(ConvergenceWarning, match="in 3 of 6 problems"):
        sinkhorn_divergence(x[[2, 0, 2, 1, 2, 3]], y[[2, 0, 2, 1, 2, 3]], **options)
    values, info = sinkhorn_divergence(x, y, **options | {"max_iter": 1000}, return_info=True)
    assert info.converged
    assert_equal_to_loop(x, y, **options | {"max_iter": 1000, "tol": 1e-10})


def test_what_leaves_the_range_of_float32_goes_on_alone():
    # Its scalings reach beyond float32, in a batch of others whose do not.
    x, y, *_ = batch(size=6, n=20, m=20, d=1, dtype=torch.float32)
    x[3] = torch.linspace(0, 1, 20)[:, None] ** 8
    y[3] = 1 - x[3]
    values, info = sinkhorn_divergence(x, y, epsilon=0.012, max_iter=5000, return_info=True)
    assert info.converged and len(info.problems) == 6
    expected, _ = outcome(x, y, epsilon=0.012, max_iter=5000, loop=True)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=0)


def test_the_figures_of_each_problem():
    x, y, *_ = batch()
    _, info = sinkhorn_divergence(x, y, tol=1e-6, return_info=True)
    assert isinstance(info, SinkhornInfo) and type(info.n_iter) is int and info.converged is True
    assert len(info.problems) == 5
    assert info.n_iter == max(one.n_iter for one in info.problems) > 0
    assert info.marginal_violation == max(one.marginal_violation for one in info.problems)
    assert all(0 <= one.marginal_violation <= 1e-6 for one in info.problems)
    _, single = sinkhorn_divergence(x[0], y[0], return_info=True)
    assert single.problems == () and type(single.marginal_violation) is float


def test_shapes():
    x, y, a, b = batch(size=6)
    values = sinkhorn_divergence(x, y, a=a, tol=1e-10)
    grid = sinkhorn_divergence(
        x.reshape(2, 3, 12, 3), y.reshape(2, 3, 12, 3), a=a.reshape(2, 3, 12), tol=1e-10
    )
    torch.testing.assert_close(grid, values.reshape(2, 3))
    assert sinkhorn_divergence(x[:0], y[:0]).shape == (0,)
    assert sinkhorn_divergence(x[:1], y[:1]).shape == (1,)
    with pytest.raises(ValueError, match="as many clouds, got shapes"):
        sinkhorn_divergence(x, y[:3])
    with pytest.raises(ValueError, match="as many clouds, got shapes"):
        sinkhorn_divergence(x, y[0])
    with pytest.raises(ValueError, match=r"a must be a tensor of shape \(12,\) or \(6, 12\)"):
        sinkhorn_divergence(x, y, a=a[:3])
    with pytest.raises(ValueError, match="b must be finite, non-negative, of positive sum"):
        sinkhorn_divergence(x, y, b=torch.zeros(6, 12).index_fill(0, torch.tensor([0, 1]), 1.0))
    with pytest.raises(ValueError, match="must have shape"):
        sinkhorn_divergence(x[0, 0], y[0, 0])
    half = a.clone()
    half[4, :6] = 0
    with pytest.raises(ValueError, match="a is zero on half of x"):
        sinkhorn_divergence(x, y, a=half, debias="independent")


def test_inputs_and_modes():
    x, y, a, b = batch()
    copies = [tensor.clone() for tensor in (x, y, a, b)]
    expected, _ = outcome(x, y, a, b)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = sinkhorn_divergence(x, y, a=a, b=b)
        assert not got.requires_grad
        torch.testing.assert_close(got.clone(), expected, rtol=1e-9, atol=0)
    with torch.device("meta"):
        got = sinkhorn_divergence(x, y, a=a, b=b)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    for tensor, copy in zip((x, y, a, b), copies, strict=True):
        assert torch.equal(tensor, copy)
    half = sinkhorn_divergence(x[1:4].half(), y[1:4].half())
    assert half.dtype == torch.float16 and half.isfinite().all()


def test_second_derivatives_are_refused():
    x, y, *_ = batch()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("debias", MODES)
def test_vmap(debias):
    x, y, a, b = batch()
    options = {"debias": debias, "tol": 1e-10}

    def one(x, y, a, b):
        return sinkhorn_divergence(x, y, a=a, b=b, **options)

    expected = sinkhorn_divergence(x, y, a=a, b=b, **options)
    torch.testing.assert_close(torch.func.vmap(one)(x, y, a, b), expected)
    torch.testing.assert_close(
        torch.func.vmap(one, in_dims=(2, None, None, 0))(x.movedim(0, 2), y[1], a[1], b),
        sinkhorn_divergence(x, y[1].expand_as(y), a=a[1], b=b, **options),
    )
    pairs = torch.func.vmap(
        lambda u: torch.func.vmap(lambda v: sinkhorn_divergence(u, v, **options))(y)
    )(x)
    assert pairs.shape == (5, 5)
    single = sinkhorn_divergence(x[3], y[1], **options)
    torch.testing.assert_close(pairs[3, 1], single, rtol=1e-6, atol=0)


def test_functional_gradients():
    x, y, a, b = batch()

    def one(x, y, a):
        return sinkhorn_divergence(x, y, a=a, tol=1e-10)

    expected, (grad_x, _, grad_a, _) = outcome(x, y, a, b * 0 + 1, tol=1e-10)
    grad_x, grad_a = (
        g / torch.arange(1, 6).view(-1, *(1,) * (g.ndim - 1)) for g in (grad_x, grad_a)
    )
    found = torch.func.grad(one, argnums=(0, 2))(x[1], y[1], a[1])
    torch.testing.assert_close(found, (grad_x[1], grad_a[1]), rtol=1e-5, atol=1e-12)
    found, values = torch.func.vmap(torch.func.grad_and_value(one, argnums=(0, 2)))(x, y, a)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(found, (grad_x, grad_a), rtol=1e-5, atol=1e-12)
    inner = torch.func.grad(lambda y: torch.func.vmap(torch.func.grad(one))(x, y, a).sum())
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        inner(y)
    through = torch.func.grad(lambda x: torch.func.vmap(one)(x, y, a).sum())(x)
    torch.testing.assert_close(through, grad_x, rtol=1e-5, atol=1e-12)
    jacobian = torch.func.jacrev(lambda x: sinkhorn_divergence(x, y, a=a, tol=1e-10))(x)
    torch.testing.assert_close(jacobian.diagonal(dim1=0, dim2=1).movedim(-1, 0), grad_x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: unbalanced_sinkhorn_divergence(x, y),
        lambda x, y: sinkhorn_cost((x[:, None] - y).square().sum(2), sharp=True),
        lambda x, y: sinkhorn_divergence(x, y, sharp=True),
    ],
    ids=["unbalanced", "cost", "sharp"],
)
def test_transforms_of_the_others(function):
    x, y, *_ = batch(dtype=torch.float32)
    values = torch.stack([function(u, v) for u, v in zip(x, y, strict=True)])
    torch.testing.assert_close(torch.func.vmap(function)(x, y), values)
    leaf = x[2].clone().requires_grad_()
    function(leaf, y[2]).backward()
    torch.testing.assert_close(torch.func.grad(function)(x[2], y[2]), leaf.grad)
    torch.testing.assert_close(
        torch.func.vmap(torch.func.grad(function))(x, y)[2], leaf.grad, rtol=1e-4, atol=1e-5
    )


def test_compile():
    x, y, *_ = batch(dtype=torch.float32)

    def loss(x):
        return 2 * sinkhorn_divergence(3 * x, y).sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="eager")
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(loss(leaf), leaf)[0]
    value = compiled(leaf)
    torch.testing.assert_close(value, loss(leaf))
    torch.testing.assert_close(torch.autograd.grad(value, leaf)[0], expected)
    single = torch.compile(lambda x: sinkhorn_divergence(x, y[1]) + 1, backend="eager")(x[1])
    torch.testing.assert_close(single, sinkhorn_divergence(x[1], y[1]) + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_plans_and_potentials(dtype):
    x, y, a, b = batch(size=4, n=9, m=7, dtype=dtype)
    cost = (x[:, :, None] - y[:, None]).abs().sum(3)
    for inputs in ({"x": x, "y": y}, {"x": x}, {"cost": cost}):
        second = {"b": a if len(inputs) == 1 and "x" in inputs else b}
        plans = sinkhorn_plan(**inputs, a=a, **second)
        f, g, info = sinkhorn_potentials(**inputs, a=a, **second)
        assert len(info.problems) == 4 and plans.dtype == f.dtype == g.dtype == dtype
        for k in range(4):
            one = {name: tensor[k] for name, tensor in (inputs | second).items()}
            assert torch.equal(plans[k], sinkhorn_plan(**one, a=a[k]))
            f_one, g_one, info_one = sinkhorn_potentials(**one, a=a[k])
            assert torch.equal(f[k], f_one) and torch.equal(g[k], g_one)
            assert info.problems[k] == info_one
    shared = sinkhorn_plan(x.reshape(2, 2, 9, 3), y.reshape(2, 2, 7, 3), a=a[0])
    assert shared.shape == (2, 2, 9, 7)
    torch.testing.assert_close(shared[1, 0], sinkhorn_plan(x[2], y[2], a=a[0]))
    assert sinkhorn_plan(x[:0], y[:0]).shape == (0, 9, 7)
    with pytest.raises(ValueError, match="as many clouds"):
        sinkhorn_plan(x, y[0])
    with pytest.raises(ValueError, match=r"b must be a tensor of shape \(7,\) or \(4, 7\)"):
        sinkhorn_potentials(cost=cost, b=b[:2])
    with pytest.raises(ValueError, match="cost must be a non-empty floating-point matrix, or a"):
        sinkhorn_plan(cost=cost[..., :0])
    with pytest.warns(ConvergenceWarning, match="in 4 of 4 problems"):
        sinkhorn_plan(x, y, max_iter=1, tol=1e-9)


def test_cost_matrices():
    x, y, a, b = batch(size=4, n=9, m=7)
    cost = (x[:, :, None] - y[:, None]).abs().sum(3)
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    values, info = sinkhorn_cost(leaves[0], a=leaves[1], b=leaves[2], return_info=True)
    gradients = torch.autograd.grad(values.sum(), leaves)
    ones = [sinkhorn_cost(c, a=u, b=v) for c, u, v in zip(*leaves, strict=True)]
    assert torch.equal(values, torch.stack(ones)) and len(info.problems) == 4
    expected = torch.autograd.grad(sum(ones), leaves)
    torch.testing.assert_close(gradients, expected, rtol=0, atol=0)
    shared = sinkhorn_cost(cost, a=a[1])
    torch.testing.assert_close(shared[1], sinkhorn_cost(cost[1], a=a[1]))
    torch.testing.assert_close(
        torch.func.vmap(lambda c, u: sinkhorn_cost(c, a=u))(cost, a)[1], shared[1]
    )
    with pytest.raises(ValueError, match="a must be finite, non-negative"):
        sinkhorn_cost(cost, a=-a)


def test_mixtures_of_many_are_those_of_each():
    # Residuals of problems that have converged already are rounding errors, or zeros.
    rows = np.random.default_rng(0).normal(size=(40, 5, 12))
    rows[3] = 0.0
    rows[7, 1:] = rows[7, :1]
    rows[9] *= 1e-17
    rows[11, :, 1:] = 0.0
    metric = np.full((40, 1, 12), 1 / 12)
    together = least_mixture(rows, metric)
    alone = np.concatenate([least_mixture(row[None], metric[:1]) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together.sum(2), 1.0)


def test_many_small_problems_stay_together(monkeypatch):
    from skotae.transport.entropic import batched

    calls = []
    scale = batched.scale
    monkeypatch.setattr(batched, "scale", lambda *a, **k: calls.append(0) or scale(*a, **k))
    x, y, *_ = batch(size=400, n=10, m=10, dtype=torch.float32)
    _, info = sinkhorn_divergence(x, y, return_info=True)
    assert info.converged and 0 < len(calls) < 10
