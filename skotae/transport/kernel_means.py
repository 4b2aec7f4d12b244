"""Means of kernels over the pairs of clouds, with closed-form gradients."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from skotae.transport.base import full_precision, saved_gradients

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
BLOCK = 2**17
# Of the integral in `NormalMean`: the step of the logarithm of t, where it begins, in units of 1
# over the constants, and where it ends, in units of 1 over the least.
STEP, FIRST, LAST = 0.5, 1e-8, 25.0


def kernel_mean(
    x: Tensor,
    a: Tensor,
    y: Tensor | None = None,
    b: Tensor | None = None,
    *,
    constants: tuple[float, ...] | None = None,
) -> Tensor:
    """Sum of a_i b_j k(x_i, y_j) over all pairs; without y, of a_i a_j k(x_i, x_j) over i != j.

    The clouds should lie about 0: distances come from a matrix product.
    """
    return KernelMean.apply(x, a, y, b, constants or constants_of(x.shape[1]), False, None)


def kernel_mean_within(
    x: Tensor, w: Tensor, *, constants: tuple[float, ...] | None = None
) -> Tensor:
    """Sum of w_ik w_il k(x_ik, x_il) over i and k != l: pairs of points of one row.

    Parameters
    ----------
    x : Tensor of shape (n, K, d)
    w : Tensor of shape (n, K)
    """
    return _KernelMeanWithin.apply(x, w, constants or constants_of(x.shape[2]))


@lru_cache(maxsize=64)
def constants_of(
    d: int,
    bandwidth: float = 1.0,
    scales: tuple[float, ...] = SCALES,
    dtype: torch.dtype = torch.float32,
) -> tuple[float, ...]:
    # With squares of their inverses within what the dtype holds.
    least, most = torch.finfo(dtype).tiny ** 0.5, torch.finfo(dtype).max / 4
    return tuple(min(max(2.0 * d * bandwidth * bandwidth * s, least), most) for s in scales)


def mass_of_pairs(w: Tensor) -> Tensor:
    """Return the sum of the products of different weights, of which the sum is one."""
    return (1.0 - w.square().sum()).clamp_min(1e-6)


def in_units_of(unit: float, points: Tensor) -> Tensor:
    """Return points in another unit; those beyond the range of the dtype at its end."""
    largest = torch.finfo(points.dtype).max
    return (points / unit).clamp(-largest, largest) + 0.0 * points


def squarable(points: Tensor) -> Tensor:
    """Return points with 0 for coordinates whose squares are out of range, NaN for infinite ones.

    What is in range keeps its digits.
    """
    limit = _limit(points.shape[-1], points.dtype)
    return points - torch.nn.functional.hardshrink(points, limit)


@lru_cache(maxsize=64)
def _limit(d: int, dtype: torch.dtype) -> float:
    """Return the largest coordinate of points whose squares are in range, of any direction."""
    most = torch.finfo(dtype).max
    # In half precision that is not far from all others.
    return math.sqrt(most / (4.0 * d)) if most > 1e30 else math.inf


def for_products(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return points for products, and their squares, infinite where they are out of range."""
    points = points.detach()
    return squarable(points), points.square().sum(-1)


