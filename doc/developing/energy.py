"""A divergence in one file: the example of the page "Add a divergence"."""

import torch

from skotae.base import BaseDivergence, refuse_weights


class EnergyDivergence(BaseDivergence):
    r"""Energy distance between two clouds.

    .. math::
        2\, \mathbb E |z - y| - \mathbb E |z - z'| - \mathbb E |y - y'|

    Parameters
    ----------
    exponent : float, default=1.0
        Power of the distances, between 0 and 2 (both excluded).

    References
    ----------
    Székely and Rizzo (2013), Energy statistics: a class of statistics based on distances.

    Examples
    --------
    >>> x = torch.zeros(3, 2)
    >>> float(EnergyDivergence()(x + torch.tensor([3.0, 4.0]), x))
    10.0
    """

    def __init__(self, exponent=1.0):
        self.exponent = exponent

    def __call__(self, z, prior_draws, *, generator=None, weights=None):
        refuse_weights(self, weights)
        across = self._distance(z, prior_draws).mean()
        return 2 * across - self._pairs(z) - self._pairs(prior_draws)

    def _pairs(self, x):
        """Mean over pairs of different points, whose number is n (n - 1)."""
        return self._distance(x, x).sum() / max(len(x) * (len(x) - 1), 1)

    def _distance(self, x, y):
        square = (x[:, None, :] - y[None, :, :]).square().sum(2)
        # The root has no gradient at 0, where a point meets itself.
        return torch.where(square > 0, square.clamp_min(1e-12) ** (self.exponent / 2), 0.0)
