"""Sinkhorn divergence as a penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.divergences.base import BaseDivergence, refuse_weights
from skotae.transport import sinkhorn_divergence


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
    epsilon : float, default=0.05
        Entropic regularisation, relative to the mean cost if `relative`.
    relative : bool, default=True
        Whether `epsilon` is a share of the mean cost between codes and draws.
    p : float, default=2
        Cost :math:`\sum_k |z_k - y_k|^p`.
    debias : {"independent", "paired", "none"}, default="independent"
        What is subtracted. ``"paired"`` is the formula above, on one pair of batches:
        its minimum lies at codes that are too narrow. ``"independent"`` splits both
        clouds in halves, so that no point meets itself; see Notes.
    sharp : bool, default=False
        Leave the entropy out of the value (eq. 12 of [1]_).
    root : bool, default=False
        Take the p-th root (eq. 10 of [1]_).
    tol : float, default=1e-3
        Marginal violation (L1) at which iterations stop.

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

    def __init__(
        self,
        epsilon: float = 0.05,
        relative: bool = True,
        p: float = 2,
        debias: str = "independent",
        sharp: bool = False,
        root: bool = False,
        tol: float = 1e-3,
    ):
        self.epsilon = epsilon
        self.relative = relative
        self.p = p
        self.debias = debias
        self.sharp = sharp
        self.root = root
        self.tol = tol

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if self.debias == "independent":
            refuse_weights(self, weights)
        value = sinkhorn_divergence(
            z,
            prior_draws,
            epsilon=self.epsilon,
            relative=self.relative,
            tol=self.tol,
            p=self.p,
            a=weights,
            debias=self.debias,
            sharp=self.sharp,
        )
        assert isinstance(value, Tensor)
        return root_of(value, self.p) if self.root else value


def root_of(value: Tensor, p: float) -> Tensor:
    """p-th root that is 0, with gradient 0, where sampling noise made a value negative."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, 1.0) ** (1.0 / p), 0.0)
