"""Batches of clouds are what a loop over their problems is: values and failures."""

import math
import warnings

import pytest
import torch

from skotae.exceptions import ConvergenceWarning
from skotae.transport import (
    SinkhornInfo,
    sinkhorn_divergence,
)

from .batches import MODES, assert_equal_to_loop, batch, outcome


@pytest.mark.parametrize("debias", MODES)
@pytest.mark.parametrize(("n", "m"), [(12, 12), (11, 17), (2, 3), (1, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_a_loop(debias, n, m, weighted):
    x, y, a, b = batch(n=n, m=m)
    weights = (a, b) if weighted else (None, None)
    assert_equal_to_loop(x, y, *weights, debias=debias, tol=1e-10)


@pytest.mark.parametrize("debias", MODES)
def test_float32_is_as_near_as_its_tolerance(debias):
    x, y, a, b = batch(dtype=torch.float32)
    values, gradients = outcome(x, y, a, b, debias=debias, tol=1e-4, epsilon=0.1)
    expected, wanted = outcome(x, y, a, b, debias=debias, tol=1e-8, epsilon=0.1, loop=True)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=0)
    for gradient, want in zip(gradients[:2], wanted[:2], strict=True):
        assert ((gradient - want).flatten(1).norm(dim=1) < 2e-3 * want.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"p": 1},
        {"p": 3},
        {"sharp": True},
        {"epsilon": 1e-3},  # deep: Newton steps
        {"epsilon": 0.008},
        {"epsilon": 100.0},
        {"epsilon": 0.3, "relative": False},  # of another depth for each problem
        {"max_memory": 1e-4},
        {"max_memory": 1e-2},
    ],
    ids=str,
)
def test_options_that_go_one_by_one(options):
    x, y, a, b = batch()
    weights = (None, None) if options.get("sharp") else (a, b)
    assert_equal_to_loop(x, y, *weights, tol=1e-10, max_iter=5000, **options)


def test_more_problems_than_are_solved_at_once():
    x, y, *_ = batch(size=40, n=40, m=40, d=2)
    assert_equal_to_loop(x, y, tol=1e-10, max_iter=3000)


def test_weights_may_be_shared_and_are_differentiable():
    x, y, a, b = batch()
    shared = a[0].clone().requires_grad_()
    value = sinkhorn_divergence(x, y, a=shared, b=b[0], tol=1e-10).sum()
    expected, (_, _, gradient, _) = outcome(x, y, a[:1].expand(5, 12), b[:1].expand(5, 12))
    torch.testing.assert_close(value.detach(), expected.sum(), rtol=1e-5, atol=0)
    each = a[:1].expand(5, 12).clone().requires_grad_()
    sinkhorn_divergence(x, y, a=each, b=b[0], tol=1e-10).sum().backward()
    value.backward()
    torch.testing.assert_close(shared.grad, each.grad.sum(0))
    assert gradient.shape == (5, 12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("debias", MODES)
def test_a_bad_problem_spoils_no_other(debias, dtype):
    x, y, *_ = batch(size=8, dtype=dtype)
    good, (grad_x, grad_y) = outcome(x, y, debias=debias, tol=1e-5)
    x, y = x.clone(), y.clone()
    x[1, 3, 0] = math.nan
    y[4, 0, 1] = math.inf
    x[6], y[6] = 1.5, 1.5  # all points are equal
    if dtype == torch.float64:
        x[2], y[2] = x[2] * 1e155, y[2] * 1e157  # costs beyond float64
    values, gradients = outcome(x, y, debias=debias, tol=1e-5)
    lost = [1, 2, 4] if dtype == torch.float64 else [1, 4]
    assert values[lost].isnan().all() and values[6] == 0
    kept = [k for k in range(8) if k not in (*lost, 6)]
    torch.testing.assert_close(values[kept], good[kept], rtol=1e-5, atol=0)
    for gradient, want in zip(gradients, (grad_x, grad_y), strict=True):
        assert gradient[lost].isnan().all() and not gradient[6].any()
        assert (
            (gradient - want)[kept].flatten(1).norm(dim=1)
            <= 1e-3 * want[kept].flatten(1).norm(dim=1)
        ).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NaN is no reason to ask for more iterations
        _, info = sinkhorn_divergence(x, y, debias=debias, tol=1e-5, return_info=True)
    assert not info.converged and math.isnan(info.marginal_violation)
    assert [k for k, one in enumerate(info.problems) if not one.converged] == lost


def test_scales_at_the_ends_of_the_range():
    x, y, *_ = batch(size=3)
    scales = torch.tensor([1e-150, 1.0, 1e150], dtype=torch.float64)[:, None, None]
    assert_equal_to_loop(x * scales, y * scales, tol=1e-10)


def test_duplicates_and_clouds_far_apart():
    x, y, *_ = batch(size=4)
    x[0, 1:6] = x[0, 0]
    y[1] = x[1]
    y[2] += 1e5
    x[3], y[3] = x[3] + 1e6, y[3] + 1e6
    values, _ = outcome(x, y, tol=1e-10)
    expected, _ = outcome(x, y, tol=1e-10, loop=True)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-12)
    assert abs(float(values[1])) < 1e-12


