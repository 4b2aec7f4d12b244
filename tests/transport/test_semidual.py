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
