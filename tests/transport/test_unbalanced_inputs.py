"""The unbalanced Sinkhorn divergence on inputs that are hard, or none."""

import math

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import unbalanced_sinkhorn_divergence

from .unbalanced import TIGHT, clouds, cost, divergence, random_masses, uniform, value


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
