"""Ground costs: powers of a distance between points."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.transport.base import pairwise_cost
from skotae.utils.base import brief

METRICS = ("minkowski", "euclidean")


def check_metric(metric: str) -> None:
    """Raise ValueError unless `metric` is known."""
    if metric not in METRICS:
        raise ValueError(
            f"metric must be one of {', '.join(map(repr, METRICS))}, got {brief(metric)}."
        )


def cost_matrix(x: Tensor, y: Tensor, p: float, metric: str) -> Tensor:
    """Return the costs (n, m) of all pairs."""
    if metric == "minkowski" or p == 2:
        return pairwise_cost(x, y, p)
    # Not by a matrix product: small distances would be lost to its rounding.
    distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return distance if p == 1 else distance.pow_(p)


def cost_along(gap: Tensor, p: float, metric: str) -> tuple[Tensor, Tensor]:
    """Return the costs (k,) of differences (k, d), and their gradients (k, d)."""
    if p == 2:
        return (gap * gap).sum(1), 2.0 * gap
    if metric == "minkowski":
        size = gap.abs()
        return size.pow(p).sum(1), gap.sign() * size.pow(p - 1) * p
    distance = torch.linalg.vector_norm(gap, dim=1, keepdim=True)
    direction = torch.where(distance > 0, gap / distance, 0.0)
    return distance[:, 0].pow(p), direction * distance.pow(p - 1) * p
