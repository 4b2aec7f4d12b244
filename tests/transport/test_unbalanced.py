"""The unbalanced Sinkhorn divergence: references, closed forms, limits, hard inputs."""

import math

import geomloss
import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import sinkhorn_divergence, unbalanced_sinkhorn_divergence

TIGHT = {"tol": 1e-10, "max_iter": 5000}
ABSOLUTE = {"relative": False, **TIGHT}

quick = settings(deadline=None, derandomize=True, max_examples=40)
sizes = st.integers(1, 12)
seeds = st.integers(0, 1000)
epsilons = st.sampled_from([0.02, 0.1, 1.0])
rhos = st.sampled_from([0.01, 0.3, 3.0, 1e3])


def clouds(n=12, m=9, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def random_masses(n, seed, total=1.0):
    generator = torch.Generator().manual_seed(seed)
    masses = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    return masses * (total / masses.sum())


def uniform(n):
    return torch.full((n,), 1 / n, dtype=torch.float64)


def cost(x, y, p=2):
    return (x[:, None] - y).abs().pow(p).sum(2)


def kl(p, q):
    return torch.special.xlogy(p, p / q).sum() - p.sum() + q.sum()


def primal(plan, matrix, a, b, epsilon, rho):
    marginals = kl(plan.sum(1), a) + kl(plan.sum(0), b)
    return (plan * matrix).sum() + rho * marginals + epsilon * kl(plan, torch.outer(a, b))


def optimal(x, y, a, b, epsilon, rho, p=2):
    """Value and plan: plain damped iterations, then Newton steps on the dual, all in float64."""
    matrix, damping, n = cost(x, y, p), rho / (rho + epsilon), len(a)
    f, g = torch.zeros_like(a), torch.full_like(b, rho / 2 * torch.log(b.sum() / a.sum()))
    for _ in range(100):
        f = -damping * epsilon * torch.logsumexp((g - matrix) / epsilon + b.log(), 1)
        g = -damping * epsilon * torch.logsumexp((f[:, None] - matrix).T / epsilon + a.log(), 1)

    def plan(z):
        return a[:, None] * b * ((z[:n, None] + z[n:] - matrix) / epsilon).exp()

    z, masses = torch.cat([f, g]), torch.cat([a, b])
    for _ in range(200):
        current, asked = plan(z), masses * (-z / rho).exp()
        residual = asked - torch.cat([current.sum(1), current.sum(0)])
        if residual.abs().sum() < 1e-14:
            break
        hessian = (asked / rho + (asked - residual) / epsilon).diag()
        hessian[:n, n:] = current / epsilon
        hessian[n:, :n] = current.T / epsilon
        z = z + torch.linalg.solve(hessian, residual).clamp(-epsilon, epsilon)
    assert residual.abs().sum() < 1e-11
    return primal(plan(z), matrix, a, b, epsilon, rho).item(), plan(z)


def divergence(x, y, a, b, epsilon, rho, p=2):
    own = optimal(x, x, a, a, epsilon, rho, p)[0] + optimal(y, y, b, b, epsilon, rho, p)[0]
    mass = epsilon * (a.sum() - b.sum()).item() ** 2 / 2
    return optimal(x, y, a, b, epsilon, rho, p)[0] - own / 2 + mass


def value(x, y, debias="none", **options):
    return unbalanced_sinkhorn_divergence(x, y, debias=debias, **{**ABSOLUTE, **options}).item()


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("rho", [0.1, 2.0, 50.0])
@pytest.mark.parametrize("total", [0.1, 1.0, 5.0])
def test_against_plain_iterations(p, epsilon, rho, total):
    x, y = clouds()
    a, b = random_masses(12, 0), random_masses(9, 1, total)
    options = {"epsilon": epsilon, "rho": rho, "p": p}
    expected = optimal(x, y, a, b, **options)[0]
    assert value(x, y, a=a, b=b, **options) == pytest.approx(expected, rel=1e-7)
    expected = divergence(x, y, a, b, **options)
    assert value(x, y, "paired", a=a, b=b, **options) == pytest.approx(expected, rel=1e-6)


def test_against_direct_minimisation():
    x, y = clouds(4, 3, 2)
    a, b = random_masses(4, 0, 2.0), random_masses(3, 1)
    matrix, options = cost(x, y), {"epsilon": 0.3, "rho": 0.8}

    def objective(logs):
        logs = torch.tensor(logs, requires_grad=True)
        total = primal(logs.view(4, 3).exp(), matrix, a, b, **options)
        return total.item(), torch.autograd.grad(total, logs)[0].numpy()

    found = minimize(objective, np.full(12, -2.0), jac=True, method="L-BFGS-B", tol=1e-15)
    assert value(x, y, a=a, b=b, **options) == pytest.approx(found.fun, rel=1e-7)


@pytest.mark.parametrize("rho", [0.2, 5.0])
def test_against_pot(rho):
    x, y = clouds()
    a, b = random_masses(12, 0, 1.5), random_masses(9, 1)
    matrix, options = cost(x, y), {"epsilon": 0.2, "rho": rho}
    plan = torch.from_numpy(
        ot.unbalanced.sinkhorn_unbalanced(
            *(t.numpy() for t in (a, b, matrix)),
            reg=0.2,
            reg_m=rho,
            reg_type="kl",
            numItermax=100_000,
            stopThr=1e-14,
        )
    )
    expected = primal(plan, matrix, a, b, **options).item()
    assert value(x, y, a=a, b=b, **options) == pytest.approx(expected, rel=1e-9)
    # The gradient holds the plan: 2 (P1 x - P y).
    x.requires_grad_()
    total = unbalanced_sinkhorn_divergence(x, y, a=a, b=b, debias="none", **options, **ABSOLUTE)
    expected = 2 * (plan.sum(1, keepdim=True) * x.detach() - plan @ y)
    torch.testing.assert_close(torch.autograd.grad(total, x)[0], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rho", [0.5, 5.0])
def test_against_geomloss(rho):
    x, y = clouds(30, 25, 2)
    a, b = random_masses(30, 0, 1.5), random_masses(25, 1)
    loss = geomloss.SamplesLoss(
        "sinkhorn",
        p=2,
        blur=math.sqrt(0.2 / 2),
        reach=math.sqrt(rho / 2),
        scaling=0.995,
        backend="tensorized",
    )
    got = value(x, y, "paired", a=a, b=b, epsilon=0.2, rho=rho)
    assert got == pytest.approx(2 * loss(a, x, b, y).item(), rel=1e-3)


@pytest.mark.parametrize("debias", ["none", "paired"])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("relative", [False, True])
def test_gradients_of_points(debias, p, relative):
    x, y = clouds(5, 4, 2)
    a, b = random_masses(5, 0, 1.5), random_masses(4, 1)
    if relative:
        # No gradient flows through the mean cost.
        a, b = a / a.sum(), b / b.sum()
        unit = (a @ cost(x, y, p) @ b).item()
        options = {"epsilon": 0.2 * unit, "rho": 0.7 * unit, "a": a, "b": b, "p": p}
        x.requires_grad_()
        results = [
            torch.autograd.grad(
                unbalanced_sinkhorn_divergence(x, y, debias=debias, **{**ABSOLUTE, **more}), x
            )[0]
            for more in (options, {**options, "epsilon": 0.2, "rho": 0.7, "relative": True})
        ]
        torch.testing.assert_close(*results, rtol=1e-8, atol=1e-10)
        return
    options = {"epsilon": 0.2, "rho": 0.7, "a": a, "b": b, "p": p, "debias": debias, **ABSOLUTE}
    inputs = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x, y: unbalanced_sinkhorn_divergence(x, y, **options), inputs, atol=1e-6
    )


@pytest.mark.parametrize("debias", ["none", "paired"])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_gradients_of_masses(debias, shift):
    x, y = clouds(5, 4, 2)
    options = {"epsilon": 0.2, "rho": 0.7, "debias": debias, **ABSOLUTE}
    inputs = random_masses(5, 0, 1.5).requires_grad_(), random_masses(4, 1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: unbalanced_sinkhorn_divergence(x, y + shift, a=a, b=b, **options),
        inputs,
        atol=1e-6,
    )


@pytest.mark.parametrize("debias, place", [("none", 300.0), ("none", 0.2), ("paired", 0.2)])
def test_masses_of_zero_are_no_points(debias, place):
    x, y = clouds(6, 5, 2)
    # Two points without mass, near each other and perhaps far from all others.
    x[1], y[2] = place, place + 0.1
    a, b = random_masses(6, 0, 1.5), random_masses(5, 1)
    a[1] = b[2] = 0.0
    options = {"epsilon": 0.2, "rho": 0.7, "debias": debias}
    leaves = [tensor.clone().requires_grad_() for tensor in (x, y, a, b)]
    total = unbalanced_sinkhorn_divergence(
        *leaves[:2], a=leaves[2], b=leaves[3], **options, **ABSOLUTE
    )
    gradients = torch.autograd.grad(total, leaves)
    rows, columns = a > 0, b > 0
    expected = value(x[rows], y[columns], a=a[rows], b=b[columns], **options)
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert (gradients[0][1] == 0).all() and (gradients[1][2] == 0).all()
    for k, index in ((2, 1), (3, 2)):
        masses = [a.clone(), b.clone()]
        masses[k - 2][index] = 1e-7
        slope = (value(x, y, a=masses[0], b=masses[1], **options) - expected) / 1e-7
        assert gradients[k][index].item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("debias", ["none", "paired"])
@pytest.mark.parametrize("p", [1, 2])
def test_large_rho_is_balanced(debias, p):
    x, y = (cloud.requires_grad_() for cloud in clouds())
    options = {"p": p, "debias": debias, "epsilon": 0.1, **TIGHT}
    balanced = sinkhorn_divergence(x, y, **options)
    relaxed = unbalanced_sinkhorn_divergence(x, y, rho=1e7, **options)
    torch.testing.assert_close(relaxed, balanced, rtol=1e-6, atol=0)
    pairs = zip(*(torch.autograd.grad(total, (x, y)) for total in (relaxed, balanced)), strict=True)
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)


