"""Sinkhorn scaling in the kernel domain: batched, base 2, extrapolated.

Every potential in this file is in bits, that is ``log2 u``, and every vector is a row
``(B, 1, n)``: a row times a matrix is several times faster on CPU than a matrix times a column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.transport._log_domain import column_update, row_update

_WINDOW = 5  # plain iterations between two extrapolations
# Bits: kernel entries below the floor are zero; potentials beyond the reach are absorbed. An entry
# that is lost weighs 2 ** (floor + 2 * reach) at most, and no product becomes subnormal.
_FLOOR = {torch.float32: -80.0, torch.float64: -600.0}
_REACH = {torch.float32: 25.0, torch.float64: 200.0}


@dataclass
class Scaling:
    """A batch of plans ``left_i * kernel_ij * right_j`` with exact row sums.

    Attributes
    ----------
    kernel : Tensor of shape (B, n, m)
        ``exp2(log_kernel + f0 + g0)`` for some absorbed potentials.
    left, right : Tensor of shape (B, 1, n) and (B, 1, m)
        Weighted scalings; the potentials' remaining part and the marginals.
    f, g : Tensor of shape (B, 1, n) and (B, 1, m)
        The full potentials in bits, float64 where the device has it.
    violation : Tensor of shape (B,)
        L1 distance between the plan's marginals and the prescribed ones.
    n_iter : int
        Iterations spent, the largest of the batch.
    """

    kernel: Tensor
    left: Tensor
    right: Tensor
    f: Tensor
    g: Tensor
    violation: Tensor
    n_iter: int


def widest(tensor: Tensor) -> torch.dtype:
    """Return float64, or float32 on a device that has no float64 (MPS)."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def reduce_rows_and_columns(log_kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return potentials after which every row's and every column's maximum is zero.

    Parameters
    ----------
    log_kernel : Tensor of shape (B, n, m)

    Returns
    -------
    f, g : Tensor of shape (B, 1, n) and (B, 1, m)
    """
    g = -log_kernel.amax(1, keepdim=True)
    f = -(log_kernel + g).amax(2, keepdim=True)
    return f.mT, g


def build_kernel(log_kernel: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Return ``exp2(log_kernel + f + g)`` in the dtype of `log_kernel`."""
    dtype = log_kernel.dtype
    return _exp2_((log_kernel + f.mT.to(dtype)).add_(g.to(dtype)))


def _exp2_(exponents: Tensor) -> Tensor:
    """Exponentiate in place, with zero below the floor: subnormals are up to fifty times slower."""
    floor = _FLOOR[exponents.dtype]
    return torch.threshold_(exponents.clamp_min_(floor).exp2_(), 2.0**floor, 0.0)


