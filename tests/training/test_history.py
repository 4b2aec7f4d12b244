"""The history of a fit is a dict that prints in a line."""

import copy
import json
import pickle

import numpy as np
import pytest

import skotae
from skotae.training import History

TERMS = {"loss": [1.5, 0.75, 0.123456], "penalty": [2e-5, 1e-5, float("nan")]}


def test_it_prints_in_a_line():
    text = "<History of 3 epochs: loss 1.5 -> 0.123, penalty 2e-05 -> nan>"
    assert repr(History(TERMS)) == str(History(TERMS)) == text
    assert repr(History(loss=[0.5])) == "<History of 1 epoch: loss 0.5>"
    assert repr(History(loss=[])) == "<History of 0 epochs: loss>"
    assert repr(History()) == "<History of 0 epochs>"
    assert len(repr(History(loss=[1.0] * 10**5))) < 50


def test_it_prints_whatever_is_put_into_it():
    assert repr(History(loss=["a"])) == "{'loss': ['a']}"
    assert repr(History(loss=3)) == "{'loss': 3}"


def test_it_is_a_dict():
    history = History(loss=[2.0, 1.0])
    assert history == {"loss": [2.0, 1.0]} and isinstance(history, dict)
    assert json.loads(json.dumps(history)) == history
    assert repr(dict(history)) == "{'loss': [2.0, 1.0]}"
    for twin in (copy.deepcopy(history), pickle.loads(pickle.dumps(history)), history.copy()):
        assert twin == history and type(twin) is History
        twin["loss"].append(0.5)
        assert len(history["loss"]) == 2


def test_it_makes_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(History(TERMS))
    assert list(frame.columns) == [*TERMS] and len(frame) == 3


@pytest.mark.parametrize("name", ["WAEEstimator", "WGAN"])
def test_estimators_have_one(name, tmp_path):
    """Also those that are copied, pickled, loaded, or go on."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = getattr(skotae, name)(1, hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X)
    assert repr(model.history_).startswith("<History of 2 epochs: ")
    model.save(tmp_path / "model.safetensors")
    twins = (
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        skotae.load(tmp_path / "model.safetensors"),
    )
    for twin in twins:
        assert type(twin.history_) is History and twin.history_ == model.history_
    assert type(model.__getstate__()["history_"]) is dict
    before = copy.deepcopy(model.history_)
    twins[3].set_params(warm_start=True).fit(X)
    assert type(twins[3].history_) is History and len(twins[3].history_["loss"]) == 4
    assert model.history_ == before
    model.partial_fit(X)
    assert repr(model.history_).startswith("<History of 3 epochs: ")
