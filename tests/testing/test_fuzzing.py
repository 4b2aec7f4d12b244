"""Random parameters, rows and calls: an answer, or an error that names what is wrong."""

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import skotae
from skotae.testing import Case, check_case, fuzz_cases

ESTIMATORS = [getattr(skotae, name) for name in skotae.__all__]
ESTIMATORS = [each for each in ESTIMATORS if inspect.isclass(each) and hasattr(each, "fit")]
SHORT = settings(
    max_examples=16,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@SHORT
@given(case=fuzz_cases(ESTIMATORS))
def test_cases(case):
    check_case(case)


@pytest.mark.slow
@settings(SHORT, max_examples=5000)
@given(case=fuzz_cases(ESTIMATORS))
def test_many_cases(case):
    check_case(case)


PLAIN = {
    **{"cls": skotae.VAE, "params": {}, "n": 5, "d": 2, "kind": "normal", "scale": 1.0},
    **{"dtype": "float64", "container": "array", "calls": ()},
}


def test_outcomes():
    assert check_case(Case(**PLAIN)) == "answered"
    assert check_case(Case(**{**PLAIN, "params": {"beta": 1e300}})) == "refused"


class Raw(skotae.VAE):
    """Fails in ways that a user could do nothing about."""

    def transform(self, X):
        raise RuntimeError("an element is out of order")

    def sample(self, n_samples=1, *, random_state=None):
        return np.full((n_samples, self.n_features_in_), np.nan)

    def reconstruct(self, X):
        return super().reconstruct(X)[:1]

    def score_samples(self, X):
        return super().score_samples(X).astype("float32")


@pytest.mark.parametrize(
    "call, told",
    [
        ("transform", "transform: RuntimeError names no parameter"),
        ("sample", "sample is not finite"),
        ("reconstruct", r"reconstruct has shape \(1, 2\), not \(5, 2\)"),
        ("score_samples", "score_samples has dtype float32, not float64"),
    ],
)
def test_faults_are_found(call, told):
    with pytest.raises(AssertionError, match=told):
        check_case(Case(**{**PLAIN, "cls": Raw, "calls": (call,)}))
