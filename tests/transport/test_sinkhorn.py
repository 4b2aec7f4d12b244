"""Values and gradients of the Sinkhorn divergence."""

import math

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import sinkhorn_cost, sinkhorn_divergence

TIGHT = {"tol": 1e-9, "max_iter": 5000}


def clouds(n=20, m=15, d=3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4
    return x.to(dtype), y.to(dtype)


def unrolled(x, y, epsilon, p=2, a=None, b=None, sharp=False, n_iter=200):
    """OT_eps by differentiable log-domain iterations: nothing shared with the implementation."""
    cost = (x[:, None] - y).abs().pow(p).sum(2)
    a = torch.full((len(x),), 1 / len(x), dtype=x.dtype) if a is None else a / a.sum()
    b = torch.full((len(y),), 1 / len(y), dtype=x.dtype) if b is None else b / b.sum()
    f = torch.zeros(len(x), dtype=x.dtype)
    for _ in range(n_iter):
        g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon + a.log()[:, None], 0)
        f = -epsilon * torch.logsumexp((g - cost) / epsilon + b.log(), 1)
    ratio = torch.exp((f[:, None] + g - cost) / epsilon)
    plan = a[:, None] * b * ratio
    value = (plan * cost).sum()
    return value if sharp else value + epsilon * (plan * ratio.clamp_min(1e-300).log()).sum()


