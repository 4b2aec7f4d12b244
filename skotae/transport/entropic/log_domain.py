"""Sums of powers of two in the log domain: free of overflow for every finite cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LN2 = math.log(2.0)  # nats in a bit
_FLOOR = -120.0  # bits below the largest term, where exp2 would become slow


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
