"""Points of weight zero: they count for nothing, and their potentials are soft minima."""

import math

import pytest
import torch

from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_potentials,
)

N, M = 14, 11


def _problem(far=30.0, seed=0):
    """Clouds and weights, zero for some points, of which two are far from all others."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in (N, M))
    a, b = (0.5 + torch.rand(n, generator=generator, dtype=torch.float64) for n in (N, M))
    x[0], y[2] = far, -far
    a[:3], b[1:4] = 0.0, 0.0
    return x, y, a / a.sum(), b / b.sum()


def _costs(x, y, p=2):
    return (x[..., :, None, :] - y[..., None, :, :]).abs().pow(p).sum(-1)


def _soft_minimum(cost, g, b, epsilon):
    return -epsilon * torch.logsumexp((g[None] - cost) / epsilon + b.log(), 1)


def _check(f, g, cost, a, b, epsilon, best=(lambda f: f, lambda g: g)):
    """Where there is no weight, potentials are what is best for the final others."""
    row = best[0](_soft_minimum(cost, g, b, epsilon))
    column = best[1](_soft_minimum(cost.T, f, a, epsilon))
    torch.testing.assert_close(f[a == 0], row[a == 0], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(g[b == 0], column[b == 0], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("max_iter", [1, 6, 1000])
@pytest.mark.parametrize("p", [2, 1])
@pytest.mark.parametrize("epsilon", [2.0, 0.2, 0.01])
@pytest.mark.filterwarnings("ignore::skotae.exceptions.ConvergenceWarning")
def test_potentials_are_soft_minima(epsilon, p, max_iter):
    x, y, a, b = _problem()
    cost = _costs(x, y, p)
    options = {"epsilon": epsilon, "relative": False, "a": a, "b": b, "max_iter": max_iter}
    f, g, info = sinkhorn_potentials(x, y, p=p, **options)
    assert info.converged or max_iter < 1000
    _check(f, g, cost, a, b, epsilon)
    _check(*sinkhorn_potentials(cost=cost, **options)[:2], cost, a, b, epsilon)


@pytest.mark.parametrize("given", ["clouds", "cost"])
def test_batches_with_zeros_in_their_own_places(given):
    problems = [_problem(seed=k) for k in range(3)]
    x, y, a, b = (torch.stack(each) for each in zip(*problems, strict=True))
    # The last two have other points without weight, and none.
    a[1], b[1] = a[1].flip(0), b[1].flip(0)
    a[2], b[2] = 1 / N, 1 / M
    cost = _costs(x, y)
    inputs = {"cost": cost} if given == "cost" else {"x": x, "y": y}
    options = {"epsilon": 2.0, "relative": False, "tol": 1e-9}
    f, g, info = sinkhorn_potentials(a=a, b=b, **inputs, **options)
    assert info.converged
    start = f + 0.01 * f.flip(1), g
    warm = sinkhorn_potentials(a=a, b=b, potentials_init=start, **inputs, **options)
    plan = sinkhorn_plan(a=a, b=b, **inputs, **options)
    for k in range(3):
        _check(f[k], g[k], cost[k], a[k], b[k], 2.0)
        one = {name: tensor[k] for name, tensor in inputs.items()}
        alone = sinkhorn_potentials(a=a[k], b=b[k], **one, **options)
        assert alone[2].converged
        for several, single, again in zip((f[k], g[k]), alone[:2], warm[:2], strict=True):
            torch.testing.assert_close(several, single, rtol=1e-7, atol=1e-7)
            torch.testing.assert_close(several, again[k], rtol=1e-7, atol=1e-7)
        assert not plan[k, a[k] == 0].any() and not plan[k][:, b[k] == 0].any()
        torch.testing.assert_close(plan[k].sum(1), a[k], rtol=0, atol=1e-9)


def test_the_order_of_points_is_of_no_account():
    x, y, a, b = _problem()
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    options = {"epsilon": 0.3, "relative": False, "tol": 1e-10, "b": b}
    f, g, _ = sinkhorn_potentials(x, y, a=a, **options)
    moved, same, _ = sinkhorn_potentials(x[rows], y, a=a[rows], **options)
    torch.testing.assert_close(moved, f[rows])
    torch.testing.assert_close(same, g)


def test_what_is_far_and_has_no_weight_costs_no_iterations():
    near, far = _problem(far=1.0), _problem(far=1e6)
    infos = [
        sinkhorn_potentials(x, y, a=a, b=b, epsilon=0.1, relative=False)[2]
        for x, y, a, b in (near, far)
    ]
    assert infos[0] == infos[1] and infos[0].converged


def test_starting_from_the_solution_takes_one_iteration():
    x, y, a, b = _problem()
    options = {"epsilon": 0.3, "relative": False, "a": a, "b": b}
    for inputs in ({"x": x, "y": y}, {"cost": _costs(x, y)}):
        f, g, _ = sinkhorn_potentials(**inputs, **options, tol=1e-9)
        *_, info = sinkhorn_potentials(**inputs, **options, potentials_init=(f, g))
        assert info.n_iter == 1


@pytest.mark.parametrize("function", ["divergence", "batch", "cost"])
def test_gradients_of_weights_that_are_zero(function):
    x, y, a, b = _problem(far=1.0)
    options = {"epsilon": 2.0, "relative": False, "tol": 1e-11}

    def value(a, b):
        if function == "cost":
            return sinkhorn_cost(_costs(x, y), a=a, b=b, **options)
        if function == "divergence":
            return sinkhorn_divergence(x, y, a=a, b=b, **options)
        pairs = [torch.stack([each, each]) for each in (x, y, a, b)]
        return sinkhorn_divergence(*pairs[:2], a=pairs[2], b=pairs[3], **options)[0]

    a.requires_grad_(), b.requires_grad_()
    total = value(a, b)
    gradients = torch.autograd.grad(total, (a, b))
    for k, places in enumerate(([0, 2], [1, 2])):
        for place in places:
            weights = [a.detach().clone(), b.detach().clone()]
            weights[k][place] = 1e-7
            slope = (value(*weights) - total.detach()) / 1e-7
            assert gradients[k][place].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("max_iter", [1, 6, 1000])
@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", [3.0, (0.5, math.inf), 1e4])
@pytest.mark.filterwarnings("ignore::skotae.exceptions.ConvergenceWarning")
def test_unbalanced_potentials_are_what_is_best(rho, kind, max_iter):
    x, y, a, b = _problem()
    a, cost, epsilon = 1.5 * a, _costs(x, y), 0.2
    prices = rho if isinstance(rho, tuple) else (rho, rho)

    def best(price):
        if price == math.inf:
            return lambda f: f
        if kind == "tv":
            return lambda f: f.clamp(-price, price)
        return lambda f: f * price / (price + epsilon)

    options = {"epsilon": epsilon, "rho": rho, "unbalanced_type": kind, "max_iter": max_iter}
    for inputs in ({"x": x, "y": y}, {"cost": cost}):
        f, g, _ = unbalanced_sinkhorn_potentials(**inputs, a=a, b=b, relative=False, **options)
        _check(f, g, cost, a, b, epsilon, tuple(map(best, prices)))


@pytest.mark.parametrize("relative", [True, False])
def test_all_weight_on_one_point(relative):
    x, y, a, b = _problem(far=2.0)
    x[5] = y[6] = 0.5
    a, b = torch.eye(N, dtype=torch.float64)[5], torch.eye(M, dtype=torch.float64)[6]
    cost = _costs(x, y)
    for inputs in ({"x": x, "y": y}, {"cost": cost}):
        f, g, info = sinkhorn_potentials(**inputs, a=a, b=b, relative=relative)
        # A single point: the soft minimum is its cost.
        torch.testing.assert_close(f, cost[:, 6])
        torch.testing.assert_close(g, cost[5])
        assert info.converged
