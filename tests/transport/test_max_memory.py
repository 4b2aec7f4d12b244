"""Kernels that are made in blocks instead of stored."""

import textwrap

import pytest
import torch

from skotae.transport import sinkhorn_divergence, sinkhorn_potentials


def _clouds(n=300, m=250, d=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def _solved(max_memory, **options):
    x, y = (cloud.requires_grad_() for cloud in _clouds())
    value = sinkhorn_divergence(x, y, max_memory=max_memory, **options)
    return value.detach(), *torch.autograd.grad(value, (x, y))


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks also for clouds that are quickly solved."""
    monkeypatch.setattr("skotae.transport.entropic.kernel._BLOCK", 2**12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"debias": "independent"},
        {"epsilon": 0.01},
        {"epsilon": 1e-3, "debias": "none", "max_iter": 20_000},
        {"p": 1},
        {"p": 3, "debias": "independent"},
    ],
    ids=str,
)
def test_blocks_change_nothing(options, small_blocks):
    options = {"tol": 1e-8, **options}
    stored, in_blocks = _solved(1000, **options), _solved(1e-3, **options)
    for got, want in zip(in_blocks, stored, strict=True):
        assert (got - want).norm() <= 1e-6 * want.norm()


def test_potentials_in_blocks(small_blocks):
    x, y = _clouds()
    stored = sinkhorn_potentials(x, y, tol=1e-9)
    in_blocks = sinkhorn_potentials(x, y, tol=1e-9, max_memory=1e-3)
    for got, want in zip(in_blocks[:2], stored[:2], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-7)


def test_memory_is_bounded(start_process):
    # The kernel alone would have 195 MB. In a process of its own, since a peak never falls.
    code = """
        import resource, sys
        import torch
        from skotae.transport import sinkhorn_divergence

        def peak():
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

        torch.set_num_threads(1)
        x, y = torch.randn(2, 7000, 4, generator=torch.Generator().manual_seed(0))
        small = x[:50].clone().requires_grad_()
        sinkhorn_divergence(small, y[:50]).backward()
        before = peak()
        x.requires_grad_()
        sinkhorn_divergence(x, y, max_memory=16).backward()
        print(peak() - before)
    """
    status, text = start_process(code=textwrap.dedent(code)).finish()
    assert status == 0, text
    assert int(text) < 80e6


def test_sharp_needs_the_plan():
    x, y = _clouds()
    with pytest.raises(ValueError, match=r"plans of 1 MiB .* got max_memory=0.5"):
        sinkhorn_divergence(x, y, sharp=True, max_memory=0.5)


@pytest.mark.parametrize("max_memory", [0, -1.0, float("nan")])
def test_bad_values(max_memory):
    x, y = _clouds()
    with pytest.raises(ValueError, match="max_memory must be a finite number > 0"):
        sinkhorn_divergence(x, y, max_memory=max_memory)
    with pytest.raises(ValueError, match="max_memory must be a finite number > 0"):
        sinkhorn_potentials(x, y, max_memory=max_memory)
