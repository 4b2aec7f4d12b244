"""The solver's path for other devices, which keeps all arrays in torch, run on the CPU."""

import pytest
import torch

from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_divergence,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_potentials,
)


def _clouds(dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(61, 3, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(47, 3, generator=generator, dtype=torch.float64) + 0.4
    return x.to(dtype).requires_grad_(), y.to(dtype).requires_grad_()


@pytest.fixture
def arrays_in_torch(monkeypatch):
    for module in ("arrays", "kernel", "scaling"):
        monkeypatch.setattr(f"skotae.transport.entropic.{module}.namespace", lambda device: torch)


OPTIONS = [
    {},
    {"debias": "independent"},
    {"epsilon": 0.01},
    {"epsilon": 1e-4, "debias": "none"},
    {"p": 1},
    {"sharp": True},
    {"max_memory": 1e-4},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_agrees_with_numpy_in_float64(options, request):
    x, y = _clouds(torch.float64)
    options = {"tol": 1e-9, "max_iter": 10_000, **options}
    expected = sinkhorn_divergence(x, y, **options)
    gradients = torch.autograd.grad(expected, (x, y))
    request.getfixturevalue("arrays_in_torch")
    value = sinkhorn_divergence(x, y, **options)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)
    for got, want in zip(torch.autograd.grad(value, (x, y)), gradients, strict=True):
        assert (got - want).norm() <= 1e-6 * want.norm()


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_float32_reaches_the_tolerance(options, arrays_in_torch):
    x, y = _clouds(torch.float32)
    _, info = sinkhorn_divergence(x, y, return_info=True, **options)
    assert info.converged and info.marginal_violation <= 1e-3


def test_weights_and_costs(arrays_in_torch):
    x, y = _clouds(torch.float64)
    a, b = torch.linspace(1, 2, 61), torch.linspace(3, 1, 47)
    cost = (x[:, None] - y).square().sum(2)
    options = {"a": a, "b": b, "epsilon": 0.5, "relative": False, "tol": 1e-9}
    of_clouds = sinkhorn_divergence(x, y, debias="none", **options)
    torch.testing.assert_close(of_clouds, sinkhorn_cost(cost, **options))


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
def test_batches(debias, request):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 20, 3, generator=generator, dtype=torch.float64)
    y, a = x.flip(1) * 0.7 + 0.4, 1 + torch.rand(6, 20, generator=generator, dtype=torch.float64)
    x[4, 0, 0] = torch.nan
    leaves = [x.requires_grad_(), a.requires_grad_()]
    options = {"a": a, "debias": debias, "tol": 1e-9}
    expected = sinkhorn_divergence(x, y, **options)
    gradients = torch.autograd.grad(expected.nansum(), leaves)
    request.getfixturevalue("arrays_in_torch")
    values = sinkhorn_divergence(x, y, **options)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=0, equal_nan=True)
    for got, want in zip(torch.autograd.grad(values.nansum(), leaves), gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("epsilon", [0.1, 0.002])
def test_unbalanced(kind, epsilon, request):
    x, y = _clouds(torch.float64)
    a = torch.linspace(0, 0.03, 61, dtype=torch.float64, requires_grad=True)
    options = {"a": a, "epsilon": epsilon, "rho": 0.5, "unbalanced_type": kind, "tol": 1e-9}
    results = []
    for _ in range(2):
        value = unbalanced_sinkhorn_divergence(x, y, **options)
        f, g, info = unbalanced_sinkhorn_potentials(x, y, **options)
        start = {"potentials_init": (f, g), **options, "tol": 2e-9}
        _, _, warm = unbalanced_sinkhorn_potentials(x, y, **start)
        assert info.converged and warm.n_iter <= 2
        results.append((value.detach(), *torch.autograd.grad(value, (x, y, a)), f, g))
        request.getfixturevalue("arrays_in_torch")
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)
