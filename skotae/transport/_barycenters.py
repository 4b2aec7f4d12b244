"""Wasserstein barycentres: of clouds, with free points, and of histograms, on fixed ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from skotae.exceptions import ConvergenceWarning
from skotae.transport.base import (
    check_clouds,
    check_cost,
    check_debias,
    check_solver,
    check_weights,
    full_precision,
    normalised_weights,
    widest,
)
from skotae.transport.entropic import solutions
from skotae.transport.entropic.histograms import fixed_point
from skotae.transport.entropic.options import Options
from skotae.transport.ground import SQUARED
from skotae.transport.linear import plans
from skotae.utils._torch import check_tensor


@torch.no_grad()
def free_support_barycenter(
    measures_locations: Sequence[Tensor],
    measures_weights: Sequence[Tensor | None] | None,
    X_init: Tensor,
    b: Tensor | None = None,
    weights: Tensor | None = None,
    *,
    epsilon: float | None = None,
    relative: bool = True,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> Tensor:
    r"""Cloud that is nearest to several clouds, in the mean of squared Wasserstein distances.

    .. math::
        \min_X \sum_k \lambda_k\, W_2^2\Bigl(\sum_i b_i \delta_{X_i},\;
        \sum_j a_{kj} \delta_{Y_{kj}}\Bigr)

    by turns of plans and of means, :math:`X_i \leftarrow \sum_k \lambda_k \sum_j P^k_{ij} Y_{kj} /
    b_i`: a local minimum, which depends on where it starts.

    Parameters
    ----------
    measures_locations : sequence of Tensor of shape (n_k, d)
        Clouds, of one device and dtype.
    measures_weights : sequence of (Tensor of shape (n_k,) or None), or None
        Non-negative weights of their points, divided by their sum; uniform where there are none.
    X_init : Tensor of shape (n, d)
        Points to start from, as many as the result is to have.
    b : Tensor of shape (n,), optional
        Weights of the points of the result; uniform by default. A point of weight 0 stays.
    weights : Tensor of shape (K,), optional
        The lambdas, non-negative and divided by their sum; equal by default.
    epsilon : float, optional
        Regularisation of the plans. By default they are exact (sorting, assignment or a network
        simplex, in float64 on the CPU); entropic ones are faster for many points, and draw the
        points of the result together.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost, in each plan.
    tol : float, default=1e-6
        Root of the mean squared movement of the points at which to stop, in units of the spread of
        all clouds; entropic plans have a marginal violation (L1) of at most a tenth of it.
    max_iter : int, default=100
        Largest number of turns; not reaching `tol` warns.

    Returns
    -------
    Tensor of shape (n, d)
        Without gradient, in the dtype of `X_init`.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid, or a point is not finite.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Cuturi and Doucet (2014), Fast computation of Wasserstein barycenters, algorithm 2.
    .. [2] Alvarez-Esteban et al. (2016), A fixed-point approach to barycenters in Wasserstein
       space.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import free_support_barycenter
    >>> clouds = [torch.tensor([[0.0], [1.0]]), torch.tensor([[7.0], [4.0]])]
    >>> free_support_barycenter(clouds, None, torch.tensor([[2.0], [1.0]]))
    tensor([[4.],
            [2.]])
    """
    given = [None] * len(measures_locations) if measures_weights is None else measures_weights
    if len(measures_locations) == 0 or len(given) != len(measures_locations):
        raise ValueError(
            "measures_locations must be one cloud or more, with as many measures_weights, got "
            f"{len(measures_locations)} and {len(given)}."
        )
    for cloud, masses in zip(measures_locations, given, strict=True):
        check_clouds(X_init, cloud, names=("X_init", "measures_locations"))
        check_weights("measures_weights", masses, len(cloud))
    check_weights("b", b, len(X_init))
    check_weights("weights", weights, len(measures_locations))
    some, tol, max_iter, _ = check_solver(1.0 if epsilon is None else epsilon, tol, max_iter)
    options = Options(some, relative, min(1e-3, 0.1 * tol), 10_000)
    wide = widest(X_init)
    clouds = [cloud.detach().to(wide) for cloud in measures_locations]
    points = X_init.detach().to(wide)
    if not all(bool(each.isfinite().all()) for each in (points, *clouds)):
        raise ValueError("measures_locations and X_init must be finite.")
    shares = normalised_weights(weights, len(clouds), points).tolist()
    everything = torch.cat(clouds)
    spread = (everything - everything.mean(0)).square().sum(1).mean().sqrt().item()
    masses = normalised_weights(b, len(points), points)
    starts: list[tuple[Tensor, Tensor] | None] = [None] * len(clouds)
    for _ in range(max_iter):
        means = torch.zeros_like(points)
        for k, (cloud, own) in enumerate(zip(clouds, given, strict=True)):
            if shares[k] == 0.0:
                continue
            if epsilon is None:
                moved, taken = _exact_sums(points, cloud, b, own)
            else:
                with full_precision(points.device):
                    found = solutions.of_clouds(
                        points, cloud, b, own, options, plan=True, start=starts[k]
                    )
                assert found.plan is not None
                moved, taken = found.plan @ cloud, found.plan.sum(1)
                starts[k] = found.f, found.g
            # Over what the plan has of a weight, not over the weight: that may be lost to rounding.
            mean = torch.where(taken[:, None] > 0, moved / taken[:, None], points)
            means += shares[k] * mean
        found_points = torch.where(masses[:, None] > 0, means, points)
        movement = (masses @ (found_points - points).square().sum(1)).sqrt().item()
        points = found_points
        if movement <= tol * spread:
            break
    else:
        warnings.warn(
            f"The barycentre moved by {movement / (spread or 1.0):.1e} > tol={tol:g} in the last "
            f"of {max_iter} turns. Increase `max_iter` or `tol`.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return points.to(X_init.dtype)


def _exact_sums(x: Tensor, y: Tensor, b: Tensor | None, a: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return ``P y`` and ``P 1`` of the optimal plan, on the device of `x`."""
    left, right = x.cpu().double(), y.cpu().double()
    row, column = (None if each is None else each.detach().cpu().double() for each in (b, a))
    plan = plans.of_clouds(left, right, row, column, SQUARED, potentials=False)
    if plan is None:
        raise ValueError("measures_locations and X_init must have finite squared distances.")
    sums = torch.zeros_like(left).index_add_(0, plan.i, plan.mass[:, None] * right[plan.j])
    taken = left.new_zeros(len(left)).index_add_(0, plan.i, plan.mass)
    return sums.to(x), taken.to(x)


