"""Sinkhorn divergence as a penalty."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from skotae.divergences.base import BaseDivergence, refuse_weights
from skotae.transport import (
    geodesic_distances,
    sinkhorn_cost,
    sinkhorn_divergence,
    unrolled_sinkhorn_cost,
)
from skotae.transport.base import DEBIASING, check_clouds, check_debias, parts
from skotae.transport.ground import Ground
from skotae.utils.base import brief, call_own


class SinkhornDivergence(BaseDivergence):
    r"""Entropic transport cost between codes and prior draws, debiased.

    .. math::
        S_\epsilon = \mathrm{OT}_\epsilon(z, y)
        - \tfrac12 \mathrm{OT}_\epsilon(z, z) - \tfrac12 \mathrm{OT}_\epsilon(y, y),
        \qquad
        \mathrm{OT}_\epsilon(z, y) = \min_P \langle P, C \rangle
        + \epsilon\, \mathrm{KL}(P \,|\, a \otimes b).

    Parameters
    ----------
    epsilon : float > 0, default=0.05
        Entropic regularisation, relative to the mean cost if `relative`.
    relative : bool, default=True
        Whether `epsilon` is a share of the mean cost between codes and draws.
    p : float >= 1, default=2
        Cost :math:`\sum_k |z_k - y_k|^p`.
    debias : {"independent", "paired", "none"}, default="independent"
        What is subtracted. ``"paired"`` is the formula above, on one pair of batches:
        its minimum lies at codes that are too narrow. ``"independent"`` splits both
        clouds in halves, so that no point meets itself; see Notes.
    sharp : bool, default=False
        Leave the entropy out of the value (eq. 12 of [1]_).
    root : bool, default=False
        Take the p-th root (eq. 10 of [1]_).
    tol : float > 0, default=1e-3
        Marginal violation (L1) at which iterations stop.
    cost : None, "geodesic" or callable, default=None
        Of moving a code to a draw: the cost above; ``"geodesic"``, the p-th power of the distance
        along the sphere that is the prior's support; or a function of two tensors of shape (n, d)
        and (m, d) that returns costs of shape (n, m), each of its own pair of rows. It should be
        symmetric.
    n_iter : int >= 1 or None, default=None
        If given, so many iterations are made, and differentiated one by one, as in Algorithm 1
        of [1]_; `tol` then has no part in it. See
        :func:`~skotae.transport.unrolled_sinkhorn_cost`.

    Notes
    -----
    With halves :math:`z, z'` and :math:`y, y'`, ``debias="independent"`` is

    .. math::
        \tfrac14 [W(z, y) + W(z, y') + W(z', y) + W(z', y')]
        - \tfrac12 W(z, z') - \tfrac12 W(y, y') .

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, eq. 8 to 12.

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import SinkhornDivergence
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> float(SinkhornDivergence(debias="paired")(x, x)) < 1e-3
    True
    """

    prior_gradient = True
    usual_weight = 0.02
    # Where `cost` is a parameter of an estimator: its name there.
    cost_of_estimator: str | None = None

    def __init__(
        self,
        epsilon: float = 0.05,
        relative: bool = True,
        p: float = 2,
        debias: str = "independent",
        sharp: bool = False,
        root: bool = False,
        tol: float = 1e-3,
        cost: Any = None,
        n_iter: int | None = None,
    ):
        self.epsilon = epsilon
        self.relative = relative
        self.p = p
        self.debias = debias
        self.sharp = sharp
        self.root = root
        self.tol = tol
        self.cost = cost
        self.n_iter = n_iter

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if self.cost is None and self.n_iter is None:
            value = self._of_powers(z, prior_draws, weights)
        else:
            refuse_weights(self, weights)
            value = self._of_matrices(z, prior_draws)
        return root_of(value, self.p) if self.root else value

    def build(self, prior: Any, n_components: int) -> SinkhornDivergence:
        """The same, for a prior that has what the cost asks for."""
        if isinstance(self.cost, str) and prior.support != "sphere":
            raise ValueError(
                f"{self._named_cost} with prior={prior!r}, whose support is {prior.support!r}; "
                "expected prior='sphere', or None for the cost."
            )
        return self

    def _of_powers(self, z: Tensor, draws: Tensor, weights: Tensor | None) -> Tensor:
        if self.debias == "independent":
            refuse_weights(self, weights)
        value = sinkhorn_divergence(
            z,
            draws,
            epsilon=self.epsilon,
            relative=self.relative,
            tol=self.tol,
            p=self.p,
            a=weights,
            debias=self.debias,
            sharp=self.sharp,
        )
        assert isinstance(value, Tensor)
        return value

    def _of_matrices(self, z: Tensor, draws: Tensor) -> Tensor:
        """Of the costs' matrices, with one epsilon for all terms.

        What lies between codes and draws is one matrix, of which halves have blocks. Its mean, the
        unit of all costs, stays on the device.
        """
        check_debias(self.debias)
        check_clouds(z, draws)
        solve = partial(sinkhorn_cost, tol=self.tol)
        if self.n_iter is not None:
            solve = partial(unrolled_sinkhorn_cost, n_iter=self.n_iter)
        between = self._costs(z, draws)
        unit = between.detach().mean() if self.relative else between.new_ones(())
        # Points that are all the same cost nothing, in any unit.
        unit = torch.where(unit > 0, unit, 1.0)
        rows = parts(self.debias, len(z), len(draws))
        total = between.new_zeros(())
        for left, right, weight in DEBIASING[self.debias]:
            if left[0] != right[0]:
                costs = between[rows[left], rows[right]]
            else:
                cloud = z if left[0] == "x" else draws
                costs = self._costs(cloud[rows[left]], cloud[rows[right]])
            try:
                value = solve(costs / unit, epsilon=self.epsilon, relative=False, sharp=self.sharp)
            except ValueError:
                # Looked at only now: to read a number from a device takes time.
                self._check_finite(costs, z, draws)
                raise
            assert isinstance(value, Tensor)
            total = total + weight * value
        return unit * total

    @property
    def _named_cost(self) -> str:
        if self.cost_of_estimator is not None:
            return f"{self.cost_of_estimator}={brief(self.cost)}"
        return f"cost={brief(self.cost)} of {type(self).__name__}"

    def _check_finite(self, costs: Tensor, *clouds: Tensor) -> None:
        """Raise a ValueError for costs of finite points that are not finite."""
        if all(map(all_finite, clouds)) and not all_finite(costs):
            raise ValueError(
                f"{self._named_cost} gave NaN or infinite values for finite points; expected "
                "finite costs."
            ) from None

    def _costs(self, x: Tensor, y: Tensor) -> Tensor:
        if self.cost is None:
            return Ground(self.p).costs(x, y)
        if isinstance(self.cost, str):
            if self.cost != "geodesic":
                raise ValueError(
                    f"{self._named_cost}; expected None, 'geodesic', or a function of two tensors."
                )
            return geodesic_distances(x, y) ** self.p
        given, expected = "two clouds of points", "a function of two tensors"
        costs = call_own(self._named_cost, self.cost, x, y, given=given, expected=expected)
        if not isinstance(costs, Tensor) or costs.shape != (len(x), len(y)):
            raise ValueError(
                f"{self._named_cost} gave "
                f"{brief(getattr(costs, 'shape', costs))} for clouds of {len(x)} and {len(y)} "
                f"points; expected a tensor of shape ({len(x)}, {len(y)})."
            )
        return costs


def all_finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())


def root_of(value: Tensor, p: float) -> Tensor:
    """p-th root that is 0, with gradient 0, where sampling noise made a value negative."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, 1.0) ** (1.0 / p), 0.0)
