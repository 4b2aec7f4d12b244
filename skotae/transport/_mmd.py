"""Maximum mean discrepancy with inverse multiquadratic and other kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import check_clouds, check_weight_shape, full_precision, saved_gradients
from skotae.utils.base import as_real, brief

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
BLOCK = 2**17

Kernel = Callable[[Tensor, Tensor], Tensor]


def squared_mmd(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float = 1.0,
    scales: tuple[float, ...] = SCALES,
    weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    kernel: str | Kernel = "multiquadric",
    unbiased: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy of two clouds, unbiased unless the plain one is asked for.

    .. math::
        \widehat{\mathrm{MMD}}^2 =
        \frac{\sum_{i \ne j} w_i w_j k(x_i, x_j)}{1 - \sum_i w_i^2}
        + \frac{\sum_{i \ne j} v_i v_j k(y_i, y_j)}{1 - \sum_j v_j^2}
        - 2 \sum_{ij} w_i v_j k(x_i, y_j),
        \qquad
        k(x, y) = \sum_s \frac{C_s}{C_s + |x - y|^2},
        \quad C_s = 2 d \sigma^2 s .

    with uniform weights :math:`w_i = 1/n` and :math:`v_j = 1/m` unless they are given. The plain
    one, :math:`|\sum_i w_i k(x_i, \cdot) - \sum_j v_j k(y_j, \cdot)|^2`, has the sums over all
    pairs of a cloud, undivided: it is never negative, and not zero on average for two samples of
    one distribution.

    Of the other kernels, the Gaussian one is :math:`\sum_s \exp(-|x - y|^2 / C_s)` and the
    Laplacian one :math:`\sum_s \exp(-|x - y| / \sqrt{C_s / 2})`, with the same constants, and that
    of the energy distance is :math:`-|x - y|`, which has no bandwidth: the discrepancy is
    :math:`2 E|x - y| - E|x - x'| - E|y - y'|` [2]_.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    y : Tensor of shape (m, d)
    bandwidth : float, default=1.0
        Standard deviation :math:`\sigma` of a coordinate.
    scales : tuple of float, default=(0.1, 0.2, 0.5, 1, 2, 5, 10)
        Multipliers of the bandwidth, one kernel each.
    weights : Tensor of shape (n,), optional
        Weights of `x`, summing to one; uniform by default.
    y_weights : Tensor of shape (m,), optional
        Weights of `y`, summing to one; uniform by default.
    kernel : {"multiquadric", "gaussian", "laplacian", "energy"} or callable, default="multiquadric"
        A callable takes clouds (n, d) and (m, d) and returns the values (n, m) of a symmetric
        kernel, by operations that autograd knows. `bandwidth` and `scales` do not count for it,
        nor for "energy".
    unbiased : bool, default=True
        Leave the pairs of a point with itself out. Where they count, weights may have any sums.

    Returns
    -------
    Tensor
        A scalar, with gradient to `x`, `y` and their weights. Where it is unbiased the sum of a
        cloud of one point is left out.

    Raises
    ------
    ValueError
        If a shape, dtype, weight, `bandwidth` or `kernel` is invalid.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, Algorithm 2.
    .. [2] Sejdinovic, Sriperumbudur, Gretton and Fukumizu (2013), Equivalence of distance-based
       and RKHS-based statistics in hypothesis testing, theorem 22.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import squared_mmd
    >>> x = torch.arange(6.0).reshape(3, 2)
    >>> bool(squared_mmd(x, x + 10) > squared_mmd(x, x + 1))
    True

    A kernel of one's own:

    >>> def laplace(x, y):
    ...     return torch.exp(-torch.cdist(x, y, p=1))
    >>> round(squared_mmd(x, x + 10, kernel=laplace).item(), 3)
    0.025

    Half of it, with a Gaussian or Laplacian kernel of one scale, is what others call a kernel
    loss; the plain one is a squared norm:

    >>> options = {"scales": (1 / 2,), "bandwidth": 3.0, "unbiased": False}
    >>> round(squared_mmd(x, x + 10, kernel="laplacian", **options).item() / 2, 3)
    0.525
    """
    check_clouds(x, y)
    check_weight_shape("weights", weights, (len(x),))
    check_weight_shape("y_weights", y_weights, (len(y),))
    bandwidth = as_real("bandwidth", bandwidth, above=0)
    scales = tuple(as_real("scales", scale, above=0) for scale in scales)
    constants = _constants(x.shape[1], bandwidth, scales)
    (n, _), (m, _) = x.shape, y.shape
    w = x.new_full((n,), 1.0 / n) if weights is None else weights
    v = y.new_full((m,), 1.0 / m) if y_weights is None else y_weights
    # What is there of pairs of different points; None where all count.
    pairs: list[Tensor | float | None] = [None, None]
    if unbiased:
        pairs = [_pairs(w), 1.0 - 1.0 / m if y_weights is None else _pairs(v)]
    if kernel == "laplacian":
        kernel = partial(_laplacian, constants=constants)
    if callable(kernel) or kernel == "energy":
        function = kernel if callable(kernel) else _negative_distance
        return _by_autograd(x, w, y, v, function, pairs)
    if kernel not in ("multiquadric", "gaussian"):
        raise ValueError(
            "kernel must be 'multiquadric', 'gaussian', 'laplacian', 'energy' or a callable, got "
            f"{brief(kernel)}."
        )
    gaussian = kernel == "gaussian"
    # About a common point: distances come from a matrix product.
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    result = -2.0 * _KernelMean.apply(x, w, y, v, constants, gaussian)
    for cloud, masses, count in ((x, w, pairs[0]), (y, v, pairs[1])):
        if count is None:
            # The kernels are one at no distance.
            result = result + len(constants) * masses.square().sum()
        if len(cloud) > 1:
            own = _KernelMean.apply(cloud, masses, None, None, constants, gaussian)
            result = result + (own if count is None else own / count)
    return result


