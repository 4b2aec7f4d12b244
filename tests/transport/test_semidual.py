"""The soft c-transform against its formula."""

import pytest
import torch

from skotae.transport import _semidual, c_transform, sinkhorn_potentials


def _problem(n=7, m=5):
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(n, generator=generator, dtype=torch.float64)
    return u, torch.rand(n, m, generator=generator, dtype=torch.float64)


def test_direct_formula():
    u, cost = _problem()
    expected = -0.3 * torch.exp((u[:, None] - cost) / 0.3).mean(0).log()
    torch.testing.assert_close(c_transform(u, cost, 0.3), expected)


def test_blocks_change_nothing(monkeypatch):
    u, cost = _problem()
    whole = c_transform(u, cost, 0.3)
    monkeypatch.setattr(_semidual, "_BLOCK", 14)
    torch.testing.assert_close(c_transform(u, cost, 0.3), whole)


def test_weights():
    u, cost = _problem()
    a = torch.tensor([1.0, 0.0, 2.0, 3.0, 0.5, 0.0, 4.0], dtype=torch.float64)
    expected = -0.3 * ((a / a.sum())[:, None] * torch.exp((u[:, None] - cost) / 0.3)).sum(0).log()
    torch.testing.assert_close(c_transform(u, cost, 0.3, a=a), expected)
    uniform = torch.full_like(u, 3.0)
    torch.testing.assert_close(c_transform(u, cost, 0.3, a=uniform), c_transform(u, cost, 0.3))


def _clouds(n, m, d=3):
    generator = torch.Generator().manual_seed(1)
    x, z, u = (torch.randn(k, d, generator=generator, dtype=torch.float64) for k in (n, m, n))
    return u[:, 0], x, z


def _squared(x, z):
    return (x[:, None] - z).square().sum(2)


@pytest.mark.parametrize("block", [1, 14, 2**24])
def test_a_function_gives_what_its_matrix_gives(block, monkeypatch):
    monkeypatch.setattr(_semidual, "_BLOCK", block)
    u, x, z = _clouds(7, 5)
    a = torch.arange(7).double()
    found, expected = [], []
    for results, call in (
        (found, lambda: c_transform(u, lambda part: _squared(x, part), 0.3, z=z, a=a)),
        (expected, lambda: c_transform(u, _squared(x, z), 0.3, a=a)),
    ):
        inputs = [tensor.requires_grad_() for tensor in (u, x, z)]
        value = call()
        slopes = torch.autograd.grad(value.square().sum(), inputs, create_graph=True)
        results += [value, *slopes]
        results += torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)
    torch.testing.assert_close(found, expected)


def test_a_functions_memory_is_bounded(monkeypatch):
    """No block is larger than the limit, and none is kept for the gradient."""
    monkeypatch.setattr(_semidual, "_BLOCK", 600)
    u, x, z = _clouds(50, 400)
    asked, kept = [], []

    def cost(part):
        block = torch.cdist(x, part)
        asked.append(block.numel())
        return block

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.no_grad():
        c_transform(u, cost, 0.3, z=z)
    assert max(asked) == 600 and sum(asked) == 50 * 400
    asked.clear()
    u.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = c_transform(u, cost, 0.3, z=z.requires_grad_())
    assert sum(tensor.numel() for tensor in kept) < 50 * 400 / 4
    value.sum().backward()
    assert max(asked) == 600 and sum(asked) == 2 * 50 * 400


def test_a_column_is_the_smallest_block(monkeypatch):
    monkeypatch.setattr(_semidual, "_BLOCK", 3)
    u, x, z = _clouds(7, 4)
    widths = []

    def cost(part):
        widths.append(len(part))
        return _squared(x, part)

    c_transform(u, cost, 0.3, z=z)
    assert widths == [1] * 4


def test_limits_of_epsilon():
    u, cost = _problem()
    hard = (cost - u[:, None]).amin(0)
    torch.testing.assert_close(c_transform(u, cost, 1e-12), hard)
    torch.testing.assert_close(c_transform(u, cost, 1e9), (cost - u[:, None]).mean(0), rtol=1e-5,
                               atol=1e-5)  # fmt: skip
    assert c_transform(u * 1e6, cost * 1e6, 1.0).isfinite().all()


@pytest.mark.moves_torch_rng
def test_gradients_twice():
    u, cost = _problem()
    inputs = (u.requires_grad_(), cost.requires_grad_())
    assert torch.autograd.gradcheck(lambda v, c: c_transform(v, c, 0.3), inputs)
    assert torch.autograd.gradgradcheck(lambda v, c: c_transform(v, c, 0.3), inputs)


def test_sinkhorn_potentials_are_fixed_points():
    _, cost = _problem()
    f, g, _ = sinkhorn_potentials(cost=cost, epsilon=0.3, relative=False, tol=1e-10)
    torch.testing.assert_close(c_transform(f, cost, 0.3), g)
    torch.testing.assert_close(c_transform(g, cost.T, 0.3), f)


def test_bad_arguments():
    u, cost = _problem()
    with pytest.raises(ValueError, match="epsilon must be"):
        c_transform(u, cost, 0.0)
    with pytest.raises(ValueError, match=r"u must have shape \(7,\)"):
        c_transform(u[:3], cost, 1.0)
    with pytest.raises(ValueError, match="cost must be"):
        c_transform(u, cost[0], 1.0)
    with pytest.raises(ValueError, match="z must be a tensor of m > 0 rows .* got NoneType"):
        c_transform(u, lambda part: cost, 1.0)
    with pytest.raises(ValueError, match="z must be None"):
        c_transform(u, cost, 1.0, z=cost)
    with pytest.raises(ValueError, match=r"cost must return shape \(7, 3\) .* got \(7, 5\)"):
        c_transform(u, lambda part: cost, 1.0, z=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="cost must be a tensor or a function, got str"):
        c_transform(u, "euclidean", 1.0)
    with pytest.raises(ValueError, match="u must be a non-empty tensor"):
        c_transform(u[:0], cost, 1.0)
    with pytest.raises(ValueError, match=r"a must be a tensor of shape \(7,\)"):
        c_transform(u, cost, 1.0, a=u[:2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("weighted", [False, True])
def test_half_precision(dtype, weighted):
    u, cost = (each.to(dtype) for each in _problem())
    a = torch.arange(7.0) if weighted else None
    value = c_transform(u.requires_grad_(), cost, 0.3, a=a)
    assert value.dtype == dtype
    expected = c_transform(u.detach().double(), cost.double(), 0.3, a=a)
    torch.testing.assert_close(value.double(), expected, rtol=0.02, atol=0.02)
    (gradient,) = torch.autograd.grad(value.sum(), u)
    assert gradient.isfinite().all()
