"""The unbalanced Sinkhorn divergence in the limits, closed forms and laws that hold."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from skotae.transport import sinkhorn_divergence, unbalanced_sinkhorn_divergence

from .unbalanced import ABSOLUTE, TIGHT, clouds, cost, optimal, random_masses, uniform, value

quick = settings(deadline=None, derandomize=True, max_examples=40)
sizes = st.integers(1, 12)
seeds = st.integers(0, 1000)
epsilons = st.sampled_from([0.02, 0.1, 1.0])
rhos = st.sampled_from([0.01, 0.3, 3.0, 1e3])


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