class KernelMean(torch.autograd.Function):
    """Sum of a_i b_j k(x_i, y_j) over all pairs, or of a_i a_j k(x_i, x_j) over i != j.

    Values and gradients are made together, some rows at a time, so that the matrices that
    every kernel of the mixture passes over stay in the cache and none is kept.
    """

    @staticmethod
    def forward(ctx, x, a, y, b, *options):  # type: ignore[no-untyped-def, override]
        with full_precision(x.device):
            return KernelMean._value(ctx, x, a, y, b, *options)

    @staticmethod
    def _value(ctx, x, a, y, b, constants, gaussian, inner):  # type: ignore[no-untyped-def]
        symmetric = y is None
        needs = list(ctx.needs_input_grad[:4])
        if symmetric:
            y, b, needs[2:] = x, a, needs[:2]
        value = x.new_zeros(())
        grads: list[Any] = [
            torch.zeros_like(part) if needed else None
            for part, needed in zip((x, a, y, b), needs, strict=True)
        ]
        if symmetric:
            grads[2:] = grads[:2]
        sources = (x, a) if symmetric else (x, a, y, b)
        if inner is None:
            inner = tuple(for_products(cloud) for cloud in ((x,) if symmetric else (x, y)))
        (x, x_square), (y, y_square) = inner[0], inner[-1]
        rows = max(1, BLOCK // len(y))
        for start in range(0, len(x), rows):
            some = slice(start, start + rows)
            # By symmetry only pairs on and above the diagonal, those above it twice.
            rest = slice(start, None) if symmetric else slice(None)
            square = symmetric and start + rows >= len(x)
            factor = b[rest]
            if symmetric and not square:
                times = torch.ones_like(factor)
                times[rows:] = 2.0
                factor = factor * times
            distance = torch.addmm(
                x_square[some, None] + y_square[rest], x[some], y[rest].T, alpha=-2.0
            ).clamp_min_(0.0)
            kernel, slope = (_gaussians if gaussian else _mixture)(distance, constants, any(needs))
            if symmetric:
                kernel.fill_diagonal_(0.0)
            row_sums = kernel @ factor
            value += a[some] @ row_sums
            if slope is None:
                continue
            if needs[1]:
                # Of all pairs of a square both orders are there.
                grads[1][some] += 2.0 * row_sums if square else row_sums
            if needs[3] and not square:
                sums = kernel.T @ a[some]
                grads[3][rest] += sums * times if symmetric else sums
            if needs[0]:
                pull = _pull(slope, x[some], a[some], y[rest], factor)
                grads[0][some] += 2.0 * pull if square else pull
            if needs[2] and not square:
                grads[2][rest] += _pull(slope.T, y[rest], factor, x[some], a[some])
        if any(needs):
            gx, ga, gy, gb = grads
            gx, gy = (None if each is None else 2.0 * each for each in (gx, gy))
            saved = (gx, ga) if symmetric else (gx, ga, gy, gb)
            ctx.save_for_backward(*sources, *saved)
        return value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        gradients = saved_gradients("squared_mmd", ctx, grad)
        return (*gradients, *[None] * (7 - len(gradients)))


class NormalMean(nn.Module):
    r"""Means of the kernels over a normal distribution, without draws from it.

    .. math::
        \mathbb E_y \sum_s \frac{C_s}{C_s + |x - y|^2}
        = \int_0^\infty \sum_s C_s e^{-C_s t} \prod_k \frac{1}{\sqrt{1 + 2 t \sigma_k^2}}
        \exp\Big(-\frac{t x_k^2}{1 + 2 t \sigma_k^2}\Big)\, dt,
        \qquad y \sim \mathcal N(0, \mathrm{diag}(\sigma_1^2, \dots, \sigma_d^2)) ,

    as :math:`C / (C + r) = \int C e^{-t (C + r)} dt`. The integral is a sum over some fifty
    values of t, evenly spaced in :math:`\log t`, that is right to seven digits.

    Parameters
    ----------
    scale : Tensor of shape (d,)
        The standard deviations.
    constants : tuple of float
        Those of the kernels.

    Attributes
    ----------
    within : float
        The mean over independent pairs of draws.
    """

    rates: Tensor
    weights: Tensor

    def __init__(self, scale: Tensor, constants: tuple[float, ...]):
        super().__init__()
        c = torch.tensor(constants, dtype=torch.float64)
        variance = scale.double().square()[:, None]
        first, last = math.log(FIRST / c.sum()), math.log(LAST / c.min())
        t = torch.arange(first, last, STEP, dtype=torch.float64).exp()
        weights = STEP * t * (c * torch.exp(-c * t[:, None])).sum(1)
        self.within = float((weights / (1.0 + 4.0 * t * variance).sqrt().prod(0)).sum())
        weights /= (1.0 + 2.0 * t * variance).sqrt().prod(0)
        some = weights > FIRST * weights.sum()
        # None is zero, which times the square of a code out of range would be no number.
        rates = (t / (1.0 + 2.0 * t * variance))[:, some].clamp_min(torch.finfo(torch.float32).tiny)
        self.register_buffer("weights", weights[some].float(), persistent=False)
        self.register_buffer("rates", rates.float(), persistent=False)

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """Return the sum of a_i times the mean of k(x_i, y)."""
        return _NormalMean.apply(x, a, self.rates.to(x.dtype), self.weights.to(x.dtype))


class _NormalMean(torch.autograd.Function):
    """Sum of a_i w_q exp(-sum_k v_kq x_ik^2), with its gradients in x and a."""

    @staticmethod
    def forward(ctx, x, a, rates, weights):  # type: ignore[no-untyped-def, override]
        with full_precision(x.device):
            kernel = torch.exp(-(x.detach().square() @ rates)).mul_(weights)
            sums = kernel.sum(1)
            if any(ctx.needs_input_grad):
                pull = squarable(x.detach()) * (kernel @ rates.T)
                ctx.save_for_backward(x, a, -2.0 * a[:, None] * pull, sums)
            return a @ sums

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        return (*saved_gradients("squared_mmd", ctx, grad), None, None)


class _KernelMeanWithin(torch.autograd.Function):
    """Sum of w_ik w_il k(x_ik, x_il) over i and k != l, with its gradients."""

    @staticmethod
    def forward(ctx, x, w, constants):  # type: ignore[no-untyped-def, override]
        with full_precision(x.device):
            inner, square = for_products(x)
            distance = torch.baddbmm(
                square[:, :, None] + square[:, None, :], inner, inner.mT, alpha=-2.0
            ).clamp_min_(0.0)
            needed = any(ctx.needs_input_grad)
            kernel, slope = _mixture(distance, constants, needed)
            kernel.diagonal(dim1=1, dim2=2).zero_()
            sums = torch.bmm(kernel, w[:, :, None])[:, :, 0]
            if slope is not None:
                pull = torch.bmm(slope, torch.cat([w[:, :, None], w[:, :, None] * inner], 2))
                gx = 4.0 * w[:, :, None] * (pull[:, :, :1] * inner - pull[:, :, 1:])
                ctx.save_for_backward(x, w, gx, 2.0 * sums)
            return (w * sums).sum()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        return (*saved_gradients("squared_mmd", ctx, grad), None)


def _pull(slope: Tensor, x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
    """a_i sum_j b_j s_ij (x_i - y_j), with one product of matrices.

    Of its transpose: of few columns, that is up to five times as fast.
    """
    sums = torch.cat([b[None], b * y.T]) @ slope.T
    return (a * (sums[0] * x.T - sums[1:])).T


def _mixture(
    distance: Tensor, constants: tuple[float, ...], derivative: bool
) -> tuple[Tensor, Tensor | None]:
    """sum_i C_i / (C_i + D), and its derivative with respect to D."""
    kernel = torch.zeros_like(distance)
    slope = torch.zeros_like(distance) if derivative else None
    part = torch.empty_like(distance)
    for c in constants:
        torch.add(distance, c, out=part)
        part.reciprocal_()
        kernel.add_(part, alpha=c)
        if slope is not None:
            slope.addcmul_(part, part, value=-c)
    return kernel, slope


def _gaussians(
    distance: Tensor, constants: tuple[float, ...], derivative: bool
) -> tuple[Tensor, Tensor | None]:
    """sum_i exp(-D / C_i), and its derivative with respect to D."""
    kernel = torch.zeros_like(distance)
    slope = torch.zeros_like(distance) if derivative else None
    for c in constants:
        part = distance.div(-c).exp_()
        kernel.add_(part)
        if slope is not None:
            slope.add_(part, alpha=-1.0 / c)
    return kernel, slope
