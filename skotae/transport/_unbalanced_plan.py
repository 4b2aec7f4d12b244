"""Unbalanced entropic transport: the plan and the dual potentials."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from skotae.transport.base import (
    SinkhornInfo,
    check_solver,
    check_unbalanced,
    warn_unless_converged,
)
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.relaxed_batches import relaxed_together
from skotae.transport.entropic.relaxed_solutions import relaxed_of_clouds, relaxed_of_cost
from skotae.transport.entropic.solutions import solve_each
from skotae.utils.base import as_real


def unbalanced_sinkhorn_potentials(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    epsilon: float = 0.05,
    rho: float | tuple[float, float] = 1.0,
    unbalanced_type: str = "kl",
    relative: bool = True,
    tol: float = 1e-6,
    max_iter: int = 1000,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
    max_memory: float = 256,
    potentials_init: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, SinkhornInfo]:
    r"""Dual potentials of unbalanced entropic transport, of two clouds or of a cost matrix.

    Of the problem of :func:`unbalanced_sinkhorn_divergence`, without debiasing. The plan and its
    marginals follow from them:

    .. math::
        P_{ij} = a_i b_j \exp\bigl((f_i + g_j - C_{ij}) / \varepsilon\bigr), \qquad
        P 1 = a \odot e^{-f / \rho}, \qquad P^\top 1 = b \odot e^{-g / \rho}

    With ``unbalanced_type="tv"`` potentials are between ``-rho`` and `rho`, and marginals are
    exact where they are inside of that; at `rho` mass is destroyed, at ``-rho`` created.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d), or (B, n, d) and (B, m, d), optional
        Clouds.
    cost : Tensor of shape (n, m) or (B, n, m), optional
        Any finite cost instead of clouds.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    rho : float or pair of float, default=1.0
        Price of mass created or destroyed, in the same units. Two of them are that of the rows and
        that of the columns; where one is infinite its marginal is exact (semi-relaxed transport).
    unbalanced_type : {"kl", "tv"}, default="kl"
        What `rho` is the price of: the Kullback-Leibler divergence of the formula, or the total
        variation :math:`\sum |p - q|`, in the place of KL in both marginal terms. With the latter
        mass is kept whole where transport costs less than the sum of both prices and given up
        whole where it costs more, but for what the entropy smooths.
    relative : bool, default=True
        Multiply `epsilon` and `rho` by the mean cost, over normalised weights, which must then not
        be negative.
    tol : float, default=1e-6
        L1 distance, at which to stop, between the plan's marginals and those that the potentials
        ask for, in units of the geometric mean of the masses.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    p : float, default=2
        Power of the distance that is the cost, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between points: the `p`-norm of their difference, so that
        :math:`C_{ij} = \sum_k |x_{ik} - y_{jk}|^p`, or the Euclidean one,
        :math:`C_{ij} = \|x_i - y_j\|_2^p`. The same for ``p=2``.
    a, b : Tensor of shape (n,) and (m,), or (B, n) and (B, m), optional
        Masses of the points, not negative and not normalised; by default uniform, of sum one.
    max_memory : float, default=256
        Mebibytes, as for `unbalanced_sinkhorn_divergence`.
    potentials_init : tuple of Tensor of the shapes of `f` and `g`, optional
        Potentials to start from, as for `sinkhorn_potentials`.

    Returns
    -------
    f, g : Tensor of shape (n,) and (m,), or (B, n) and (B, m)
        Without gradient, in the dtype of the input. Where there is no mass, what is best for the
        other potential: its soft minimum, as for `sinkhorn_potentials`, times
        ``rho / (rho + epsilon)`` or, with "tv", the nearest value within `rho`.
    info : SinkhornInfo

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, a cost is not finite, or a result is
        beyond the range of its dtype.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Chizat, Peyre, Schmitzer and Vialard (2018), Scaling algorithms for unbalanced optimal
       transport problems, Mathematics of Computation 87.

    Examples
    --------
    A row that costs more than it is worth keeps only a part of its mass:

    >>> import torch
    >>> from skotae.transport import unbalanced_sinkhorn_potentials
    >>> cost = torch.tensor([[0.0, 1.0], [9.0, 9.0]])
    >>> options = {"epsilon": 0.1, "rho": 3.0, "relative": False}
    >>> f, g, info = unbalanced_sinkhorn_potentials(cost=cost, **options)
    >>> torch.exp(-f / 3.0).round(decimals=2), info.converged
    (tensor([1.2600, 0.0900]), True)
    """
    max_bytes = as_real("max_memory", max_memory, above=0) * 2.0**20
    options = _options(epsilon, rho, unbalanced_type, relative, tol, max_iter, p, metric, max_bytes)
    found = solve_each(x, y, cost, a, b, options, potentials_init, **_SOLVERS)
    warn_unless_converged(found.info, options.tol, options.max_iter)
    return *found.potentials(), found.info


def unbalanced_sinkhorn_plan(
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    cost: Tensor | None = None,
    epsilon: float = 0.05,
    rho: float | tuple[float, float] = 1.0,
    unbalanced_type: str = "kl",
    relative: bool = True,
    tol: float = 1e-6,
    max_iter: int = 1000,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
    potentials_init: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    r"""Plan of unbalanced entropic transport, of two clouds or of a cost matrix.

    .. math::
        \min_{P \ge 0} \langle P, C \rangle
        + \rho\, \mathrm{KL}(P 1 \,|\, a) + \rho\, \mathrm{KL}(P^\top 1 \,|\, b)
        + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b)

    where :math:`\mathrm{KL}(p \,|\, q) = \sum p \log (p / q) - p + q`.

    Parameters
    ----------
    x, y, cost, a, b, epsilon, rho, unbalanced_type, relative, tol, max_iter, p, metric
        As for `unbalanced_sinkhorn_potentials`.
    potentials_init
        As for `sinkhorn_potentials`.

    Returns
    -------
    Tensor of shape (n, m) or (B, n, m)
        Without gradient, in the dtype of the input.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, a cost is not finite, or a result is
        beyond the range of its dtype.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Chizat, Peyre, Schmitzer and Vialard (2018), Scaling algorithms for unbalanced optimal
       transport problems, Mathematics of Computation 87.

    Examples
    --------
    The outlier keeps no mass; with exact marginals of the columns it has to:

    >>> import torch
    >>> from skotae.transport import unbalanced_sinkhorn_plan
    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0], [100.0]])
    >>> options = {"epsilon": 0.1, "relative": False, "a": torch.ones(2), "b": torch.ones(3)}
    >>> unbalanced_sinkhorn_plan(x, y, rho=5.0, **options).sum(0).round(decimals=1)
    tensor([1., 1., 0.])
    >>> exact_columns = unbalanced_sinkhorn_plan(x, y, rho=(5.0, float("inf")), **options)
    >>> exact_columns.sum(0).round(decimals=3)
    tensor([1., 1., 1.])
    """
    options = _options(epsilon, rho, unbalanced_type, relative, tol, max_iter, p, metric)
    found = solve_each(x, y, cost, a, b, options, potentials_init, plan=True, **_SOLVERS)
    warn_unless_converged(found.info, options.tol, options.max_iter)
    return found.plan()


_SOLVERS: dict[str, Any] = {
    "solvers": (relaxed_of_clouds, relaxed_of_cost),
    "together": relaxed_together,
}


def _options(
    epsilon: float,
    rho: float | tuple[float, float],
    unbalanced_type: str,
    relative: bool,
    tol: float,
    max_iter: int,
    p: float,
    metric: str,
    max_bytes: float = math.inf,
) -> Options:
    epsilon, tol, max_iter, ground = check_solver(epsilon, tol, max_iter, p, metric)
    prices, unbalanced_type = check_unbalanced(rho, unbalanced_type)
    return Options(
        epsilon,
        relative,
        tol,
        max_iter,
        ground,
        rho=1.0,
        prices=prices,
        unbalanced_type=unbalanced_type,
        max_bytes=max_bytes,
    )
