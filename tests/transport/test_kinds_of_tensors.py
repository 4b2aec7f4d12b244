"""What is no dense tensor of numbers is told by the name of the argument."""

import warnings

import numpy as np
import pytest
import torch

from skotae import transport

GENERATOR = torch.Generator().manual_seed(0)
x, y = torch.randn(2, 5, 3, generator=GENERATOR)
cost, line, mean, cov = torch.cdist(x, y), torch.ones(5), torch.zeros(3), torch.eye(3)
images, clouds = torch.ones(2, 4, 4), torch.stack([x, y])
# By function and argument: a call with one of what it needs replaced, and what that is.
CALLS = {
    "sinkhorn_divergence x": (x, lambda t: transport.sinkhorn_divergence(t, y)),
    "sinkhorn_divergence y": (y, lambda t: transport.sinkhorn_divergence(x, t)),
    "sinkhorn_divergence a": (line, lambda t: transport.sinkhorn_divergence(x, y, a=t)),
    "unbalanced_sinkhorn_plan x": (x, lambda t: transport.unbalanced_sinkhorn_plan(t, y)),
    "exact_cost b": (line, lambda t: transport.exact_cost(x, y, b=t)),
    "partial_plan x": (x, lambda t: transport.partial_plan(t, y, mass=0.5)),
    "squared_mmd y": (y, lambda t: transport.squared_mmd(x, t)),
    "sinkhorn_cost cost": (cost, transport.sinkhorn_cost),
    "exact_plan cost": (cost, lambda t: transport.exact_plan(cost=t)),
    "c_transform u": (line, lambda t: transport.c_transform(t, cost, 0.1)),
    "sliced_wasserstein x": (x, lambda t: transport.sliced_wasserstein(t, y, directions=cov)),
    "max_sliced_wasserstein directions": (
        cov,
        lambda t: transport.max_sliced_wasserstein(x, y, directions=t),
    ),
    "gaussian_wasserstein mean1": (
        mean,
        lambda t: transport.gaussian_wasserstein(t, cov, mean, cov),
    ),
    "gaussian_wasserstein cov2": (
        cov,
        lambda t: transport.gaussian_wasserstein(mean, cov, mean, t),
    ),
    "gaussian_map cov1": (cov, lambda t: transport.gaussian_map(mean, t, mean, cov)),
    "gaussian_map mean2": (mean, lambda t: transport.gaussian_map(mean, cov, t, cov)),
    "fit_gaussian x": (x, transport.fit_gaussian),
    "fit_gaussian weights": (line, lambda t: transport.fit_gaussian(x, t)),
    "geodesic_distances z": (x, lambda t: transport.geodesic_distances(t, y)),
    "free_support_barycenter measures_locations": (
        x,
        lambda t: transport.free_support_barycenter([y, t], None, x),
    ),
    "free_support_barycenter X_init": (
        x,
        lambda t: transport.free_support_barycenter([x, y], None, t),
    ),
    "fixed_support_barycenter A": (images, transport.fixed_support_barycenter),
    "sinkhorn_plan potentials_init": (
        line,
        lambda t: transport.sinkhorn_plan(x, y, potentials_init=(t, line)),
    ),
}
OTHERS = {
    "sparse": lambda t: t.to_sparse(),
    "meta": lambda t: t.to("meta"),
    "array": lambda t: t.numpy(),
    "list": lambda t: t.tolist(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_dense_tensor_is_told_by_name(call, kind):
    given, function = CALLS[call]
    name = call.split()[1]
    function(given)  # which is taken
    tensors = kind in ("sparse", "meta")
    error, text = (TypeError, rf"^{name} is a {kind} tensor") if tensors else (ValueError, name)
    with pytest.raises(error, match=text) as raised:
        function(OTHERS[kind](given))
    wrong = {"array": "got ndarray", "list": "got list"}
    assert tensors or wrong[kind] in str(raised.value).replace("'", "")


def test_numbers_of_gaussians_are_floating_point():
    with pytest.raises(ValueError, match=r"^x must be of a floating-point dtype, got torch.int64"):
        transport.fit_gaussian(x.long())
    for function in transport.gaussian_wasserstein, transport.gaussian_map:
        with pytest.raises(ValueError, match=r"^cov1 must be of a floating-point dtype"):
            function(mean, cov.long(), mean, cov)


def test_shapes_are_told_by_the_names_of_the_arguments():
    with pytest.raises(ValueError, match=r"^X_init and measures_locations must have the same num"):
        transport.free_support_barycenter([x], None, x[:, :2])
    with pytest.raises(ValueError, match=r"^z and y must have the same number of features"):
        transport.geodesic_distances(x[:, :2], y)


def test_clouds_of_a_barycentre_may_be_one_tensor():
    both = transport.free_support_barycenter(clouds, None, x)
    assert torch.equal(both, transport.free_support_barycenter([x, y], None, x))


@pytest.mark.parametrize("wrong", [torch.inf, torch.nan])
def test_points_that_are_not_finite_warn_of_nothing(wrong):
    points = x.clone()
    points[0, 0], points[1, 0] = wrong, -wrong
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, info = transport.sinkhorn_divergence(points, y, return_info=True)
        assert np.isnan(value.item()) and not info.converged
        for function in transport.sinkhorn_plan, transport.sinkhorn_potentials:
            with pytest.raises(ValueError, match="x or y must be finite"):
                function(points, y)
