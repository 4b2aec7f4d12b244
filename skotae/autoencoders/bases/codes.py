"""Where the codes of training rows are: coordinates without limits, and the middle of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.linalg import helmert
from torch import Tensor

from skotae.transport.base import widest
from skotae.utils._torch import tensor_of

SUPPORTS = ("space", "sphere", "cube", "simplex")
# As near as a code may come to the border of a cube or a simplex, as a share.
NEAREST = 1e-6
MAX_CODES = 2048
DEGREES_OF_FREEDOM = 4.0
MAX_STEPS = 100
# In radii: where a code is moved half the way to the centre. Chosen on fifteen sets of rows with
# outliers, trained on with them and without.
REACH = 1.5


def check_support(prior: Any) -> None:
    """Raise a ValueError unless draws from a mixture can be put on the support of a prior."""
    if prior.support not in SUPPORTS:
        names = ", ".join(map(repr, SUPPORTS))
        raise ValueError(
            f"latent='mixture' with prior={prior!r}, whose support is {prior.support!r}; expected "
            f"latent='prior', or a prior with one of the supports {names}."
        )


class Chart:
    """Coordinates of codes, in which any vector is one: to a support and back.

    ``"space"``: the code itself. ``"sphere"``: the code itself, and back by division by the
    length. ``"cube"``: the logit of the position in each range. ``"simplex"``: the isometric
    log-ratio, d - 1 numbers. Of any other support nothing is known, and nothing is done.

    Parameters
    ----------
    prior : prior
        With `support` and `head`, that gives the ends of the cube and the radius of the sphere.
    d : int
        Dimension of a code.

    References
    ----------
    Egozcue et al. (2003), Isometric logratio transformations for compositional data analysis.
    """

    def __init__(self, prior: Any, d: int):
        self.support = prior.support
        self._head = prior.head(d) if self.support in ("sphere", "cube") else None
        self._basis = torch.from_numpy(helmert(d)) if self.support == "simplex" else None
        self._d = d

    def coordinates(self, z: Tensor) -> Tensor:
        """Of codes (..., d), in the widest dtype of their device."""
        z = z.to(widest(z))
        if self.support == "cube":
            low, high = self._range(z)
            share = (z - low) / (high - low)
            return share.clamp(NEAREST, 1 - NEAREST).logit()
        if self._basis is not None:
            return z.clamp_min(NEAREST).log() @ self._basis.to(z).T
        return z

    def points(self, z: np.ndarray) -> np.ndarray:
        """Coordinates of codes in an array, in float64."""
        return self.coordinates(torch.from_numpy(z)).numpy()

    def codes(self, u: Tensor) -> Tensor:
        """Of any coordinates: codes on the support."""
        if self.support == "cube":
            low, high = self._range(u)
            return low + (high - low) * u.sigmoid()
        if self._basis is not None:
            return (u @ self._basis.to(u)).softmax(-1)
        return u if self._head is None else self._head(u)

    def _range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the cube: what the head gives for the smallest and the largest numbers."""
        assert self._head is not None
        far = like.new_full((self._d,), 1e4)
        return self._head(-far), self._head(far)


def middle(u: np.ndarray) -> dict[str, np.ndarray]:
    r"""Centre and shape of most of the points u (n, q), whatever the others are.

    They are location :math:`m` and scatter :math:`S` of a Student distribution with 4 degrees of
    freedom, by the EM algorithm of [1]_ as [2]_ speeds it up: points far out have little weight. A
    share :math:`q / (n + q)` of :math:`S` is replaced by a multiple of the identity with the
    same trace, so that no direction that few points know of counts for much.

    Returns
    -------
    middle : dict
        ``"centre"`` m of shape (q,), ``"axes"`` A of shape (q, q) with
        :math:`A A^T = S^{-1}`, and ``"radius"``, the median of :math:`|(u - m) A|`; float64.

    References
    ----------
    .. [1] Lange, Little and Taylor (1989), Robust statistical modeling using the t
       distribution, JASA.
    .. [2] Kent, Tyler and Vardi (1994), A curious likelihood identity for the multivariate
       t-distribution, Communications in Statistics.
    """
    u = u[np.isfinite(u).all(axis=1)].astype(np.float64)
    n, q = u.shape
    if n == 0:
        return {"centre": np.zeros(q), "axes": np.eye(q), "radius": np.array(np.inf)}
    # In units in which no square leaves the range.
    start = np.median(u, axis=0)
    unit = float(np.median(np.abs(u - start), axis=0).max()) or float(np.abs(u - start).max())
    unit = unit or 1.0
    u = (u - start) / unit
    centre, scatter = np.zeros(q), np.eye(q)
    for _ in range(MAX_STEPS):
        axes = whitening(scatter)
        weight = (DEGREES_OF_FREEDOM + q) / (
            DEGREES_OF_FREEDOM + np.square((u - centre) @ axes).sum(axis=1)
        )
        moved = weight @ u / weight.sum()
        gap = u - moved
        # Over the sum of the weights, which is n in the end: fewer steps than over n.
        before, scatter = scatter, (weight[:, None] * gap).T @ gap / weight.sum()
        change = np.abs(moved - centre).max() + np.abs(scatter - before).max()
        centre = moved
        if change < 1e-6 * np.trace(scatter) / q:
            break
    share = q / (n + q)
    scatter = (1 - share) * scatter + share * np.trace(scatter) / q * np.eye(q)
    axes = whitening(scatter)
    # Not 0, where more than half of the codes are one: it is divided by.
    radius = max(np.median(np.linalg.norm((u - centre) @ axes, axis=1)), np.finfo(np.float32).tiny)
    return {
        "centre": start + unit * centre,
        "axes": axes / unit,
        "radius": np.array(radius, dtype=np.float64),
    }


def whitening(scatter: np.ndarray) -> np.ndarray:
    """A with A A^T the inverse of a scatter matrix, none of whose directions is empty."""
    value, vector = np.linalg.eigh(scatter)
    value = np.maximum(value, 1e-6 * value[-1])
    return vector / np.sqrt(np.where(value > 0, value, 1.0))


def pulled(z: Tensor, middle: dict[str, np.ndarray], chart: Chart) -> Tensor:
    """Codes moved straight towards the centre of the middle, the farther out the more."""
    u = chart.coordinates(z)
    centre, axes = (tensor_of(middle[name]).to(u) for name in ("centre", "axes"))
    length = torch.linalg.vector_norm((u - centre) @ axes, dim=-1, keepdim=True)
    share = 1.0 / (1.0 + (length / (REACH * float(middle["radius"]))).square())
    return chart.codes(centre + share * (u - centre)).to(z)