@torch.no_grad()
def fixed_support_barycenter(
    A: Tensor,
    M: Tensor | None = None,
    *,
    epsilon: float = 0.01,
    relative: bool = True,
    weights: Tensor | None = None,
    debias: str = "paired",
    tol: float = 1e-5,
    max_iter: int = 10_000,
) -> Tensor:
    r"""Histogram that is nearest to several histograms on the same points, in entropic transport.

    .. math::
        \min_b \sum_k \lambda_k\, \mathrm{OT}_\varepsilon(a_k, b)
        \quad\text{or}\quad \min_b \sum_k \lambda_k\, S_\varepsilon(a_k, b),

    with the entropy of the plan relative to uniform weights in the first, which blurs the result,
    and with the debiased divergence in the second, which does not.

    Parameters
    ----------
    A : Tensor of shape (K, n), or (K, h, w), or of a grid of more axes
        Histograms, not negative and divided by their sums.
    M : Tensor of shape (n, n), optional
        Costs from the points of the histograms (rows) to those of the result, symmetric for
        ``debias="paired"``. By default these are those of a grid, of as many axes
        as a histogram has, with squared distances, in units of a step. Memory and time are then of
        lines of the grid, not of pairs of points.
    epsilon : float, default=0.01
        Regularisation, in units of the mean cost of two points (`relative`) or of the cost.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost.
    weights : Tensor of shape (K,), optional
        The lambdas, non-negative and divided by their sum; equal by default.
    debias : {"paired", "none"}, default="paired"
        "paired" is the second problem, "none" the first.
    tol : float, default=1e-5
        L1 marginal violation, and change of the result, at which to stop. The debiased problem is
        nearly flat where there is little mass, so that much less than 1e-6 may take very long.
    max_iter : int, default=10_000
        Largest number of iterations; not reaching `tol` warns.

    Returns
    -------
    Tensor of shape (n,), (h, w) or of the grid
        Of sum one, without gradient, in the dtype of `A`.

    Raises
    ------
    ValueError
        If a shape, dtype, weight, cost or option is invalid.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Benamou et al. (2015), Iterative Bregman projections for regularized transportation
       problems, section 3.2.
    .. [2] Janati, Cuturi and Gramfort (2020), Debiased Sinkhorn barycenters, algorithm 1.
    .. [3] Solomon et al. (2015), Convolutional Wasserstein distances (the grid).

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import fixed_support_barycenter
    >>> A = torch.zeros(2, 5, 5)
    >>> A[0, 0, 0] = A[1, 4, 4] = 1.0
    >>> fixed_support_barycenter(A).argmax().item()  # the middle
    12
    """
    check_tensor(A, "A")
    if A.ndim < 2 or A.numel() == 0 or not A.is_floating_point():
        raise ValueError(
            "A must be a non-empty floating-point tensor of histograms (K, n) or of grids, got "
            f"shape {tuple(A.shape)} and dtype {A.dtype}."
        )
    n_hists, *grid = A.shape
    for histogram in A:
        check_weights("A", histogram.flatten(), histogram.numel())
    check_weights("weights", weights, n_hists)
    check_debias(debias, known=("paired", "none"))
    epsilon, tol, max_iter, _ = check_solver(epsilon, tol, max_iter)
    wide = widest(A)
    if M is None:
        steps = (torch.arange(size, dtype=wide, device=A.device) for size in grid)
        costs = [(line[:, None] - line).square() for line in steps]
    else:
        check_cost(M)
        costs = [M.detach().to(A.device, wide)]
        if len(grid) != 1 or M.shape != (grid[0], grid[0]):
            raise ValueError(
                f"M must be of the points of A: got shapes {tuple(M.shape)} and {tuple(A.shape)}."
            )
        if not bool(M.isfinite().all()):
            raise ValueError("M must be finite, got NaN or infinite values.")
        if debias == "paired" and not torch.allclose(costs[0], costs[0].T):
            raise ValueError("M must be symmetric for debias='paired'.")
    mean = sum(cost.mean().item() for cost in costs)
    # Points that are all the same cost nothing, in any unit.
    unit = epsilon * (mean if relative and mean > 0 else 1.0)
    shares = normalised_weights(weights, n_hists, costs[0])
    histograms = A.detach().to(wide)[shares > 0]
    histograms = histograms / histograms.flatten(1).sum(1).view(-1, *[1] * len(grid))
    found, n_iter, violation = fixed_point(
        histograms,
        [cost / -unit for cost in costs],
        shares[shares > 0],
        debiased=debias == "paired",
        tol=tol,
        max_iter=max_iter,
    )
    if not violation <= tol:
        warnings.warn(
            f"The barycentre has a marginal violation of {violation:.1e} > tol={tol:g} after "
            f"{n_iter} iterations. Increase `max_iter`, `epsilon` or `tol`.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found.to(A.dtype)
