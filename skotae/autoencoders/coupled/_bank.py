"""A bank of prior draws, over which the posterior is found by importance weights."""

from __future__ import annotations

import math
import warnings

from torch import Tensor, nn

from skotae.exceptions import ConvergenceWarning
from skotae.transport import sinkhorn_potentials

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


def balanced_potentials(cost: Tensor, b: Tensor, epsilon: float, max_iter: int) -> Tensor:
    """v of draws of weights b, from the entropic problem between rows and draws.

    The rows of the plan, of equal weights, are exact; the draws miss `BANK_TOL` of theirs in sum,
    or what is left after `max_iter` iterations. A cost that is not finite has none that are.
    """
    if not cost.isfinite().all():
        return cost.new_full((cost.shape[1],), math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, v, _ = sinkhorn_potentials(
            cost=cost, b=b, epsilon=epsilon, relative=False, tol=BANK_TOL, max_iter=max_iter
        )
    return v
