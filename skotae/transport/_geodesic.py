"""Distances on a sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.transport.base import check_clouds
from skotae.transport.ground import in_one_dtype


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
        In the wider dtype of `z` and `y`.

    Raises
    ------
    ValueError
        If a shape or dtype is invalid, or the features differ.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import geodesic_distances
    >>> geodesic_distances(torch.tensor([[2.0, 0.0]]), 2 * torch.eye(2)).round(decimals=3)
    tensor([[0.0000, 3.1420]])
    """
    check_clouds(z, y, names="zy")
    given_z, given_y = in_one_dtype(z, y)
    # Distances of half precision are not there on the CPU.
    wide = torch.promote_types(given_z.dtype, torch.float32)
    z, y = given_z.to(wide), given_y.to(wide)
    exact = "donot_use_mm_for_euclid_dist"
    chord = torch.cdist(z, y, compute_mode=exact)
    across = torch.cdist(z, -y, compute_mode=exact)
    radius = torch.linalg.vector_norm(y.detach(), dim=1)
    return (2.0 * radius * torch.atan2(chord, across)).to(given_z.dtype)
