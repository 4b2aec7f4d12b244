"""A fixed number of Sinkhorn iterations, differentiated step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skotae.transport.base import check_cost, check_solver
from skotae.utils.base import as_whole


def unrolled_sinkhorn_cost(
    cost: Tensor,
    *,
    n_iter: int = 50,
    epsilon: float = 0.05,
    relative: bool = True,
    sharp: bool = False,
) -> Tensor:
    r"""Transport cost of the plan after so many Sinkhorn iterations, with equal weights.

    .. math::
        v \leftarrow \frac{1/m}{K^\top u}, \quad u \leftarrow \frac{1/n}{K v}, \qquad
        K = e^{-C / \varepsilon}, \qquad
        \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b)

    with P the plan ``diag(u) K diag(v)``, rounded so that it has the weights :math:`a = 1/n` and
    :math:`b = 1/m`. The iterations are made in the log domain, and the gradient goes through all of
    them, as in Algorithm 1 of [1]_. :func:`sinkhorn_cost` iterates until the plan is found, in less
    time, and holds no iterations in memory; from many iterations both are one.

    Parameters
    ----------
    cost : Tensor of shape (n, m)
        Finite costs, of any sign where `relative` is False.
    n_iter : int, default=50
        Number of iterations, from u = 1.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost. No gradient flows through it.
    sharp : bool, default=False
        Leave the entropy out of the value (eq. 12 of [1]_).

    Returns
    -------
    value : Tensor of shape ()
        In the dtype of `cost`.

    Raises
    ------
    ValueError
        If a shape, dtype or option is invalid.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, Algorithm 1 and eq. 12.
    .. [2] Altschuler, Weed and Rigollet (2017), Near-linear time approximation algorithms for
       optimal transport via Sinkhorn iteration, Algorithm 2 (the rounding).

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import unrolled_sinkhorn_cost
    >>> cost = torch.tensor([[0.0, 1.0], [4.0, 2.0]])
    >>> costs = [unrolled_sinkhorn_cost(cost, n_iter=k, epsilon=0.2, sharp=True) for k in (1, 50)]
    >>> [round(float(each), 3) for each in costs]
    [1.491, 1.023]
    """
    check_cost(cost)
    epsilon, *_ = check_solver(epsilon, 1.0, 1)
    n_iter = as_whole("n_iter", n_iter)
    n, m = cost.shape
    # On the device, which nothing here waits for.
    unit = cost.detach().mean() if relative else cost.new_ones(())
    there_is_one = unit > 0
    unit = torch.where(there_is_one, unit, 1.0)
    # No finer than float32 tells plans apart.
    scaled = cost / torch.maximum(epsilon * unit, 1e-12 * cost.detach().abs().mean())
    f = scaled.new_zeros(n)
    for _ in range(n_iter):
        g = -math.log(m) - torch.logsumexp(f[:, None] - scaled, 0)
        f = -math.log(n) - torch.logsumexp(g - scaled, 1)
    plan = rounded((f[:, None] + g - scaled).exp())
    value = (plan * cost).sum()
    if not sharp:
        tiny = torch.finfo(plan.dtype).tiny
        value = value + epsilon * unit * torch.xlogy(plan, (n * m * plan).clamp_min(tiny)).sum()
    # Without a unit all plans cost the same.
    return torch.where(there_is_one, value, cost.mean())


def rounded(plan: Tensor) -> Tensor:
    """The plan (n, m), brought to equal weights: rows and columns that have too much are cut,
    and what is then missing is added as a product."""
    n, m = plan.shape
    plan = plan * (1 / (n * plan.sum(1, keepdim=True)).clamp_min(1.0))
    plan = plan * (1 / (m * plan.sum(0, keepdim=True)).clamp_min(1.0))
    row, column = 1 / n - plan.sum(1), 1 / m - plan.sum(0)
    missing = row.sum().clamp_min(torch.finfo(plan.dtype).tiny)
    return plan + row[:, None] * (column / missing)
