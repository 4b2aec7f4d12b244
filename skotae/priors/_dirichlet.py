"""Dirichlet prior on the simplex."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.priors.base import BasePrior, device_of, draw_child_seed


class DirichletPrior(BasePrior):
    r"""Dirichlet distribution on the simplex.

    .. math::
        p(z) = \frac{\Gamma(\sum_k a_k)}{\prod_k \Gamma(a_k)} \prod_k z_k^{a_k - 1},
        \qquad z_k \ge 0, \quad \sum_k z_k = 1

    with respect to the first d - 1 coordinates. The encoder ends in a softmax.

    Parameters
    ----------
    concentration : float or array-like of shape (n_components,), default=1.0
        :math:`a_k`; one number stands for all. 1 is the uniform distribution, less
        draws codes to the corners, of which each is one group of rows.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import DirichletPrior
    >>> z = DirichletPrior(0.01).sample(4, 3, torch.Generator().manual_seed(0))
    >>> torch.allclose(z.sum(1), torch.ones(4))
    True
    >>> mean, _ = DirichletPrior([1.0, 3.0]).moments(2)
    >>> mean.tolist()
    [0.25, 0.75]
    """

    min_components = 2

    def __init__(self, concentration: Any = 1.0):
        self.concentration = concentration

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        self._concentration(d)

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        device = device_of(generator)
        if device.type not in ("cpu", "cuda"):  # neither gamma draws nor float64 there
            child = torch.Generator().manual_seed(draw_child_seed(generator))
            return self.sample(n, d, child, dtype=dtype).to(device)
        a = self._concentration(d).to(device).expand(n, d)
        # A gamma variable of shape a < 0.2 underflows; its logarithm, that of one of shape
        # a + 1 plus log(U) / a, does not.
        gamma = torch._standard_gamma(a + 1.0, generator=generator)
        u = 1.0 - torch.rand(n, d, generator=generator, dtype=torch.float64, device=device)
        return (gamma.log() + u.log() / a).softmax(1).to(dtype)

    def head(self, d: int) -> nn.Module:
        return nn.Softmax(dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d) on the simplex.

        Coordinates of 0 count as the smallest normal number, so that it is finite.
        """
        a = self._concentration(z.shape[-1])
        constant = a.sum().lgamma() - a.lgamma().sum()
        logs = z.clamp_min(torch.finfo(z.dtype).tiny).log()
        return ((a - 1.0).to(z) * logs).sum(-1) + float(constant)

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        a = self._concentration(d)
        mean = a / a.sum()
        return mean, (mean.diag() - torch.outer(mean, mean)) / (a.sum() + 1.0)

    def _concentration(self, d: int) -> Tensor:
        a = np.asarray(self.concentration, dtype=np.float64)
        if a.ndim > 1 or a.size == 0 or not ((a > 0) & np.isfinite(a)).all():
            raise ValueError(
                f"concentration={self.concentration!r} of DirichletPrior; expected a number above "
                "0, or one for each component."
            )
        if a.ndim == 1 and len(a) != d:
            raise ValueError(
                f"n_components={d}, but concentration of DirichletPrior has {len(a)} entries; "
                f"expected n_components={len(a)}, or one number for all components."
            )
        return torch.tensor(np.broadcast_to(a, (d,)).copy())
