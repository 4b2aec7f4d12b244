"""Sliced Wasserstein distance as a penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.divergences.base import BaseDivergence, refuse_weights
from skotae.transport import sliced_wasserstein


class SlicedDivergence(BaseDivergence):
    r"""Mean one-dimensional transport cost along random directions.

    .. math::
        SW_p^p(z, y) = \frac1L \sum_{l=1}^L W_p^p(\theta_l^\top z, \theta_l^\top y),
        \qquad \theta_l \text{ uniform on the sphere}.

    The value is multiplied by the dimension `d`, so that for a shift it is the squared
    length of the shift whatever the dimension, as for the other transport penalties.

    Parameters
    ----------
    n_projections : int >= 1, default=50
        Number :math:`L` of directions, drawn afresh for every batch.
    p : float >= 1, default=2
        Exponent of the cost.

    References
    ----------
    .. [1] Kolouri et al. (2018), Sliced-Wasserstein autoencoder, eq. 12.

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import SlicedDivergence
    >>> x = torch.arange(3.0)[:, None]
    >>> float(SlicedDivergence()(x + 2, x.flip(0)))
    4.0
    """

    prior_gradient = True

    def __init__(self, n_projections: int = 50, p: float = 2):
        self.n_projections = n_projections
        self.p = p

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        refuse_weights(self, weights)
        value = sliced_wasserstein(
            z, prior_draws, n_projections=self.n_projections, p=self.p, generator=generator
        )
        return value * z.shape[1]
