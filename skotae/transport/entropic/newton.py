"""Damped Newton steps on the semi-dual: for the tail that Sinkhorn iterations are slow on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skotae.transport.entropic.log_domain import LN2, column_update, log2_sum_exp2, row_update


@dataclass
class _Point:
    """Potentials ``f`` and, from the column update, the plan's state there."""

    f: Tensor
    ratio: Tensor  # row sums divided by the row weights
    value: Tensor  # of the semi-dual, in bits
    violation: Tensor
    shares: Tensor  # plan divided by the column weights

    def replaced(self, where: Tensor, other: _Point) -> _Point:
        """Return `other` for the problems of the batch that `where` marks, else self."""
        fields = ("f", "ratio", "value", "violation", "shares")
        return _Point(*(torch.where(where, getattr(other, k), getattr(self, k)) for k in fields))


def _evaluate(log_kernel: Tensor, a: Tensor, b: Tensor, f: Tensor) -> _Point:
    logits = log_kernel + (f + a.log2()).mT
    g = -log2_sum_exp2(logits, 1)
    shares = logits.add_(g).exp2_()
    ratio = torch.bmm(b, shares.mT) / a.clamp_min(torch.finfo(a.dtype).tiny)
    ratio = torch.where(a > 0, ratio, torch.ones_like(ratio))
    value = (a * f).sum(2, keepdim=True) + (b * g).sum(2, keepdim=True)
    violation = (a * (ratio - 1).abs()).sum(2, keepdim=True)
    return _Point(f, ratio, value, violation, shares)


def newton(
    log_kernel: Tensor, a: Tensor, b: Tensor, f: Tensor, *, tol: float, max_iter: int
) -> tuple[Tensor, Tensor, int]:
    r"""Maximise the concave semi-dual ``<a, f> + <b, g(f)>``.

    The gradient is ``a (1 - t)``, the Hessian ``-(diag(a t) - S diag(b) S^T)``, with `S` the plan
    divided by the column weights and `t` the relative row sums; Levenberg's damping adds
    ``lambda diag(a)``. A step that lowers the semi-dual gives way to a Sinkhorn step, which cannot.

    Parameters
    ----------
    log_kernel : Tensor of shape (B, n, m)
        Float64; n <= m is faster.
    a, b : Tensor of shape (B, 1, n) and (B, 1, m)
    f : Tensor of shape (B, 1, n)
        Start, in bits.
    tol : float
    max_iter : int

    Returns
    -------
    f, g : Tensor of shape (B, 1, n) and (B, 1, m)
    n_iter : int
    """
    best = _evaluate(log_kernel, a, b, f)
    damping = torch.full_like(a[:, :, :1], 1e-2)
    floor = a.mean(2, keepdim=True) * 1e-14
    n_iter = 1
    while n_iter < max_iter and best.violation.amax().item() > tol:
        hessian = torch.bmm(best.shares * -b, best.shares.mT)
        diagonal = a * (best.ratio + damping) + floor
        hessian.diagonal(dim1=1, dim2=2).add_(diagonal.squeeze(1))
        factor, failed = torch.linalg.cholesky_ex(hessian)
        step = torch.cholesky_solve((a * (1 - best.ratio)).mT, factor).mT / LN2
        usable = step.isfinite().all(2, keepdim=True) & (failed == 0).view(-1, 1, 1)
        trial = _evaluate(log_kernel, a, b, torch.where(usable, best.f + step, best.f))
        n_iter += 1
        # Near the optimum the value no longer resolves progress; the violation still does.
        better = (trial.value > best.value) | (trial.violation < 0.5 * best.violation)
        better &= usable & trial.violation.isfinite()
        damping = torch.where(better, damping * 0.2, damping * 5.0).clamp_(1e-12, 1e3)
        done = best.violation <= tol
        if not bool((better | done).all()):
            # In the log domain: far from the optimum a row sum may underflow.
            f = row_update(log_kernel, b, column_update(log_kernel, a, best.f))
            sinkhorn = _evaluate(log_kernel, a, b, f)
            trial = sinkhorn.replaced(better, trial)
            n_iter += 1
        best = best.replaced(~done, trial)
    return best.f, column_update(log_kernel, a, best.f), n_iter
