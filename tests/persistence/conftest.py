"""What the tests of saving and loading share."""

import importlib.util
import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

TRUSTED = ["user_code.Estimator"]


@pytest.fixture(scope="session")
def user_code():
    """A module that can be imported, and that skotae does not know."""
    spec = importlib.util.spec_from_file_location(
        "user_code", Path(__file__).with_name("user_code.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["user_code"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["user_code"]


@pytest.fixture
def X():
    return np.random.RandomState(0).uniform(size=(20, 5))


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module ``skotae_canary`` that leaves a file behind when it is imported."""
    sign = tmp_path / "sign"
    folder = tmp_path / "canary"
    folder.mkdir()
    code = f"open({str(sign)!r}, 'w').close()\ndef call(*args, **kwargs): pass\n"
    (folder / "skotae_canary.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    yield sign
    assert not sign.exists(), "code of the file was run"
    assert "skotae_canary" not in sys.modules


def same(a, b):
    """Whether two values are equal, types, dtypes and bits included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [*a] == [*b] and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        equal = a.dtype == b.dtype and a.shape == b.shape
        return equal and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()
    if isinstance(a, (float, np.floating)):
        return repr(a) == repr(b)
    if isinstance(a, np.random.RandomState):
        return same(list(a.get_state()), list(b.get_state()))
    if hasattr(a, "get_params"):
        return same(a.get_params(deep=False), b.get_params(deep=False))
    return a == b


def opened(raw):
    """Header, document and tensors' bytes of a file."""
    n = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + n])
    return header, json.loads(header["__metadata__"]["skotae"]), raw[8 + n :]


def closed(header, document, body):
    """A file with a digest that is right, of parts that may be wrong; text stays as it is."""
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(metadata, dict):
        text = document if isinstance(document, str) else json.dumps(document)
        metadata |= {"sha256": "0" * 64, "skotae": text}
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    return sealed(len(text.encode()).to_bytes(8, "little") + text.encode() + body)


def sealed(raw):
    """A file whose digest is right: what an attacker, unlike an accident, makes."""
    marker = b'"sha256":"'
    place = raw.find(marker) + len(marker)
    if place < len(marker):
        return raw
    raw = raw[:place] + b"0" * 64 + raw[place + 64 :]
    return raw[:place] + sha256(raw).hexdigest().encode() + raw[place + 64 :]
