"""Soft c-transform, the half step of the semi-dual of entropic optimal transport."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skotae.transport.base import check_positive

_BLOCK = 2**24  # elements of the cost that are exponentiated at once


def c_transform(u: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    r"""Soft c-transform of a potential, in the log domain.

    .. math::
        u^{c, \varepsilon}(z_j)
        = -\varepsilon \log \frac1n \sum_{i=1}^n \exp\frac{u_i - C_{ij}}{\varepsilon}

    Parameters
    ----------
    u : Tensor of shape (n,)
        Potential at the data points.
    cost : Tensor of shape (n, m)
        ``C_ij = c(x_i, z_j)``.
    epsilon : float
        Regularisation, in units of the cost.

    Returns
    -------
    Tensor of shape (m,)
        In the dtype of `cost`; differentiable in `u` and `cost`, any number of times.

    Raises
    ------
    ValueError
        If the shapes do not match or `epsilon` is not positive.

    References
    ----------
    .. [1] Hao and Shafto (2023), Coupled variational autoencoder, the semi-dual, eq. 18.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import c_transform
    >>> c_transform(torch.zeros(2), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), epsilon=0.01)
    tensor([0.0069, 1.0000])
    """
    check_positive("epsilon", epsilon)
    if cost.ndim != 2 or cost.numel() == 0:
        raise ValueError(f"cost must be a non-empty matrix, got shape {tuple(cost.shape)}.")
    if u.shape != cost.shape[:1]:
        raise ValueError(
            f"u must have shape ({cost.shape[0]},) to match cost, got {tuple(u.shape)}."
        )
    offset = math.log(len(u))
    columns = max(1, _BLOCK // len(u))
    blocks = [
        torch.logsumexp((u[:, None] - block) / epsilon, 0) for block in cost.split(columns, dim=1)
    ]
    return -epsilon * (torch.cat(blocks) - offset)
