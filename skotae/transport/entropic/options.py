"""What a solver of entropic problems is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from skotae.transport.entropic.log_domain import LN2
from skotae.transport.entropic.shards import Alone
from skotae.transport.ground import SQUARED, Ground

_SHARP_TOL = 1e-8  # where the plan itself is differentiated


@dataclass(frozen=True)
class Options:
    """How entropic problems are posed and solved.

    Attributes
    ----------
    epsilon : float
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    relative : bool
    tol : float
        L1 marginal violation at which to stop.
    max_iter : int
    ground : Ground
        The cost between points of clouds.
    debias : {"none", "paired", "independent"}
    sharp : bool
        Whether the entropy is left out of the values.
    rho : float
        Price of mass created or destroyed, in the units of `epsilon`; infinite if there is none.
    prices : tuple of float
        Those in x and in y, in units of `rho`; infinite where a marginal is exact.
    unbalanced_type : {"kl", "tv"}
        What is paid for.
    max_bytes : float
        Of a kernel that is stored; a larger one is made in blocks.
    shards : Alone or Group
        The processes that share out the rows.
    """

    epsilon: float
    relative: bool
    tol: float
    max_iter: int
    ground: Ground = SQUARED
    debias: str = "none"
    sharp: bool = False
    rho: float = math.inf
    prices: tuple[float, float] = (1.0, 1.0)
    unbalanced_type: str = "kl"
    max_bytes: float = math.inf
    shards: Alone = Alone()

    @property
    def goal(self) -> float:
        """Marginal violation to reach."""
        return min(self.tol, _SHARP_TOL) if self.sharp else self.tol

    @property
    def rhos(self) -> tuple[float, float]:
        """The prices in x and in y, in the units of `epsilon`."""
        return self.rho * self.prices[0], self.rho * self.prices[1]

    @property
    def bit(self) -> float:
        """The cost of one bit, of an absolute `epsilon`."""
        return self.epsilon * LN2

    def absolute(self, mean: float, usual: float) -> Options:
        """Return the options in units of the cost, with its mean and what it usually is."""
        unit = mean if self.relative else 1.0
        epsilon = self.absolute_epsilon(mean, usual)
        return replace(self, epsilon=epsilon, rho=self.rho * unit, relative=False)

    def absolute_epsilon(self, mean: float, usual: float) -> float:
        """Return `epsilon` in units of the cost."""
        # Below 1e-12 of a usual cost float64 cannot tell the plan from an unregularised one, and
        # above 1e8 of it from the product of the weights.
        epsilon = max(self.epsilon * mean if self.relative else self.epsilon, 1e-12 * usual)
        return min(epsilon, 1e8 * usual) if usual > 0.0 else epsilon
