"""Paths: what is none is told by the name of the parameter, wherever one is asked for."""

import io
import os

import numpy as np
import pytest

import skotae
from skotae.callbacks import Checkpoint

X = np.random.default_rng(0).normal(size=(12, 2))


def small():
    return skotae.WAEEstimator(1, hidden_layer_sizes=(4,), max_iter=10, tol=None, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


CALLS = {
    "save": lambda model, path: model.save(path),
    "load": lambda model, path: skotae.load(path),
    "to_onnx": lambda model, path: model.to_onnx(path),
    "Checkpoint": lambda model, path: small().set_callbacks(Checkpoint(path)).fit(X),
}


@pytest.mark.parametrize("wrong", [None, 3, io.BytesIO()], ids=["None", "number", "file"])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_path_is_told_by_the_name_of_the_parameter(fitted, call, wrong):
    name = "folder" if call == "Checkpoint" else "path"
    with pytest.raises(TypeError, match=rf"^{name}=.*expected a path: str, bytes or os.PathLike"):
        CALLS[call](fitted, wrong)


def test_paths_may_be_bytes(fitted, tmp_path):
    path = os.fsencode(tmp_path / "model.safetensors")
    fitted.save(path)
    assert np.array_equal(skotae.load(path).transform(X), fitted.transform(X))
    small().set_callbacks(Checkpoint(os.fsencode(tmp_path / "folder"))).fit(X)
    assert (tmp_path / "folder" / "checkpoint-000010.safetensors").is_file()
