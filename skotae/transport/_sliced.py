"""Sliced Wasserstein distances: sorting along directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import check_clouds, first_order_only, widest
from skotae.utils.base import as_real, as_whole

_EIGEN = 256  # dimensions up to which eigenvectors are cheap beside the sorting
_PLACES = 2**28  # a single-precision number made double has 29 bits to spare


def _sort(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return every row sorted, and its argsort.

    On CPU by NumPy, whose sort is many times faster than torch's, and than its own argsort:
    numbers of single precision are sorted as double ones with their place in the spare last bits.
    """
    if values.device.type != "cpu":
        return values.sort(1)
    exact = torch.finfo(values.dtype).bits == 64 or values.shape[1] > _PLACES
    if exact or not math.isfinite(values.sum(dtype=torch.float64).item()):
        order = torch.from_numpy(np.argsort(values.double().numpy(), axis=1))
        return values.gather(1, order), order
    keys = values.double()
    bits = keys.view(torch.int64)
    bits |= torch.arange(values.shape[1])
    keys.numpy().sort(axis=1)
    return keys.to(values.dtype), bits.bitwise_and_(_PLACES - 1)


def _quantile_coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the (i, j, mass) of the monotone coupling of n and m sorted, equally heavy points."""
    cuts = np.union1d(np.arange(n, dtype=np.int64) * m, np.arange(m, dtype=np.int64) * n)
    mass = np.diff(np.append(cuts, n * m)) / (n * m)
    rows, columns = torch.from_numpy(cuts // m), torch.from_numpy(cuts // n)
    return rows.to(device), columns.to(device), torch.from_numpy(mass)


def _transport_rows(
    px: Tensor, py: Tensor, p: float, wanted: tuple[bool, bool] = (True, True)
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return ``W_p^p`` of every row of (L, n) and (L, m), and those of its gradients `wanted`."""
    (sorted_x, order_x), (sorted_y, order_y) = _sort(px), _sort(py)
    n, m = px.shape[1], py.shape[1]
    if n == m:
        gap = sorted_x - sorted_y
        slope = gap * (2 / n) if p == 2 else gap.sign() * gap.abs().pow(p - 1) * (p / n)
        values = (gap * gap if p == 2 else gap.abs().pow(p)).mean(1)
        slope_x, slope_y = slope, -slope
    else:
        rows, columns, mass = _quantile_coupling(n, m, px.device)
        mass = mass.to(px)
        gap = sorted_x[:, rows] - sorted_y[:, columns]
        values = gap.abs().pow(p) @ mass
        slope = gap.sign() * gap.abs().pow(p - 1) * (p * mass)
        slope_x = torch.zeros_like(px).index_add_(1, rows, slope)
        slope_y = torch.zeros_like(py).index_add_(1, columns, -slope)
    grad_x = torch.empty_like(px).scatter_(1, order_x, slope_x) if wanted[0] else None
    grad_y = torch.empty_like(py).scatter_(1, order_y, slope_y) if wanted[1] else None
    return values, grad_x, grad_y


