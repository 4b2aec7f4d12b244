"""Costs of moving codes that are one's own, and a fixed number of iterations."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch.utils._python_dispatch import TorchDispatchMode

from skotae import SinkhornAE, SinkhornEncoder, WAEEstimator, load
from skotae.divergences import SinkhornDivergence
from skotae.priors import SpherePrior
from skotae.transport import sinkhorn_divergence


def squared(z, y):
    return torch.cdist(z, y).square()


def wrong_shape(z, y):
    return z - y


def codes(n=32, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("debias", ["independent", "paired", "none"])
@pytest.mark.parametrize("sharp", [True, False])
def test_a_function_that_is_the_usual_cost(debias, sharp):
    z, y = codes().requires_grad_(), codes(seed=1)
    options = {"debias": debias, "sharp": sharp, "tol": 1e-6}
    value = SinkhornDivergence(cost=squared, **options)(z, y)
    usual = sinkhorn_divergence(z, y, **options)
    assert value.item() == pytest.approx(usual.item(), rel=1e-4, abs=1e-4)
    ours, theirs = (torch.autograd.grad(v, z)[0] for v in (value, usual))
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


def test_iterations_of_the_divergence():
    z, y = codes(), codes(seed=1)
    limit = SinkhornDivergence(tol=1e-6)(z, y)
    few, many = (SinkhornDivergence(n_iter=n)(z, y) for n in (1, 300))
    assert many.item() == pytest.approx(limit.item(), abs=1e-3)
    assert abs(few.item() - limit.item()) > 10 * abs(many.item() - limit.item())


def test_geodesic_costs_more_than_the_chord():
    head = SpherePrior().head(3)
    z, y = head(codes()), head(codes(seed=1) + 1)
    options = {"debias": "none", "sharp": True, "epsilon": 0.01}
    arc, chord = (SinkhornDivergence(cost=c, **options)(z, y).item() for c in ("geodesic", None))
    assert chord < arc < (np.pi / 2) ** 2 * chord


def test_what_is_refused():
    z = codes()
    with pytest.raises(ValueError, match="geodesic"):
        SinkhornDivergence(cost="chord").build(SpherePrior(), 3)(z, z)
    with pytest.raises(ValueError, match=r"expected a tensor of shape \(32, 32\)"):
        SinkhornDivergence(cost=wrong_shape)(z, z)
    with pytest.raises(ValueError, match="weights"):
        SinkhornDivergence(n_iter=3)(z, z, weights=torch.full((32,), 1 / 32))
    with pytest.raises(ValueError, match="prior='sphere'"):
        X = load_iris().data
        SinkhornAE(3, latent_cost="geodesic", prior="normal", max_iter=1).fit(X)


def not_a_number(z, y):
    return squared(z, y) * float("nan")


@pytest.mark.parametrize(
    "cost, words", [(not_a_number, "NaN"), (wrong_shape, "shape"), ("geodesic", "sphere")]
)
def test_the_cost_is_named_as_the_user_has_it(cost, words):
    X, own = load_iris().data, getattr(cost, "__name__", cost)
    for cls in (SinkhornAE, SinkhornEncoder):
        with pytest.raises(ValueError, match=rf"^latent_cost=.*{own}.*{words}"):
            cls(3, latent_cost=cost, max_iter=1, prior="normal").fit(X)
    with pytest.raises(ValueError, match=rf"^cost=.*{own}.* of SinkhornDivergence .*{words}"):
        penalty = SinkhornDivergence(cost=cost)
        WAEEstimator(3, penalty=penalty, max_iter=1, prior="normal").fit(X)


def test_codes_that_are_not_finite_are_not_put_down_to_the_cost():
    z = codes()
    z[0] = np.nan
    with pytest.raises(ValueError, match="^cost must be finite"):
        SinkhornDivergence(cost=squared)(z, codes(seed=1))


@pytest.mark.parametrize("cls", [SinkhornAE, SinkhornEncoder])
@pytest.mark.parametrize(
    "params",
    [
        {"latent_cost": "geodesic", "prior": "sphere"},
        {"latent_cost": squared, "prior": "normal"},
        {"sinkhorn_iter": 4, "prior": "normal"},
        {"sinkhorn_iter": 4, "latent_cost": "geodesic", "prior": "sphere", "sharp": True},
    ],
)
def test_estimators(cls, params, tmp_path):
    X = load_iris().data
    model = cls(3, max_iter=3, random_state=0, **params).fit(X)
    plain = cls(3, max_iter=3, random_state=0, prior=params["prior"]).fit(X)
    Z = model.transform(X)
    assert np.isfinite(Z).all()
    # It has a part in the objective; a function that is the usual cost gives about the same.
    same = params.get("latent_cost") is squared
    assert np.allclose(Z, plain.transform(X), atol=1e-2) == same
    if params.get("latent_cost") is not squared:
        model.save(tmp_path / "model")
        assert np.array_equal(load(tmp_path / "model").transform(X), Z)


def test_geodesic_codes_spread_over_the_sphere():
    X = load_iris().data
    model = SinkhornAE(
        3, prior="sphere", latent_cost="geodesic", beta=1.0, max_iter=60, random_state=0
    )
    Z = model.fit_transform(X)
    assert np.linalg.norm(Z.mean(0)) < 0.15
    assert np.allclose(np.cov(Z.T).diagonal(), 1 / 3, atol=0.08)


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, for which a device has to be waited for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "debias, shapes",
    [
        ("none", [(32, 32)]),
        ("paired", [(32, 32)] * 3),
        ("independent", [(32, 32), (16, 16), (16, 16)]),
    ],
)
@pytest.mark.parametrize("relative", [True, False])
def test_each_matrix_of_costs_is_made_once_and_no_number_of_it_is_read(debias, shapes, relative):
    made = []

    def noted(z, y):
        made.append((len(z), len(y)))
        return squared(z, y)

    options = {"debias": debias, "relative": relative, "n_iter": 3}
    with Reads() as reads:
        SinkhornDivergence(cost=noted, **options)(
            codes().requires_grad_(), codes(seed=1)
        ).backward()
    assert made == shapes and reads.count == 0


def test_equal_codes_cost_nothing():
    z = torch.ones(8, 3, requires_grad=True)
    for n_iter in (None, 3):
        value = SinkhornDivergence(cost=squared, n_iter=n_iter)(z, torch.ones(8, 3))
        value.backward()
        assert value.item() == 0 and (z.grad == 0).all()
