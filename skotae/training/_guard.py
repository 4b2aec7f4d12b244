"""What to do about losses and weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor, nn

from skotae.exceptions import NonFiniteLossError
from skotae.training._state import TrainingState

MAX_ROLLBACKS = 3

ADVICE = {
    "reconstruction": "Lower learning_rate_init, or look for extreme values in X.",
    "loss": "Lower learning_rate_init.",
}


def fault_of(terms: Mapping[str, float], model: nn.Module) -> str | None:
    """Name of a term that is not finite; "loss" where weights are not; None if all is well."""
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        return bad[0]
    # A sum is not finite where a weight is not: one pass, and one look at the device.
    sums = [p.detach().sum() for p in model.parameters()]
    if bool(torch.stack(sums).isfinite().all()):
        return None
    # That of finite ones may be beyond the range.
    finite = all(torch.isfinite(p).all() for p in model.parameters())
    return None if finite else "loss"


def term_at_fault(terms: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """Name of the first term that is not finite, or that has a slope which is not.

    For weights that are finite: once a step has gone wrong, all terms are NaN.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    for name, value in terms.items():
        found = [value.detach()]
        if value.requires_grad:
            slopes = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
            found += [slope for slope in slopes if slope is not None]
        if not all(torch.isfinite(each).all() for each in found):
            return name
    return None


def roll_back(state: TrainingState) -> None:
    """Back to the last good weights, with steps half as long."""
    # The last step of an epoch may have led to finite weights whose loss is not: if smaller
    # steps from there fail too, go back to the weights of one epoch before.
    state.rewind(state.before if state.n_rollbacks else state.good)
    state.n_rollbacks += 1
    state.step_factor *= 0.5


def give_up(term: str, epoch: int, advice: Mapping[str, str], cause: Exception | None) -> NoReturn:
    """Raise the error that names a term and what to change."""
    other = f"Lower learning_rate_init or the weight of {term!r}."
    raise NonFiniteLossError(term, epoch, {**ADVICE, **advice}.get(term, other)) from cause
