"""Costs against scipy and torch, their gradients, and what they refuse."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.base import clone

from skotae.costs import (
    COSTS,
    BaseCost,
    BernoulliCost,
    CallableCost,
    CityBlockCost,
    EuclideanCost,
    GaussianCost,
    HeteroscedasticCost,
    SquaredEuclideanCost,
)

DISTANCES = {
    "sqeuclidean": SquaredEuclideanCost(),
    "euclidean": EuclideanCost(),
    "cityblock": CityBlockCost(),
}


def largest(x, y):
    return (x - y).abs().amax(-1)


EVERY = [*DISTANCES.values(), BernoulliCost(), GaussianCost(), GaussianCost(variance=0.3)]
EVERY += [
    GaussianCost(per_feature=True),
    CallableCost(largest),
    SquaredEuclideanCost(bounds=(-9, 9)),
]
each = pytest.mark.parametrize("cost", EVERY, ids=lambda cost: repr(cost)[:40])


def rows(n, d, seed=0, dtype=torch.float64):
    """Rows in (0, 1), where every cost is defined."""
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- values ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_against_scipy(name):
    cost, x, y = DISTANCES[name], rows(7, 5) * 10 - 3, rows(4, 5, 1) * 10 - 3
    np.testing.assert_allclose(cost.pairwise(x, y), cdist(x, y, name))
    np.testing.assert_allclose(cost(x[:4], y), np.diag(cdist(x[:4], y, name)))


def test_gaussian_against_scipy():
    x, y = rows(6, 3), rows(6, 3, 1)
    expected = [
        -stats.multivariate_normal(m, 0.3 * np.eye(3)).logpdf(p) for p, m in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(GaussianCost(variance=0.3)(x, y), expected)
    module = GaussianCost(variance=0.3).build(3).double()
    np.testing.assert_allclose(module(x, y), expected, rtol=1e-6)
    # The variance is in the units of the data, whatever the data are divided by.
    scaled = GaussianCost(variance=0.3).build(3, 2.0).double()(x / 2, y / 2)
    in_units = GaussianCost(variance=0.3).in_data_units(scaled.detach().numpy(), 3, 2.0)
    np.testing.assert_allclose(in_units, expected, rtol=1e-6)


def test_bernoulli_against_torch():
    x, y = rows(6, 3), rows(6, 3, 1)
    expected = torch.nn.functional.binary_cross_entropy(y, x, reduction="none").sum(1)
    assert torch.allclose(BernoulliCost()(x, y), expected)


@each
def test_shapes_broadcast(cost):
    x, y = rows(6, 4).reshape(2, 3, 4), rows(3, 4, 1)
    module = cost.build(4).double()
    for function in (cost, module, module.from_raw):
        assert function(x, y).shape == (2, 3)
        assert torch.allclose(function(x, y)[1, 2], function(x[1, 2], y[2]))


@each
def test_pairwise_is_the_broadcast_cost(cost, monkeypatch):
    monkeypatch.setattr("skotae.costs.base.BLOCK_ELEMENTS", 40)
    x, y = rows(11, 4), rows(6, 4, 1)
    module = cost.build(4).double()
    for parameter in module.parameters():
        parameter.data.sub_(torch.linspace(0, 1, parameter.numel()).reshape(parameter.shape))
    for one, all_pairs in (
        (cost, cost.pairwise),
        (module, module.pairwise),
        (module.from_raw, module.pairwise_from_raw),
    ):
        expected = one(x[:, None], y[None])
        assert expected.shape == (11, 6)
        torch.testing.assert_close(all_pairs(x, y), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", DISTANCES)
def test_pairwise_is_accurate_in_float32(name):
    """Clouds far from 0 compared with their width, with points in common."""
    x = (rows(60, 8) + 100).float()
    y = torch.cat([x[:30], (rows(30, 8, 1) + 100).float()])
    cost = DISTANCES[name].pairwise(x, y)
    expected = torch.from_numpy(cdist(x.double(), y.double(), name))
    assert (cost >= 0).all()
    assert (cost - expected).abs().max() < 2e-6 * expected.max()


# --- gradients -------------------------------------------------------------------------


@each
def test_gradients(cost):
    module = cost.build(4).double()
    x, y = rows(5, 4), rows(3, 4, 1)

    def check(function, *inputs):
        inputs = [value.clone().requires_grad_() for value in inputs]
        assert torch.autograd.gradcheck(function, inputs)

    check(module, x[:3], y)
    check(module.from_raw, x[:3], y)
    check(module.pairwise, x, y)
    check(lambda raw: module.pairwise_from_raw(x, raw), y)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("n", [3, 40])
def test_gradient_is_zero_where_rows_are_equal(name, n):
    y = rows(n, 4).requires_grad_()
    x = y.detach().clone()
    DISTANCES[name](x, y).sum().backward()
    assert torch.equal(y.grad, torch.zeros(n, 4, dtype=torch.float64))
    y.grad = None
    DISTANCES[name].pairwise(x, y).sum().backward()
    assert y.grad.isfinite().all()


# --- units -----------------------------------------------------------------------------


@each
def test_degree_and_standardisation(cost):
    x, y = rows(5, 4), rows(5, 4, 1)
    if cost.degree is not None:
        assert cost.standardise
        assert torch.allclose(cost(3 * x + 7, 3 * y + 7), 3**cost.degree * cost(x, y))
        in_units = cost.in_data_units(cost(x, y).numpy(), 4, 3.0)
        np.testing.assert_allclose(in_units, cost(3 * x, 3 * y))
    assert cost.standardise == (not isinstance(cost, (BernoulliCost, CallableCost)))


def test_unit_is_the_cost_of_the_mean():
    X = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 2.0, 3.0]
    mean = X.mean(axis=0)
    assert SquaredEuclideanCost().unit(X, mean) == pytest.approx(X.var(axis=0).sum())
    assert CityBlockCost().unit(X, mean) == pytest.approx(np.abs(X - mean).sum(1).mean())
    assert GaussianCost().unit(X, mean) == 3.0
    half = np.full((4, 2), 0.5)
    assert BernoulliCost().unit(half, half[0]) == pytest.approx(2 * math.log(2))


@each
def test_unit_of_constant_data_is_usable(cost):
    X = np.ones((5, 3), dtype=np.float32)
    unit = cost.unit(X, X[0])
    assert isinstance(unit, float) and 0 < unit < math.inf


# --- values in [0, 1] ------------------------------------------------------------------


@pytest.mark.parametrize("cost", [BernoulliCost(), SquaredEuclideanCost(bounds=(0, 1))])
@pytest.mark.parametrize(("bad", "text"), [(-0.5, "-0.5"), (1.5, "1.5"), (255.0, "255.0")])
def test_column_outside_the_unit_interval_is_named(cost, bad, text):
    X = np.full((4, 3), 0.5)
    X[2, 1] = bad
    with pytest.raises(ValueError, match=rf"{text} in column 1"):
        cost.check_data(X)
    cost.check_data(np.array([[0.0, 1.0]]))


def test_bounded_decoder():
    """In standardised units: zero is the mean, and the bounds are approached."""
    mean, scale = np.array([0.2, 0.5]), 0.1
    module = SquaredEuclideanCost(bounds=(0, 1)).build(2, scale, mean)
    raw = torch.tensor([[0.0, 0.0], [1e3, -1e3], [-1e3, 1e3]])
    decoded = module.decode(raw).numpy() * scale + mean
    np.testing.assert_allclose(decoded, [mean, [1, 0], [0, 1]], atol=1e-6)
    # A feature at one of the bounds in all rows must be able to leave it.
    raw = torch.zeros(1, 1, requires_grad=True)
    module = SquaredEuclideanCost(bounds=(0, 1)).build(1, scale, np.zeros(1))
    module.from_raw(torch.full((1, 1), 5.0), raw).sum().backward()
    assert raw.grad.item() < -0.1


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, math.inf), 1.0, (0, 1, 2), "01x", ()])
def test_bad_bounds_are_named(bounds):
    with pytest.raises(ValueError, match="bounds="):
        SquaredEuclideanCost(bounds=bounds).check_data(np.zeros((2, 2)))


# --- Bernoulli -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_is_finite_for_any_output(dtype):
    x = torch.tensor([[0.0, 1.0, 0.3]], dtype=dtype)
    raw = torch.tensor([[1e4, -1e4, 200.0]], dtype=dtype, requires_grad=True)
    module = BernoulliCost().build(3)
    cost = module.from_raw(x, raw)
    assert cost.item() == pytest.approx(20_140.0)
    assert module.pairwise_from_raw(x, raw).item() == pytest.approx(20_140.0)
    cost.sum().backward()
    assert raw.grad.isfinite().all()
    y = module.decode(raw)
    assert ((y >= 0) & (y <= 1)).all()
    value = BernoulliCost()(x, y)
    assert value.isfinite().all()


def test_bernoulli_from_raw_is_the_cost_of_what_is_decoded():
    x, raw = rows(5, 3), 6 * rows(5, 3, 1) - 3
    module = BernoulliCost().build(3)
    assert torch.allclose(module.from_raw(x, raw), module(x, module.decode(raw)))


# --- Gaussian --------------------------------------------------------------------------


@pytest.mark.parametrize("per_feature", [False, True])
def test_learned_variance_meets_the_residual(per_feature):
    residual = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [0.1, 0.5]
    )
    module = GaussianCost(per_feature=per_feature).build(2)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        loss = module(residual, torch.zeros(2)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    learned = module.log_scale.detach().exp()
    square = residual.square().mean(0)
    expected = square.sqrt() if per_feature else square.mean().sqrt()
    assert torch.allclose(learned, expected, rtol=0.01)
    assert module.scale.item() == pytest.approx(float(learned.log().mean().exp()))


@pytest.mark.parametrize("per_feature", [False, True])
def test_set_scale(per_feature):
    module = GaussianCost(per_feature=per_feature).build(3).double()
    module.set_scale(0.2)
    assert module.scale.item() == pytest.approx(0.2)
    x, y = rows(4, 3), rows(4, 3, 1)
    torch.testing.assert_close(module(x, y), GaussianCost(variance=0.04)(x, y))


def test_learned_scale_has_a_floor():
    module = GaussianCost(min_scale=0.1).build(2)
    module.set_scale(1e-9)
    assert module.scale.item() == pytest.approx(0.1)
    assert module(torch.zeros(1, 2), torch.ones(1, 2)).isfinite().all()


def test_fixed_variance_is_not_learned():
    module = GaussianCost(variance=4.0).build(3)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.scale.item() == pytest.approx(2.0)


@pytest.mark.parametrize("per_feature", [False, True])
def test_noise_of_the_decoder_against_scipy(per_feature):
    spec = HeteroscedasticCost(per_feature=per_feature, min_scale=0.3)
    module = spec.build(3).double()
    module.set_scale(0.5)
    width = 3 if per_feature else 1
    assert spec.n_outputs(3) == 3 + width
    x, raw = rows(6, 3), 4 * rows(5, 3 + width, 1) - 2
    mean, h = raw[:, :3], raw[:, 3:].expand(5, 3)
    variance = 0.3**2 + 0.5**2 * torch.exp(2 * h)
    expected = -stats.norm.logpdf(x[:, None], mean, variance.sqrt()).sum(-1)
    np.testing.assert_allclose(module.from_raw(x[:, None], raw).detach(), expected)
    np.testing.assert_allclose(module.pairwise_from_raw(x, raw).detach(), expected)
    assert torch.equal(module.decode(raw), mean)
    raw.requires_grad_()
    assert torch.autograd.gradcheck(lambda raw: module.pairwise_from_raw(x, raw), [raw])
    assert torch.autograd.gradcheck(lambda raw: module.from_raw(x[:5], raw), [raw])
    many = raw.detach()[:1].expand(20000, -1)
    drawn = module.draw_from_raw(many, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.var(0), variance[0], rtol=0.05, atol=0)
    # As long as codes do not differ in it, it is the noise of `GaussianCost`.
    module.share = 0.0
    same = GaussianCost(variance=0.3**2 + 0.5**2)(x[:5], mean)
    torch.testing.assert_close(module.from_raw(x[:5], raw), same)


@pytest.mark.parametrize("variance", [0.0, -1.0, "learnt", None])
def test_bad_variance_is_named(variance):
    with pytest.raises(ValueError, match="variance="):
        GaussianCost(variance=variance).build(2)


# --- the user's own --------------------------------------------------------------------


def test_callable_checks_what_it_gets_back():
    for wrong in (lambda x, y: (x - y).abs(), lambda x, y: 1.0):
        with pytest.raises(ValueError, match="expected one cost per row"):
            CallableCost(wrong)(torch.zeros(4, 2), torch.ones(4, 2))


def test_a_cost_is_one_method():
    class Largest(BaseCost):
        def __call__(self, x, y):
            return (x - y).abs().amax(-1)

    module = Largest().build(3)
    x, y = rows(4, 3), rows(2, 3)
    assert torch.equal(module.decode(x), x)
    assert module.pairwise(x, y).shape == (4, 2)
    assert Largest().unit(np.zeros((2, 2)), np.zeros(2)) == 1.0
    Largest().check_data(np.zeros((2, 2)))


# --- scikit-learn ----------------------------------------------------------------------


@each
def test_clone_pickle_and_immutable(cost):
    before = dict(vars(cost))
    x, y = rows(3, 4), rows(3, 4, 1)
    module = cost.build(4).double()
    for again in (clone(cost), pickle.loads(pickle.dumps(cost))):
        assert torch.equal(again(x, y), cost(x, y))
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(again.from_raw(x, y), module.from_raw(x, y))
    assert vars(cost) == before


def test_names():
    distances = ["sqeuclidean", "euclidean", "cityblock"]
    assert list(COSTS) == [*distances, "bernoulli", "gaussian", "heteroscedastic"]
    assert all(issubclass(cost, BaseCost) for cost in COSTS.values())
