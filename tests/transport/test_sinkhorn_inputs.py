"""Tensors of every kind go in, and nothing else changes: inputs, modes, defaults, threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skotae.transport import sinkhorn_divergence, sinkhorn_plan, sinkhorn_potentials

from ..torch_settings import default_dtype

MODES = [(debias, sharp) for debias in ("none", "paired", "independent") for sharp in (False, True)]


def clouds(n=20, m=15, d=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4
    return x.to(dtype), y.to(dtype)


def transposed(cloud):
    return cloud.T.contiguous().T


def strided(cloud):
    buffer = torch.full((2 * len(cloud), 3 * cloud.shape[1]), torch.nan, dtype=cloud.dtype)
    buffer[::2, ::3] = cloud
    return buffer[::2, ::3]


def offset(cloud):
    buffer = torch.full((cloud.numel() + 7,), torch.nan, dtype=cloud.dtype)
    buffer[7:] = cloud.flatten()
    return buffer[7:].view(cloud.shape)


def flipped(cloud):
    return cloud.flip(0).contiguous().flip(0)


LAYOUTS = [transposed, strided, offset, flipped]


def outcome(x, y, **options):
    """Value and gradients; leaves of their own, so that layouts reach the function as they are."""
    x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
    value = sinkhorn_divergence(x, y, **options)
    return (value, *torch.autograd.grad(value, (x, y)))


@pytest.mark.parametrize(("debias", "sharp"), MODES)
@pytest.mark.parametrize("p", [1, 2])
def test_inputs_are_not_changed(debias, sharp, p):
    x, y = clouds()
    a, b = torch.rand(2, 20, generator=torch.Generator().manual_seed(0))
    inputs = (x, y, a, b[:15])
    copies = [tensor.clone() for tensor in inputs]
    versions = [tensor._version for tensor in inputs]
    options = {"debias": debias, "sharp": sharp, "p": p, "epsilon": 0.1}
    outcome(x, y, a=a, b=b[:15], **options)
    sinkhorn_plan(x, y, a=a, b=b[:15], p=p)
    for tensor, copy, version in zip(inputs, copies, versions, strict=True):
        assert torch.equal(tensor, copy) and tensor._version == version


def test_cost_matrix_is_not_changed():
    cost = torch.rand(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    copy = cost.clone()
    sinkhorn_potentials(cost=cost)
    sinkhorn_plan(cost=cost.float())
    assert torch.equal(cost, copy)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("debias", "sharp"), MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layout_in_memory_is_of_no_account(layout, debias, sharp, dtype):
    x, y = clouds(dtype=dtype)
    options = {"debias": debias, "sharp": sharp}
    torch.testing.assert_close(outcome(layout(x), layout(y), **options), outcome(x, y, **options))
    weights = torch.linspace(1, 2, 40, dtype=dtype)[::2]
    torch.testing.assert_close(
        sinkhorn_divergence(x, y, a=weights, **options),
        sinkhorn_divergence(x, y, a=weights.clone(), **options),
    )


def test_expanded_tensors():
    x, y = clouds()
    for cloud in (x[:1].expand(12, 3), x[:, :1].expand(20, 3)):
        expected = outcome(cloud.contiguous(), y)
        torch.testing.assert_close(outcome(cloud, y), expected)
        leaf = cloud.clone().requires_grad_()
        torch.testing.assert_close(
            torch.autograd.grad(sinkhorn_divergence(leaf, y), leaf)[0], expected[1]
        )
    base = x[:1].clone().requires_grad_()
    sinkhorn_divergence(base.expand(12, 3), y).backward()
    torch.testing.assert_close(base.grad, outcome(x[:1], y)[1], rtol=1e-3, atol=1e-4)
    uniform = torch.ones(1).expand(20)
    torch.testing.assert_close(sinkhorn_divergence(x, y, a=uniform), sinkhorn_divergence(x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("debias", "sharp"), MODES)
def test_half_precision_is_computed_wider(dtype, debias, sharp):
    x, y = clouds(dtype=dtype)
    got = outcome(x, y, debias=debias, sharp=sharp)
    want = outcome(x.float(), y.float(), debias=debias, sharp=sharp)
    assert all(tensor.dtype == dtype for tensor in got)
    # Nothing but the result is rounded.
    unit = torch.finfo(dtype).eps
    for tensor, expected in zip(got, want, strict=True):
        torch.testing.assert_close(tensor.float(), expected, rtol=unit, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow_inside(dtype):
    # Squares of these are beyond float16, whose largest number is 65504.
    x, y = clouds(dtype=dtype)
    value, grad_x, grad_y = outcome(x * 200, y * 200, epsilon=0.1)
    wide = outcome((x * 200).float(), (y * 200).float(), epsilon=0.1)
    torch.testing.assert_close(value.float(), wide[0].to(dtype).float())
    assert grad_x.isfinite().all() and grad_y.isfinite().all()


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
@pytest.mark.parametrize("wide", ["x", "y"])
def test_mixed_dtypes(debias, wide):
    x, y = clouds()
    dtypes = {"x": torch.float32, "y": torch.float32} | {wide: torch.float64}
    x, y = x.to(dtypes["x"]), y.to(dtypes["y"])
    value, grad_x, grad_y = outcome(x, y, debias=debias)
    assert value.dtype == grad_x.dtype == x.dtype and grad_y.dtype == y.dtype
    expected = outcome(x.double(), y.double(), debias=debias, tol=1e-6)
    for got, want in zip((value, grad_x, grad_y), expected, strict=True):
        assert (got.double() - want).norm() < 1e-2 * want.norm()
    weights = torch.linspace(1, 2, 20, dtype=torch.float64)
    weighted = sinkhorn_divergence(x, y, a=weights, debias=debias)
    torch.testing.assert_close(
        weighted, sinkhorn_divergence(x, y, a=weights.float(), debias=debias), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(("debias", "sharp"), MODES)
def test_gradient_on_one_side_only(debias, sharp):
    x, y = clouds()
    options = {"debias": debias, "sharp": sharp}
    _, grad_x, grad_y = outcome(x, y, **options)
    for wanted, expected in (("x", grad_x), ("y", grad_y)):
        u = x.clone().requires_grad_(wanted == "x")
        v = y.clone().requires_grad_(wanted == "y")
        sinkhorn_divergence(u, v, **options).backward()
        leaf, other = (u, v) if wanted == "x" else (v, u)
        torch.testing.assert_close(leaf.grad, expected)
        assert other.grad is None


@pytest.mark.parametrize(("debias", "sharp"), MODES)
def test_modes_without_gradient(debias, sharp):
    x, y = (cloud.requires_grad_() for cloud in clouds())
    options = {"debias": debias, "sharp": sharp}
    expected = sinkhorn_divergence(x, y, **options).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value, info = sinkhorn_divergence(x, y, **options, return_info=True)
            plan = sinkhorn_plan(x, y)
            # Tensors born in the mode, too.
            born = sinkhorn_divergence(x + 0, y + 0, **options)
        assert not value.requires_grad and not plan.requires_grad and info.converged
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(born, expected)
    with torch.no_grad():
        value = sinkhorn_divergence(x, y, **options)
    with torch.enable_grad():
        assert sinkhorn_divergence(x, y, **options).requires_grad


def test_solving_again_after_inference_mode():
    # Nothing made in inference mode may be kept for later: it cannot be saved for a backward pass.
    x, y = clouds(17, 13, 4, seed=3)
    with torch.inference_mode():
        first = sinkhorn_divergence(x, y)
    value, grad_x, _ = outcome(x, y)
    torch.testing.assert_close(value.detach(), first.clone())
    assert grad_x.isfinite().all()


@pytest.mark.parametrize(("debias", "sharp"), MODES)
@pytest.mark.parametrize("p", [1, 2])
def test_default_dtype_and_device_are_of_no_account(debias, sharp, p):
    options = {"debias": debias, "sharp": sharp, "p": p}
    for dtype in (torch.float32, torch.float64):
        x, y = clouds(dtype=dtype)
        expected = outcome(x, y, **options)
        plan = sinkhorn_plan(x, y, p=p)
        for other in (torch.float64, torch.float16):
            with default_dtype(other):
                got = outcome(x, y, **options)
                assert torch.get_default_dtype() == other
                torch.testing.assert_close(got, expected, rtol=0, atol=0)
                torch.testing.assert_close(sinkhorn_plan(x, y, p=p), plan, rtol=0, atol=0)
        with torch.device("meta"):
            got = outcome(x, y, **options)
            in_place = sinkhorn_plan(x, y, p=p)
        assert all(tensor.device == x.device for tensor in got)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        torch.testing.assert_close(in_place, plan, rtol=0, atol=0)


def test_no_global_state_is_moved():
    def state():
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()

    before, random = state(), torch.get_rng_state()
    for options in ({}, {"sharp": True}, {"p": 1}, {"epsilon": 1e-3}, {"debias": "independent"}):
        outcome(*clouds(), **options)
    assert state() == before and torch.equal(random, torch.get_rng_state())


def test_autocast_does_not_reach_the_solver():
    x, y = clouds()
    expected = outcome(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = outcome(x, y)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_autocast_does_not_reach_plan_and_potentials():
    x, y = clouds()
    plan, (f, g, _) = sinkhorn_plan(x, y), sinkhorn_potentials(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, (f_got, g_got, _) = sinkhorn_plan(x, y), sinkhorn_potentials(x, y)
    torch.testing.assert_close((got, f_got, g_got), (plan, f, g), rtol=0, atol=0)


def test_threads_do_not_meet():
    jobs = []
    for seed in range(24):
        # Equal and different shapes at once, as caches would be keyed by them.
        x, y = clouds(20 + seed % 3, 15 + seed % 2, 3, seed=seed)
        jobs.append((x, y, [{}, {"sharp": True}, {"p": 1}, {"epsilon": 0.01}][seed % 4]))

    def solve(job):
        x, y, options = job
        return outcome(x, y, **options)

    serial = [solve(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = [*pool.map(solve, jobs * 3)]
    for got, want in zip(parallel, serial * 3, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)
