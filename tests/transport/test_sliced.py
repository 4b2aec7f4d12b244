"""Sliced distances against POT and closed forms."""

import ot
import pytest
import torch

from skotae.transport import max_sliced_wasserstein, sliced_wasserstein


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
