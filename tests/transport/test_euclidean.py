"""Powers of the Euclidean distance as the cost of entropic transport."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from skotae import metrics
from skotae.transport import (
    exact_cost,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)
from skotae.transport.ground import Ground

EUCLIDEAN = {"metric": "euclidean"}
TIGHT = {"tol": 1e-9, "max_iter": 5000}
quick = settings(deadline=None, derandomize=True, max_examples=30)


def clouds(n=9, m=13, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def costs(x, y, p):
    """By plain differences; the derivative at 0 is 0."""
    squares = (x[:, None] - y).square().sum(2)
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1.0) ** (p / 2), 0.0)


def unrolled(x, y, epsilon, p, sharp, n_iter=300):
    """OT_eps by differentiable iterations in the log domain."""
    cost = costs(x, y, p)
    f = torch.zeros(len(x), dtype=x.dtype)
    for _ in range(n_iter):
        g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon - math.log(len(x)), 0)
        f = -epsilon * torch.logsumexp((g - cost) / epsilon - math.log(len(y)), 1)
    plan = torch.exp((f[:, None] + g - cost) / epsilon) / cost.numel()
    value = (plan * cost).sum()
    return value if sharp else value + (plan * (f[:, None] + g - cost)).sum()


def debiased(x, y, debias, **options):
    if debias == "none":
        return unrolled(x, y, **options)
    if debias == "paired":
        own = unrolled(x, x, **options) + unrolled(y, y, **options)
        return unrolled(x, y, **options) - own / 2
    halves = [(cloud[: len(cloud) // 2], cloud[len(cloud) // 2 :]) for cloud in (x, y)]
    cross = sum(unrolled(u, v, **options) for u in halves[0] for v in halves[1]) / 4
    return cross - sum(unrolled(*pair, **options) for pair in halves) / 2


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_value_and_gradient_match_unrolling(debias, sharp, p):
    x, y = clouds()
    y[3], y[11] = x[2], x[8]  # points that coincide
    x, y = x.requires_grad_(), y.requires_grad_()
    options = {"epsilon": 1.0 if p < 2 else 6.0, "p": p, "sharp": sharp}
    value = sinkhorn_divergence(
        x, y, debias=debias, relative=False, **options, **EUCLIDEAN, **TIGHT
    )
    expected = debiased(x, y, debias, **options)
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-10)
    gradients = torch.autograd.grad(value, (x, y))
    for got, want in zip(gradients, torch.autograd.grad(expected, (x, y)), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("p", [1, 1.5, 3])
@pytest.mark.parametrize("d", [2, 40])
def test_costs_and_gradients_of_near_and_far_points(d, p):
    x, y = clouds(30, 20, d)
    y[0], y[1], y[2] = x[0], x[1] + 1e-7, x[2] + 1e-3
    ground = Ground(p, "euclidean")
    for shift, close in ((0.0, 1e-8), (100.0, 1e-5)):
        u, v = x + shift, y + shift
        expected = cdist((u - u[0]).numpy(), (v - u[0]).numpy()) ** p
        found = ground.costs(u, v).numpy()
        np.testing.assert_allclose(found, expected, rtol=close)
        assert found[0, 0] == 0.0
    plan = torch.rand(30, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z, w = x.clone().requires_grad_(), y.clone().requires_grad_()
    wanted = torch.autograd.grad((plan * costs(z, w, p)).sum(), (z, w))
    for got, want in zip(ground.gradients(x, y, plan, plan), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("p", [1, 1.5, 3])
@pytest.mark.parametrize("n", [1, 5])
def test_equal_points_have_a_gradient_of_zero(n, p):
    for dtype in (torch.float32, torch.float64):
        x = torch.full((n, 3), 0.3, dtype=dtype, requires_grad=True)
        for function in (sinkhorn_divergence, unbalanced_sinkhorn_divergence):
            for debias in ("none", "paired"):
                value = function(x, x.detach().clone(), p=p, debias=debias, **EUCLIDEAN)
                (gradient,) = torch.autograd.grad(value, x)
                assert value == 0.0 and (gradient == 0.0).all()


@quick
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 20),
    st.integers(0, 1000),
    st.sampled_from([1, 1.5, 2, 3]),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.sampled_from(["none", "paired", "independent"]),
)
def test_turned_moved_and_scaled_clouds(n, m, d, seed, p, scale, debias):
    x, y = clouds(n, m, d, seed)
    options = {"epsilon": 0.1, "p": p, "debias": debias, **EUCLIDEAN, **TIGHT}
    close = {"rtol": 1e-6, "atol": 1e-7}
    x.requires_grad_()
    value = sinkhorn_divergence(x, y, **options)
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(sinkhorn_divergence(y, x, **options), value, **close)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=x.dtype))[0]
    moved = (x.detach() @ turn * scale + 3.0 * scale).requires_grad_()
    turned = sinkhorn_divergence(moved, y @ turn * scale + 3.0 * scale, **options)
    torch.testing.assert_close(turned / scale**p, value, **close)
    (pushed,) = torch.autograd.grad(turned, moved)
    torch.testing.assert_close(pushed / scale ** (p - 1), gradient @ turn, rtol=1e-5, atol=1e-6)
    if debias == "paired" and p <= 2:
        assert value.item() >= -1e-8 * costs(x, y, p).mean().item()


@pytest.mark.parametrize("p", [1, 3])
def test_one_dimension_and_two_diracs(p):
    x, y = clouds(d=1)
    for debias in ("none", "paired", "independent"):
        options = {"p": p, "debias": debias, **TIGHT}
        torch.testing.assert_close(
            sinkhorn_divergence(x, y, **options, **EUCLIDEAN), sinkhorn_divergence(x, y, **options)
        )
    point = torch.tensor([[0.0, 1.0]], requires_grad=True)
    value = sinkhorn_divergence(point, torch.tensor([[3.0, 5.0]]), p=p, **EUCLIDEAN)
    value.backward()
    assert value.item() == pytest.approx(5.0**p, rel=1e-6)
    expected = -p * 5.0 ** (p - 1) * torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(point.grad, expected)


@pytest.mark.parametrize("p", [1, 1.5])
@pytest.mark.parametrize("dtype, tol", [(torch.float32, 1e-3), (torch.float64, 1e-9)])
def test_plans_and_potentials_beside_pot(p, dtype, tol):
    x, y = clouds(40, 30, 5)
    cost = cdist(x.numpy(), y.numpy()) ** p
    a, b = np.linspace(1, 2, 40) / 60, np.full(30, 1 / 30)
    expected = ot.sinkhorn(a, b, cost, 0.3, method="sinkhorn_log", stopThr=1e-12, numItermax=10_000)
    options = {"p": p, "a": torch.tensor(a), "epsilon": 0.3, "relative": False, "tol": tol}
    plan = sinkhorn_plan(x.to(dtype), y.to(dtype), **options, **EUCLIDEAN)
    assert plan.dtype == dtype
    np.testing.assert_allclose(plan.numpy(), expected, atol=6 * tol / 30)
    f, g, info = sinkhorn_potentials(x.to(dtype), y.to(dtype), **options, **EUCLIDEAN)
    assert info.converged and info.marginal_violation <= tol
    made = a[:, None] / 30 * np.exp((f[:, None] + g - torch.tensor(cost)).double().numpy() / 0.3)
    np.testing.assert_allclose(made, expected, atol=6 * tol / 30)


def test_value_is_that_of_the_cost_matrix():
    x, y = clouds()
    cost = torch.cdist(x, y)
    options = {"epsilon": 0.1, **TIGHT}
    value = sinkhorn_divergence(x, y, p=1, debias="none", **options, **EUCLIDEAN)
    torch.testing.assert_close(value, sinkhorn_cost(cost, **options))
    sharp = sinkhorn_divergence(
        x, y, p=1, epsilon=1e-3, tol=1e-6, debias="none", sharp=True, max_iter=10_000, **EUCLIDEAN
    )
    assert sharp.item() == pytest.approx(exact_cost(x, y, p=1, **EUCLIDEAN).item(), rel=5e-3)
    assert metrics.sinkhorn_divergence(
        x.numpy(), y.numpy(), p=1, debias="none", epsilon=0.1, **EUCLIDEAN
    ) == pytest.approx(value.item(), rel=1e-6)


@pytest.mark.parametrize("p", [1, 1.5])
def test_unbalanced_is_that_of_the_cost_matrix(p):
    x, y = clouds()
    masses = {"a": torch.linspace(0, 2, 9).double(), "b": torch.ones(13).double()}
    options = {**masses, "epsilon": 0.2, "rho": 0.7, "relative": False, "tol": 1e-9}
    cost = costs(x, y, p).requires_grad_()
    expected = unbalanced_sinkhorn_cost(cost, **options)
    points = x.clone().requires_grad_()
    value = unbalanced_sinkhorn_divergence(points, y, p=p, debias="none", **options, **EUCLIDEAN)
    torch.testing.assert_close(value, expected)
    (plan,) = torch.autograd.grad(expected, cost)
    found = unbalanced_sinkhorn_plan(x, y, p=p, **options, **EUCLIDEAN)
    torch.testing.assert_close(found, plan, rtol=1e-5, atol=1e-7)
    z = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((plan * costs(z, y, p)).sum(), z)
    torch.testing.assert_close(torch.autograd.grad(value, points)[0], wanted, rtol=1e-5, atol=1e-7)
    f, _, _ = unbalanced_sinkhorn_potentials(x, y, p=p, **options, **EUCLIDEAN)
    torch.testing.assert_close(masses["a"] * (-f / 0.7).exp(), plan.sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [1, 1.5])
def test_batches_and_blocks(p):
    x, y = torch.randn(2, 4, 70, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    options = {"p": p, "debias": "independent", **EUCLIDEAN}
    values = sinkhorn_divergence(x, y, **options)
    alone = torch.stack([sinkhorn_divergence(u, v, **options) for u, v in zip(x, y, strict=True)])
    torch.testing.assert_close(values, alone)
    first = sinkhorn_divergence(x[0], y[0], **options)
    blocks = sinkhorn_divergence(x[0], y[0], max_memory=1e-2, **options)
    torch.testing.assert_close(blocks, first, rtol=1e-3, atol=1e-5)
    gradients = [torch.autograd.grad(value, (x, y)) for value in (first, blocks)]
    for stored, made in zip(*gradients, strict=True):
        torch.testing.assert_close(made, stored, rtol=1e-2, atol=1e-5)


def test_unknown_metric_is_named():
    x, y = clouds()
    functions = (sinkhorn_divergence, sinkhorn_plan, sinkhorn_potentials)
    for function in (*functions, unbalanced_sinkhorn_divergence, unbalanced_sinkhorn_plan):
        with pytest.raises(ValueError, match="metric must be one of 'minkowski', 'euclidean', got"):
            function(x, y, metric="cosine")
