"""Maximum mean discrepancy with a mixture of inverse multiquadratic kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.divergences.base import BaseDivergence


class MMD(BaseDivergence):
    r"""Squared maximum mean discrepancy, unbiased.

    .. math::
        \widehat{\mathrm{MMD}}^2 =
        \sum_{i \ne j} \frac{k(z_i, z_j)}{M (M - 1)}
        + \sum_{i \ne j} \frac{k(y_i, y_j)}{N (N - 1)}
        - 2 \sum_{i, j} \frac{k(z_i, y_j)}{M N},
        \qquad
        k(z, y) = \sum_i \frac{C_i}{C_i + |z - y|^2},
        \quad C_i = 2 d \sigma^2 s_i .

    The U-statistic has mean zero where the clouds have one distribution and so may be
    negative. Codes with weights :math:`w` enter the first sum as
    :math:`\sum_{i \ne j} w_i w_j k(z_i, z_j) / (1 - \sum_i w_i^2)`. A cloud of one point
    has no pairs: its sum is left out.

    Parameters
    ----------
    bandwidth : float, default=1.0
        Standard deviation :math:`\sigma` of one coordinate of the prior.
    scales : tuple of float, default=(0.1, 0.2, 0.5, 1, 2, 5, 10)
        Multipliers :math:`s_i` of the bandwidth, one kernel each.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, ICLR, Algorithm 2.
    .. [2] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein
       distance, eq. 5 and 6.

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import MMD
    >>> g = torch.Generator().manual_seed(0)
    >>> y = torch.randn(500, 2, generator=g)
    >>> far, near = MMD()(y + 1, y.flip(0)), MMD()(torch.randn(500, 2, generator=g), y)
    >>> bool(far > 0.5), bool(abs(near) < 0.05)
    (True, True)
    """

    def __init__(
        self,
        bandwidth: float = 1.0,
        scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    ):
        self.bandwidth = bandwidth
        self.scales = scales

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if not self.bandwidth > 0:
            raise ValueError(f"bandwidth={self.bandwidth!r}; expected a number above 0.")
        n, m = z.shape[0], prior_draws.shape[0]
        # One pass over one matrix of squared distances between all points; the weight of
        # a pair is c_i c_j with c = (w, -1/m), the diagonal is taken out again.
        coefficients = torch.cat(
            [
                z.new_full((n,), 1.0 / n) if weights is None else weights,
                z.new_full((m,), -1.0 / m),
            ]
        )
        kernel = _kernel_sum(torch.cat([z, prior_draws]), z.shape[1], self.bandwidth, self.scales)
        w, v = coefficients[:n], coefficients[n:]
        within_z = w @ kernel[:n, :n] @ w
        within_y = v @ kernel[n:, n:] @ v
        across = w @ kernel[:n, n:] @ v
        # k(z, z) is the number of kernels: remove the diagonal and renormalise.
        peak = float(len(self.scales))
        z_diagonal = w @ w
        result = 2.0 * across
        if n > 1:
            result = result + (within_z - peak * z_diagonal) / (1.0 - z_diagonal).clamp_min(1e-6)
        if m > 1:
            result = result + (within_y - peak / m) / (1.0 - 1.0 / m)
        return result


def _kernel_sum(points: Tensor, d: int, bandwidth: float, scales: tuple[float, ...]) -> Tensor:
    """Sum of the inverse multiquadratic kernels over all pairs of rows."""
    return _KernelSum.apply(points, tuple(2.0 * d * bandwidth**2 * s for s in scales))


class _KernelSum(torch.autograd.Function):
    """sum_i C_i / (C_i + |x - y|^2) for all pairs, with its closed-form gradient.

    The derivative with respect to the squared distance, -sum_i C_i / (C_i + D)^2, is
    summed up together with the kernel, so that the backward pass is two matrix products.
    """

    @staticmethod
    def forward(ctx, x: Tensor, constants: tuple[float, ...]) -> Tensor:  # type: ignore[override]
        square = x.square().sum(1)
        distance = torch.addmm(square[:, None] + square[None, :], x, x.T, alpha=-2.0)
        distance.clamp_min_(0.0).fill_diagonal_(0.0)
        kernel = torch.zeros_like(distance)
        slope = torch.zeros_like(distance) if ctx.needs_input_grad[0] else None
        part = torch.empty_like(distance)
        for c in constants:
            torch.add(distance, c, out=part)
            part.reciprocal_()
            kernel.add_(part, alpha=c)
            if slope is not None:
                slope.addcmul_(part, part, value=-c)
        if slope is not None:
            ctx.save_for_backward(x, slope)
        return kernel

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        x, slope = ctx.saved_tensors
        pull = slope * grad
        pull = pull + pull.T
        return 2.0 * (pull.sum(1, keepdim=True) * x - pull @ x), None
