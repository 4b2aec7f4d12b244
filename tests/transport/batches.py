"""Batches of problems, and the loop over them."""

import torch

from skotae.transport import sinkhorn_divergence

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


def outcome(x, y, a=None, b=None, *, loop=False, function=sinkhorn_divergence, **options):
    """Values, and gradients of a weighted sum of them."""
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in (x, y, a, b)]
    if loop:
        values = torch.stack(
            [
                function(
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
        values = function(*leaves[:2], a=leaves[2], b=leaves[3], **options)
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
