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
    decaying: Iterable[nn.Parameter] = (),
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """Adam, fused into one kernel where the device has one.

    Parameters of `decaying` among the others shrink by the share ``learning_rate *
    weight_decay`` in each step (Loshchilov and Hutter, 2019, Algorithm 2).
    """
    parameters = [p for p in parameters if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    shrink = {id(p) for p in decaying} if weight_decay > 0 else set()
    groups = [
        {"params": [p for p in parameters if id(p) not in shrink], "weight_decay": 0.0},
        {"params": [p for p in parameters if id(p) in shrink], "weight_decay": weight_decay},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=learning_rate,
        betas=betas,
        fused=fused,
    )


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
