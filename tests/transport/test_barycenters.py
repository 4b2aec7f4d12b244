"""Barycentres of clouds and of histograms."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import (
    fixed_support_barycenter,
    free_support_barycenter,
    sinkhorn_cost,
    sinkhorn_potentials,
)

quick = settings(deadline=None, derandomize=True, max_examples=15)


def clouds(sizes, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = [torch.randn(n, d, generator=generator, dtype=torch.float64) for n in sizes]
    return [(1 + k) * cloud + 2 * k for k, cloud in enumerate(found)]


def line(n, *gaussians):
    points = torch.linspace(0, 1, n, dtype=torch.float64)
    rows = [torch.exp(-((points - mean) ** 2) / (2 * std**2)) for mean, std in gaussians]
    histograms = torch.stack(rows)
    return points, histograms / histograms.sum(1, keepdim=True)


@quick
@given(st.integers(1, 15), st.integers(1, 4), st.integers(0, 1000), st.booleans())
def test_on_a_line_it_is_the_mean_of_the_sorted(n, k, seed, single):
    measures = clouds([n] * k, 1, seed)
    shares = torch.rand(k, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    dtype = torch.float32 if single else torch.float64
    start = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed + 1), dtype=dtype)
    found = free_support_barycenter(measures, None, start, weights=shares)
    ordered = torch.stack([cloud.sort(0)[0] for cloud in measures])
    expected = ((shares / shares.sum())[:, None, None] * ordered).sum(0).to(dtype)
    assert found.dtype == dtype
    torch.testing.assert_close(found.sort(0)[0], expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_free_support_beside_pot(weighted):
    measures, start = clouds([20, 15, 9], 3), clouds([12], 3, seed=5)[0]
    masses = [torch.linspace(1, 2, len(cloud)).double() for cloud in measures]
    masses = [each / each.sum() for each in masses]
    given_masses = masses if weighted else None
    b = torch.linspace(1, 3, 12).double() / 24 if weighted else None
    shares = torch.tensor([0.5, 0.3, 0.2]).double()
    found = free_support_barycenter(measures, given_masses, start, b, shares)
    uniform = [np.full(len(cloud), 1 / len(cloud)) for cloud in measures]
    theirs = (
        [cloud.numpy() for cloud in measures],
        [each.numpy() for each in masses] if weighted else uniform,
        start.numpy(),
        None if b is None else b.numpy(),
        shares.numpy(),
    )
    expected = ot.lp.free_support_barycenter(*theirs)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    # Entropic: where plans of POT leave the points.
    options = {"epsilon": 5.0, "relative": False, "tol": 1e-6, "max_iter": 1000}
    found = free_support_barycenter(measures, given_masses, start, b, shares, **options).numpy()
    own = np.full(12, 1 / 12) if b is None else theirs[3]
    means = np.zeros_like(found)
    for share, cloud, each in zip(shares.numpy(), *theirs[:2], strict=True):
        plan = ot.sinkhorn(own, each, ot.dist(found, cloud), 5.0, stopThr=1e-9, numItermax=10_000)
        means += share * plan @ cloud / own[:, None]
    np.testing.assert_allclose(means, found, atol=1e-3)


def test_a_single_cloud_is_its_own_and_points_without_weight_stay():
    (cloud,), start = clouds([10], 2), clouds([10], 2, seed=1)[0]
    found = free_support_barycenter([cloud], None, start)
    gaps = torch.cdist(found, cloud)
    assert gaps.min(1).values.max() < 1e-9 and gaps.min(0).values.max() < 1e-9
    b = torch.ones(10).double()
    b[3] = 0.0
    for epsilon in (None, 0.1):
        found = free_support_barycenter([cloud], None, start, b, epsilon=epsilon, tol=1e-3)
        assert torch.equal(found[3], start[3]) and found.isfinite().all()


def objective(A, M, shares, b, epsilon, debias):
    """What is least at the barycentre, up to a constant."""
    options = {"epsilon": epsilon, "relative": False, "tol": 1e-9, "max_iter": 20_000}
    costs = torch.stack([sinkhorn_cost(M, a=a, b=b, **options) for a in A])
    if debias == "paired":
        return (shares @ costs - sinkhorn_cost(M, a=b, b=b, **options) / 2).item()
    # Where the entropy of the plan is relative to the uniform distribution.
    return (shares @ costs + epsilon * torch.xlogy(b, b).sum()).item()


@pytest.mark.parametrize("epsilon", [0.02, 5e-3])
@pytest.mark.parametrize("debias", ["none", "paired"])
def test_fixed_support_is_least_beside_pot(epsilon, debias):
    points, A = line(60, (0.3, 0.05), (0.6, 0.1), (0.5, 0.02))
    M = (points[:, None] - points) ** 2
    shares = torch.tensor([0.5, 0.2, 0.3]).double()
    options = {"debias": debias, "weights": shares, "relative": False}
    found = fixed_support_barycenter(A, M, epsilon=epsilon, **options)
    assert found.sum().item() == pytest.approx(1.0, rel=1e-12)
    stops = {"stopThr": 1e-9, "numItermax": 2000, "warn": False}
    method = ot.bregman.barycenter if debias == "none" else ot.bregman.barycenter_debiased
    theirs = method(A.T.numpy(), M.numpy(), epsilon, shares.numpy(), **stops)
    value, other = (
        objective(A, M, shares, b, epsilon, debias)
        for b in (found, torch.from_numpy(theirs / theirs.sum()))
    )
    assert value <= other + 1e-7
    # Nor is any mixture with one of the histograms.
    for histogram in A:
        moved = 0.99 * found + 0.01 * histogram
        assert value < objective(A, M, shares, moved, epsilon, debias) + 1e-9
    # The same as a grid of one axis, in steps.
    grid = fixed_support_barycenter(A, epsilon=epsilon * 59**2, **options)
    torch.testing.assert_close(grid, found, rtol=1e-6, atol=1e-9)


def test_images_beside_pot():
    places = torch.arange(16).double()
    blobs = [
        torch.exp(-((places[:, None] - row) ** 2 + (places - column) ** 2) / (2 * width**2)) + 1e-3
        for row, column, width in ((4, 5, 1.5), (10, 11, 2.5))
    ]
    A = torch.stack([blob / blob.sum() for blob in blobs])
    expected = ot.bregman.convolutional_barycenter2d(A.numpy(), 0.02, stopThr=1e-10)
    options = {"epsilon": 0.02 * 15**2, "relative": False, "debias": "none", "tol": 1e-8}
    found = fixed_support_barycenter(A, **options)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)
    # And of the matrix of all pairs of pixels.
    pixels = torch.cartesian_prod(places, places)
    flat = fixed_support_barycenter(A.flatten(1), torch.cdist(pixels, pixels).square(), **options)
    torch.testing.assert_close(flat, found.flatten(), rtol=1e-6, atol=1e-9)


def test_debiased_barycentre_of_gaussians_keeps_their_width():
    # Janati et al. (2020), theorem 3: equal variances stay; the first problem adds to them.
    points, A = line(200, (0.3, 0.06), (0.7, 0.06))
    found = {}
    for debias in ("none", "paired"):
        b = fixed_support_barycenter(A, debias=debias, epsilon=0.02)
        mean = b @ points
        assert mean.item() == pytest.approx(0.5, abs=1e-6)
        found[debias] = (b @ (points - mean) ** 2).sqrt().item()
    assert found["paired"] == pytest.approx(0.06, rel=1e-3)
    assert found["none"] > 0.065


def test_small_epsilon_and_empty_lines():
    A = torch.zeros(2, 40, 40)
    A[0, 2:5, 3:6], A[1, 30:33, 33:36] = 1.0, 1.0
    b = fixed_support_barycenter(A, epsilon=1e-3, tol=1e-4)
    assert b.dtype == torch.float32 and b.sum().item() == pytest.approx(1.0, abs=1e-5)
    inside = b[16:19, 18:21].sum().item()
    assert inside > 0.95
    same = fixed_support_barycenter(A[:1], epsilon=1e-3, tol=1e-4)
    torch.testing.assert_close(same, A[0] / 9, rtol=0, atol=1e-3)


def test_what_is_refused_or_warned_of():
    (cloud, other), start = clouds([6, 5], 2), clouds([4], 2, seed=1)[0]
    with pytest.raises(ValueError, match="measures_locations must be one cloud or more"):
        free_support_barycenter([], None, start)
    with pytest.raises(ValueError, match="measures_weights must be a tensor of shape"):
        free_support_barycenter([cloud], [torch.ones(3)], start)
    with pytest.raises(ValueError, match="must be finite"):
        free_support_barycenter([cloud * torch.nan], None, start)
    with pytest.warns(ConvergenceWarning, match="moved by"):
        free_support_barycenter([cloud, other], None, start, max_iter=1)
    points, A = line(20, (0.3, 0.1), (0.6, 0.1))
    with pytest.raises(ValueError, match="A must be"):
        fixed_support_barycenter(A[0])
    with pytest.raises(ValueError, match="A must be finite, non-negative"):
        fixed_support_barycenter(-A)
    with pytest.raises(ValueError, match="M must be of the points of A"):
        fixed_support_barycenter(A, torch.ones(3, 3))
    with pytest.raises(ValueError, match="M must be symmetric"):
        fixed_support_barycenter(A, points[:, None].expand(20, 20))
    with pytest.raises(ValueError, match="debias must be one of 'paired', 'none'"):
        fixed_support_barycenter(A, debias="independent")
    with pytest.warns(ConvergenceWarning, match="marginal violation"):
        fixed_support_barycenter(A, max_iter=2)


@pytest.mark.parametrize("epsilon", [0.1, 1e-4])
def test_costs_that_are_not_symmetric(epsilon):
    generator = torch.Generator().manual_seed(0)
    M = torch.rand(12, 12, generator=generator, dtype=torch.float64)
    A = torch.rand(2, 12, generator=generator, dtype=torch.float64)
    A = A / A.sum(1, keepdim=True)
    options = {"epsilon": epsilon, "relative": False, "tol": 1e-9}
    # Of one histogram each point goes where it is cheap.
    found = fixed_support_barycenter(A[:1], M, debias="none", **options)
    torch.testing.assert_close(found, A[0] @ torch.softmax(-M / epsilon, 1))
    if epsilon < 0.01:
        return
    # Of two the slopes add up to a constant, with the entropy of uniform weights.
    shares = torch.tensor([0.3, 0.7], dtype=torch.float64)
    found = fixed_support_barycenter(A, M, debias="none", weights=shares, **options)
    slopes = [sinkhorn_potentials(cost=M, a=a, b=found, **options)[1] for a in A]
    total = shares @ torch.stack(slopes) + epsilon * found.log()
    torch.testing.assert_close(total, total.mean().expand(12), rtol=0, atol=1e-7)
