"""Debiasing of any transport cost."""

from functools import partial

import pytest
import torch

from skotae.transport import (
    debias_independent,
    debias_paired,
    exact_cost,
    sinkhorn_divergence,
    sliced_wasserstein,
)


def _clouds(n=12, m=9, d=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.5


@pytest.mark.parametrize(
    ("function", "name"), [(debias_paired, "paired"), (debias_independent, "independent")]
)
def test_agrees_with_the_divergence(function, name):
    x, y = (cloud.requires_grad_() for cloud in _clouds())
    options = {"epsilon": 1.0, "relative": False, "tol": 1e-10}
    composed = function(partial(sinkhorn_divergence, debias="none", **options), x, y)
    direct = sinkhorn_divergence(x, y, debias=name, **options)
    torch.testing.assert_close(composed, direct)
    torch.testing.assert_close(
        torch.autograd.grad(composed, (x, y)), torch.autograd.grad(direct, (x, y))
    )


def test_exact_cost_is_zero_against_itself():
    x, y = _clouds()
    torch.testing.assert_close(debias_paired(exact_cost, x, y), exact_cost(x, y))


def test_one_point_is_its_own_second_half():
    x, y = _clouds(1, 1)
    torch.testing.assert_close(debias_independent(exact_cost, x, y), exact_cost(x, y))


@pytest.mark.parametrize("cost", [exact_cost, partial(sliced_wasserstein, n_projections=200)])
def test_independent_debiasing_is_centred_on_equal_distributions(cost):
    values = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(2, 64, 16, generator=generator)
        if cost is not exact_cost:
            cost = partial(cost, generator=generator)
        values.append(debias_independent(cost, x, y))
    values = torch.stack(values)
    assert values.mean().abs() < 4 * values.std() / 20**0.5
    assert (values < 0).any()


def test_bad_clouds():
    x, y = _clouds()
    with pytest.raises(ValueError, match="features"):
        debias_independent(exact_cost, x, y[:, :2])
