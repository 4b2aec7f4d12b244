"""From a plan that spreads over everything to the one that is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from skotae.training import ramp

# Shares of the training: a plain autoencoder first, then cooling until here.
WARM_SHARE = 0.3
COOLED_SHARE = 0.7
# A decoder that starts from principal components has its shape already. It would lose it at the
# scale that others start from, and needs less time to cool.
PRINCIPAL_SHARES = (0.02, 0.4)
PRINCIPAL_SCALE = 0.4
# A random isometry, which is small, grows at the full scale first.
ISOMETRY_SHARES = (0.1, 0.4)
# For so long after that a noise that depends on the code comes to do so. From the start it would
# fall to the residual of a plan that is still wide, which would then stay as it is.
OPENING_SHARE = 0.1


@dataclass(frozen=True)
class Cooling:
    """Epsilon of the plan and scale of the likelihood, over the progress of training.

    Attributes
    ----------
    amortised : bool
        Whether there is an encoder. The decoder has then taken shape before the first plan;
        without, it takes shape while the plan is cooled.
    start : {"random", "isometry", "principal"}
        What the decoder starts from.
    n_features : int
    hot : float
        What a row costs about the mean, in nats: the temperature at which the plan is spread
        over everything.
    final_scale : float
        Standard deviation of a Gaussian likelihood at the end, in standardised units.
    cools : bool
        Whether the plan is cooled, or is from the first step on what it is at the end.
    """

    amortised: bool
    start: str
    n_features: int
    hot: float
    final_scale: float
    cools: bool = True

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the training between which the plan is cooled."""
        if self.amortised:
            return WARM_SHARE, COOLED_SHARE
        shares = {"principal": PRINCIPAL_SHARES, "isometry": ISOMETRY_SHARES}
        return shares.get(self.start, (0.0, COOLED_SHARE))

    @property
    def _first_share(self) -> float:
        """Of the scale, or of the heat's root, that others start from."""
        return PRINCIPAL_SCALE if self.start == "principal" else 1.0

    def cooled(self, progress: float) -> float:
        """How far the plan has been cooled, from 0 to 1."""
        first, last = self.shares
        return ramp(progress, last, first) if self.cools else 1.0

    def opened(self, progress: float) -> float:
        """How far the noise may depend on the code, from 0 to 1."""
        last = self.shares[1]
        return ramp(progress, last + OPENING_SHARE, last) if self.cools else 1.0

    def heat(self, progress: float) -> float:
        """What epsilon is multiplied by, for a cost without a scale."""
        start = 1.0 if self.amortised else max(1.0, self._first_share**2 * self.hot)
        return start ** (1.0 - self.cooled(progress))

    def scale(self, progress: float, residual: Tensor | None = None) -> float | Tensor:
        """Of a Gaussian likelihood; with variances of the residual, of one that learns as many."""
        cooled = self.cooled(progress)
        start = 1.0 if self.amortised else self._first_share * 0.5 * math.sqrt(self.n_features)
        start = max(start, self.final_scale)
        scale = start * (self.final_scale / start) ** cooled
        if residual is None:
            return scale
        # The residual is the maximum-likelihood estimate of the variance, where this ends. A
        # plan as wide as that would never leave the mean, if it has not yet.
        share = 1.0 if self.amortised or cooled == 1.0 else 0.5
        return (share * residual.sqrt()).clamp_min(self.final_scale if self.amortised else scale)
