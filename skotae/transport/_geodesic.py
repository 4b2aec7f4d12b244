"""Distances on a sphere."""

from __future__ import annotations

import torch
from torch import Tensor


def geodesic_distances(z: Tensor, y: Tensor) -> Tensor:
    r"""Distances along the great circles of a sphere.

    .. math:: r\, \theta, \qquad \tan \frac\theta2 = \frac{|z - y|}{|z + y|}

    They are exact for small angles too, where the arc cosine is not, and gradients are finite where
    points are the same, or antipodes.

    Parameters
    ----------
    z, y : Tensor of shape (n, d) and (m, d)
        Points of one length r.

    Returns
    -------
    distances : Tensor of shape (n, m)

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import geodesic_distances
    >>> geodesic_distances(torch.tensor([[2.0, 0.0]]), 2 * torch.eye(2)).round(decimals=3)
    tensor([[0.0000, 3.1420]])
    """
    exact = "donot_use_mm_for_euclid_dist"
    chord = torch.cdist(z, y, compute_mode=exact)
    across = torch.cdist(z, -y, compute_mode=exact)
    radius = torch.linalg.vector_norm(y.detach(), dim=1)
    return 2.0 * radius * torch.atan2(chord, across)
