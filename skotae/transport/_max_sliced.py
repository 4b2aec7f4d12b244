"""Max-sliced Wasserstein distances: ascent to the direction along which clouds differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from skotae.transport.base import warn_if_infinite, widest
from skotae.transport.linear.line import transport_rows
from skotae.transport.linear.slices import (
    SlicedFunction,
    check_slices,
    random_directions,
    shared_out,
    unit_directions,
)
from skotae.utils.base import as_real, as_whole

_EIGEN = 256  # dimensions up to which eigenvectors are cheap beside the sorting
_ANGLE = 0.1  # half of the arc, in the plane, in which the best direction is refined
_POINTS, _SHRINKAGE, _ROUNDS = 17, 6.0, 12  # so that the last arc is of some 1e-10


@dataclass(frozen=True)
class _Slices:
    """Two clouds about a common point, with weights of sum one or none, and a power."""

    x: Tensor
    y: Tensor
    a: Tensor | None
    b: Tensor | None
    p: float

    def ascent(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``W_p^p`` along every direction, and its gradient with respect to it."""
        px, py = theta @ self.x.T, theta @ self.y.T
        values, (grad_x, grad_y, *_) = transport_rows(px, py, self.p, self.a, self.b)
        assert grad_x is not None and grad_y is not None
        return values, grad_x @ self.x + grad_y @ self.y

    def starts(self, theta: Tensor) -> Tensor:
        """Return random directions, the difference of the means and two of the covariances."""
        (mean_x, second_x), (mean_y, second_y) = _moments(self.x, self.a), _moments(self.y, self.b)
        shift = mean_x - mean_y
        planned = torch.nn.functional.normalize(shift[None], dim=1)
        difference = second_x - shift.outer(shift) - second_y
        if len(difference) <= _EIGEN and bool(difference.isfinite().all()):
            extreme = torch.linalg.eigh(difference.cpu())[1][:, [0, -1]].T
            planned = torch.cat((planned, extreme.to(theta.device)))
        planned = torch.where(planned.abs().sum(1, keepdim=True) > 0, planned, theta[:1])
        return torch.cat((theta, planned))


def _moments(x: Tensor, a: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean and the second moments about the origin."""
    return (x.mean(0), x.T @ x / len(x)) if a is None else (a @ x, (x.T * a) @ x)


def _climb(slices: _Slices, theta: Tensor, n_steps: int) -> Tensor:
    """Return the best direction (1, d) that gradient ascent reaches from several."""
    values, gradient = slices.ascent(theta)
    step = torch.full_like(theta[:, :1], 0.5)
    for _ in range(n_steps):
        along = (gradient * theta).sum(1, keepdim=True) * theta
        trial = torch.nn.functional.normalize(along + step * (gradient - along), dim=1)
        reached, slope = slices.ascent(trial)
        better = (reached > values)[:, None]
        theta = torch.where(better, trial, theta)
        gradient = torch.where(better, slope, gradient)
        values = torch.maximum(values, reached)
        step = torch.where(better, 1.5 * step, 0.5 * step)
    return theta[values.argmax()][None]


def _ridge(slices: _Slices, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return two directions of the plane about a maximum near `best` (1, 2), and their shares.

    ``W_p^p`` is a minimum over plans, and its maximum over directions mostly lies where two plans
    meet, each rising towards the other. The gradient there is that of the mixture of both along
    which the value does not change with the direction.
    """
    normal = best.flip(1) * best.new_tensor([-1.0, 1.0])

    def at(angles: Tensor) -> Tensor:
        return angles.cos()[:, None] * best + angles.sin()[:, None] * normal

    centre, width = best.new_zeros(()), _ANGLE
    grid = torch.linspace(-1.0, 1.0, _POINTS, dtype=best.dtype, device=best.device)
    for _ in range(_ROUNDS):
        angles = centre + width * grid
        centre = angles[slices.ascent(at(angles))[0].argmax()]
        width /= _SHRINKAGE
    pair = at(centre + width * grid[[0, -1]])
    turned = pair.flip(1) * best.new_tensor([-1.0, 1.0])
    before, after = (slices.ascent(pair)[1] * turned).sum(1).unbind()
    share = (before / (before - after)).nan_to_num(0.5).clamp(0.0, 1.0)
    return pair, torch.stack((1.0 - share, share))


@overload
def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_starts: int = ...,
    n_steps: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_direction: Literal[False] = ...,
) -> Tensor: ...


