"""Clouds and options at the ends of what floating point holds."""

import math

import pytest
import torch

from skotae.transport import (
    c_transform,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    sliced_wasserstein,
    squared_mmd,
    unbalanced_sinkhorn_divergence,
)

G = torch.Generator().manual_seed(0)
X = torch.randn(24, 3, generator=G, dtype=torch.float64)
Y = X.flip(0) + 1
DTYPES = [torch.float32, torch.float64]
DIVERGENCES = [sinkhorn_divergence, unbalanced_sinkhorn_divergence]


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("scale", [1e155, 1e300])
def test_costs_beyond_the_range_are_no_distance_of_zero(divergence, scale):
    value, info = divergence(X * scale, Y * scale, return_info=True)
    assert math.isnan(float(value)) and not info.converged
    with pytest.raises(ValueError, match="costs in the range of float64"):
        sinkhorn_potentials(X * scale, Y * scale)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_costs_below_the_range_are_zero(divergence):
    for scale in (1e-160, 1e-300):
        value, info = divergence(X * scale, Y * scale, return_info=True)
        assert value == 0 and info.converged


def test_a_violation_that_is_no_number_is_not_converged(monkeypatch):
    from skotae.transport.base import largest

    assert math.isnan(largest(0.0, math.nan)) and math.isnan(largest(math.nan, 0.0))
    assert largest(0.0, 2.0, 1.0) == 2.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("epsilon", [1e8, 1e16, 1e300])
def test_a_large_epsilon_gives_the_limit(dtype, relative, epsilon):
    x, y = X.to(dtype, copy=True).requires_grad_(), Y.to(dtype)
    options = {"epsilon": epsilon, "relative": relative}
    # The product of the weights is the plan: what is left is the distance of the means.
    value = sinkhorn_divergence(x, y, **options)
    assert float(value.detach()) == pytest.approx(3.0, rel=1e-5)
    value.backward()
    torch.testing.assert_close(x.grad, torch.full_like(y, -2 / 24), rtol=1e-3, atol=1e-6)
    plan = sinkhorn_plan(x, y, **options)
    torch.testing.assert_close(plan, torch.full_like(plan, 1 / 24**2), rtol=1e-5, atol=0)
    cost = torch.cdist(x.detach(), y)
    assert float(sinkhorn_cost(cost, **options)) == pytest.approx(float(cost.mean()), rel=1e-5)
    assert float(unbalanced_sinkhorn_divergence(x.detach(), y, **options)) > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_c_transform_for_any_epsilon_of_its_dtype(dtype):
    u, cost = X[:, 0].to(dtype), torch.cdist(X, Y).to(dtype)
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(c_transform(u, cost, tiny), (cost - u[:, None]).amin(0))
    with pytest.raises(ValueError, match="epsilon must be in the range of float"):
        c_transform(u, cost, 1e-310)


def test_weights_that_are_zero_on_a_half():
    a = torch.ones(24, dtype=torch.float64)
    a[:12] = 0
    assert math.isfinite(float(sinkhorn_divergence(X, Y, a=a)))
    with pytest.raises(ValueError, match="a is zero on half of x, rows 0 to 11"):
        sinkhorn_divergence(X, Y, a=a, debias="independent")
    with pytest.raises(ValueError, match="b is zero on half of y, rows 12 to 23"):
        sinkhorn_divergence(X, Y, b=a.flip(0), debias="independent")


@pytest.mark.parametrize("bandwidth", [1e300, 1e20, 1e-20, 1e-300])
def test_mmd_with_any_bandwidth(bandwidth):
    x, y = X.float().requires_grad_(), Y.float()
    value = squared_mmd(x, y, bandwidth=bandwidth)
    assert abs(float(value)) < 1e-5
    if bandwidth > 1:
        value.backward()
        assert x.grad.abs().max() < 1e-5


def test_autocast_does_not_change_the_mmd():
    x, y = X.float(), Y.float()
    value = squared_mmd(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(squared_mmd(x, y), value)


def test_more_directions_than_there_is_memory_for():
    with pytest.raises(MemoryError, match="n_projections"):
        sliced_wasserstein(X, Y, n_projections=10**12)


def test_messages_are_short():
    for option in ("debias", "epsilon", "p", "tol", "max_iter"):
        for value in ("x" * 10**5, [0.0] * 10**5, torch.zeros(10**5)):
            with pytest.raises(ValueError, match=option) as caught:
                sinkhorn_divergence(X, Y, **{option: value})
            assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="a must be finite, .* from -1 to -1") as caught:
        sinkhorn_divergence(X, Y, a=-torch.ones(24))
