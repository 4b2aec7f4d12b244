"""Potentials and posterior of the coupled variational autoencoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class DualNetworks(nn.Module):
    """The dual potentials as networks, in units of epsilon."""

    def __init__(self, u_net: nn.Module, v_net: nn.Module | None = None):
        super().__init__()
        self.u_net = u_net
        self.v_net = v_net

    def u(self, x: Tensor, epsilon: float) -> Tensor:
        """Potential of rows."""
        return epsilon * self.u_net(x)[:, 0]

    def v(self, z: Tensor, epsilon: float) -> Tensor:
        """Potential of codes; only in the full dual."""
        assert self.v_net is not None
        return epsilon * self.v_net(z)[:, 0]


class DualTable:
    """One potential for each training row, moved towards mini-batch solutions.

    A plan that follows each mini-batch alone would inherit its sampling noise: how many
    rows of a mode it happens to hold. The average over mini-batches does not.
    """

    def __init__(self, n_rows: int, device: torch.device):
        self.values = torch.zeros(n_rows, device=device)

    def move(
        self,
        log_kernel: Tensor,
        log_b: Tensor,
        rows: Tensor | None,
        *,
        n_steps: int,
        unit: float,
    ) -> Tensor:
        """Sinkhorn from the stored potentials of a mini-batch; store the half-way point.

        Parameters
        ----------
        log_kernel : Tensor of shape (n, m)
            Minus cost over epsilon.
        log_b : Tensor of shape (m,)
            Logarithms of the weights of the draws.
        rows : Tensor of shape (n,) or None
            Row numbers; None solves for new rows and stores nothing.
        n_steps : int
            Number of Sinkhorn iterations.
        unit : float
            What stored potentials are multiplied by.

        Returns
        -------
        u : Tensor of shape (n,)
            Potentials over epsilon.
        """
        log_n = math.log(len(log_kernel))
        if rows is None:
            start = log_kernel.new_zeros(len(log_kernel))
        else:
            rows = rows.to(self.values.device)
            start = self.values[rows] / unit
        f = start
        for _ in range(n_steps):
            g = -(f[:, None] + log_kernel - log_n).logsumexp(0)
            f = -(g + log_b + log_kernel).logsumexp(1)
        f = f - f.mean() + start.mean()
        if rows is None:
            return f
        # A loss that is not finite is rolled back; so must these be.
        moved = torch.where(f.isfinite(), 0.5 * (start + f), start)
        self.values[rows] = moved * unit
        return moved


class PosteriorBank(nn.Module):
    """Prior draws with what they decode to and their logarithmic weights v(z) / epsilon."""

    z: Tensor
    raw: Tensor
    log_weight: Tensor

    def __init__(self, z: Tensor, raw: Tensor, log_weight: Tensor):
        super().__init__()
        self.register_buffer("z", z.detach())
        self.register_buffer("raw", raw.detach())
        self.register_buffer("log_weight", log_weight.detach())
