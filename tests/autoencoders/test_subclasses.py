"""Subclasses with a constructor of their own, which sets some parameters, or with a hook."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

import skotae
from skotae.testing import make_data

X = make_data(24)


class TwoCodes(skotae.VAE):
    def __init__(self, beta=1.0, random_state=None):
        super().__init__(
            2, hidden_layer_sizes=(4,), max_iter=2, beta=beta, random_state=random_state
        )


@pytest.fixture(scope="module")
def fitted():
    return TwoCodes(random_state=0).fit(X)


def test_the_rest_is_as_set(fitted):
    plain = skotae.VAE(2, hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), plain.transform(X))
    assert clone(fitted).get_params() == {"beta": 1.0, "random_state": 0}


@pytest.mark.parametrize("way", ["copy", "pickle", "file"])
def test_it_can_be_kept(fitted, way, tmp_path):
    if way == "file":
        fitted.save(tmp_path / "model")
        again = skotae.load(tmp_path / "model", trusted=[f"{__name__}.TwoCodes"])
    else:
        again = copy.copy(fitted) if way == "copy" else pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


def test_what_is_set_is_followed():
    model = TwoCodes(random_state=0).fit(X).set_params(beta=2.0)
    model.warm_start = True
    assert model.fit(X).n_iter_ == 4
    model.hidden_layer_sizes = (5,)
    with pytest.raises(ValueError, match="hidden_layer_sizes=.* cannot change"):
        model.fit(X)


class Told(skotae.VAE):
    """Keeps what it is told after each fit."""

    told = ()

    def _after_fit(self, rows, incremental):
        super()._after_fit(rows, incremental)
        self.told = (*self.told, (len(rows), incremental))


def test_what_is_made_after_a_fit_knows_whether_rows_are_a_chunk():
    model = Told(2, hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X)
    model.partial_fit(X[:20]).partial_fit(X[:1]).partial_fit(X[1:3])
    assert model.told == ((24, False), (20, True), (3, True))
