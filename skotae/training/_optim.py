"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

SCHEDULES = ("cosine", "constant")


def make_optimiser(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Adam:
    """Adam, fused into one kernel where the device has one."""
    parameters = [p for p in parameters if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=fused)


def schedule_factor(schedule: str, progress: float) -> float:
    """Learning rate relative to its initial value, after a share `progress` of the steps.

    ``"cosine"`` falls from 1 to 0.01 along half a cosine (Loshchilov and Hutter, 2017,
    eq. 5, without restarts).
    """
    if schedule == "constant":
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = value
