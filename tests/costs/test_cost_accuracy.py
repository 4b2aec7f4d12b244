"""Costs far from the origin, at their limits, and what they say when misused."""

import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import distributions

from skotae.costs import (
    BernoulliCost,
    CallableCost,
    CityBlockCost,
    EuclideanCost,
    GaussianCost,
    SquaredEuclideanCost,
)
from skotae.costs.base import row_square

quickly = settings(deadline=None, derandomize=True, max_examples=25)
METRICS = {
    "sqeuclidean": SquaredEuclideanCost(),
    "euclidean": EuclideanCost(),
    "cityblock": CityBlockCost(),
}


def cloud(n, d, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [5, 60])  # torch's cdist takes another way from 26 rows on
def test_pairs_far_from_the_origin_in_float32(metric, n):
    x, y = cloud(n, 3, 0, 1e4).float(), cloud(n, 3, 1, 1e4).float()
    expected = cdist(x.double(), y.double(), metric)
    np.testing.assert_allclose(METRICS[metric].pairwise(x, y), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_clouds_far_from_each_other_in_float32(metric):
    x, y = cloud(40, 3).float(), cloud(40, 3, 1, 1e4).float()
    expected = cdist(x.double(), y.double(), metric)
    np.testing.assert_allclose(METRICS[metric].pairwise(x, y), expected, rtol=1e-5)


@quickly
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**31))
def test_pairs_are_rows_broadcast(n, m, d, seed):
    x, y = cloud(n, d, seed), cloud(m, d, seed + 1)
    for cost in METRICS.values():
        torch.testing.assert_close(cost.pairwise(x, y), cost(x[:, None], y))


@quickly
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_costs_in_data_units(seed, scale):
    x, y = cloud(6, 3, seed), cloud(6, 3, seed + 1)
    fixed = GaussianCost(variance=0.3)
    for cost, module in [(c, c.build(3)) for c in METRICS.values()] + [
        (fixed, fixed.build(3, scale).double())
    ]:
        within = module(x / scale, y / scale).detach().numpy()
        np.testing.assert_allclose(cost.in_data_units(within, 3, scale), cost(x, y), rtol=1e-5)


@pytest.mark.parametrize("variance", [1e-4, 0.3, 100.0])
def test_gaussian_is_the_likelihood_of_torch(variance):
    x, y = cloud(6, 3), cloud(6, 3, 1)
    expected = -distributions.Normal(y, math.sqrt(variance)).log_prob(x).sum(1)
    torch.testing.assert_close(GaussianCost(variance=variance)(x, y), expected)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_learned_gaussian_is_the_likelihood_of_torch(scale):
    x, y = cloud(6, 3), cloud(6, 3, 1)
    module = GaussianCost().build(3).double()
    module.set_scale(scale)
    expected = -distributions.Normal(y, scale).log_prob(x).sum(1)
    torch.testing.assert_close(module(x, y).detach(), expected)


def test_gradient_of_the_learned_scale():
    module, x, y = GaussianCost().build(3).double(), cloud(4, 3), cloud(4, 3, 1)

    def value(log_scale):
        state = {"log_scale": log_scale}
        return torch.func.functional_call(module, state, (x, y)).sum()

    assert torch.autograd.gradcheck(value, torch.tensor(0.3).double().requires_grad_())


@quickly
@given(st.floats(-500, 500), st.floats(0, 1))
def test_bernoulli_of_a_logit_is_exact(logit, x):
    raw, target = (torch.tensor([[value]], dtype=torch.float64) for value in (logit, x))
    expected = x * np.logaddexp(0, -logit) + (1 - x) * np.logaddexp(0, logit)
    value = BernoulliCost().build(1).from_raw(target, raw)
    assert float(value) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("raw", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("x", [0.0, 0.5, 1.0])
def test_bernoulli_has_a_finite_gradient_for_any_logit(raw, x):
    raw = torch.tensor([[raw]], requires_grad=True)
    BernoulliCost().build(1).from_raw(torch.tensor([[x]]), raw).sum().backward()
    assert raw.grad.abs() <= 1


def test_bernoulli_pairs_of_confident_logits():
    """In float32, with pixels that are right beyond doubt: the cost of a pair is near 0."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(4, 784, generator=generator) < 0.2).float()
    raw = 60 * x - 30
    module = BernoulliCost().build(784)
    pairs = module.pairwise_from_raw(x, raw)
    torch.testing.assert_close(pairs, module.from_raw(x[:, None], raw), rtol=1e-5, atol=2e-2)


@pytest.mark.parametrize("bad", [-1e-3, 1.001])
def test_bernoulli_names_the_first_bad_value(bad):
    X = np.full((5, 4), 0.5, dtype=np.float32)
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"in column 2 of X \(row 3\)"):
        BernoulliCost().check_data(X)


@pytest.mark.parametrize("min_scale", [0.0, -1.0, math.nan])
def test_a_least_scale_of_zero_is_refused(min_scale):
    with pytest.raises(ValueError, match=f"min_scale={min_scale}"):
        GaussianCost(min_scale=min_scale).build(2)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda x, y: (x - y).abs(), r"\(4, 2\)"),
        (lambda x, y: (x - y).abs().sum(), r"\(\)"),
        (lambda x, y: 1.0, "float"),
        (lambda x, y: None, "NoneType"),
    ],
    ids=["matrix", "scalar", "float", "none"],
)
def test_a_function_that_gives_something_else_is_told_what_it_gave(wrong, got):
    with pytest.raises(ValueError, match=rf"returned {got} for .*expected .* shape \(4,\)"):
        CallableCost(wrong)(torch.zeros(4, 2), torch.ones(2))


def largest(x, y):
    return (x - y).abs().amax(-1)


def test_a_function_that_can_be_imported_can_be_pickled():
    cost = pickle.loads(pickle.dumps(CallableCost(torch.dist)))
    assert cost.func is torch.dist


def test_a_function_is_not_scaled():
    values = np.array([1.0, 2.0])
    assert CallableCost(largest).in_data_units(values, 3, 10.0) is values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((5, 1, 4), (3, 4)), ((3, 4), (4,))])
def test_squares_of_rows_that_broadcast(shapes, dtype):
    x, y = (
        3 * torch.randn(shape, generator=torch.Generator().manual_seed(i))
        for i, shape in enumerate(shapes)
    )
    x, y = x.to(dtype), y.to(dtype)
    expected = (x - y).square().sum(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(row_square(x, y), expected)
    if dtype.is_floating_point:
        x.requires_grad_(), y.requires_grad_()
        slopes, others = (
            torch.autograd.grad(square.sin().sum(), (x, y))
            for square in (row_square(x, y), (x - y).square().sum(-1))
        )
        torch.testing.assert_close(slopes, others)


def test_gaussian_of_the_largest_variance():
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    value = GaussianCost(variance=1.7e308)(x, y)
    assert value.item() == pytest.approx(math.log(2 * math.pi) + math.log(1.7e308))
