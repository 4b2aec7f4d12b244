"""Exact transport against POT, scipy and closed forms."""

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from skotae.transport import exact_cost


def _clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (30, 30), (200, 200), (20, 31)])
def test_value_is_pots(n, m, p):
    x, y = _clouds(n, m, 3)
    cost = (x[:, None] - y).abs().pow(p).sum(2).numpy()
    expected = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
    assert exact_cost(x, y, p=p).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("points", [64, 300])
@pytest.mark.parametrize("d", [1, 2, 16])
def test_the_reduction_keeps_the_optimum(points, d):
    x, y = _clouds(points, points, d)
    cost = (x[:, None] - y).square().sum(2).numpy()
    rows, columns = linear_sum_assignment(cost)
    assert exact_cost(x, y).item() == pytest.approx(cost[rows, columns].mean(), rel=1e-12)


def test_one_dimension_is_sorting():
    x, y = _clouds(40, 40, 1)
    expected = (x.sort(0)[0] - y.sort(0)[0]).square().mean()
    torch.testing.assert_close(exact_cost(x, y), expected)


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
def test_gradient(n, m, p):
    x, y = (cloud.requires_grad_() for cloud in _clouds(n, m, 2))
    assert torch.autograd.gradcheck(lambda u, v: exact_cost(u, v, p=p), (x, y))


def test_weights_and_their_gradient():
    x, y = _clouds(5, 6, 2)
    a = torch.tensor([1.0, 2.0, 3.0, 1.5, 0.7], dtype=torch.float64, requires_grad=True)
    b = torch.linspace(1, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, v: exact_cost(x, y, a=u, b=v), (a, b))


def test_edge_cases():
    x, _ = _clouds(70, 70, 3)
    assert exact_cost(x, x.flip(0)).item() == pytest.approx(0, abs=1e-12)
    constant = torch.ones(70, 3, requires_grad=True)
    value = exact_cost(constant, torch.ones(70, 3))
    value.backward()
    assert value == 0 and (constant.grad == 0).all()
    single = exact_cost(x.float() * 1e6, x.float() * 1e6 + 1)
    assert single.dtype == torch.float32 and single.item() == pytest.approx(3, rel=0.1)
    assert exact_cost(x * torch.nan, x).isnan()
    with pytest.raises(ValueError, match="features"):
        exact_cost(x, x[:, :2])


def test_double_backward_is_refused():
    x, y = _clouds(5, 5, 2)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(exact_cost(x, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()
