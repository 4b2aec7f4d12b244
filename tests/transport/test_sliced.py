"""Sliced distances against POT and closed forms."""

import ot
import pytest
import torch

from skotae.transport import _sliced, max_sliced_wasserstein, sliced_wasserstein


def _clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 2 * torch.rand(m, d, generator=generator, dtype=torch.float64)


def _projections(d, count, seed):
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, d, generator=generator)
    return torch.nn.functional.normalize(directions.double(), dim=1)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (20, 33), (1, 5)])
def test_value_is_pots(n, m, p):
    x, y = _clouds(n, m, 4)
    value = sliced_wasserstein(
        x, y, n_projections=17, p=p, generator=torch.Generator().manual_seed(3)
    )
    directions = _projections(4, 17, 3).T.numpy()
    expected = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=directions, p=p)
    assert value.item() == pytest.approx(expected**p, rel=1e-6)


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
@pytest.mark.parametrize("function", [sliced_wasserstein, max_sliced_wasserstein])
def test_gradient(function, n, m, p):
    x, y = (cloud.requires_grad_() for cloud in _clouds(n, m, 3))
    assert torch.autograd.gradcheck(
        lambda u, v: function(u, v, p=p, generator=torch.Generator().manual_seed(0)),
        (x, y),
        atol=1e-4,
    )


def test_the_generator_decides():
    x, y = _clouds(20, 20, 5)
    first, again, other = (
        sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert first == again and first != other


@pytest.mark.moves_torch_rng
def test_a_shift_has_known_distances():
    x, _ = _clouds(50, 50, 3)
    shift = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64)
    sliced = sliced_wasserstein(x, x + shift, n_projections=20_000)
    assert sliced.item() == pytest.approx(9 / 3, rel=0.03)
    assert max_sliced_wasserstein(x, x + shift).item() == pytest.approx(9, rel=1e-6)


@pytest.mark.moves_torch_rng
def test_max_sliced_finds_the_one_direction_that_differs():
    x, _ = _clouds(400, 400, 10)
    y = x.clone()
    y[:, 4] *= 3
    expected = (2 * x[:, 4]).square().mean().item()
    value = max_sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0))
    assert value.item() >= 0.99 * expected
    assert value > sliced_wasserstein(x, y)


def _planted(kind, n=1024, d=64, seed=0):
    """Two clouds that differ along one direction, and the distance along it."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, n, d, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(d, generator=generator), dim=0)
    place = y @ direction
    moved = {
        "wider": 3 * place,
        "narrower": 0.3 * place,
        "two modes": 1.5 * place.sign() + 0.1 * place,
        "moved": place + 1,
    }[kind]
    y = y + torch.outer(moved - place, direction)
    gap = (x @ direction).sort()[0] - (y @ direction).sort()[0]
    return x, y, gap.square().mean().item(), direction


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["wider", "narrower", "two modes", "moved"])
def test_max_sliced_finds_a_planted_direction_among_64(kind, seed):
    x, y, planted, direction = _planted(kind, seed=seed)
    x.requires_grad_()
    value = max_sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0))
    assert value.item() >= planted  # the best direction of the sample is a little better
    value.backward()
    found = torch.linalg.svd(x.grad)[2][0]  # the gradient is along the direction
    assert (found @ direction).abs() > 0.9


def test_max_sliced_does_better_with_more_steps():
    x, y, *_ = _planted("two modes", n=200)
    few, more = (
        max_sliced_wasserstein(x, y, n_steps=steps, generator=torch.Generator().manual_seed(0))
        for steps in (1, 30)
    )
    assert more > few


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e15])
def test_max_sliced_at_any_scale(scale):
    x, y, planted, _ = _planted("wider", n=100)
    value = max_sliced_wasserstein(x.double() * scale, y.double() * scale)
    assert value.item() >= planted * scale**2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 71)])
def test_narrow_dtypes_are_sorted_alike(n, m, dtype):
    # Few distinct values, so that most places are decided by ties.
    x, y = (cloud.mul(2).round() for cloud in _clouds(n, m, 3))
    x[:5], x[5:9] = -0.0, 0.0
    expected, value = (
        sliced_wasserstein(x.to(kind), y.to(kind), generator=torch.Generator().manual_seed(0))
        for kind in (torch.float64, dtype)
    )
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    assert value.dtype == dtype and value.item() == pytest.approx(expected.item(), rel=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 2, 257])
def test_sort_is_torchs(rows, dtype):
    values = torch.randn(3, rows, generator=torch.Generator().manual_seed(0), dtype=dtype)
    values[0] *= 1e-40
    found, order = _sliced._sort(values)
    assert torch.equal(found, values.sort(1)[0])
    assert torch.equal(values.gather(1, order), found)
    assert torch.equal(order.sort(1)[0], torch.arange(rows).expand(3, rows))


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("function", [sliced_wasserstein, max_sliced_wasserstein])
def test_points_that_are_not_finite_give_nan(function, bad):
    x, y = (cloud.float() for cloud in _clouds(6, 6, 3))
    x[2, 1] = bad
    x.requires_grad_()
    value = function(x, y)
    value.backward()
    assert not value.isfinite() and not x.grad.isfinite().all()


@pytest.mark.moves_torch_rng
def test_edge_cases():
    x = torch.ones(4, 2, requires_grad=True)
    for function in (sliced_wasserstein, max_sliced_wasserstein):
        value = function(x, torch.ones(3, 2))
        (gradient,) = torch.autograd.grad(value, x)
        assert value == 0 and (gradient == 0).all()
    with pytest.raises(ValueError, match="n_projections must be an integer >= 1, got 0"):
        sliced_wasserstein(x, x, n_projections=0)
    with pytest.raises(ValueError, match="p must be"):
        sliced_wasserstein(x, x, p=0)
    with pytest.raises(ValueError, match="n_steps"):
        max_sliced_wasserstein(x, x, n_steps=-1)


@pytest.mark.moves_torch_rng
def test_double_backward_is_refused():
    x, y = _clouds(5, 5, 2)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sliced_wasserstein(x, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()
