"""Exact transport against POT, scipy and closed forms."""

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from skotae.testing import permuted_shift
from skotae.transport import exact_cost, exact_plan, partial_cost, sinkhorn_divergence
from skotae.transport.linear import plans


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


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (40, 40), (33, 50), (60, 24)])
def test_one_dimension_is_sorting(n, m, p):
    x, y = _clouds(n, m, 1)
    cost = (x - y.T).abs().pow(p).numpy()
    expected = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
    assert exact_cost(x, y, p=p).item() == pytest.approx(expected, rel=1e-12)
    a, b = torch.rand(n + m, generator=torch.Generator().manual_seed(0)).double().split((n, m))
    b[1::3] = 0.0
    expected = ot.emd2((a / a.sum()).numpy(), (b / b.sum()).numpy(), cost)
    assert exact_cost(x, y, p=p, a=a, b=b).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1.5, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 8)])
def test_one_dimension_has_the_gradient_of_a_plane(n, m, p):
    """Sorting and the solver on costs agree, also about a point without weight."""
    x, y = _clouds(n, m, 1)
    a, b = torch.rand(n + m, generator=torch.Generator().manual_seed(1)).double().split((n, m))
    a[2] = 0.0
    gradients = []
    for lift in (0, 1):
        inputs = [tensor.clone().requires_grad_() for tensor in (x, y, a, b)]
        line, other = (torch.nn.functional.pad(cloud, (0, lift)) for cloud in inputs[:2])
        value = exact_cost(line, other, p=p, a=inputs[2], b=inputs[3])
        gradients.append(torch.autograd.grad(value, inputs))
    torch.testing.assert_close(*gradients)


def test_one_dimension_is_large():
    x, y = _clouds(30_000, 20_000, 1)
    assert exact_cost(x, x + 2).item() == pytest.approx(4)
    assert exact_cost(x, y).item() == pytest.approx(
        ot.emd2_1d(x[:, 0].numpy(), y[:, 0].numpy()), rel=1e-9
    )


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e-6, 1e6, 1e12, 1e100])
@pytest.mark.parametrize(("n", "m", "d"), [(150, 150, 3), (30, 40, 3), (30, 40, 1)])
def test_the_scale_does_not_matter(n, m, d, scale):
    x, y = _clouds(n, m, d)
    x.requires_grad_()
    expected = exact_cost(x, y)
    (slope,) = torch.autograd.grad(expected, x)
    value = exact_cost(scale * x, scale * y)
    (gradient,) = torch.autograd.grad(value, x)
    assert (value / scale / scale).item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(gradient / scale / scale, slope)


AWKWARD = {
    "duplicates": lambda x, y: (x[torch.arange(len(x)) % 7], y[torch.arange(len(y)) % 5]),
    "integers": lambda x, y: (x.round(), (2 * y).round()),
    "constant against spread": lambda x, y: (torch.ones_like(x), y),
    "two constants": lambda x, y: (torch.ones_like(x), torch.zeros_like(y)),
    "all costs equal": lambda x, y: (torch.zeros_like(x), torch.nn.functional.normalize(y)),
    "heavy tails": lambda x, y: (x.pow(5) * 1e3, y.pow(9)),
    "orthogonal": lambda x, y: (x * torch.eye(3)[0], y * torch.eye(3)[1]),
    "far clusters": lambda x, y: (x + 1e4 * (x > 0), y + 1e4 * (y > 0.7)),
    "far clouds": lambda x, y: (x, y + 1e7),
}


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("m", [200, 150])
def test_awkward_clouds(name, m, p):
    x, y = AWKWARD[name](*_clouds(200, m, 3))
    x.requires_grad_()
    value = exact_cost(x, y, p=p)
    value.backward()
    cost = (x.detach()[:, None] - y).abs().pow(p).sum(2).numpy()
    expected = ot.emd2(np.full(200, 1 / 200), np.full(m, 1 / m), cost / cost.mean()) * cost.mean()
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_permuted_shift_is_found(shift):
    x, y, cost = permuted_shift(300, 5, shift, random_state=0)
    assert exact_cost(x, y).item() == pytest.approx(cost, rel=1e-12, abs=1e-25)


def test_rough_potentials_survive_anything():
    """They only decide about speed, but must not break the assignment."""
    cost = torch.rand(150, 150, generator=torch.Generator().manual_seed(0)).double()
    for awkward in (cost * 0, cost * 0 + 3, cost**60, cost * 1e-300, cost * 1e300, -cost):
        f, g = plans._rough_potentials(awkward.clone())
        assert f.isfinite().all() and g.isfinite().all()
        rows, columns = linear_sum_assignment(awkward.numpy())
        found = awkward[rows, plans._assign(awkward.clone())].sum().item()
        assert found == pytest.approx(awkward[rows, columns].sum().item(), rel=1e-9)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(("n", "m", "d"), [(5, 5, 2), (5, 6, 2), (5, 5, 1), (5, 6, 1)])
def test_points_that_are_not_finite_give_nan(n, m, d, bad):
    x, y = _clouds(n, m, d)
    x[1, 0] = bad
    x.requires_grad_()
    value = exact_cost(x, y)
    value.backward()
    assert value.isnan() and x.grad.isnan().all()


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


@pytest.mark.parametrize("functional", [exact_cost, exact_plan, sinkhorn_divergence, partial_cost])
def test_weights_whose_sum_is_out_of_range(functional):
    x, y = _clouds(4, 5, 2)
    a = x.new_full((4,), 1e308)
    with pytest.raises(ValueError, match="a must be finite, .* itself finite"):
        functional(x, y, a=a)
    # In a narrow dtype the sum may be, for it is not taken there.
    half = torch.full((4,), 6e4, dtype=torch.float16)
    half[0] = 3e4
    torch.testing.assert_close(functional(x, y, a=half), functional(x, y, a=half.double()))