@overload
def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_starts: int = ...,
    n_steps: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_direction: Literal[True],
) -> tuple[Tensor, Tensor]: ...


@overload
def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_starts: int = ...,
    n_steps: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_direction: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...


def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_starts: int = 10,
    n_steps: int = 20,
    p: float = 2,
    generator: torch.Generator | None = None,
    directions: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    return_direction: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Max-sliced Wasserstein distance, to the power `p`.

    .. math:: \max_{|\theta| = 1} W_p^p\bigl(\langle\theta, x\rangle, \langle\theta, y\rangle\bigr)

    A local maximum, the best that gradient ascent on the sphere reaches from several starts. A
    full step is the normalised gradient, which for ``p = 2`` is the power iteration
    :math:`\theta \leftarrow D^\top D \theta` on the sorted differences D; steps that do not raise
    the value are halved.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds of one dtype; sizes may differ.
    n_starts : int, default=10
        Random directions to start from. The difference of the means is one more, and up to 256
        dimensions the two extreme eigenvectors of the difference of the covariances.
    n_steps : int, default=20
        Steps from each start; with 0 the best start is taken as it is.
    p : float, default=2
        At least 1.
    generator : torch.Generator, optional
        Source of the starting directions.
    directions : Tensor of shape (L, d), optional
        Directions to start from in place of all others, each divided by its length; `n_starts` and
        `generator` then do not count.
    a, b : Tensor of shape (n,) and (m,), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.
    return_direction : bool, default=False
        Also return the direction.

    Returns
    -------
    value : Tensor of shape ()
        In the dtype of `x`; differentiable once, the direction being a constant (envelope theorem).
    direction : Tensor of shape (d,)
        Only if `return_direction`: of the value, of length one, without gradient.

    Raises
    ------
    ValueError
        If a shape, dtype or option is invalid.

    Warns
    -----
    RuntimeWarning
        If the value is beyond the range of its dtype (on the CPU); it is then infinite.

    Notes
    -----
    Between two sorting orders the value has a kink as a function of the direction, and the best
    direction often lies on one. In the plane it is then found to some 1e-10, and the gradient is
    that of the mixture of both orders' plans along which turning the direction changes nothing;
    it is the derivative wherever the best direction is unique. In more dimensions it is that of
    one plan. That is exact where the best direction is off the kinks and steps suffice to reach
    it; else it misses by a share that falls with the number of points, as the kinks do.

    References
    ----------
    .. [1] Deshpande et al. (2019), Max-sliced Wasserstein distance and its use for GANs, eq. 8.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import max_sliced_wasserstein
    >>> x = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    >>> shift = torch.tensor([3.0, 4.0])
    >>> round(max_sliced_wasserstein(x, x + shift).item(), 3)
    25.0
    """
    check_slices(x, y, a, b)
    n_starts, n_steps = as_whole("n_starts", n_starts), as_whole("n_steps", n_steps, least=0)
    p = as_real("p", p, least=1)
    wide_x, wide_y, shares = x.to(widest(x)), y.to(widest(x)), None
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        masses = shared_out(a, b, x, y)
        centre = _moments(wide_y, masses[1])[0]
        slices = _Slices(wide_x - centre, wide_y - centre, *masses, p)
        if directions is None:
            theta = slices.starts(random_directions(n_starts, wide_x, generator))
        else:
            theta = unit_directions(directions, wide_x)
        best = _climb(slices, theta, n_steps)
        if best.shape[1] == 2 and n_steps > 0:
            best, shares = _ridge(slices, best)
    value = SlicedFunction.apply(wide_x, wide_y, best, a, b, p, shares).to(x)
    warn_if_infinite(value, "x and y")
    return (value, best[0].to(x)) if return_direction else value
