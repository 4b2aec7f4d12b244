"""Optimisers, learning-rate schedules, and whether a loss still fell at the end of one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

SCHEDULES = ("cosine", "constant")
# Fewer epochs tell nothing of a trend. Half of what a straight line falls is in the second half
# of the steps, and a fifth or less of what settles.
LEAST_EPOCHS, STILL = 10, 0.45


class _AdamW(torch.optim.AdamW):
    """AdamW without what tells torch.compile to keep out: that would import all of it.

    A second, and 70 MB, of the first fit of a process, in which nothing of it is used.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


def make_optimiser(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    decaying: Iterable[nn.Parameter] = (),
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """Adam, fused into one kernel where the device has one.

    Parameters of `decaying` among the others shrink by the share ``learning_rate *
    weight_decay`` in each step (Loshchilov and Hutter, 2019, Algorithm 2). Groups, and with them
    the order of what is kept of each parameter, do not depend on the numbers.
    """
    parameters = [p for p in parameters if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    shrink = {id(p) for p in decaying}
    groups = [
        {"params": [p for p in parameters if id(p) not in shrink], "weight_decay": 0.0},
        {"params": [p for p in parameters if id(p) in shrink], "weight_decay": weight_decay},
    ]
    return _AdamW(
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


def clear_gradients(optimiser: torch.optim.Optimizer) -> None:
    """What ``zero_grad`` does, without what it looks at on the way."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def late_share(losses: ArrayLike, schedule: str = "constant") -> float | None:
    """Share of the fall of a loss that is in the second half of the steps, measured by their size.

    None unless it is large, 45 % at the least, and the fall there five times what the loss
    jumps by from one epoch to the next.

    Parameters
    ----------
    losses : array-like of shape (n_epochs,)
        Mean of each epoch.
    schedule : str, default="constant"
        Of the learning rate.
    """
    loss = np.asarray(losses, dtype=np.float64)
    n = len(loss)
    if n < LEAST_EPOCHS:
        return None
    sizes = np.cumsum([schedule_factor(schedule, (i + 0.5) / n) for i in range(n)])
    half, width = int(np.searchsorted(sizes, sizes[-1] / 2)), max(1, n // 10)
    places = (0, max(0, half - width // 2), n - width)
    start, middle, end = (loss[i : i + width].mean() for i in places)
    fall, jumps = middle - end, np.abs(np.diff(loss[half:]))
    noise = jumps.mean() / np.sqrt(width) if len(jumps) else 0.0
    if not (fall > 5 * noise and fall > STILL * (start - end)):
        return None
    # Where it rose before, all of the fall is late.
    return float(min(1.0, fall / max(start - end, fall)))