def scale(
    log_kernel: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    tol: float,
    max_iter: int,
    f: Tensor | None = None,
    g: Tensor | None = None,
) -> Scaling | None:
    """Scale ``exp2(log_kernel)`` to the marginals `a` and `b`.

    Plain iterations ``v = 1 / K^T(a u)``, ``u = 1 / K(b v)``; after every five, reduced-rank
    extrapolation of ``log2 u``, given up where it raises the marginal violation.

    Parameters
    ----------
    log_kernel : Tensor of shape (B, n, m)
        ``-cost / epsilon * log2(e)``.
    a, b : Tensor of shape (B, 1, n) and (B, 1, m)
        Weights, each row of sum one; zeros are allowed.
    tol : float
        Stop when every problem's marginal violation is at most `tol`.
    max_iter : int
        Stop after as many iterations.
    f, g : Tensor, optional
        Potentials in bits to start from.

    Returns
    -------
    Scaling or None
        None where the arithmetic left the range of the dtype.
    """
    limit = _REACH[log_kernel.dtype]
    wide = widest(log_kernel)
    kernel = (
        _exp2_(log_kernel.clone()) if f is None or g is None else build_kernel(log_kernel, f, g)
    )
    if f is None or g is None:
        f, g = torch.zeros_like(a, dtype=wide), torch.zeros_like(b, dtype=wide)
    smallest = torch.minimum(torch.bmm(a, kernel).amin(), torch.bmm(b, kernel.mT).amin())
    if not smallest.item() > 2.0 ** (-2 * limit):
        f0, g0 = reduce_rows_and_columns(log_kernel)
        f, g = f0.to(wide), g0.to(wide)
        kernel = build_kernel(log_kernel, f, g)

    lockstep = log_kernel.device.type == "cpu"
    u = torch.ones_like(a)
    seen_u: list[Tensor] = []
    seen_t: list[Tensor] = []
    fallback: _Fallback | None = None
    n_iter = 0
    while True:
        v = torch.bmm(a * u, kernel).reciprocal_()
        r = torch.bmm(b * v, kernel.mT)
        t = u * r
        violation = (t - 1).abs_().mul_(a).sum(2, keepdim=True)
        n_iter += 1
        u = r.reciprocal_()
        if fallback is not None:
            worse = ~(violation <= fallback.violation)
            violation = torch.where(worse, fallback.violation, violation)
            if fallback.absorbed is None:
                u = torch.where(worse, fallback.u, u)
            elif bool(worse.any()):
                f = torch.where(worse, fallback.absorbed, f + u.log2().to(wide))
                f, g, kernel = _absorb(log_kernel, a, b, f)
                u = torch.ones_like(a)
        # A host synchronisation is free on CPU; elsewhere it is made once per cycle.
        if lockstep or len(seen_t) == _WINDOW - 1 or n_iter >= max_iter:
            worst = violation.amax().item()
            if not math.isfinite(worst):
                return None
            if n_iter >= max_iter or (worst <= tol and fallback is None):
                bits_u, bits_v = u.log2().to(wide), v.log2().to(wide)
                reach = torch.maximum(bits_u.abs().amax(), bits_v.abs().amax()).item()
                if not math.isfinite(reach):
                    return None
                if reach <= limit or n_iter >= max_iter:
                    f, g, violation = f + bits_u, g + bits_v, violation.flatten()
                    return Scaling(kernel, a * u, b * v, f, g, violation, n_iter)
        if fallback is not None:
            fallback = None
            continue
        seen_u.append(u)
        seen_t.append(t)
        if len(seen_t) < _WINDOW:
            continue
        bits = _extrapolate(torch.cat(seen_u, 1), torch.cat(seen_t, 1), a)
        seen_u, seen_t = [], []
        reach = torch.maximum(bits.abs().amax(), v.log2().abs_().amax()).item()
        if reach <= limit:
            fallback = _Fallback(violation, u, None)
            u = bits.exp2().to(a.dtype)
            continue
        plain = f + u.log2().to(wide)
        if not bool(plain.isfinite().all()):
            return None
        if math.isfinite(reach):
            fallback = _Fallback(violation, u, plain)
            plain = f + bits
        if reach <= 2 * limit:  # cheap; the log domain is for wilder jumps
            f, g = plain, g + v.log2().to(wide)
            kernel = build_kernel(log_kernel, f, g)
        else:
            f, g, kernel = _absorb(log_kernel, a, b, plain)
        u = torch.ones_like(a)


@dataclass
class _Fallback:
    """The plain iterate, to return to where extrapolation raised the violation."""

    violation: Tensor
    u: Tensor
    absorbed: Tensor | None  # its full potentials, if the extrapolated ones were absorbed


def _absorb(log_kernel: Tensor, a: Tensor, b: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return potentials and kernel after a log-domain iteration from `f`: no sum underflows."""
    g = column_update(log_kernel, a, f.to(a.dtype))
    f = row_update(log_kernel, b, g)
    wide = widest(log_kernel)
    return f.to(wide), g.to(wide), build_kernel(log_kernel, f, g)


def _extrapolate(u: Tensor, t: Tensor, a: Tensor) -> Tensor:
    """Reduced-rank extrapolation of ``log2 u`` over (B, k, n) iterates with residuals -log2 t."""
    wide = widest(u)
    residual = t.log2().to(wide)
    gram = torch.bmm(residual * a, residual.mT)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    diagonal += 1e-10 * diagonal.amax(1, keepdim=True) + 1e-60
    ones = torch.ones_like(gram[:, :, :1])
    solution, _ = torch.linalg.solve_ex(gram, ones)
    weights = solution / solution.sum(1, keepdim=True)
    return torch.bmm(weights.mT, u.log2().to(wide))


def scale_symmetric(log_kernel: Tensor, a: Tensor, *, tol: float, max_iter: int) -> Scaling | None:
    """Scale a symmetric kernel by one vector: ``u <- u (u K a u)^(-2/3)``.

    Parameters and result are those of `scale`, with ``b = a`` and ``g = f``; the kernel's
    diagonal must be one (a cost that is zero between a point and itself).
    """
    wide = widest(log_kernel)
    kernel = _exp2_(log_kernel.clone())
    u = torch.bmm(a, kernel).rsqrt_()
    lockstep = log_kernel.device.type == "cpu"
    for n_iter in range(1, max_iter + 1):
        t = torch.bmm(a * u, kernel).mul_(u)
        if lockstep or n_iter % 4 == 0 or n_iter == max_iter:
            violation = (t - 1).abs_().mul_(a).sum(2)
            worst = violation.amax().item()
            if not math.isfinite(worst):
                return None
            if worst <= tol:
                u_last = torch.bmm(a * u, kernel).reciprocal_()  # exact row sums
                return Scaling(
                    kernel, a * u_last, a * u, u_last.log2().to(wide), u.log2().to(wide),
                    violation.flatten(), n_iter,
                )  # fmt: skip
        u = u * t.pow(-2.0 / 3.0)
    return None
