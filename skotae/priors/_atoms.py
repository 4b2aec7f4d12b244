"""Discrete prior on given points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skotae.priors.base import (
    BasePrior,
    check_points,
    check_weights,
    draw_index,
    weighted_moments,
)


class AtomsPrior(BasePrior):
    r"""Discrete distribution on given points.

    .. math:: P_Z = \sum_{k=1}^K w_k\, \delta_{a_k}

    It has no density, hence no ``log_prob``.

    Parameters
    ----------
    atoms : array-like of shape (n_atoms, n_components)
        Points :math:`a_k`.
    weights : array-like of shape (n_atoms,), default=None
        Weights :math:`w_k`, up to a factor; None is equal weights.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import AtomsPrior
    >>> prior = AtomsPrior([[0.0, 1.0], [1.0, 0.0]], weights=[3.0, 1.0])
    >>> mean, _ = prior.moments(2)
    >>> mean.tolist()
    [0.25, 0.75]
    """

    support = "atoms"

    def __init__(self, atoms: Any, weights: Any = None):
        self.atoms = atoms
        self.weights = weights

    @property
    def min_components(self) -> int:  # type: ignore[override]
        """Dimension of the atoms."""
        return check_points(self, "atoms").shape[1]

    def check_dimension(self, d: int) -> None:
        check_weights(self, self.weights, len(check_points(self, "atoms", d)))

    def weighted_atoms(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Atoms, of shape (n_atoms, d), and the logarithms of their weights, of sum 1."""
        atoms = check_points(self, "atoms")
        weights = check_weights(self, self.weights, len(atoms))
        return atoms.to(device, dtype), weights.log().to(device, dtype)

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        atoms = check_points(self, "atoms", d)
        weights = check_weights(self, self.weights, len(atoms))
        k = draw_index(weights, n, generator)
        return atoms.to(k.device, dtype)[k]

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        atoms = check_points(self, "atoms", d)
        return weighted_moments(atoms, check_weights(self, self.weights, len(atoms)))
