"""Encoder and decoder: a network, and the head that puts its output where it belongs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.principal import PrincipalMap
from skotae.costs.base import CostModule
from skotae.networks import LinearPath

MIN_LOG_SCALE, MAX_LOG_SCALE = -6.0, 2.0
# Of posteriors whose means start at principal components.
FIRST_LOG_SCALE = -1.0


def draw_gaussian(
    mean: Tensor, log_scale: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A draw from each diagonal Gaussian, and the standard normal noise behind it."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + log_scale.exp() * noise, noise


def repeated(rows: Tensor, repeats: int | Tensor) -> Tensor:
    """Each row some times, one after the other; or the rows that an index names."""
    if isinstance(repeats, Tensor):
        return rows.index_select(0, repeats)
    return rows if repeats == 1 else rows.repeat_interleave(repeats, dim=0)


def begin_codes(net: nn.Module, path: PrincipalMap, stochastic: bool = False) -> bool:
    """Let a network start with codes as its first d outputs; whether it is one that can.

    With `stochastic` the next d outputs are their log-scales, which start as small constants.
    """
    if not isinstance(net, LinearPath):
        return False
    weight, bias = path.weight, path.bias
    if stochastic:
        weight = torch.cat([weight, torch.zeros_like(weight)])
        bias = torch.cat([bias, torch.full_like(bias, FIRST_LOG_SCALE)])
    net.begin(weight, bias, path.noise)
    return True


class Encoder(nn.Module):
    """Codes of standardised rows, on the support of the prior.

    Parameters
    ----------
    net : nn.Module
        Rows of width n_features to rows of width d, or 2 d if `stochastic`.
    head : nn.Module
        Onto the support of the prior.
    stochastic : bool
        Whether the posterior is Gaussian, with a learned diagonal variance.
    min_log_scale : float
        Lower end of the log-scales of the posterior.
    """

    def __init__(
        self,
        net: nn.Module,
        head: nn.Module,
        stochastic: bool = False,
        min_log_scale: float = MIN_LOG_SCALE,
    ):
        super().__init__()
        self.net = net
        self.head = head
        self.stochastic = stochastic
        self.min_log_scale = min_log_scale

    def begin(self, path: PrincipalMap) -> bool:
        """Let codes, before the head, start as a linear map; whether the network can."""
        return begin_codes(self.net, path, self.stochastic)

    def forward(self, x: Tensor) -> Tensor:
        """Posterior mean (before the head), a deterministic code."""
        return self.head(self.moments(x)[0])

    def sample(self, x: Tensor, generator: torch.Generator, repeats: int | Tensor = 1) -> Tensor:
        """Draws from the posterior of each row, those of one row one after the other.

        Or, with an index, one for each of its entries, from the posterior of the row it names.
        """
        mean, log_scale = self.moments(x)
        mean = repeated(mean, repeats)
        if log_scale is not None:
            mean, _ = draw_gaussian(mean, repeated(log_scale, repeats), generator)
        return self.head(mean)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and, if stochastic, log-scale of the posterior before the head."""
        out = self.net(x)
        if not self.stochastic:
            return out, None
        mean, log_scale = out.chunk(2, dim=1)
        return mean, log_scale.clamp(self.min_log_scale, MAX_LOG_SCALE)


class Decoder(nn.Module):
    """Standardised rows from codes: a network, then the head that the cost asks for.

    Parameters
    ----------
    net : nn.Module
        Codes to raw outputs, as many as the cost asks for.
    cost : CostModule
        Whose ``decode`` takes raw outputs to data space.
    """

    def __init__(self, net: nn.Module, cost: CostModule):
        super().__init__()
        self.net = net
        self.cost: Any = cost

    def forward(self, z: Tensor) -> Tensor:
        return self.cost.decode(self.net(z))

    def cost_of(self, x: Tensor, z: Tensor) -> Tensor:
        """Cost of decoding each code for each row."""
        return self.cost.from_raw(x, self.net(z))
