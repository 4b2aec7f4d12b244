"""The gradient of the sharp Sinkhorn cost, whose plan moves with the points."""

from __future__ import annotations

import torch
from torch import Tensor


def sharp_sensitivity(plan: Tensor, cost: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``d <P, C> / dC``, ``/ da`` and ``/ db`` where the plan `P` moves with them.

    Differentiating ``P 1 = a`` and ``P^T 1 = b`` gives
    ``P_ij (1 + (phi_i + psi_j - C_ij) / epsilon)`` with
    ``[[diag(a), P], [P^T, diag(b)]] (phi, psi) = ((C * P) 1, (C * P)^T 1)``: a symmetric system,
    singular along (1, -1) but consistent, solved through its Schur complement. `phi` and `psi` are
    the derivatives for the weights, of those that are not zero, but for a constant.
    """
    a, b = plan.sum(1), plan.sum(0)
    inverse_b = torch.where(b > 0, 1 / b, torch.zeros_like(b))
    work = plan * cost
    alpha, beta = work.sum(1), work.sum(0) * inverse_b
    # Scaling by a^(-1/2) makes the spectrum lie in [0, 1]; sqrt(a) spans the null space.
    root = a.sqrt()
    inverse_root = torch.where(root > 0, 1 / root, torch.zeros_like(root))
    half = plan * inverse_root[:, None] * inverse_b.sqrt()
    schur = torch.outer(root, root) - half @ half.T
    schur.diagonal().add_(1.0)
    rhs = (alpha - plan @ beta) * inverse_root
    factor, failed = torch.linalg.cholesky_ex(schur)
    if failed.item() == 0 and factor.diagonal().amin().item() > 1e-6:
        solution = torch.cholesky_solve(rhs[:, None], factor)[:, 0]
    else:  # a nearly disconnected plan: the least-norm solution
        spectrum, vectors = torch.linalg.eigh(schur)
        keep = spectrum > 1e-12
        inverse = torch.where(keep, 1 / spectrum.clamp_min(1e-12), torch.zeros_like(spectrum))
        solution = vectors @ (inverse * (vectors.T @ rhs))
    phi = solution * inverse_root
    psi = beta - (plan.T @ phi) * inverse_b
    return plan * (1 + (phi[:, None] + psi - cost) / epsilon), phi, psi
