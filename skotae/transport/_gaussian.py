"""Optimal transport between Gaussians: the distance and the map."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skotae.transport.base import (
    check_weights,
    largest,
    saved_gradients,
    warn_if_infinite,
    widest,
    within_range,
)
from skotae.utils._torch import check_tensor

_UNIT = 2.0**64


def _transport(
    cov1: Tensor, cov2: Tensor, *, exact_rank: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2`` and the maps T_AB and T_BA.

    With ``A^1/2 B^1/2 = U S V'`` the last trace is that of S, and the maps are
    ``T_AB = B^1/2 V S^-1 V' B^1/2`` and ``T_BA = A^1/2 U S^-1 U' A^1/2``. No difference of
    eigenvalues is divided by. In the widest dtype; infinite, or NaN, where a covariance is, and the
    maps are NaN.

    With `exact_rank`, eigenvalues that rounding cannot tell from zero are zero: the roots of what
    rounding leaves would be directions of their own to the maps, though they are none to the value.
    """
    wide = widest(cov1)
    # Halves before their sum, and a unit for what is near the end of the range: it stays in it.
    halves = cov1.detach() / 2, cov2.detach() / 2
    first, second = ((half + half.T).to(wide) for half in halves)
    most = largest(float(first.abs().max()), float(second.abs().max()))
    if not math.isfinite(most):
        value = first.new_full((), most)
        return value, first * torch.nan, first * torch.nan
    unit = _UNIT if most > torch.finfo(wide).max / _UNIT else 1.0
    if unit > 1.0:
        first, second = first / unit, second / unit
    eps = max(torch.finfo(cov1.dtype).eps, torch.finfo(cov2.dtype).eps) * len(first)
    root1, root2 = (_root(matrix, eps if exact_rank else 0.0) for matrix in (first, second))
    left, singular, right = torch.linalg.svd(root1 @ root2)
    keep = singular > eps * singular[0]
    inverse = torch.where(keep, 1 / singular.clamp_min(torch.finfo(wide).tiny), 0.0)
    # The map from a singular covariance leaves its range: only the other's root gives it whole.
    map12 = root2 @ (right.T * inverse) @ right @ root2
    map21 = root1 @ (left * inverse) @ left.T @ root1
    return unit * (first.trace() + second.trace() - 2 * singular.sum()), map12, map21


