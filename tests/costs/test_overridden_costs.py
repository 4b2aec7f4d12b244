"""Subclasses of our costs with a formula of their own: what was known of the old one is let go."""

import math

import numpy as np
import pytest
import torch

from skotae.costs import (
    BernoulliCost,
    CityBlockCost,
    EuclideanCost,
    GaussianCost,
    HeteroscedasticCost,
    SquaredEuclideanCost,
)
from skotae.costs.base import CostModule, row_square


def rows(n, d, seed=0):
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed))


def weighted(kind):
    """A class whose features count 1, 2 and 3 times."""

    def call(self, x, y):
        return kind.__call__(self, x * torch.arange(1.0, 4.0), y * torch.arange(1.0, 4.0))

    return type(f"Weighted{kind.__name__}", (kind,), {"__call__": call})


@pytest.mark.parametrize("kind", [SquaredEuclideanCost, EuclideanCost, CityBlockCost])
def test_pairs_cost_what_rows_do(kind):
    x, y = rows(5, 3, 0), rows(4, 3, 1)
    own = weighted(kind)
    torch.testing.assert_close(own().pairwise(x, y), own()(x[:, None], y))
    torch.testing.assert_close(own().build(3).pairwise(x, y), own()(x[:, None], y))
    # What is written beside the formula, by what there was before, is let be.
    written = {"pairwise": lambda self, x, y: kind.pairwise(self, 0 * x, y)}
    both = type("Both", (kind,), {"__call__": own.__call__, **written})
    torch.testing.assert_close(both().pairwise(x, y), kind().pairwise(0 * x, y))
    heir = type("Heir", (both,), {})
    torch.testing.assert_close(heir().pairwise(x, y), kind().pairwise(0 * x, y))


def test_pairs_of_a_formula_that_is_mixed_in():
    class Mixin:
        def __call__(self, x, y):
            return 7 * (x - y).abs().amax(-1)

    cost = type("Mixed", (Mixin, CityBlockCost), {})()
    x = rows(4, 3, 0)
    torch.testing.assert_close(cost.pairwise(x, x), 7 * torch.cdist(x, x, p=math.inf))


def test_a_bernoulli_cost_with_a_formula_of_its_own():
    cost = type("Squares", (BernoulliCost,), {"__call__": lambda self, x, y: row_square(x, y)})()
    module = cost.build(3)
    x, raw = rows(5, 3, 0), torch.logit(rows(5, 3, 1))
    y = raw.sigmoid()
    torch.testing.assert_close(module.from_raw(x, raw), row_square(x, y))
    torch.testing.assert_close(module.pairwise_from_raw(x, raw), torch.cdist(x, y).square())
    torch.testing.assert_close(module.decode(module.raw_of(x.clamp(0.1, 0.9))), x.clamp(0.1, 0.9))
    # The draws would be those of another density.
    assert not module.can_draw and BernoulliCost().build(3).can_draw


@pytest.mark.parametrize("kind", [GaussianCost, HeteroscedasticCost])
def test_a_gaussian_cost_with_a_formula_of_its_own_builds_its_own_module(kind):
    own = weighted(kind)
    with pytest.raises(ValueError, match=rf"cost={own.__name__}\(\) has a __call__\(\).*build\(\)"):
        own().build(3)
    both = type("Both", (own,), {"build": lambda self, *args: CostModule(self)})
    x = rows(5, 3, 0)
    torch.testing.assert_close(both().build(3)(x, 0 * x), own()(x, 0 * x))


def test_a_formula_of_ones_own_is_a_likelihood_where_its_class_says_so():
    call = {"__call__": lambda self, x, y: 0.01 * row_square(x, y)}
    own = type("Own", (BernoulliCost,), call)
    said = type("Said", (BernoulliCost,), {**call, "likelihood": True})
    assert not own().likelihood and said().likelihood and BernoulliCost().likelihood
    assert not type("Heir", (own,), {})().likelihood and type("Heir", (said,), {})().likelihood
    assert not type("Again", (said,), call)().likelihood


def test_units_of_a_density_are_not_those_of_another_formula():
    """The logarithm of a scale, which a density has, would be added to costs that are none."""
    module = {"build": lambda self, *args: CostModule(self)}
    own = type("Own", (GaussianCost,), {"__call__": CityBlockCost.__call__, **module})
    cost, X = np.ones(4), np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(own().in_data_units(cost, 2, 7.0), cost)
    assert own().unit(X, X.mean(0)) == CityBlockCost().unit(X, X.mean(0))
    scaled = type("Scaled", (own,), {"degree": 1.0})
    np.testing.assert_allclose(scaled().in_data_units(cost, 2, 7.0), 7 * cost)
    call = {"__call__": CityBlockCost.__call__, "likelihood": True}
    said = type("Said", (GaussianCost,), {**call, **module})
    expected = GaussianCost().in_data_units(cost, 2, 7.0)
    np.testing.assert_array_equal(said().in_data_units(cost, 2, 7.0), expected)
    written = {"in_data_units": lambda self, cost, n, scale: -cost}
    np.testing.assert_array_equal(
        type("Written", (own,), written)().in_data_units(cost, 2, 7.0), -cost
    )
