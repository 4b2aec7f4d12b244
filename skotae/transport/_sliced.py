"""Sliced Wasserstein distances: sorting along directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.transport.base import check_clouds, check_positive, first_order_only, widest


def _order(values: Tensor) -> Tensor:
    """Return the argsort of every row; NumPy's is many times faster than torch's on CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.argsort(1)


def _quantile_coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the (i, j, mass) of the monotone coupling of n and m sorted, equally heavy points."""
    cuts = np.union1d(np.arange(n, dtype=np.int64) * m, np.arange(m, dtype=np.int64) * n)
    mass = np.diff(np.append(cuts, n * m)) / (n * m)
    rows, columns = torch.from_numpy(cuts // m), torch.from_numpy(cuts // n)
    return rows.to(device), columns.to(device), torch.from_numpy(mass)


def _transport_rows(px: Tensor, py: Tensor, p: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``W_p^p`` of every row of (L, n) and (L, m) and its gradients for both."""
    order_x, order_y = _order(px), _order(py)
    sorted_x, sorted_y = px.gather(1, order_x), py.gather(1, order_y)
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
    grad_x = torch.empty_like(px).scatter_(1, order_x, slope_x)
    grad_y = torch.empty_like(py).scatter_(1, order_y, slope_y)
    return values, grad_x, grad_y


class _SlicedFunction(torch.autograd.Function):
    """Mean over directions (L, d); the sorting permutations are constants of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, directions: Tensor, p: float) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # Sums of far-away clouds need the centre removed; it cancels in every difference.
            centre = y.detach().mean(0)
            values, grad_x, grad_y = _transport_rows(
                directions @ (x.detach() - centre).T, directions @ (y.detach() - centre).T, p
            )
            share = 1.0 / len(directions)
            ctx.save_for_backward(
                x,
                y,
                (grad_x.T @ directions) * share if ctx.needs_input_grad[0] else None,
                (grad_y.T @ directions) * share if ctx.needs_input_grad[1] else None,
            )
            return values.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        inputs, saved = ctx.saved_tensors[:2], ctx.saved_tensors[2:]
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved]
        return (*first_order_only("A sliced distance", gradients, inputs), None, None)


def _directions(count: int, x: Tensor, generator: torch.Generator | None) -> Tensor:
    device = x.device if generator is None else generator.device
    directions = torch.randn(count, x.shape[1], generator=generator, device=device)
    return torch.nn.functional.normalize(directions.to(x), dim=1)


def _check(x: Tensor, y: Tensor, p: float, **counts: int) -> None:
    check_clouds(x, y)
    check_positive("p", p, minimum=1.0)
    if x.dtype != y.dtype:
        raise ValueError(f"x and y must have one dtype, got {x.dtype} and {y.dtype}.")
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {count!r}.")


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
    _check(x, y, p, n_projections=n_projections)
    return _SlicedFunction.apply(x, y, _directions(n_projections, x, generator), p)


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

    A local maximum: from each start, the direction becomes the normalised gradient, which for
    ``p = 2`` is the power iteration :math:`\theta \leftarrow D^\top D \theta` on the sorted
    differences D. The best direction seen is kept.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds of one dtype; sizes may differ.
    n_starts : int, default=10
        Random directions to start from; the difference of the means is one more.
    n_steps : int, default=20
        Iterations.
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
    _check(x, y, p, n_starts=n_starts, n_steps=n_steps)
    wide = widest(x)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        cloud_x, cloud_y = x.to(wide), y.to(wide)
        centre = cloud_y.mean(0)
        cloud_x, cloud_y = cloud_x - centre, cloud_y - centre
        theta = _directions(n_starts, cloud_x, generator)
        theta = torch.cat((theta, torch.nn.functional.normalize(cloud_x.mean(0)[None], dim=1)))
        theta = torch.where(theta.abs().sum(1, keepdim=True) > 0, theta, theta[:1])
        best, best_value = theta[:1], theta.new_full((), -1.0)
        for _ in range(n_steps + 1):
            values, grad_x, grad_y = _transport_rows(theta @ cloud_x.T, theta @ cloud_y.T, p)
            top = values.argmax()
            better = values[top] > best_value
            best = torch.where(better, theta[top][None], best)
            best_value = torch.where(better, values[top], best_value)
            moved = torch.nn.functional.normalize(grad_x @ cloud_x + grad_y @ cloud_y, dim=1)
            theta = torch.where(moved.abs().sum(1, keepdim=True) > 0, moved, theta)
    return _SlicedFunction.apply(x, y, best.to(x.dtype), p)
