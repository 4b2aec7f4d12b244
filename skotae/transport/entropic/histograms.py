"""Entropic barycentres of histograms, on the points of a grid or of a cost matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.transport.entropic.log_domain import LN2, log2_sum_exp2

_SHALLOW = -900.0  # bits: products of kernels of no smaller entries do without logarithms
_BLOCK = 2**22  # elements of a block in the log domain


def fixed_point(
    histograms: Tensor,
    log_kernels: list[Tensor],
    weights: Tensor,
    *,
    debiased: bool,
    tol: float,
    max_iter: int,
) -> tuple[Tensor, int, float]:
    r"""Return the barycentre, how many iterations it took, and the violation that is left.

    Projections in turn on plans with the first marginal ``a_k``, and on plans that share the
    second, ``b = d * prod_k (K^T u_k)^lambda_k``; debiased, with ``d = b / (K d)``, else ``d = 1``.

    Parameters
    ----------
    histograms : Tensor of shape (K, ...)
        Each of sum one, in the widest dtype.
    log_kernels : list of Tensor of shape (n, n)
        ``-C / epsilon``, from the points of the histograms to those of the result, for each axis
        of a histogram; symmetric if `debiased`.
    weights : Tensor of shape (K,)
        Positive, of sum one.
    debiased : bool
    tol : float
        L1 distance of the first marginals from `histograms`, and change of the result.
    max_iter : int
    """
    axes = [_Axis(log_kernel / LN2) for log_kernel in log_kernels]
    back = [_Axis(log_kernel.mT / LN2) for log_kernel in log_kernels]
    shares = weights.view(-1, *[1] * (histograms.ndim - 1))
    given = histograms.log2()
    v = torch.zeros_like(histograms)
    bias = torch.zeros_like(histograms[0])
    left = u = result = None
    violation, n_iter = float("inf"), 0
    while True:
        reached = _along(axes, v)
        if u is not None and left is not None and result is not None:
            gaps = ((u + reached).exp2() - histograms).abs().flatten(1).sum(1)
            change = (result - left).abs().sum()
            violation = max(gaps.max().item(), change.item())
            if violation <= tol or n_iter >= max_iter:
                return result / result.sum(), n_iter, violation
        u = torch.where(histograms > 0, given - reached, -torch.inf)
        second = _along(back, u)
        bits = (shares * second).sum(0) + bias
        if debiased:
            spread = _along(axes, bias[None])[0]
            bias = torch.where(bits.isfinite(), (bias + bits - spread) / 2.0, bias)
        left, result = result, bits.exp2()
        left = torch.zeros_like(result) if left is None else left
        v = torch.where(bits.isfinite(), bits - second, -torch.inf)
        n_iter += 1


class _Axis:
    """``log2 sum_j exp2(L_ij + v_j)`` along one axis."""

    def __init__(self, log_kernel: Tensor):
        self._log_kernel = log_kernel
        shallow = bool(log_kernel.min() >= _SHALLOW) and bool(log_kernel.max() <= -_SHALLOW)
        self._kernel = log_kernel.exp2() if shallow else None

    def __call__(self, lines: Tensor) -> Tensor:
        """Return that of lines (k, n)."""
        top = lines.amax(1, keepdim=True)
        empty = top == -torch.inf
        top = torch.where(empty, 0.0, top)
        if self._kernel is not None:
            return ((lines - top).exp2() @ self._kernel.mT).log2() + top
        rows = max(1, _BLOCK // self._log_kernel.numel())
        found = torch.cat(
            [
                log2_sum_exp2(lines[i : i + rows, None] + self._log_kernel, 2)[..., 0]
                for i in range(0, len(lines), rows)
            ]
        )
        return torch.where(empty, -torch.inf, found)


def _along(axes: list[_Axis], bits: Tensor) -> Tensor:
    """Return ``log2 sum_j exp2(L_ij + v_j)`` of grids (K, ...), axis by axis."""
    for place, axis in enumerate(axes, start=1):
        lines = bits.movedim(place, -1)
        bits = axis(lines.reshape(-1, lines.shape[-1])).reshape(lines.shape).movedim(-1, place)
    return bits
