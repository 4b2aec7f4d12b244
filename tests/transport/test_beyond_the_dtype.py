"""Results that the dtype of the input does not hold."""

import math
import warnings

import pytest
import torch

from skotae import metrics
from skotae.transport import (
    debias_paired,
    exact_cost,
    exact_plan,
    fit_gaussian,
    gaussian_map,
    gaussian_wasserstein,
    max_sliced_wasserstein,
    partial_cost,
    partial_plan,
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    sliced_wasserstein,
    squared_mmd,
    unbalanced_sinkhorn_cost,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)

G = torch.Generator().manual_seed(0)
X = 1e20 * torch.randn(9, 2, generator=G)
Y = X.flip(0) + 2e20
EYE = torch.eye(2)
MANY = torch.full((9,), 1e25)
LARGE = torch.cdist(X.double(), Y.double()).float()  # in range, times the masses it is not
BEYOND = r"beyond the range of torch.float32, and infinite: rescale {}, or pass float64"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (lambda: exact_cost(X, Y), "x and y"),
        (lambda: exact_cost(X[:7], Y), "x and y"),
        (lambda: partial_cost(X, Y), "x and y"),
        (lambda: partial_cost(cost=LARGE, a=MANY, b=MANY), "cost"),
        (lambda: sliced_wasserstein(X, Y, directions=EYE), "x and y"),
        (lambda: sliced_wasserstein(X, Y, directions=EYE, a=torch.ones(9)), "x and y"),
        (lambda: max_sliced_wasserstein(X, Y, directions=EYE), "x and y"),
        (lambda: gaussian_wasserstein(X[0], EYE, Y[0], EYE), "means and covariances"),
        (lambda: debias_paired(exact_cost, X, Y), "x and y"),
    ],
)
def test_a_value_is_infinite_and_said_to_be(value, names):
    with pytest.warns(RuntimeWarning, match=BEYOND.format(names)):
        assert value() == math.inf


