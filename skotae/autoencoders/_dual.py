"""Potentials and posterior of the coupled variational autoencoder."""

from __future__ import annotations

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
