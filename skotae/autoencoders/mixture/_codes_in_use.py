"""Codes of components that have a share in a row, and sums over pairs of each component."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skotae.transport.kernel_means import kernel_mean, kernel_mean_within

# Codes of components whose share of a row is smaller, relative to the largest, are left out.
LEAST_SHARE = 0.03
# Pairs of codes, in all components, that are looked at at once.
MOST_PAIRS = 2**16


class Codes(NamedTuple):
    """Which codes of (n, K) have a share that is not 0, component by component.

    Row numbers and components of shape (m,), int64, are on the device of the shares; what they
    come from is known to the host, by one look at the device.
    """

    row: Tensor
    k: Tensor
    mask: np.ndarray

    @classmethod
    def of(cls, share: Tensor) -> Codes:
        """Those of shares (n, K)."""
        mask = (share.detach() != 0).cpu().numpy()
        k, row = (torch.from_numpy(each).to(share.device) for each in mask.T.nonzero())
        return cls(row, k, mask)

    @property
    def counts(self) -> np.ndarray:
        """How many each component has."""
        return self.mask.sum(axis=0)

    def among(self, values: Tensor) -> Tensor:
        """Those of values of shape (n, K, ...), of shape (m, ...)."""
        return values.flatten(0, 1).index_select(0, self.row * values.shape[1] + self.k)

    def rows_of_several(self) -> Tensor:
        """Rows that have more than one code."""
        rows = np.flatnonzero(self.mask.sum(axis=1) > 1)
        return torch.from_numpy(rows).to(self.row.device)


def sum_within_components(points: Tensor, shares: Tensor, counts: np.ndarray) -> Tensor:
    """Sum of a_i a_j K(x_i, x_j) over i != j of one component.

    Points (m, d) and shares (m,) are those of one component after the other, `counts` of each.
    """
    most = int(counts.max())
    if len(counts) * most * most > MOST_PAIRS:
        parts = zip(points.split(counts.tolist()), shares.split(counts.tolist()), strict=True)
        each = (kernel_mean(x, a) for x, a in parts if len(x))
        return sum(each, start=points.new_zeros(()))
    # All components at once, each with room for as many points as the largest has.
    room = np.arange(most) < counts[:, None]
    place = torch.from_numpy(np.flatnonzero(room)).to(points.device)
    x = points.new_zeros(room.size, points.shape[1]).index_copy(0, place, points)
    a = shares.new_zeros(room.size).index_copy(0, place, shares)
    return kernel_mean_within(x.unflatten(0, room.shape), a.unflatten(0, room.shape))


def without_the_least(share: Tensor) -> Tensor:
    """Shares (n, K) with 0 for the least, which make no difference but take time."""
    share = torch.where(share > LEAST_SHARE * share.amax(1, keepdim=True), share, 0.0)
    return share / share.sum(1, keepdim=True)