def test_one_that_does_not_converge():
    x, y, *_ = batch(size=6, n=30, m=30)
    # Two far clusters of different masses are the slow case of Sinkhorn iterations.
    x[2], y[2] = 0.01 * x[2] / x[2].std(), 0.01 * y[2] / y[2].std()
    x[2, 14:, 0] += 1
    y[2, 16:, 0] += 1
    options = {"tol": 1e-6, "epsilon": 0.1, "max_iter": 40, "debias": "none"}
    with pytest.warns(ConvergenceWarning, match="in 1 of 6 problems"):
        values, info = sinkhorn_divergence(x, y, **options, return_info=True)
    assert [one.converged for one in info.problems] == [k != 2 for k in range(6)]
    assert not info.converged and info.problems[2].n_iter >= 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [sinkhorn_divergence(u, v, **options) for u, v in zip(x, y, strict=True)]
    torch.testing.assert_close(values, torch.stack(alone), rtol=1e-9, atol=0)
    with pytest.warns(ConvergenceWarning, match="in 3 of 6 problems"):
        sinkhorn_divergence(x[[2, 0, 2, 1, 2, 3]], y[[2, 0, 2, 1, 2, 3]], **options)
    values, info = sinkhorn_divergence(x, y, **options | {"max_iter": 1000}, return_info=True)
    assert info.converged
    assert_equal_to_loop(x, y, **options | {"max_iter": 1000, "tol": 1e-10})


def test_what_leaves_the_range_of_float32_goes_on_alone():
    # Its scalings reach beyond float32, in a batch of others whose do not.
    x, y, *_ = batch(size=6, n=20, m=20, d=1, dtype=torch.float32)
    x[3] = torch.linspace(0, 1, 20)[:, None] ** 8
    y[3] = 1 - x[3]
    values, info = sinkhorn_divergence(x, y, epsilon=0.012, max_iter=5000, return_info=True)
    assert info.converged and len(info.problems) == 6
    expected, _ = outcome(x, y, epsilon=0.012, max_iter=5000, loop=True)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=0)


def test_the_figures_of_each_problem():
    x, y, *_ = batch()
    _, info = sinkhorn_divergence(x, y, tol=1e-6, return_info=True)
    assert isinstance(info, SinkhornInfo) and type(info.n_iter) is int and info.converged is True
    assert len(info.problems) == 5
    assert info.n_iter == max(one.n_iter for one in info.problems) > 0
    assert info.marginal_violation == max(one.marginal_violation for one in info.problems)
    assert all(0 <= one.marginal_violation <= 1e-6 for one in info.problems)
    _, single = sinkhorn_divergence(x[0], y[0], return_info=True)
    assert single.problems == () and type(single.marginal_violation) is float


def test_shapes():
    x, y, a, b = batch(size=6)
    values = sinkhorn_divergence(x, y, a=a, tol=1e-10)
    grid = sinkhorn_divergence(
        x.reshape(2, 3, 12, 3), y.reshape(2, 3, 12, 3), a=a.reshape(2, 3, 12), tol=1e-10
    )
    torch.testing.assert_close(grid, values.reshape(2, 3))
    assert sinkhorn_divergence(x[:0], y[:0]).shape == (0,)
    assert sinkhorn_divergence(x[:1], y[:1]).shape == (1,)
    with pytest.raises(ValueError, match="as many clouds, got shapes"):
        sinkhorn_divergence(x, y[:3])
    with pytest.raises(ValueError, match="as many clouds, got shapes"):
        sinkhorn_divergence(x, y[0])
    with pytest.raises(ValueError, match=r"a must be a tensor of shape \(12,\) or \(6, 12\)"):
        sinkhorn_divergence(x, y, a=a[:3])
    with pytest.raises(ValueError, match="b must be finite, non-negative, of positive sum"):
        sinkhorn_divergence(x, y, b=torch.zeros(6, 12).index_fill(0, torch.tensor([0, 1]), 1.0))
    with pytest.raises(ValueError, match="must have shape"):
        sinkhorn_divergence(x[0, 0], y[0, 0])
    half = a.clone()
    half[4, :6] = 0
    with pytest.raises(ValueError, match="a is zero on half of x"):
        sinkhorn_divergence(x, y, a=half, debias="independent")


def test_inputs_and_modes():
    x, y, a, b = batch()
    copies = [tensor.clone() for tensor in (x, y, a, b)]
    expected, _ = outcome(x, y, a, b)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = sinkhorn_divergence(x, y, a=a, b=b)
        assert not got.requires_grad
        torch.testing.assert_close(got.clone(), expected, rtol=1e-9, atol=0)
    with torch.device("meta"):
        got = sinkhorn_divergence(x, y, a=a, b=b)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    for tensor, copy in zip((x, y, a, b), copies, strict=True):
        assert torch.equal(tensor, copy)
    half = sinkhorn_divergence(x[1:4].half(), y[1:4].half())
    assert half.dtype == torch.float16 and half.isfinite().all()


def test_second_derivatives_are_refused():
    x, y, *_ = batch()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()