def _pairs(w: Tensor) -> Tensor:
    """Return the sum of the products of different weights."""
    return (1.0 - w.square().sum()).clamp_min(1e-6)


def _negative_distance(x: Tensor, y: Tensor) -> Tensor:
    # In units in which squares are in range: a power of two, which leaves all digits as they are.
    most = torch.maximum(x.detach().abs().amax(), y.detach().abs().amax())
    unit = torch.ldexp(torch.ones_like(most), torch.frexp(most).exponent - 1)
    unit = torch.where(unit.isfinite() & (unit > 0), unit, 1.0)
    # Not by a matrix product: small distances would be lost to its rounding.
    return -unit * torch.cdist(x / unit, y / unit, compute_mode="donot_use_mm_for_euclid_dist")


def _laplacian(x: Tensor, y: Tensor, *, constants: tuple[float, ...]) -> Tensor:
    distances = -_negative_distance(x, y)
    parts = [torch.exp(distances / -math.sqrt(c / 2.0)) for c in constants]
    return torch.stack(parts).sum(0)


def _by_autograd(
    x: Tensor,
    w: Tensor,
    y: Tensor,
    v: Tensor,
    kernel: Kernel,
    pairs: Sequence[Tensor | float | None],
) -> Tensor:
    """Return the squared discrepancy of a kernel that is a function of two clouds."""

    def between(first: Tensor, second: Tensor) -> Tensor:
        values = kernel(first, second)
        shape = (len(first), len(second))
        if not isinstance(values, Tensor) or tuple(values.shape) != shape:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"kernel must return a tensor of shape {shape}, got {got}.")
        return values

    with full_precision(x.device):
        result = -2.0 * (w @ between(x, y) @ v)
        for cloud, masses, count in ((x, w, pairs[0]), (y, v, pairs[1])):
            if count is None:
                result = result + masses @ between(cloud, cloud) @ masses
            elif len(cloud) > 1:
                own = between(cloud, cloud)
                within = masses @ own @ masses - masses.square() @ own.diagonal()
                result = result + within / count
        return result


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
    return _KernelMean.apply(x, a, y, b, constants or _constants(x.shape[1]), False)


def kernel_mean_within(
    x: Tensor, w: Tensor, *, constants: tuple[float, ...] | None = None
) -> Tensor:
    """Sum of w_ik w_il k(x_ik, x_il) over i and k != l: pairs of points of one row.

    Parameters
    ----------
    x : Tensor of shape (n, K, d)
    w : Tensor of shape (n, K)
    """
    return _KernelMeanWithin.apply(x, w, constants or _constants(x.shape[2]))


def _constants(
    d: int, bandwidth: float = 1.0, scales: tuple[float, ...] = SCALES
) -> tuple[float, ...]:
    # Within what float32 holds: beyond it the kernel is 1 for all distances, or for none.
    usable = torch.finfo(torch.float32)
    return tuple(
        min(max(2.0 * d * bandwidth * bandwidth * s, usable.tiny), usable.max / 4) for s in scales
    )


class _KernelMean(torch.autograd.Function):
    """Sum of a_i b_j k(x_i, y_j) over all pairs, or of a_i a_j k(x_i, x_j) over i != j.

    Values and gradients are made together, some rows at a time, so that the matrices that
    every kernel of the mixture passes over stay in the cache and none is kept.
    """

    @staticmethod
    def forward(ctx, x, a, y, b, constants, gaussian):  # type: ignore[no-untyped-def, override]
        with full_precision(x.device):
            return _KernelMean._value(ctx, x, a, y, b, constants, gaussian)

    @staticmethod
    def _value(ctx, x, a, y, b, constants, gaussian):  # type: ignore[no-untyped-def]
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
        x_square, y_square = x.square().sum(1), y.square().sum(1)
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
            sources = (x, a) if symmetric else (x, a, y, b)
            ctx.save_for_backward(*sources, *saved)
        return value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        gradients = saved_gradients("squared_mmd", ctx, grad)
        return (*gradients, *[None] * (6 - len(gradients)))


class _KernelMeanWithin(torch.autograd.Function):
    """Sum of w_ik w_il k(x_ik, x_il) over i and k != l, with its gradients."""

    @staticmethod
    def forward(ctx, x, w, constants):  # type: ignore[no-untyped-def, override]
        with full_precision(x.device):
            square = x.square().sum(2)
            distance = torch.baddbmm(
                square[:, :, None] + square[:, None, :], x, x.mT, alpha=-2.0
            ).clamp_min_(0.0)
            needed = any(ctx.needs_input_grad)
            kernel, slope = _mixture(distance, constants, needed)
            kernel.diagonal(dim1=1, dim2=2).zero_()
            sums = torch.bmm(kernel, w[:, :, None])[:, :, 0]
            if slope is not None:
                pull = torch.bmm(slope, torch.cat([w[:, :, None], w[:, :, None] * x], 2))
                gx = 4.0 * w[:, :, None] * (pull[:, :, :1] * x - pull[:, :, 1:])
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
