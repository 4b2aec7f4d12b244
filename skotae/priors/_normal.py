"""Normal priors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.priors.base import BasePrior, device_of, positive
from skotae.utils._torch import tensor_of
from skotae.utils.base import brief, plain

LOG_2_PI = math.log(2 * math.pi)


class NormalPrior(BasePrior):
    r"""Normal distribution with independent coordinates.

    .. math:: p(z) = \mathcal N(z;\, 0,\, \sigma^2 I)

    Parameters
    ----------
    scale : float > 0 or array-like of shape (n_components,), default=1.0
        Standard deviation :math:`\sigma` of a coordinate, or of each.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import NormalPrior
    >>> NormalPrior().sample(3, 2, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    >>> mean, covariance = NormalPrior(scale=2.0).moments(2)
    >>> covariance.tolist()
    [[4.0, 0.0], [0.0, 4.0]]
    """

    def __init__(self, scale: Any = 1.0):
        self.scale = scale

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        if np.ndim(self.scale) == 0:
            positive(self, "scale")
            return
        scale = np.asarray(self.scale, dtype=np.float64)
        if scale.shape != (d,) or not ((scale > 0) & (scale < math.inf)).all():
            raise ValueError(
                f"scale={brief(self.scale)} of {type(self).__name__}; expected a number above 0, "
                f"or n_components={d} of them."
            )

    def _scale(self, like: Tensor) -> Tensor:
        return tensor_of(plain(self.scale), like.dtype, like.device)

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        noise = torch.randn(n, d, generator=generator, dtype=dtype, device=device_of(generator))
        return noise.mul_(self._scale(noise))

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d)."""
        scale = self._scale(z)
        constant = scale.log().expand(z.shape[-1]).sum() + 0.5 * z.shape[-1] * LOG_2_PI
        return -0.5 * (z / scale).square().sum(-1) - constant

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        mean = torch.zeros(d, dtype=torch.float64)
        return mean, self._scale(mean).square().expand(d).diag()


class PrincipalPrior(NormalPrior):
    r"""Normal distribution as wide in each coordinate as the data along a principal component.

    .. math:: p(z) = \mathcal N(z;\, 0,\, \mathrm{diag}(s_1^2, \dots, s_d^2)), \qquad
        s_k \propto \sigma_k, \qquad \frac1d \sum_k s_k^2 = 1

    with the standard deviations :math:`\sigma_k` of the standardised training rows along
    their first d principal components, each taken to be at least a tenth of their root mean
    square. Codes keep the geometry of the data: distances between rows whose weak directions
    count as much as the strong ones, as under a standard normal prior, tell less of neighbours.

    An estimator whose prior it is has a :class:`NormalPrior` with these as `scale` in
    ``prior_``. By itself, without rows, it is the standard normal distribution.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, prior="principal", max_iter=2, random_state=0).fit(X)
    >>> model.prior_.scale.round(2).tolist()
    [1.38, 0.33]
    """

    scale = 1.0

    def __init__(self) -> None:
        """It has no parameters."""