@pytest.mark.parametrize("function", [sinkhorn_divergence, unbalanced_sinkhorn_divergence])
@pytest.mark.parametrize("options", [{}, {"p": 1.5}, {"debias": "none"}, {"epsilon": 0.01}])
def test_a_divergence_is_not_converged(function, options):
    x = X.clone().requires_grad_()
    with pytest.warns(RuntimeWarning, match=BEYOND.format("x and y")) as caught:
        value, info = function(1e8 * x, 1e8 * Y, return_info=True, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert value == math.inf and not info.converged and info.marginal_violation < 1e-2
    exact, info = function(1e8 * X.double(), 1e8 * Y.double(), return_info=True, **options)
    assert exact.isfinite() and info.converged


@pytest.mark.parametrize("function", [sinkhorn_divergence, unbalanced_sinkhorn_divergence])
def test_of_a_batch_those_that_are(function):
    scales = torch.tensor([1.0, 1e-18, 1e-20])[:, None, None]
    with pytest.warns(RuntimeWarning, match="beyond the range"):
        values, info = function(X * scales, Y * scales, return_info=True)
    assert values.isinf().tolist() == [True, False, False] and not info.converged
    assert [one.converged for one in info.problems] == [False, True, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, info = function(*(each.double() * scales for each in (X, Y)), return_info=True)
    assert values.isfinite().all() and info.converged


def test_sharp_and_half_precision():
    with pytest.warns(RuntimeWarning, match="beyond the range of torch.float32"):
        assert sinkhorn_divergence(X, Y, sharp=True) == math.inf
    x, y = (1e-18 * X).half(), (1e-18 * Y).half()
    with pytest.warns(RuntimeWarning, match="beyond the range of torch.float16"):
        assert sinkhorn_divergence(8 * x, -8 * y) == math.inf


def test_costs_of_many_masses():
    masses = {"a": MANY, "b": MANY}
    with pytest.warns(RuntimeWarning, match=BEYOND.format("cost")):
        value, info = unbalanced_sinkhorn_cost(LARGE, return_info=True, **masses)
    assert value == math.inf and not info.converged
    with pytest.warns(RuntimeWarning, match=BEYOND.format("cost")):
        _, info = unbalanced_sinkhorn_cost(LARGE[None], return_info=True, **masses)
    assert not info.problems[0].converged
    value, info = sinkhorn_cost(LARGE * 1e17, return_info=True)
    assert value.isfinite() and info.converged


@pytest.mark.parametrize(
    "function", [sinkhorn_potentials, unbalanced_sinkhorn_potentials, exact_plan]
)
def test_potentials_are_refused(function):
    options = {"return_potentials": True} if function is exact_plan else {}
    with pytest.raises(ValueError, match=r"x and y must be .*potential.* torch.float32.* float64"):
        function(X, Y, **options)
    assert all(each.isfinite().all() for each in function(X.double(), Y.double(), **options)[:2])
    if function is not exact_plan:
        with pytest.raises(ValueError, match="x and y must be such that the potential"):
            function(X[None], Y[None])


@pytest.mark.parametrize("scale", [1.0, 1e18])
def test_gaussian_fits_whose_covariances_are_infinite(scale):
    fits = *fit_gaussian(X * scale), *fit_gaussian(Y * scale)
    with pytest.warns(RuntimeWarning, match=BEYOND.format("means and covariances")) as caught:
        assert gaussian_wasserstein(*fits) == math.inf
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.raises(ValueError, match="means and covariances must be finite, got infinite"):
        gaussian_map(*fits)
    wide = *fit_gaussian(X.double() * scale), *fit_gaussian(Y.double() * scale)
    assert gaussian_wasserstein(*wide).isfinite()
    assert gaussian_map(*wide)[0].isfinite().all()


def test_covariances_at_the_end_of_the_range():
    for dtype in (torch.float32, torch.float64):
        most = torch.finfo(dtype).max
        first = torch.tensor([[0.9, 0.3], [0.3, 0.5]], dtype=dtype)
        second = torch.tensor([[0.4, -0.2], [-0.2, 0.6]], dtype=dtype)
        zero = torch.zeros(2, dtype=dtype)
        matrix, offset = gaussian_map(zero, most * first, zero, most * second)
        expected, _ = gaussian_map(zero, first, zero, second)
        torch.testing.assert_close(matrix, expected, rtol=1e-6, atol=0)
        assert not offset.any()
        value = gaussian_wasserstein(zero, most * first, zero, most * second)
        assert (value / most).item() == pytest.approx(
            gaussian_wasserstein(zero, first, zero, second).item(), rel=1e-5
        )


def test_offsets_beyond_float64_are_refused():
    eye, mean = EYE.double(), torch.full((2,), 1e300, dtype=torch.float64)
    with pytest.raises(ValueError, match="offset is in the range of torch.float64"):
        gaussian_map(mean, 1e-300 * eye, -mean, 1e300 * eye)


def test_maps_are_refused():
    with pytest.raises(ValueError, match="means and covariances .* offset .* torch.float32"):
        gaussian_map(X[0], EYE * 1e-30, Y[0], EYE * 1e30)


@pytest.mark.parametrize(
    "plan", [sinkhorn_plan, unbalanced_sinkhorn_plan, exact_plan, partial_plan]
)
def test_plans_of_such_clouds_are_right(plan):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = plan(X, Y)
    torch.testing.assert_close(found, plan(X.double(), Y.double()).float())


def test_distances_in_range_whose_squares_are_not():
    value = squared_mmd(X * 1e10, Y * 1e10, kernel="energy")
    expected = squared_mmd(X.double() * 1e10, Y.double() * 1e10, kernel="energy")
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    near = torch.tensor([[1.0], [1.0 + 2**-20]])
    assert squared_mmd(near[:1], near[1:], kernel="energy") == 2**-19
    zero = torch.zeros(3, 2, requires_grad=True)
    squared_mmd(zero, zero.detach(), kernel="energy").backward()
    assert not zero.grad.any()


def test_metrics_are_in_float64():
    x, y = X.numpy(), Y.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (
            metrics.sinkhorn_divergence,
            metrics.exact_wasserstein,
            metrics.sliced_wasserstein,
            metrics.max_sliced_wasserstein,
        ):
            found = metric(x, y)
            assert math.isfinite(found) and found > 0
    with pytest.raises(ValueError, match="range of float64"):
        metrics.sinkhorn_divergence(x.astype(float) * 1e140, y.astype(float) * 1e140)


def test_where_the_dtype_is_the_widest_no_other_is_offered():
    x, y = X.double() * 1e140, Y.double() * 1e140
    with pytest.warns(RuntimeWarning, match="float64, and infinite: rescale x and y.$"):
        assert sliced_wasserstein(x, y, directions=EYE.double()) == math.inf
