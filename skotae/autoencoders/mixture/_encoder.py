"""q(k|x) and the moments of q(z|k,x): the encoder of a discrete and a continuous code."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from skotae.autoencoders.bases.modules import (
    FIRST_LOG_SCALE,
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    draw_gaussian,
)
from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.networks import LinearPath

# Hidden units of the network that a component's moments have for themselves.
N_HIDDEN = 16


class Moments(NamedTuple):
    """Logits of q(k|x) of shape (n, K), means and log-scales of q(z|k,x) of (n, K, d)."""

    logits: Tensor
    mean: Tensor
    log_scale: Tensor

    @property
    def share(self) -> Tensor:
        """q(k|x), of shape (n, K)."""
        return self.logits.softmax(1)

    def draw(self, generator: torch.Generator) -> Tensor:
        """A code from each component's posterior, of shape (n, K, d)."""
        return draw_gaussian(self.mean, self.log_scale, generator)[0]


class ComponentNetworks(nn.Module):
    r"""Moments of each component by a small network of its own, all networks at once.

    .. math::
        (m_k, s_k) = V_k\, \phi(U_k x + a_k) + b_k, \qquad
        \mu_k - \mu^0_k = m_k + g_k \odot (W x + w),

    with the rectifier :math:`\phi`, and s the log-scale. V starts at zero. W and w are those of
    principal components once `begin` is called, zero before, and are not learned; g is.

    Parameters
    ----------
    n_in : int
        Width of a row.
    n_components : int
        Width d of a code.
    n_mixtures : int
        Number K of networks.
    n_hidden : int
        Width of the hidden layer of each.
    """

    begins = row_wise = True
    path: Tensor
    offset: Tensor

    def __init__(self, n_in: int, n_components: int, n_mixtures: int, n_hidden: int = N_HIDDEN):
        super().__init__()
        d, self.shape = n_components, (n_mixtures, n_hidden)
        self.hidden = nn.Linear(n_in, n_mixtures * n_hidden)
        self.weight = nn.Parameter(torch.zeros(n_mixtures, n_hidden, 2 * d))
        self.bias = nn.Parameter(torch.zeros(n_mixtures, 2 * d))
        self.gain = nn.Parameter(torch.ones(n_mixtures, d))
        self.register_buffer("path", torch.zeros(d, n_in))
        self.register_buffer("offset", torch.zeros(d))

    @torch.no_grad()
    def begin(self, weight: Tensor, bias: Tensor) -> None:
        """Take over the linear map, of shapes (d, n_in) and (d,)."""
        self.path.copy_(weight)
        self.offset.copy_(bias)
        self.bias[:, len(bias) :] = FIRST_LOG_SCALE

    def forward(self, x: Tensor) -> Tensor:
        """Differences of the moments from the prior's, of shape (n, K * 2 d)."""
        hidden = self.hidden(x).relu().unflatten(1, self.shape).transpose(0, 1)
        out = torch.baddbmm(self.bias[:, None], hidden, self.weight).transpose(0, 1)
        mean, log_scale = out.chunk(2, dim=2)
        code = linear(x, self.path, self.offset)[:, None]
        return torch.cat([torch.addcmul(mean, self.gain, code), log_scale], dim=2).flatten(1)


class MixtureEncoder(nn.Module):
    """q(k|x) and the moments of q(z|k,x), as differences from those of the prior.

    Parameters
    ----------
    net : nn.Module
        From rows to logits of q(k|x) and, if `moments_net` is None, to the differences.
    prior_means : Tensor of shape (K, d)
    moments_net : nn.Module, optional
        From rows to the differences, of shape (n, 2 K d).
    """

    prior_means: Tensor

    def __init__(
        self,
        net: nn.Module,
        prior_means: Tensor,
        moments_net: nn.Module | None = None,
    ):
        super().__init__()
        self.net = net
        self.moments_net = moments_net
        self.register_buffer("prior_means", prior_means.to(torch.float32))

    def logits(self, x: Tensor) -> Tensor:
        """Of q(k|x)."""
        return self.net(x)[:, : len(self.prior_means)]

    def moments(self, x: Tensor) -> Moments:
        """Of each row."""
        k, d = self.prior_means.shape
        out = self.net(x)
        of_z = out[:, k:] if self.moments_net is None else self.moments_net(x)
        shift, log_scale = of_z.reshape(-1, k, 2 * d).chunk(2, dim=2)
        return Moments(
            out[:, :k], self.prior_means + shift, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
        )

    def begin(self, path: PrincipalMap) -> bool:
        """Let each component's mean start as a linear map; whether the network can.

        Where it also has q(k|x), this starts as what the prior, whose components have scale 1,
        has at that code.
        """
        weight, bias = path.weight, path.bias
        if isinstance(self.moments_net, ComponentNetworks):
            self.moments_net.begin(weight, bias)
            return True
        if self.moments_net is not None or not isinstance(self.net, LinearPath):
            return False
        mu = self.prior_means
        zeros = torch.zeros_like(weight)
        weights = [mu @ weight]
        biases = [mu @ bias - 0.5 * mu.square().sum(1)]
        for mean in mu:
            weights += [weight, zeros]
            biases += [bias - mean, torch.full_like(bias, FIRST_LOG_SCALE)]
        self.net.begin(torch.cat(weights), torch.cat(biases))
        return True

    def forward(self, x: Tensor) -> Tensor:
        """Posterior mean of z."""
        moments = self.moments(x)
        return (moments.share[:, :, None] * moments.mean).sum(1)
