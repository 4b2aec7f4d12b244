"""A bank of prior draws, over which the posterior is found by importance weights."""

from __future__ import annotations

import math
import warnings
from typing import Any

from torch import Tensor, nn

from skotae.exceptions import ConvergenceWarning
from skotae.transport import sinkhorn_potentials, unbalanced_sinkhorn_potentials

BANK_TOL = 0.01


class PosteriorBank(nn.Module):
    """Prior draws with what they decode to and their logarithmic weights v(z) / epsilon."""

    z: Tensor | None
    raw: Tensor | None
    log_weight: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("z", "raw", "log_weight"):
            self.register_buffer(name, None)

    def fill(self, z: Tensor, raw: Tensor, log_weight: Tensor) -> None:
        """Keep draws of shape (m, d), their raw outputs and their weights (m,)."""
        self.z, self.raw, self.log_weight = z.detach(), raw.detach(), log_weight.detach()


def bank_potentials(
    cost: Tensor, b: Tensor, epsilon: float, max_iter: int, weight: float | None
) -> Tensor:
    """v of draws of weights b, from the entropic problem between rows and draws.

    With a `weight` the marginal of the draws is relaxed.

    The rows of the plan, of equal weights, are exact; the draws miss `BANK_TOL` of theirs in sum,
    or what is left after `max_iter` iterations. A cost that is not finite has none that are.
    """
    if not cost.isfinite().all():
        return cost.new_full((cost.shape[1],), math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        options: dict[str, Any] = {
            "epsilon": epsilon,
            "relative": False,
            "tol": BANK_TOL,
            "max_iter": max_iter,
        }
        if weight is None:
            return sinkhorn_potentials(cost=cost, b=b, **options)[1]
        rho = (math.inf, weight)
        return unbalanced_sinkhorn_potentials(cost=cost, b=b, rho=rho, **options)[1]