def reference(x, y, epsilon, debias, **kwargs):
    if debias == "none":
        return unrolled(x, y, epsilon, **kwargs)
    if debias == "paired":
        own = unrolled(x, x, epsilon, **kwargs) + unrolled(y, y, epsilon, **kwargs)
        return unrolled(x, y, epsilon, **kwargs) - own / 2
    (x0, x1), (y0, y1) = ((cloud[: len(cloud) // 2], cloud[len(cloud) // 2 :]) for cloud in (x, y))
    cross = sum(unrolled(u, v, epsilon, **kwargs) for u in (x0, x1) for v in (y0, y1)) / 4
    own = unrolled(x0, x1, epsilon, **kwargs) + unrolled(y0, y1, epsilon, **kwargs)
    return cross - own / 2


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_value_and_gradient_match_unrolling(debias, sharp, p):
    x, y = (cloud.requires_grad_() for cloud in clouds(n=9, m=13))
    options = {"epsilon": 6.0, "relative": False, "p": p}
    value = sinkhorn_divergence(x, y, **options, debias=debias, sharp=sharp, **TIGHT)
    expected = reference(x, y, 6.0, debias, p=p, sharp=sharp)
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-10)
    gradients = torch.autograd.grad(value, (x, y))
    for got, want in zip(gradients, torch.autograd.grad(expected, (x, y)), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
def test_weights_and_their_gradient(debias):
    x, y = clouds(n=8, m=6)
    a = torch.rand(8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.2
    b = torch.linspace(1, 3, 6, dtype=torch.float64)
    options = {"epsilon": 1.0, "relative": False, "debias": debias, **TIGHT}
    assert torch.autograd.gradcheck(
        lambda *inputs: sinkhorn_divergence(
            inputs[0], inputs[1], a=inputs[2], b=inputs[3], **options
        ),
        tuple(tensor.requires_grad_() for tensor in (x, y, a, b)),
        atol=1e-6,
    )
    if debias == "none":
        value = sinkhorn_divergence(x, y, a=a, b=b, **options)
        torch.testing.assert_close(value, unrolled(x, y, 1.0, a=a, b=b))


def test_zero_weights_remove_points():
    x, y = clouds()
    a = torch.ones(len(x), dtype=torch.float64)
    a[5:] = 0
    for debias in ("none", "paired"):
        full = sinkhorn_divergence(x, y, a=a, epsilon=1.0, relative=False, debias=debias, **TIGHT)
        part = sinkhorn_divergence(x[:5], y, epsilon=1.0, relative=False, debias=debias, **TIGHT)
        torch.testing.assert_close(full, part)


def test_sharp_gradient_by_finite_differences():
    x, y = clouds(n=5, m=4, d=2)
    assert torch.autograd.gradcheck(
        lambda u, v: sinkhorn_divergence(
            u, v, epsilon=0.5, relative=False, sharp=True, debias="none", **TIGHT
        ),
        (x.requires_grad_(), y.requires_grad_()),
        atol=1e-5,
    )


def test_translation_gradient_is_twice_the_shift():
    x = clouds(dtype=torch.float32)[0].requires_grad_()
    sinkhorn_divergence(x, x.detach() + 1e4).backward()
    torch.testing.assert_close(x.grad.sum(0), torch.full((3,), -2e4), rtol=1e-6, atol=0)


def test_gradient_reaches_both_inputs_when_they_are_one():
    x = clouds()[0].requires_grad_()
    sinkhorn_divergence(x, x, debias="none", epsilon=6.0, relative=False, **TIGHT).backward()
    z = x.detach().clone().requires_grad_()
    unrolled(z, z, 6.0).backward()
    torch.testing.assert_close(x.grad, z.grad, rtol=1e-6, atol=1e-9)


def test_independent_debiasing_finds_the_width_and_paired_does_not():
    # The mini-batch bias of table 1 in Patrini et al. (2019): codes s N(0, I) against N(0, I).
    widths = torch.arange(0.5, 1.31, 0.1)
    means = {"independent": torch.zeros(len(widths)), "paired": torch.zeros(len(widths))}
    seeds = 16
    for seed in range(seeds):
        x, y = torch.randn(2, 128, 64, generator=torch.Generator().manual_seed(seed))
        for debias, mean in means.items():
            values = [sinkhorn_divergence(s * x, y, debias=debias) for s in widths]
            mean += torch.stack(values) / seeds
    # The parabola around the smallest value, whose own place is only known to the grid.
    near = slice(*(means["independent"].argmin() + torch.tensor([-2, 3])).tolist())
    square, slope, _ = np.polyfit(widths[near], means["independent"][near], 2)
    assert abs(-slope / square / 2 - 1) < 0.05
    assert widths[means["paired"].argmin()] < 0.8


def test_independent_debiasing_is_centred_on_equal_distributions():
    values = []
    for seed in range(40):
        x, y = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(seed))
        values.append(sinkhorn_divergence(x, y, debias="independent"))
    values = torch.stack(values)
    assert values.mean().abs() < 4 * values.std() / 40**0.5
    assert (values < 0).any()


def test_double_backward_is_refused():
    x, y = clouds()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="sinkhorn_divergence cannot be differentiated twice"):
        gradient.sum().backward()


def test_unconverged_warns_and_says_what_to_change():
    x, y = clouds()
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        _, info = sinkhorn_divergence(x, y, epsilon=1e-3, max_iter=3, return_info=True)
    assert not info.converged and info.marginal_violation > 1e-3


def test_non_finite_points_give_nan_not_an_exception():
    x, y = clouds()
    x[0, 0] = math.nan
    x.requires_grad_()
    value = sinkhorn_divergence(x, y)
    value.backward()
    assert value.isnan() and x.grad.isnan().all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epsilon": 0.0}, "epsilon must be .* got 0.0"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"tol": 0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"p": 0.5}, "p must be"),
        ({"debias": "both"}, "debias must be one of 'none', 'paired', 'independent', got 'both'"),
        ({"x": torch.zeros(0, 3)}, "x is empty"),
        ({"y": torch.zeros(4, 2)}, "number of features, got 3 and 2"),
        ({"x": torch.zeros(3)}, "x must have shape"),
        ({"x": torch.zeros(3, 3, dtype=torch.int64)}, "x must be of a floating-point dtype"),
        ({"x": np.zeros((3, 3))}, "x must be a torch tensor"),
        ({"a": torch.ones(3)}, r"a must be a tensor of shape \(20,\), got \(3,\)"),
        ({"b": -torch.ones(15)}, "b must be finite, non-negative"),
        ({"a": torch.zeros(20)}, "a must be finite, non-negative, of positive sum"),
        ({"a": torch.arange(20.0, requires_grad=True), "sharp": True}, "no gradient for a where"),
    ],
)
def test_bad_arguments(change, match):
    x, y = clouds(dtype=torch.float32)
    arguments = {"x": x, "y": y} | change
    with pytest.raises(ValueError, match=match):
        sinkhorn_divergence(**arguments)


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
def test_equal_coordinates_add_nothing_to_a_gradient(debias):
    x, y = clouds(n=6, m=8)
    y[:3], y[4:6, 1] = x[1:4], x[4:6, 1]
    x.requires_grad_()
    options = {"epsilon": 1.0, "p": 1}
    value = sinkhorn_divergence(x, y, relative=False, debias=debias, **options, **TIGHT)
    (wanted,) = torch.autograd.grad(reference(x, y, debias=debias, n_iter=500, **options), x)
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
@pytest.mark.parametrize("options", [{"p": 2}, {"p": 1.5}, None], ids=str)
def test_weights_of_sharp_values(debias, options):
    x, y = clouds(n=8, m=6)
    y = y + 2.0
    generator = torch.Generator().manual_seed(0)
    weights = [torch.rand(n, generator=generator, dtype=torch.float64) + 0.5 for n in (8, 6)]
    ways = [torch.randn(n, generator=generator, dtype=torch.float64) for n in (8, 6)]
    given = {"epsilon": 0.3, "relative": False, "tol": 1e-12, "sharp": True}

    def value(a, b):
        if options is None:
            return sinkhorn_cost(torch.cdist(x, y), a=a, b=b, **given)
        return sinkhorn_divergence(x, y, a=a, b=b, debias=debias, **options, **given)

    leaves = [each.clone().requires_grad_() for each in weights]
    for k, slope in enumerate(torch.autograd.grad(value(*leaves), leaves)):
        ends = []
        for step in (1e-4, -1e-4):
            moved = [each.clone() for each in weights]
            moved[k] += step * ways[k]
            ends.append(value(*moved).item())
        assert slope @ ways[k] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-8)
