"""From a name or an instance to a part."""

import pytest

from skotae.costs import COSTS, BaseCost, GaussianCost, SquaredEuclideanCost
from skotae.utils._registry import require, resolve_part


def _resolve(value):
    return resolve_part(value, "cost", COSTS, BaseCost, default="sqeuclidean")


def test_none_is_the_default():
    assert isinstance(_resolve(None), SquaredEuclideanCost)


def test_a_name_is_its_part():
    assert isinstance(_resolve("gaussian"), GaussianCost)


def test_an_instance_is_cloned():
    cost = GaussianCost(variance=2.0)
    resolved = _resolve(cost)
    assert resolved is not cost and resolved.variance == 2.0


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="cost='xyz' is not known; expected one of .*'bernoulli'"):
        _resolve("xyz")


def test_an_unknown_name_suggests_the_near_one():
    with pytest.raises(ValueError, match="Did you mean 'sqeuclidean'?"):
        _resolve("sqeuclidian")


def test_a_far_name_suggests_nothing():
    with pytest.raises(ValueError) as error:
        _resolve("xyz")
    assert "Did you mean" not in str(error.value)


def test_a_class_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"cost=GaussianCost is a class; .*GaussianCost\(...\)"):
        _resolve(GaussianCost)


@pytest.mark.parametrize("value", [3, object(), ["gaussian"], dict])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="cost=.* is not a cost; .* instance of BaseCost"):
        _resolve(value)


class _Part:
    def sample(self):
        """Here for its name."""


def test_a_part_with_the_method_passes():
    require(_Part(), ("sample",), name="prior", needed_by="VAE", having="'normal'")


def test_a_missing_method_is_named():
    with pytest.raises(ValueError, match=r"prior=.*has no log_prob\(\), which VAE .*such as 'no"):
        require(_Part(), ("sample", "log_prob"), name="prior", needed_by="VAE", having="'normal'")
