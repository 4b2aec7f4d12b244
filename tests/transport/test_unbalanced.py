"""The unbalanced Sinkhorn divergence against references: values and gradients."""

import math

import geomloss
import numpy as np
import ot
import pytest
import torch
from scipy.optimize import minimize

from skotae.transport import unbalanced_sinkhorn_divergence

from .unbalanced import ABSOLUTE, clouds, cost, divergence, optimal, primal, random_masses, value


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
