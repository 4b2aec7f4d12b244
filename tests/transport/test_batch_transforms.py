"""Batches under torch.func and torch.compile, and batches of other functions."""

from functools import partial

import numpy as np
import pytest
import torch

from skotae.exceptions import ConvergenceWarning
from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_divergence,
)
from skotae.transport.entropic.arrays import least_mixture

from .batches import MODES, batch, outcome


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
    options = {"tol": 1e-10, "max_iter": 3000}
    for inputs in ({"x": x, "y": y}, {"x": x}, {"cost": cost}):
        second = {"b": a if len(inputs) == 1 and "x" in inputs else b}
        plans = sinkhorn_plan(**inputs, a=a, **second, **options)
        f, g, info = sinkhorn_potentials(**inputs, a=a, **second, **options)
        assert len(info.problems) == 4 and plans.dtype == f.dtype == g.dtype == dtype
        for k in range(4):
            one = {name: tensor[k] for name, tensor in (inputs | second | {"a": a}).items()}
            torch.testing.assert_close(plans[k], sinkhorn_plan(**one, **options))
            f_one, g_one, info_one = sinkhorn_potentials(**one, **options)
            torch.testing.assert_close((f[k], g[k]), (f_one, g_one))
            assert info.problems[k].converged and info_one.converged
    shared = sinkhorn_plan(x.reshape(2, 2, 9, 3), y.reshape(2, 2, 7, 3), a=a[0], **options)
    assert shared.shape == (2, 2, 9, 7)
    torch.testing.assert_close(shared[1, 0], sinkhorn_plan(x[2], y[2], a=a[0], **options))
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
    tight = partial(sinkhorn_cost, tol=1e-11, max_iter=3000)
    values, info = tight(leaves[0], a=leaves[1], b=leaves[2], return_info=True)
    gradients = torch.autograd.grad(values.sum(), leaves)
    ones = [tight(c, a=u, b=v) for c, u, v in zip(*leaves, strict=True)]
    torch.testing.assert_close(values, torch.stack(ones), rtol=1e-9, atol=0)
    assert info.converged and len(info.problems) == 4
    expected = torch.autograd.grad(sum(ones), leaves)
    torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-9)
    shared = tight(cost, a=a[1])
    torch.testing.assert_close(shared[1], tight(cost[1], a=a[1]))
    mapped = torch.func.vmap(lambda c, u: tight(c, a=u))(cost, a)
    torch.testing.assert_close(mapped[1], shared[1])
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
    from skotae.transport.entropic import rounds

    calls = []
    scale = rounds.scale
    monkeypatch.setattr(rounds, "scale", lambda *a, **k: calls.append(0) or scale(*a, **k))
    x, y, *_ = batch(size=400, n=10, m=10, dtype=torch.float32)
    _, info = sinkhorn_divergence(x, y, return_info=True)
    assert info.converged and 0 < len(calls) < 10
