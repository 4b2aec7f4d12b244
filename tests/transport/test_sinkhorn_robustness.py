"""Clouds and settings on which Sinkhorn solvers fail: everything stays finite, and right."""

import warnings

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import exact_cost, sinkhorn_divergence


def _normal(n, d, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


X, Y = _normal(40, 3, 0), _normal(33, 3, 1)
OUTLIER = torch.cat([X[:1] * 100, X[1:]])
GRID = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)).double()

CASES = {
    **{f"scale {s:g}": (X * s, Y * s, {}) for s in (1e-6, 1e-3, 1e3, 1e6)},
    "identical": (X, X.clone(), {}),
    "all equal": (torch.full((8, 3), 0.1), torch.full((5, 3), 0.1), {}),
    "all equal, absolute": (torch.ones(8, 3), torch.ones(5, 3), {"relative": False}),
    "one point each": (X[:1], Y[:1], {}),
    "one point against many": (X[:1], Y, {}),
    "many against one point": (X, Y[:1], {}),
    "two and three points": (X[:2], Y[:3], {}),
    "duplicates": (X[:5].repeat(8, 1), Y[:4].repeat(10, 1), {}),
    "far apart": (X, Y + 1e4, {}),
    "far apart, absolute": (X, Y + 1e4, {"relative": False}),
    "outlier": (OUTLIER, Y, {}),
    "outlier in both": (OUTLIER, torch.cat([OUTLIER[:1] + 1, Y]), {"epsilon": 0.01}),
    "d = 1": (_normal(64, 1, 2), _normal(50, 1, 3), {}),
    "d = 512": (_normal(64, 512, 2), _normal(64, 512, 3), {}),
    "epsilon 1e-2": (X, Y, {"epsilon": 1e-2}),
    "epsilon 1e-3": (X, Y, {"epsilon": 1e-3}),
    "epsilon 1e-4": (X, Y, {"epsilon": 1e-4}),
    "epsilon 1e-9": (X, Y, {"epsilon": 1e-9}),
    "epsilon 1e6": (X, Y, {"epsilon": 1e6}),
    "ties": (GRID, GRID + 0.5, {"epsilon": 1e-3}),
    "p = 1": (X, Y, {"p": 1}),
    "p = 4": (X, Y, {"p": 4}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite(case, dtype):
    x, y, options = CASES[case]
    for debias in ("none", "paired", "independent"):
        for sharp in (False, True):
            u = x.to(dtype).clone().requires_grad_()
            v = y.to(dtype).clone().requires_grad_()
            with warnings.catch_warnings():
                if options.get("epsilon", 1) <= 1e-4:
                    warnings.simplefilter("ignore", ConvergenceWarning)
                else:
                    warnings.simplefilter("error")
                value = sinkhorn_divergence(u, v, debias=debias, sharp=sharp, **options)
            value.backward()
            assert value.isfinite()
            assert u.grad.isfinite().all() and v.grad.isfinite().all()
            if case.startswith("all equal"):
                assert abs(value.item()) < 1e-12
                assert u.grad.abs().max() < 1e-6 and v.grad.abs().max() < 1e-6


@pytest.mark.parametrize("case", ["far apart", "outlier", "outlier in both", "duplicates", "ties"])
def test_float32_agrees_with_float64(case):
    x, y, options = CASES[case]
    for debias in ("none", "paired", "independent"):
        exact = x.clone().requires_grad_()
        want = sinkhorn_divergence(exact, y, debias=debias, tol=1e-8, max_iter=5000, **options)
        want.backward()
        single = x.float().requires_grad_()
        got = sinkhorn_divergence(single, y.float(), debias=debias, tol=1e-6, **options)
        got.backward()
        assert got.item() == pytest.approx(want.item(), rel=1e-3, abs=1e-3 * y.var().item())
        assert (single.grad - exact.grad).norm() < 5e-3 * exact.grad.norm()


def test_tight_tolerance_in_float32_is_reached():
    _, info = sinkhorn_divergence(X.float(), Y.float(), tol=1e-9, return_info=True)
    assert info.converged and info.marginal_violation <= 1e-9


@pytest.mark.parametrize("d", [1, 2, 8])
def test_small_epsilon_approaches_the_exact_cost(d):
    x, y = _normal(50, d, 4), _normal(50, d, 5)
    value = sinkhorn_divergence(x, y, epsilon=1e-3, debias="none", sharp=True, max_iter=10_000)
    exact = exact_cost(x, y)
    assert value.item() == pytest.approx(exact.item(), rel=0.01)
