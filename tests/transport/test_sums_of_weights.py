"""Weights of a cloud are divided by their sum, wherever their sum is no mass of its own."""

import numpy as np
import pytest
import torch

from skotae import metrics, transport
from skotae.divergences import MMD, GaussianDivergence

N, M = 9, 7


def clouds():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, 2, generator=generator).double(), torch.randn(
        M, 2, generator=generator
    ).double()


def weights():
    return torch.arange(1.0, N + 1).double(), torch.linspace(2.0, 1.0, M).double()


X, Y = clouds()
COST = torch.cdist(X, Y).square()
A, B = weights()
U = torch.linspace(0.0, 1.0, N).double()
TRANSPORT = {
    "sinkhorn_divergence": lambda a, b: transport.sinkhorn_divergence(X, Y, a=a, b=b, tol=1e-8),
    "sinkhorn_cost": lambda a, b: transport.sinkhorn_cost(COST, a=a, b=b, tol=1e-8),
    "sinkhorn_plan": lambda a, b: transport.sinkhorn_plan(X, Y, a=a, b=b, tol=1e-8),
    "sinkhorn_potentials": lambda a, b: torch.cat(
        transport.sinkhorn_potentials(X, Y, a=a, b=b, tol=1e-8)[:2]
    ),
    "exact_cost": lambda a, b: transport.exact_cost(X, Y, a=a, b=b),
    "exact_plan": lambda a, b: transport.exact_plan(X, Y, a=a, b=b),
    "sliced_wasserstein": lambda a, b: transport.sliced_wasserstein(
        X, Y, a=a, b=b, generator=torch.Generator().manual_seed(0)
    ),
    "max_sliced_wasserstein": lambda a, b: transport.max_sliced_wasserstein(
        X, Y, a=a, b=b, generator=torch.Generator().manual_seed(0)
    ),
    "fit_gaussian": lambda a, b: transport.fit_gaussian(X, a)[1] + transport.fit_gaussian(Y, b)[1],
    "c_transform": lambda a, b: transport.c_transform(U, COST, epsilon=0.1, a=a),
    "free_support_barycenter": lambda a, b: transport.free_support_barycenter(
        [X, Y], [a, b], X[:3]
    ),
    **{
        f"squared_mmd, {kernel}": lambda a, b, kernel=kernel: transport.squared_mmd(
            X, Y, weights=a, y_weights=b, kernel=kernel
        )
        for kernel in ("multiquadric", "gaussian", "laplacian", "energy")
    },
    "MMD": lambda a, b: MMD()(X, Y, weights=a),
    "GaussianDivergence": lambda a, b: GaussianDivergence()(X, Y, weights=a),
}
x, y = X.numpy(), Y.numpy()
PAIR = {"X_weight": A.numpy(), "Y_weight": B.numpy()}
ROWS = {"sample_weight": A.numpy()}
NEAR = x + 0.1 * np.cos(np.arange(x.size)).reshape(x.shape)
METRICS = {
    "exact_wasserstein": (lambda w: metrics.exact_wasserstein(x, y, **w), PAIR),
    "sinkhorn_divergence": (lambda w: metrics.sinkhorn_divergence(x, y, **w), PAIR),
    "gaussian_wasserstein": (lambda w: metrics.gaussian_wasserstein(x, y, **w), PAIR),
    "sliced_wasserstein": (lambda w: metrics.sliced_wasserstein(x, y, random_state=0, **w), PAIR),
    "max_sliced_wasserstein": (
        lambda w: metrics.max_sliced_wasserstein(x, y, random_state=0, **w),
        PAIR,
    ),
    "exact_plan": (lambda w: metrics.exact_plan(x, y, **w), PAIR),
    "reconstruction_error": (lambda w: metrics.reconstruction_error(x, NEAR, **w), ROWS),
    "transport_r2_score": (
        lambda w: metrics.transport_r2_score(x, NEAR, y, random_state=0, **w),
        ROWS,
    ),
    "triangle_bound": (lambda w: metrics.triangle_bound(x, NEAR, y, random_state=0, **w), ROWS),
}


@pytest.mark.parametrize("factor", [0.25, 3.0])
@pytest.mark.parametrize("name", TRANSPORT)
def test_functions_of_tensors(name, factor):
    function = TRANSPORT[name]
    expected = function(A / A.sum(), B / B.sum())
    torch.testing.assert_close(function(factor * A, factor * B), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("factor", [0.25, 3.0])
@pytest.mark.parametrize("name", METRICS)
def test_measures(name, factor):
    function, weights = METRICS[name]
    expected = function({key: value / value.sum() for key, value in weights.items()})
    value = function({key: factor * value for key, value in weights.items()})
    np.testing.assert_allclose(np.array(value), np.array(expected), rtol=1e-6, atol=1e-12)


def test_the_gradient_for_weights_is_that_of_their_shares():
    a = (3.0 * A).requires_grad_()
    (slope,) = torch.autograd.grad(transport.squared_mmd(X, Y, weights=a), a)
    assert abs(float(slope @ a.detach())) < 1e-12  # another sum changes nothing
    assert float(slope.abs().max()) > 1e-4


def test_counts_are_weights():
    counts = torch.arange(1, N + 1)
    expected = transport.squared_mmd(X, Y, weights=counts.double())
    torch.testing.assert_close(transport.squared_mmd(X, Y, weights=counts), expected)


@pytest.mark.parametrize("name", ["weights", "y_weights"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 0.0])
def test_weights_of_no_distribution(name, value):
    n = {"weights": N, "y_weights": M}[name]
    wrong = torch.zeros(n).double() if value == 0 else torch.full((n,), 1.0).double()
    wrong[2] = value
    with pytest.raises(ValueError, match=rf"^{name} must be finite, non-negative, of positive sum"):
        transport.squared_mmd(X, Y, **{name: wrong})


def test_the_plain_one_is_of_measures_of_any_mass():
    """A norm, of which weights are a factor: with signs, too."""
    plain = {"unbiased": False, "kernel": "gaussian"}
    value = transport.squared_mmd(X, Y, weights=A, y_weights=B, **plain)
    tripled = transport.squared_mmd(X, Y, weights=3 * A, y_weights=3 * B, **plain)
    assert float(tripled) == pytest.approx(9 * float(value))
    assert transport.squared_mmd(X, X, weights=A, y_weights=-A, **plain) > 0
