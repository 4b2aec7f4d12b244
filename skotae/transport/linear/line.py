"""Transport on a line, where the plan of sorted points is a staircase."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Staircases:
    """Optimal plans of pairs of sorted rows, (L, n) and (L, m), for any convex cost of the gap.

    Attributes
    ----------
    i, j : Tensor of shape (L, n + m - 1)
        Places of the entries, from the first pair of points to the last.
    mass : Tensor of shape (L, n + m - 1)
        Some may be zero.
    along_x : Tensor of shape (L, n + m - 1)
        Whether a step goes to the next x; else it goes to the next y. False at the first pair.
    """

    i: Tensor
    j: Tensor
    mass: Tensor
    along_x: Tensor

    def potentials(self, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Return the dual potentials (L, n) and (L, m), from the costs of the entries.

        By every step the cost changes as the potential of the point it goes to.
        """
        rise, rows = cost[:, 1:] - cost[:, :-1], len(cost)
        along_x, start = self.along_x[:, 1:], cost.new_zeros(rows, 1)
        f = torch.cat((cost[:, :1], rise[along_x].view(rows, -1)), 1).cumsum(1)
        g = torch.cat((start, rise[~along_x].view(rows, -1)), 1).cumsum(1)
        return f, g


def staircases(a: Tensor, b: Tensor) -> Staircases:
    """Return the plans of rows of sorted points with weights (L, n) and (L, m), of sum one."""
    rows, n = a.shape
    levels = torch.cat((a.cumsum(1)[:, :-1], b.cumsum(1)[:, :-1]), 1)
    levels, steps = levels.sort(dim=1, stable=True)
    along_x = torch.cat((steps.new_zeros(rows, 1, dtype=torch.bool), steps < n - 1), 1)
    i = along_x.cumsum(1)
    j = torch.arange(along_x.shape[1], device=a.device) - i
    ends = levels.new_zeros(rows, 1), levels, levels.new_ones(rows, 1)
    return Staircases(i, j, torch.cat(ends, 1).clamp_max_(1.0).diff(dim=1), along_x)
