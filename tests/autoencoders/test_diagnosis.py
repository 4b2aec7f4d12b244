"""What a fit says about itself."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skotae import WGAN, SinkhornEncoder, WAEEstimator
from skotae.autoencoders import _diagnosis
from skotae.testing import make_data

X, _ = load_iris(return_X_y=True)
WORSE = "worse than the mean of these rows"


def runaway(**params):
    """Steps so large that nothing is learned."""
    options = {"max_iter": 2, "learning_rate_init": 1.0, "random_state": 0, **params}
    return WAEEstimator(2, hidden_layer_sizes=(16,), **options)


def test_a_fit_worse_than_the_constant_says_so_once():
    with pytest.warns(UserWarning, match=WORSE) as caught:
        model = runaway().fit(X)
    assert len(caught) == 1 and caught[0].filename == __file__
    message = str(caught[0].message)
    assert "max_iter=2" in message and "learning_rate_init=1.0" in message
    r2 = 1 - np.square(X - model.reconstruct(X)).sum() / np.square(X - X.mean(axis=0)).sum()
    assert r2 < -_diagnosis.MARGIN


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_it_does_not_depend_on_units(scale):
    with pytest.warns(UserWarning, match=WORSE):
        runaway().fit(scale * X)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WAEEstimator(2, max_iter=30, random_state=0).fit(X),
        lambda: WAEEstimator(2, max_iter=1, learning_rate_init=1e-9, random_state=0).fit(X),
        lambda: WAEEstimator(2, max_iter=3, random_state=0).fit(np.full((10, 3), 0.1)),
        lambda: runaway().partial_fit(X).partial_fit(X),
        lambda: SinkhornEncoder(2, max_iter=2, random_state=0).fit(X),
        lambda: WGAN(2, max_iter=2, random_state=0).fit(X),
    ],
    ids=["good", "untrained", "constant rows", "partial_fit", "no decoder", "no encoder"],
)
def test_silence(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()


def test_some_hundred_rows_are_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(_diagnosis, "CHECKS", (lambda estimator, rows: seen.append(rows),))
    rows = make_data(3000)
    WAEEstimator(2, max_iter=1, random_state=0).fit(rows)
    assert len(seen) == 1 and 256 <= len(seen[0]) <= _diagnosis.MAX_ROWS


def test_each_check_has_a_warning_of_its_own(monkeypatch):
    checks = (lambda *_: "first", lambda *_: None, lambda *_: "third")
    monkeypatch.setattr(_diagnosis, "CHECKS", checks)
    with pytest.warns(UserWarning) as caught:
        WAEEstimator(2, max_iter=1, random_state=0).fit(X)
    assert [str(warning.message) for warning in caught] == ["first", "third"]