def test_small_rho_moves_nothing():
    x, y = clouds()
    x.requires_grad_()
    total = unbalanced_sinkhorn_divergence(
        x, y + 10.0, epsilon=1e-3, rho=1e-3, debias="none", **ABSOLUTE
    )
    # All mass is destroyed on both sides, and P = 0 costs epsilon times the product of masses.
    assert total.item() == pytest.approx(2e-3 + 1e-3, rel=1e-9)
    assert torch.autograd.grad(total, x)[0].abs().max() < 1e-200


@pytest.mark.parametrize("rho", [1e-3, 1.0, 1e6])
def test_far_apart(rho):
    x, y = clouds()
    far = y.clone() + 1e4
    leaf = x.clone().requires_grad_()
    total = unbalanced_sinkhorn_divergence(leaf, far, epsilon=0.1, rho=rho, **ABSOLUTE)
    gradient = torch.autograd.grad(total, leaf)[0]
    assert gradient.isfinite().all()
    a, b = uniform(12), uniform(9)
    # Nothing is transported: what is left is the masses' own terms.
    expected = 2 * rho + 0.1 - optimal(x, x, a, a, 0.1, rho)[0] / 2
    expected -= optimal(y, y, b, b, 0.1, rho)[0] / 2
    assert total.item() == pytest.approx(expected, rel=1e-7)


