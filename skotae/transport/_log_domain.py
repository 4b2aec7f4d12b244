"""The robust half of the Sinkhorn solver: log-domain half steps and epsilon scaling.

Everything here is in bits, batched, and free of overflow for every finite cost.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SHALLOW = 64.0  # bits of mean exponent that plain iterations handle from a cold start
_FLOOR = -120.0  # bits below the largest term, where exp2 would become slow
_STEPS = 4  # iterations at each level of epsilon


def log2_sum_exp2(values: Tensor, dim: int) -> Tensor:
    """Return ``log2 sum exp2(values)`` along `dim`, which is kept."""
    top = values.amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    return (values - top).clamp_min_(_FLOOR).exp2_().sum(dim, keepdim=True).log2_().add_(top)


def column_update(log_kernel: Tensor, a: Tensor, f: Tensor) -> Tensor:
    """Return ``g = -log2 sum_i a_i exp2(L_ij + f_i)``, of shape (B, 1, m)."""
    return -log2_sum_exp2(log_kernel + (f + a.log2()).mT, 1)


def row_update(log_kernel: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """Return ``f = -log2 sum_j b_j exp2(L_ij + g_j)``, of shape (B, 1, n)."""
    return -log2_sum_exp2(log_kernel + (g + b.log2()), 2).mT


def anneal(log_kernel: Tensor, a: Tensor, b: Tensor, *, depth: float) -> tuple[Tensor, Tensor, int]:
    """Epsilon scaling: halve epsilon from where the mean exponent is shallow.

    Parameters
    ----------
    log_kernel : Tensor of shape (B, n, m)
    a, b : Tensor of shape (B, 1, n) and (B, 1, m)
    depth : float
        Mean of ``-log_kernel``.

    Returns
    -------
    f, g : Tensor of shape (B, 1, n) and (B, 1, m)
        Potentials to start from at the full `log_kernel`.
    n_iter : int
    """
    levels = max(0, math.ceil(math.log2(max(depth, 1.0) / _SHALLOW)))
    f = torch.zeros_like(a)
    for level in range(levels, 0, -1):
        scaled = log_kernel * 2.0**-level
        for _ in range(_STEPS):
            f = row_update(scaled, b, column_update(scaled, a, f))
        f = f * 2.0
    g = column_update(log_kernel, a, f)
    return row_update(log_kernel, b, g), g, levels * _STEPS


def iterate(
    log_kernel: Tensor, a: Tensor, b: Tensor, f: Tensor, *, tol: float, max_iter: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Run plain log-domain iterations from `f`: slow, and right wherever the rest fails.

    Returns
    -------
    f, g : Tensor of shape (B, 1, n) and (B, 1, m)
    violation : Tensor of shape (B,)
    n_iter : int
    """
    n_iter = 0
    while True:
        g = column_update(log_kernel, a, f)
        f_next = row_update(log_kernel, b, g)
        violation = (a * ((f - f_next).exp2() - 1).abs()).sum((1, 2))
        f = f_next
        n_iter += 1
        if n_iter >= max_iter or not violation.amax().item() > tol:
            return f, g, violation, n_iter
