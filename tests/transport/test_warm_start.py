"""Entropic problems that start from potentials."""

import pytest
import torch

from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)


def clouds(n=60, m=50, d=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 3.0
    return x.to(dtype), y.to(dtype)


def problem(kind, x, y):
    return {"cost": torch.cdist(x, y)} if kind == "cost" else {"x": x, "y": y, **kind}


KINDS = ["cost", {"p": 2}, {"p": 1}, {"p": 1.5, "metric": "euclidean"}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype, tol", [(torch.float32, 1e-3), (torch.float64, 1e-8)])
@pytest.mark.parametrize("epsilon", [0.02, 1e-3])
def test_its_own_solution_takes_one_iteration(kind, dtype, tol, epsilon):
    options = {"epsilon": epsilon, "tol": tol, "max_iter": 5000}
    given = problem(kind, *clouds(dtype=dtype))
    f, g, cold = sinkhorn_potentials(**given, **options)
    options["potentials_init"] = f, g
    again_f, again_g, warm = sinkhorn_potentials(**given, **{**options, "tol": 2 * tol})
    assert cold.n_iter > 2 and warm.n_iter <= 2 and warm.converged
    torch.testing.assert_close(again_f, f, rtol=10 * tol, atol=10 * tol)
    torch.testing.assert_close(again_g, g, rtol=10 * tol, atol=10 * tol)
    cold_plan = sinkhorn_plan(**given, **{**options, "potentials_init": None})
    torch.testing.assert_close(sinkhorn_plan(**given, **options), cold_plan, rtol=0, atol=tol)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_problem_nearby_takes_fewer_iterations(kind):
    x, y = clouds()
    options = {"epsilon": 0.02, "tol": 1e-6, "max_iter": 5000}
    start = sinkhorn_potentials(**problem(kind, x, y), **options)[:2]
    moved = problem(kind, x + 1e-4 * torch.sin(10 * x), y)
    f, g, cold = sinkhorn_potentials(**moved, **options)
    warm_f, warm_g, warm = sinkhorn_potentials(**moved, **options, potentials_init=start)
    assert warm.n_iter < 0.7 * cold.n_iter
    torch.testing.assert_close(warm_f, f, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(warm_g, g, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1.0, 1e4, 1e300])
@pytest.mark.parametrize("epsilon", [0.05, 1e-4])
def test_a_bad_start_is_no_harm(size, epsilon):
    x, y = clouds()
    options = {"epsilon": epsilon, "tol": 1e-6, "max_iter": 5000}
    f, g, _ = sinkhorn_potentials(x, y, **options)
    noise = size * torch.randn(110, generator=torch.Generator().manual_seed(1)).double()
    start = noise[:60], noise[60:]
    found_f, found_g, info = sinkhorn_potentials(x, y, **options, potentials_init=start)
    assert info.converged
    torch.testing.assert_close(found_f, f, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found_g, g, rtol=1e-3, atol=1e-3)


def test_each_problem_of_a_batch_has_its_own():
    x, y = torch.randn(2, 3, 20, 2, generator=torch.Generator().manual_seed(0)).double()
    f, g, cold = sinkhorn_potentials(x, y, tol=1e-8)
    _, _, warm = sinkhorn_potentials(x, y, tol=2e-8, potentials_init=(f, g))
    pairs = zip(warm.problems, cold.problems, strict=True)
    assert all(one.n_iter <= 2 < other.n_iter for one, other in pairs)


def test_what_is_no_start_is_named():
    x, y = clouds()
    f, g, _ = sinkhorn_potentials(x, y)
    for wrong in ((f, f), f, (f, None), (f.tolist(), g.tolist()), (f * torch.nan, g)):
        with pytest.raises(ValueError, match="potentials_init must be"):
            sinkhorn_potentials(x, y, potentials_init=wrong)


RELAXED = [{"rho": 2.0}, {"rho": 1.0, "unbalanced_type": "tv"}, {"rho": (0.5, float("inf"))}]


@pytest.mark.parametrize("relaxed", RELAXED, ids=str)
@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
def test_unbalanced_ones(relaxed, kind):
    x, y = clouds(30, 25)
    a = torch.rand(30, generator=torch.Generator().manual_seed(2)).double()
    a[:2] = 0.0
    options = {"epsilon": 0.01, "tol": 1e-8, "max_iter": 5000, "a": a, **relaxed}
    f, g, cold = unbalanced_sinkhorn_potentials(**problem(kind, x, y), **options)
    again_f, again_g, again = unbalanced_sinkhorn_potentials(
        **problem(kind, x, y), **{**options, "tol": 2e-8}, potentials_init=(f, g)
    )
    assert again.n_iter <= 2 < cold.n_iter
    torch.testing.assert_close((again_f, again_g), (f, g), rtol=1e-6, atol=1e-6)
    moved = problem(kind, x + 1e-4 * torch.sin(10 * x), y)
    expected = unbalanced_sinkhorn_plan(**moved, **options)
    _, _, cold = unbalanced_sinkhorn_potentials(**moved, **options)
    _, _, warm = unbalanced_sinkhorn_potentials(**moved, **options, potentials_init=(f, g))
    assert warm.n_iter < 0.7 * cold.n_iter
    # A start of no help is no harm.
    for start in ((f, g), (f - 1e4, g + 3 * y[:, 0]), (f + 1e300, g - 1e300)):
        plan = unbalanced_sinkhorn_plan(**moved, **options, potentials_init=start)
        torch.testing.assert_close(plan, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("function", [sinkhorn_cost, unbalanced_sinkhorn_cost])
def test_costs(function):
    potentials = {
        sinkhorn_cost: sinkhorn_potentials,
        unbalanced_sinkhorn_cost: unbalanced_sinkhorn_potentials,
    }[function]
    x, y = torch.randn(2, 3, 20, 2, generator=torch.Generator().manual_seed(0)).double()
    matrices = torch.cdist(x, y).requires_grad_()
    options = {"tol": 1e-8, "return_info": True}
    values, cold = function(matrices, **options)
    starts = [potentials(cost=each, tol=1e-8)[:2] for each in matrices]
    f, g = (torch.stack(each).requires_grad_() for each in zip(*starts, strict=True))
    options["tol"] = 2e-8
    again, warm = function(matrices, potentials_init=(f, g), **options)
    pairs = zip(warm.problems, cold.problems, strict=True)
    assert all(one.n_iter <= 2 < other.n_iter for one, other in pairs)
    torch.testing.assert_close(again, values, rtol=1e-7, atol=0)
    slopes = [torch.autograd.grad(each.sum(), matrices)[0] for each in (values, again)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-8)
    mapped = torch.func.vmap(lambda c, f, g: function(c, potentials_init=(f, g)))(matrices, f, g)
    torch.testing.assert_close(mapped, values, rtol=1e-3, atol=0)
    for wrong in ((f, f[:2]), f, (f, None), (f * torch.nan, g)):
        with pytest.raises(ValueError, match="potentials_init must be"):
            function(matrices, potentials_init=wrong)