def test_far_apart_and_transported():
    # The whole mass moves where rho is far above the cost; then only the shift counts.
    x, y = clouds()
    options = {"epsilon": 0.5, "rho": 1e15, "tol": 1e-7, "max_iter": 5000, "relative": False}
    near = unbalanced_sinkhorn_divergence(x, y, **options).item()
    move = unbalanced_sinkhorn_divergence(x, y + 1e4, **options).item()
    centres = 2e4 * (y.mean(0) - x.mean(0)).sum().item() + 3e8
    assert move == pytest.approx(near + centres, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("rho", [0.3, 4.0])
@pytest.mark.parametrize("a, b", [(1.0, 1.0), (0.2, 3.0)])
def test_two_diracs(epsilon, rho, a, b):
    def transported(distance, a, b):
        """Mass of the plan: the derivative of the objective by it, which increases, is zero."""

        def slope(log):
            return distance + rho * (2 * log - math.log(a * b)) + epsilon * (log - math.log(a * b))

        return math.exp(brentq(slope, -1e4, 1e4, xtol=1e-14))

    def total(distance, a, b):
        t = transported(distance, a, b)
        marginals = sum(t * math.log(t / mass) - t + mass for mass in (a, b))
        entropy = t * math.log(t / (a * b)) - t + a * b
        return t * distance + rho * marginals + epsilon * entropy

    x, y = torch.zeros(1, 2).double(), torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    masses = {
        name: torch.tensor([mass], dtype=torch.float64) for name, mass in (("a", a), ("b", b))
    }
    options = {"epsilon": epsilon, "rho": rho, **masses}
    assert value(x, y, **options) == pytest.approx(total(1.0, a, b), rel=1e-8)
    expected = total(1.0, a, b) - (total(0.0, a, a) + total(0.0, b, b)) / 2
    expected += epsilon * (a - b) ** 2 / 2
    assert value(x, y, "paired", **options) == pytest.approx(expected, rel=1e-7)
    assert value(x, x, "paired", **options) >= -1e-12


@quick
@given(sizes, sizes, st.integers(1, 5), seeds, epsilons, rhos, st.sampled_from([1, 2]))
def test_is_a_divergence(n, m, d, seed, epsilon, rho, p):
    x, y = clouds(n, m, d, seed)
    a, b = random_masses(n, seed, 1.5), random_masses(m, seed + 1)
    options = {"epsilon": epsilon, "rho": rho, "p": p, "relative": True}
    unit = cost(x, y, p).mean().item() * max(1.0, rho)
    forth = value(x, y, "paired", a=a, b=b, **options)
    back = value(y, x, "paired", a=b, b=a, **options)
    assert forth >= -1e-9 * unit
    assert forth == pytest.approx(back, rel=1e-6, abs=1e-9 * unit)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    own = value(x, x[order], "paired", a=a, b=a[order], **options)
    assert abs(own) <= 1e-9 * unit


@quick
@given(sizes, sizes, seeds, rhos, st.sampled_from([1e-6, 1e-2, 1e3, 1e6]))
def test_units(n, m, seed, rho, scale):
    x, y = clouds(n, m, 2, seed)
    a, b = random_masses(n, seed, 1.5), random_masses(m, seed + 1)
    options = {"a": a, "b": b, "rho": rho, "relative": True, "debias": "paired"}
    plain = value(x, y, **options)
    unit = 1e-8 * cost(x, y).mean().item()
    assert value(x * scale, y * scale, **options) / scale**2 == pytest.approx(
        plain, rel=1e-6, abs=unit
    )
    assert value(x + 37.0, y + 37.0, **options) == pytest.approx(plain, rel=1e-6, abs=unit)


@quick
@given(sizes, sizes, seeds, rhos)
def test_masses_add_up_at_one_place(n, m, seed, rho):
    x, y = clouds(n, m, 2, seed)
    times = torch.arange(n) % 3 + 1
    a = random_masses(n, seed, 1.5)
    split = (a / times).repeat_interleave(times)
    options = {"rho": rho, "relative": True, "debias": "paired"}
    expected = value(x, y, a=a, **options)
    doubled = value(x.repeat_interleave(times, 0), y, a=split, **options)
    assert doubled == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("distance", [30.0, 1e3, 1e6])
def test_an_outlier_has_bounded_influence(distance):
    x, y = clouds(20, 15, 2)
    options = {"epsilon": 0.1, "relative": False}
    far = x.clone()
    far[0] = distance
    far.requires_grad_()
    relaxed = unbalanced_sinkhorn_divergence(far, y, rho=1.0, **options)
    balanced = sinkhorn_divergence(far, y, **options, tol=1e-6)
    assert relaxed < 1.5 and balanced > distance**2 / 40
    (gradient,) = torch.autograd.grad(relaxed, far)
    assert gradient[0].abs().max() < 1e-8
    (gradient,) = torch.autograd.grad(balanced, far)
    assert gradient[0].abs().max() > distance / 20


@pytest.mark.parametrize("p", [1, 2])
def test_memory_is_bounded(p):
    x, y = (cloud.requires_grad_() for cloud in clouds(80, 60))
    results = []
    for max_memory in (256, 1e-3, 1e-6):
        total = unbalanced_sinkhorn_divergence(x, y, p=p, max_memory=max_memory, **TIGHT)
        results.append((total, *torch.autograd.grad(total, (x, y))))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("epsilon", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("rho", [0.1, 1.0, 1e3])
def test_deep(epsilon, rho):
    x, y = clouds(60, 50, 2)
    loose = {"epsilon": epsilon, "rho": rho, "max_iter": 3000}
    total, info = unbalanced_sinkhorn_divergence(x, y, return_info=True, tol=1e-6, **loose)
    assert info.converged and info.marginal_violation <= 1e-6
    tight = unbalanced_sinkhorn_divergence(x, y, tol=1e-9, **loose)
    torch.testing.assert_close(total, tight, rtol=1e-5, atol=0)


def test_clusters_far_apart():
    # The cluster on the right has other shares of both masses, so that some is destroyed there.
    x, y = clouds(30, 24, 2)
    x[:12] += 30
    y[:6] += 30
    a, b = uniform(30), uniform(24)
    options = {"epsilon": 0.1, "rho": 20.0}
    total, info = unbalanced_sinkhorn_divergence(
        x, y, **options, relative=False, tol=1e-8, return_info=True
    )
    assert info.converged
    assert total.item() == pytest.approx(divergence(x, y, a, b, **options), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(dtype):
    x, y = (cloud.to(dtype).requires_grad_() for cloud in clouds())
    total = unbalanced_sinkhorn_divergence(x, y)
    expected = unbalanced_sinkhorn_divergence(x.double(), y.double())
    assert total.dtype == dtype
    torch.testing.assert_close(total, expected.to(dtype))
    total.backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all()


def test_plain_inputs():
    x, y = clouds(40, 30, 512)
    total, info = unbalanced_sinkhorn_divergence(x, y, return_info=True)
    assert total > 0 and info.converged
    one = unbalanced_sinkhorn_divergence(x[:1], y[:1])
    assert 0 < one < cost(x[:1], y[:1]).item()
    same = x[:1].repeat(5, 1).requires_grad_()
    nothing = unbalanced_sinkhorn_divergence(same, same.detach()[:3])
    assert nothing.item() == 0 and (torch.autograd.grad(nothing, same)[0] == 0).all()


def test_at_one_place_masses_still_differ():
    x = torch.zeros(4, 2).double()
    options = {"epsilon": 0.1, "rho": 1.0, "debias": "paired"}
    assert abs(value(x, x, **options)) < 1e-12
    assert value(x, x, a=torch.full((4,), 1.0).double(), **options) > 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_points_give_nan(bad):
    x, y = clouds()
    x[0, 0] = bad
    leaves = x.requires_grad_(), y.requires_grad_(), random_masses(12, 0).requires_grad_()
    total, info = unbalanced_sinkhorn_divergence(*leaves[:2], a=leaves[2], return_info=True)
    assert total.isnan() and not info.converged
    for gradient in torch.autograd.grad(total, leaves):
        assert gradient.isnan().all()


def test_warns_when_it_stops_early():
    x, y = clouds()
    with pytest.warns(ConvergenceWarning, match="after 2 iterations"):
        unbalanced_sinkhorn_divergence(x, y, tol=1e-12, max_iter=2)


def test_refuses_to_be_differentiated_twice():
    x, y = clouds()
    x.requires_grad_()
    total = unbalanced_sinkhorn_divergence(x, y)
    (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    with pytest.raises(RuntimeError, match="unbalanced_sinkhorn_divergence cannot be"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"debias": "independent"}, "masses differ"),
        ({"debias": "other"}, "debias must be one of"),
        ({"rho": 0.0}, "rho must be"),
        ({"rho": math.inf}, "rho must be"),
        ({"epsilon": -1.0}, "epsilon must be"),
        ({"tol": 0.0}, "tol must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"p": 0.5}, "p must be"),
        ({"max_memory": 0}, "max_memory must be"),
        ({"a": torch.zeros(12)}, "positive sum"),
        ({"a": -torch.ones(12)}, "non-negative"),
        ({"b": torch.ones(5)}, "b must be a tensor of shape"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ValueError, match=message):
        unbalanced_sinkhorn_divergence(*clouds(), **options)