class _SlicedFunction(torch.autograd.Function):
    """Mean over directions (L, d); the sorting permutations are constants of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, directions: Tensor, p: float) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # Sums of far-away clouds need the centre removed; it cancels in every difference.
            centre = y.detach().mean(0)
            px, py = (directions @ (cloud.detach() - centre).T for cloud in (x, y))
            values, *grads = _transport_rows(px, py, p, ctx.needs_input_grad[:2])
            share = 1.0 / len(directions)
            ctx.save_for_backward(
                x, y, *(None if grad is None else grad.T @ directions * share for grad in grads)
            )
            return values.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        # Activation checkpointing makes them anew, once: read once.
        x, y, *saved = ctx.saved_tensors
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved]
        return (*first_order_only("A sliced distance", gradients, (x, y)), None, None)


def _directions(count: int, x: Tensor, generator: torch.Generator | None) -> Tensor:
    device = x.device if generator is None else generator.device
    try:
        directions = torch.randn(count, x.shape[1], generator=generator, device=device)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise MemoryError(
            f"{count} directions of {x.shape[1]} features are more than there is memory for: take "
            "fewer, as n_projections or n_starts."
        ) from error
    return torch.nn.functional.normalize(directions.to(x), dim=1)


def _check(x: Tensor, y: Tensor) -> None:
    check_clouds(x, y)
    if x.dtype != y.dtype:
        raise ValueError(f"x and y must have one dtype, got {x.dtype} and {y.dtype}.")


def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_projections: int = 50,
    p: float = 2,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Sliced Wasserstein distance, to the power `p`, of two uniformly weighted clouds.

    .. math::
        \mathrm{SW}_p^p = \frac1L \sum_{l=1}^L W_p^p\bigl(\langle\theta_l, x\rangle,
        \langle\theta_l, y\rangle\bigr), \qquad \theta_l \text{ uniform on the sphere}

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds of one dtype; sizes may differ.
    n_projections : int, default=50
        Number of directions L.
    p : float, default=2
        At least 1.
    generator : torch.Generator, optional
        Source of the directions.

    Returns
    -------
    Tensor of shape ()
        Differentiable once in `x` and `y`.

    Raises
    ------
    ValueError
        If a shape, dtype or option is invalid.

    References
    ----------
    .. [1] Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters of measures, eq. 7.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import sliced_wasserstein
    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> sliced_wasserstein(x, x.flip(0) + 3.0)
    tensor(9.)
    """
    _check(x, y)
    n_projections, p = as_whole("n_projections", n_projections), as_real("p", p, least=1)
    return _SlicedFunction.apply(x, y, _directions(n_projections, x, generator), p)


def _starts(x: Tensor, y: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Return random directions, the difference of the means and, of the covariances, two more."""
    theta, shift = _directions(count, x, generator), x.mean(0) - y.mean(0)
    planned = torch.nn.functional.normalize(shift[None], dim=1)
    difference = x.T @ x / len(x) - shift.outer(shift) - y.T @ y / len(y)
    if len(difference) <= _EIGEN and bool(difference.isfinite().all()):
        extreme = torch.linalg.eigh(difference.cpu())[1][:, [0, -1]].T
        planned = torch.cat((planned, extreme.to(x.device)))
    planned = torch.where(planned.abs().sum(1, keepdim=True) > 0, planned, theta[:1])
    return torch.cat((theta, planned))


def _ascent(theta: Tensor, x: Tensor, y: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Return ``W_p^p`` along every direction, and its gradient with respect to the direction."""
    values, grad_x, grad_y = _transport_rows(theta @ x.T, theta @ y.T, p)
    assert grad_x is not None and grad_y is not None
    return values, grad_x @ x + grad_y @ y


def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_starts: int = 10,
    n_steps: int = 20,
    p: float = 2,
    generator: torch.Generator | None = None,
) -> Tensor:
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
        Steps from each start.
    p : float, default=2
        At least 1.
    generator : torch.Generator, optional
        Source of the starting directions.

    Returns
    -------
    Tensor of shape ()
        Differentiable once in `x` and `y`, the direction being a constant (envelope theorem).

    Raises
    ------
    ValueError
        If a shape, dtype or option is invalid.

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
    _check(x, y)
    n_starts, n_steps = as_whole("n_starts", n_starts), as_whole("n_steps", n_steps)
    p = as_real("p", p, least=1)
    wide = widest(x)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        cloud_x, cloud_y = x.to(wide), y.to(wide)
        centre = cloud_y.mean(0)
        cloud_x, cloud_y = cloud_x - centre, cloud_y - centre
        theta = _starts(cloud_x, cloud_y, n_starts, generator)
        values, gradient = _ascent(theta, cloud_x, cloud_y, p)
        step = torch.full_like(theta[:, :1], 0.5)
        for _ in range(n_steps):
            along = (gradient * theta).sum(1, keepdim=True) * theta
            trial = torch.nn.functional.normalize(along + step * (gradient - along), dim=1)
            reached, slope = _ascent(trial, cloud_x, cloud_y, p)
            better = (reached > values)[:, None]
            theta = torch.where(better, trial, theta)
            gradient = torch.where(better, slope, gradient)
            values = torch.maximum(values, reached)
            step = torch.where(better, 1.5 * step, 0.5 * step)
        best = theta[values.argmax()][None]
    return _SlicedFunction.apply(x, y, best.to(x.dtype), p)