class _Bures(torch.autograd.Function):
    """The part of the covariances in the distance, with gradients I - T_AB and I - T_BA."""

    @staticmethod
    def forward(ctx: Any, cov1: Tensor, cov2: Tensor) -> Tensor:
        value, map12, map21 = _transport(cov1, cov2)
        identity = torch.eye(len(cov1), dtype=value.dtype, device=cov1.device)
        ctx.save_for_backward(
            cov1, cov2, (identity - map12).to(cov1.dtype), (identity - map21).to(cov2.dtype)
        )
        return value.clamp_min(0.0).to(cov1.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return saved_gradients("gaussian_wasserstein", ctx, grad_output)


def _root(matrix: Tensor, share: float) -> Tensor:
    """Return the root, of no eigenvalues below a share of the largest."""
    spectrum, vectors = torch.linalg.eigh(matrix)
    spectrum = torch.where(spectrum > share * spectrum[-1], spectrum, 0.0)
    return (vectors * spectrum.clamp_min(0.0).sqrt()) @ vectors.T


def gaussian_wasserstein(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> Tensor:
    r"""Squared 2-Wasserstein distance between two Gaussians.

    .. math::
        W_2^2 = |m_1 - m_2|^2 + \operatorname{tr} \bigl(\Sigma_1 + \Sigma_2
        - 2 (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2}\bigr)

    The gradient with respect to a covariance is ``I - T``, with `T` the linear transport map to the
    other Gaussian. Where that does not exist it is made of pseudo-inverses, hence finite, and of
    the points of a cloud that spans no more than a subspace it remains the gradient.

    Parameters
    ----------
    mean1, mean2 : Tensor of shape (d,)
    cov1, cov2 : Tensor of shape (d, d)
        Symmetric positive semi-definite; only the symmetric part is used.

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    ValueError
        If what is given is no tensor, or the shapes do not match.
    RuntimeError
        When differentiated twice.

    Warns
    -----
    RuntimeWarning
        If the value is beyond the range of its dtype, or a mean or a covariance is (on the CPU); it
        is then infinite.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, eq. 13.
    .. [2] Dowson and Landau (1982), The Frechet distance between multivariate normal distributions.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import gaussian_wasserstein
    >>> zero, eye = torch.zeros(2), torch.eye(2)
    >>> gaussian_wasserstein(zero, eye, zero + 1.0, 4.0 * eye)
    tensor(4.)
    """
    _check_gaussians(mean1, cov1, mean2, cov2)
    value = (mean1 - mean2).square().sum() + _Bures.apply(cov1, cov2)
    if value.device.type == "cpu" and not bool(value.detach().isfinite()):
        if any(bool(each.detach().isinf().any()) for each in (mean1, cov1, mean2, cov2)):
            # Of fits whose squares are out of range.
            value = value.nan_to_num(math.inf, math.inf)
        warn_if_infinite(value, "means and covariances")
    return value


def gaussian_map(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> tuple[Tensor, Tensor]:
    r"""Linear map that carries one Gaussian to another at the least squared distance.

    .. math::
        T(x) = A x + b, \qquad
        A = \Sigma_1^{-1/2} (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2} \Sigma_1^{-1/2},
        \qquad b = m_2 - A m_1

    `A` is symmetric and positive semi-definite, and :math:`A \Sigma_1 A = \Sigma_2`. Where
    :math:`\Sigma_1` is singular, no map may reach directions of :math:`\Sigma_2` that the first
    Gaussian does not have: `A` is then the conditional mean of the optimal coupling (its
    barycentric projection), and :math:`A \Sigma_1 A` the part of :math:`\Sigma_2` that is reached.

    Parameters
    ----------
    mean1, mean2 : Tensor of shape (d,)
    cov1, cov2 : Tensor of shape (d, d)
        Symmetric positive semi-definite; only the symmetric part is used.

    Returns
    -------
    A : Tensor of shape (d, d)
        Rows of points are mapped by ``x @ A + b``.
    b : Tensor of shape (d,)
        Both without gradient, in the dtype of `cov1`, computed in float64 where the device has it.

    Raises
    ------
    ValueError
        If what is given is no tensor, the shapes do not match, an input is infinite, or a result
        is beyond the range of its dtype.

    See Also
    --------
    gaussian_wasserstein : The cost of the map.
    fit_gaussian : Mean and covariance of a cloud.

    References
    ----------
    .. [1] Peyre and Cuturi (2019), Computational optimal transport, remark 2.31.
    .. [2] Knott and Smith (1984), On the optimal mapping of distributions.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import gaussian_map
    >>> zero, eye = torch.zeros(2), torch.eye(2)
    >>> A, b = gaussian_map(zero, eye, zero + 1.0, 4.0 * eye)
    >>> torch.tensor([[1.0, 2.0]]) @ A + b
    tensor([[3., 5.]])
    """
    _check_gaussians(mean1, cov1, mean2, cov2)
    names, dtype = "means and covariances", cov1.dtype
    given = mean1, cov1, mean2, cov2
    if any(bool(each.isinf().any()) for each in given):
        raise ValueError(f"{names} must be finite, got infinite values: rescale the points.")
    _, matrix, _ = _transport(cov1, cov2, exact_rank=True)
    first, second = (mean.detach().to(matrix) for mean in (mean1, mean2))
    offset = second - matrix @ first
    if not any(bool(each.isnan().any()) for each in given):
        # A difference of what is out of range.
        offset = offset.nan_to_num(math.inf, math.inf, -math.inf)
    matrix = within_range(matrix, dtype, "matrix", names)
    return matrix, within_range(offset, dtype, "offset", names)


def _check_gaussians(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> None:
    """Raise ValueError unless there are two means (d,) and two covariances (d, d)."""
    for name, each in (("mean1", mean1), ("mean2", mean2), ("cov1", cov1), ("cov2", cov2)):
        check_tensor(each, name)
        if name.startswith("cov") and not each.is_floating_point():
            raise ValueError(f"{name} must be of a floating-point dtype, got {each.dtype}.")
    d = mean1.shape[0] if mean1.ndim == 1 else -1
    for name, tensor, shape in (
        ("mean1", mean1, (d,)),
        ("mean2", mean2, (d,)),
        ("cov1", cov1, (d, d)),
        ("cov2", cov2, (d, d)),
    ):
        if tuple(tensor.shape) != shape or d == 0:
            expected = "(d,), d > 0" if d < 1 else str(shape)
            raise ValueError(f"{name} must have shape {expected}, got {tuple(tensor.shape)}.")


def fit_gaussian(x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Mean and unbiased covariance of a cloud.

    .. math::
        m = \sum_i w_i x_i, \qquad
        \Sigma = \frac{\sum_i w_i (x_i - m)(x_i - m)^\top}{1 - \sum_i w_i^2},

    which divides by M - 1 for uniform weights ``w_i = 1 / M``.

    Parameters
    ----------
    x : Tensor of shape (M, d)
    weights : Tensor of shape (M,), optional
        Non-negative, divided by their sum.

    Returns
    -------
    mean : Tensor of shape (d,)
    cov : Tensor of shape (d, d)
        Zero for a single point. Both are differentiable. Infinite, or NaN, where squares of the
        distances from the mean are beyond the range of the dtype of `x`: `gaussian_wasserstein`
        then warns, and `gaussian_map` raises.

    Raises
    ------
    ValueError
        If `x` is no tensor of floating-point numbers, or not a non-empty matrix, or `weights` does
        not match it.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, section 5.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import fit_gaussian
    >>> fit_gaussian(torch.tensor([[0.0], [2.0]]))
    (tensor([1.]), tensor([[2.]]))
    """
    check_tensor(x, "x")
    if not x.is_floating_point():
        raise ValueError(f"x must be of a floating-point dtype, got {x.dtype}.")
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"x must be a non-empty matrix, got shape {tuple(x.shape)}.")
    check_weights("weights", weights, len(x))
    # About a point near all of them: the mean of far points is not a number of their dtype.
    near = x - (centre := x.detach().mean(0))
    if weights is None:
        rest = near.mean(0)
        centred = near - rest
        return centre + rest, centred.T @ centred / max(1, len(x) - 1)
    wide = weights.to(widest(x))
    w = (wide / wide.sum()).to(x.dtype)
    rest = w @ near
    mean, centred = centre + rest, near - rest
    freedom = 1 - w.square().sum()
    scatter = (centred * w[:, None]).T @ centred
    single = freedom <= 4 * torch.finfo(x.dtype).eps
    return mean, scatter / torch.where(single, torch.ones_like(freedom), freedom)
