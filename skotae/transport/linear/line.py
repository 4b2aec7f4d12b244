"""Transport on a line, where the plan of sorted points is a staircase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_PLACES = 2**28  # a single-precision number made double has 29 bits to spare


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


def sort_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return every row sorted, and its argsort.

    On CPU by NumPy, whose sort is many times faster than torch's, and than its own argsort:
    numbers of single precision are sorted as double ones with their place in the spare last bits.
    """
    if values.device.type != "cpu":
        return values.sort(1)
    exact = torch.finfo(values.dtype).bits == 64 or values.shape[1] > _PLACES
    if exact or not math.isfinite(values.sum(dtype=torch.float64).item()):
        order = torch.from_numpy(np.argsort(values.double().numpy(), axis=1))
        return values.gather(1, order), order
    keys = values.double()
    bits = keys.view(torch.int64)
    bits |= torch.arange(values.shape[1])
    keys.numpy().sort(axis=1)
    return keys.to(values.dtype), bits.bitwise_and_(_PLACES - 1)


def _quantile_coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the (i, j, mass) of the monotone coupling of n and m sorted, equally heavy points."""
    cuts = np.union1d(np.arange(n, dtype=np.int64) * m, np.arange(m, dtype=np.int64) * n)
    mass = np.diff(np.append(cuts, n * m)) / (n * m)
    rows, columns = torch.from_numpy(cuts // m), torch.from_numpy(cuts // n)
    return rows.to(device), columns.to(device), torch.from_numpy(mass)


def transport_rows(
    px: Tensor,
    py: Tensor,
    p: float,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    wanted: Sequence[bool] = (True, True, False, False),
) -> tuple[Tensor, list[Tensor | None]]:
    """Return ``W_p^p`` of every row of (L, n) and (L, m), and those of its gradients `wanted`.

    Parameters
    ----------
    px, py : Tensor of shape (L, n) and (L, m)
    p : float
    a, b : Tensor of shape (n,) and (m,), optional
        Weights of sum one, in the widest dtype, both or none; uniform by default.
    wanted : sequence of bool
        For `px`, `py` and the dual potentials, the gradients for `a` and `b`; these only if `a` and
        `b` are given.
    """
    (sorted_x, order_x), (sorted_y, order_y) = sort_rows(px), sort_rows(py)
    n, m = px.shape[1], py.shape[1]
    f: Tensor | None = None
    g: Tensor | None = None
    if a is not None and b is not None:
        stairs = staircases(a[order_x], b[order_y])
        gap = (sorted_x.gather(1, stairs.i) - sorted_y.gather(1, stairs.j)).to(a)
        cost = gap.abs().pow(p)
        values = (stairs.mass * cost).sum(1).to(px)
        slope = (gap.sign() * gap.abs().pow(p - 1) * (p * stairs.mass)).to(px)
        slope_x = torch.zeros_like(px).scatter_add_(1, stairs.i, slope)
        slope_y = torch.zeros_like(py).scatter_add_(1, stairs.j, -slope)
        if wanted[2] or wanted[3]:
            f, g = stairs.potentials(cost)
    elif n == m:
        gap = sorted_x - sorted_y
        slope = gap * (2 / n) if p == 2 else gap.sign() * gap.abs().pow(p - 1) * (p / n)
        values = (gap * gap if p == 2 else gap.abs().pow(p)).mean(1)
        slope_x, slope_y = slope, -slope
    else:
        rows, columns, mass = _quantile_coupling(n, m, px.device)
        mass = mass.to(px)
        gap = sorted_x[:, rows] - sorted_y[:, columns]
        values = gap.abs().pow(p) @ mass
        slope = gap.sign() * gap.abs().pow(p - 1) * (p * mass)
        slope_x = torch.zeros_like(px).index_add_(1, rows, slope)
        slope_y = torch.zeros_like(py).index_add_(1, columns, -slope)
    sorted_gradients = ((order_x, slope_x), (order_y, slope_y), (order_x, f), (order_y, g))
    return values, [
        torch.empty_like(each).scatter_(1, order, each) if want and each is not None else None
        for (order, each), want in zip(sorted_gradients, wanted, strict=True)
    ]
