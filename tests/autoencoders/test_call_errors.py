"""Calls with arguments that a method does not take are told in the name of the estimator."""

import inspect
import re

import numpy as np
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline

import skotae

from .bad_input import NAMES, data, small

# Of scikit-learn; fit_transform is a fit.
NOT_OURS = {"fit_transform", "get_feature_names_out", "get_metadata_routing", "get_params"}


def methods_of(name):
    cls = getattr(skotae, name)
    public = (each for each in dir(cls) if not each.startswith(("_", "set_")))
    return [each for each in public if inspect.isfunction(getattr(cls, each))]


@pytest.mark.parametrize("name", NAMES)
def test_the_estimator_is_named(name):
    model = small(name)
    for method in {*methods_of(name)} - NOT_OURS:
        words = re.escape(f"{name}.{method}() got an unexpected keyword argument 'sample_weights'")
        with pytest.raises(TypeError, match=f"^{words}$"):
            getattr(model, method)(data(), sample_weights=np.ones(24))
    with pytest.raises(TypeError, match=f"^{name}.fit\\(\\) missing 1 required .*: 'X'$"):
        model.fit()


def test_so_it_is_in_a_pipeline():
    pipeline = make_pipeline(skotae.WAEEstimator(max_iter=1))
    with pytest.raises(TypeError, match=r"^WAEEstimator\.fit\(\) got .* 'sample_weight'$"):
        pipeline.fit_transform(data(), waeestimator__sample_weight=np.ones(24))


class Own(skotae.WAEEstimator):
    def transform(self, X):
        return super().transform(X, dtype=float)

    def reconstruct(self, X):
        return len(1)


def test_errors_within_a_method_stay_as_they_are():
    model = Own(2, hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(data())
    with pytest.raises(TypeError, match="has no len"):
        model.reconstruct(data())
    with pytest.raises(TypeError, match=r"^Own\.transform\(\) got .* 'dtype'$"):
        model.transform(data())


def test_signatures_are_those_of_the_methods():
    parameters = inspect.signature(skotae.WAEEstimator.score).parameters
    assert [*parameters] == ["self", "X", "y", "sample_weight"]
    with config_context(enable_metadata_routing=True):
        assert skotae.WAEEstimator().set_score_request(sample_weight=True)
