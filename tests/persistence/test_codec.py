"""Values go into a file and come back the same, or are refused by name."""

import collections
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from torch import nn

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.format import codec, file, strict_json

from .conftest import same


def round_trip(state, trusted=()):
    node, tensors = codec.encode(state)
    return codec.decode(strict_json.parse(strict_json.dump(node)), tensors, trusted)


NUMBER_DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
ARRAYS = hnp.arrays(NUMBER_DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
TENSORS = hnp.arrays(
    st.sampled_from(["bool", "u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "c8"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
).map(torch.from_numpy)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    TEXT,
    TEXT.map(np.str_),
    NUMBER_DTYPES,
    NUMBER_DTYPES.flatmap(hnp.from_dtype),
    ARRAYS,
    TENSORS,
    st.lists(TEXT).map(lambda names: np.array(names, dtype=object)),
    st.lists(TEXT.filter(lambda text: not text.endswith("\0"))).map(
        lambda names: np.array(names, dtype=str)
    ),
    st.lists(st.floats(), min_size=30, max_size=40),
    st.sampled_from([torch.float32, torch.int64, torch.device("cpu"), torch.device("cuda:1")]),
    st.integers(0, 2**32 - 1).map(np.random.RandomState),
)
KEYS = st.one_of(TEXT, st.just("$"), st.integers(-3, 3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_round_trip(value):
    assert same(round_trip({"it": value})["it"], value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.one_of(TEXT, st.just("__metadata__"), st.just("$")), VALUES, max_size=4))
def test_round_trip_through_a_file(tmp_path_factory, state):
    path = str(tmp_path_factory.mktemp("codec") / "file")
    node, tensors = codec.encode(state)
    file.write(path, tensors, strict_json.dump(node))
    tensors, text = file.read(path)
    assert same(codec.decode(strict_json.parse(text), tensors), state)


def test_shared_and_strided_tensors_come_back_by_value():
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "whole": base,
        "row": base[1],
        "turned": base.T,
        "every_second": base[:, ::2],
        "again": base,
        "parameter": nn.Parameter(torch.ones(2)),
        "conjugate": torch.tensor([1 + 2j], dtype=torch.complex64).conj(),
        "expanded": torch.ones(1).expand(3),
    }
    back = round_trip(state)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor.detach()), name
        assert type(back[name]) is torch.Tensor and back[name].is_contiguous()
    back["whole"].zero_()
    assert torch.equal(back["again"], torch.arange(12.0).reshape(3, 4))


def test_arrays_can_be_written_to():
    array = np.arange(4.0)
    array.flags.writeable = False
    back = round_trip({"it": array})["it"]
    back[0] = 7
    assert array[0] == 0 and back.flags.owndata


def test_names_of_tensors_are_distinct():
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "__metadata__": torch.zeros(2)}
    node, tensors = codec.encode(state)
    assert [*tensors] == ["a.b", "a.b#2", "metadata__"]
    assert same(codec.decode(node, tensors), state)


def test_random_state_goes_on():
    random_state = np.random.RandomState(3)
    random_state.normal(size=3)
    back = round_trip({"it": random_state})["it"]
    assert np.array_equal(back.normal(size=5), random_state.normal(size=5))


def test_zeros_at_the_end_of_strings():
    texts = [np.str_("a\0"), "b\0"]
    state = {"a": texts, "b": np.array(texts, dtype=object)}
    back = round_trip(state)
    assert [len(text) for text in [*back["a"], *back["b"]]] == [2, 2, 2, 2]
    assert back["b"].tolist() == ["a\0", "b\0"]


def test_ordered_dict_is_a_dict():
    assert same(round_trip({"it": collections.OrderedDict(a=1)})["it"], {"a": 1})


class Local(nn.Module):
    pass


UNSAVABLE = {
    "a lambda": (lambda x: x, "top level of a module"),
    "a local": (type("Here", (), {"__module__": "__main__"}), "top level of a module"),
    "a module": (nn.Linear(1, 1), "skotae.networks.MLP"),
    "a bound method": ([].append, "builtin_function_or_method"),
    "a partial": (functools.partial(max, 1), "functools.partial"),
    "a builtin": (math.sqrt, "builtin_function_or_method"),
    "an object": (object(), "object"),
    "a set": ({1}, "set"),
    "bytes": (b"x", "bytes"),
    "complex": (1j, "complex"),
    "a large integer": (2**63 + 1, "64 bits"),
    "half a pair": ("\ud800", "surrogate"),
    "a key": ({1.5: 2}, "neither strings nor integers"),
    "a bool key": ({True: 2}, "neither strings nor integers"),
    "objects": (np.array([1, "a"], dtype=object), "list of strings"),
    "a table of strings": (np.array([["a"]]), "list of strings"),
    "times": (np.array(["2020"], dtype="M8[s]"), "list of strings"),
    "a time": (np.datetime64("2020"), "boolean, integer or float"),
    "long double": (np.longdouble(1), "boolean, integer or float"),
    "complex array": (np.zeros(2, dtype=complex), "booleans, integers or floats"),
    "a matrix": (np.ma.zeros(2), "plain one"),
    "object dtype": (np.dtype(object), "numbers"),
    "generator": (np.random.default_rng(0), "Generator"),
    "other bits": (np.random.RandomState(np.random.PCG64(0)), "RandomState"),
    "sparse": (torch.zeros(2, 2).to_sparse(), "dense"),
    "meta": (torch.zeros(2, device="meta"), "with data"),
    "complex tensor": (torch.zeros(2, dtype=torch.complex128), "torch.complex64"),
    "a function of torch": (torch.abs, "builtin_function_or_method"),
    "a named tuple": (collections.namedtuple("P", "x")(1), "P"),
}


@pytest.mark.parametrize("value, message", UNSAVABLE.values(), ids=UNSAVABLE)
def test_unsavable(value, message):
    with pytest.raises(UnsavableError) as caught:
        codec.encode({"params": {"encoder": ["fine", value]}})
    assert message in str(caught.value)
    assert "params.encoder[1]" in str(caught.value)


def test_values_within_themselves():
    value = []
    value.append(value)
    with pytest.raises(UnsavableError, match="nested more than 32"):
        codec.encode({"it": value})


def ref(name="t", dtype="F32", shape=(2,)):
    return {"$": "tensor", "name": name, "dtype": dtype, "shape": [*shape]}


STORED = {
    "t": torch.ones(2),
    "s": torch.tensor([97], dtype=torch.uint8),
    "u": torch.tensor([98], dtype=torch.uint8),
    "v": torch.tensor([255], dtype=torch.uint8),
    "l": torch.tensor([1]),
    "m": torch.tensor([2, -1]),
    "w": torch.tensor([97, 98], dtype=torch.uint8),
    "n": torch.tensor([2]),
    "o": torch.tensor([2**62, 2**62, 2**62, 2**62 + 1]),
}


def strings(dtype, text="s", lengths="l"):
    stored = {"text": STORED[text], "lengths": STORED[lengths]}
    kinds = {torch.float32: "F32", torch.uint8: "U8", torch.int64: "I64"}
    names = {"text": text, "lengths": lengths}
    nodes = {key: ref(names[key], kinds[t.dtype], t.shape) for key, t in stored.items()}
    return {"$": "strings", "dtype": dtype, **nodes}


CORRUPT = {
    "unknown kind": {"$": "pickle", "value": 1},
    "kind that is none": {"$": ["object"], "value": 1},
    "missing field": {"$": "tuple"},
    "extra field": {"$": "tuple", "items": [], "more": 1},
    "no list": {"$": "tuple", "items": {}},
    "no tensor": {"$": "array", "dtype": "<f4", "data": 3},
    "absent tensor": ref("other"),
    "wrong dtype": ref(dtype="F64"),
    "wrong shape": ref(shape=(1, 2)),
    "tensor used twice": [ref(), ref()],
    "array of another dtype": {"$": "array", "dtype": "<i4", "data": ref()},
    "dtype of objects": {"$": "dtype", "value": "|O"},
    "structured dtype": {"$": "dtype", "value": "i4,i4"},
    "scalar out of range": {"$": "scalar", "dtype": "|u1", "value": 256},
    "scalar that overflows": {"$": "scalar", "dtype": "<f2", "value": 1e300},
    "float as integer": {"$": "scalar", "dtype": "<i8", "value": 1.0},
    "integer as float": {"$": "scalar", "dtype": "<f8", "value": 1},
    "float by name": {"$": "float", "value": "1e5"},
    "huge strings": strings("<U99999999"),
    "wide strings": [strings("<U16777215"), strings("<U16777215", "u", "m")],
    "strings of no width": strings("<U0"),
    "strings cut short": strings("<U1", text="w", lengths="n"),
    "strings of numbers": strings("<f8"),
    "strings of floats": strings("object", text="t"),
    "strings of other length": strings("object", lengths="m"),
    "strings of negative length": strings("object", text="u", lengths="m"),
    "strings of huge length": strings("object", lengths="o"),
    "strings that are no text": strings("object", text="v"),
    "half a pair": "\ud800",
    "large integer": 2**63 + 1,
    "device": {"$": "device", "value": "cuda:0; import os"},
    "unknown device": {"$": "device", "value": "nowhere"},
    "torch dtype": {"$": "torch dtype", "value": "load"},
    "keys": {"$": "random state", "keys": ref(), "position": 1, "has_gauss": 0, "gauss": 0.0},
    "floats": {"$": "floats", "data": ref()},
    "key twice": {"$": "dict", "items": [["a", 1], ["a", 2]]},
    "key of another type": {"$": "dict", "items": [[[1], 2]]},
    "pair of three": {"$": "dict", "items": [["a", 1, 2]]},
    "part": {"$": "part", "name": "skotae.networks.build_network", "params": {}},
    "part by module": {"$": "part", "name": "os.system", "params": {}},
    "part's parameter": {"$": "part", "name": "skotae.networks.MLP", "params": {"self": 1}},
    "scipy": {"$": "scipy", "name": "rv_continuous", "args": [], "kwds": {}},
    "scipy sum": {"$": "scipy", "name": "irwinhall", "args": [10**12], "kwds": {}},
    "scipy text": {"$": "scipy", "name": "norm", "args": ["x"], "kwds": {}},
    "scipy arguments": {"$": "scipy", "name": "norm", "args": [1, 2, 3, 4], "kwds": {}},
    "torch": {"$": "torch distribution", "name": "kl_divergence", "arguments": {}},
    "torch text": {"$": "torch distribution", "name": "Normal", "arguments": {"loc": 1}},
    "independent": {
        "$": "torch distribution",
        "name": "Independent",
        "arguments": {"base_distribution": "x", "reinterpreted_batch_ndims": 1},
    },
    "nested": functools.reduce(lambda node, _: [node], range(40), 1),
}


@pytest.mark.parametrize("node", CORRUPT.values(), ids=CORRUPT)
def test_corrupt(node):
    with pytest.raises(CorruptFileError) as caught:
        codec.decode({"it": node}, STORED)
    assert "nothing uses" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_limits():
    wide = np.array(["a"], dtype="U9000000")
    with pytest.raises(UnsavableError, match="more than 16777216 characters"):
        codec.encode({"a": wide, "b": wide})
    with pytest.raises(UnsavableError, match="more than 64 distributions"):
        codec.encode({"a": [stats.norm()] * 65})
    node = {"$": "scipy", "name": "norm", "args": [], "kwds": {}}
    with pytest.raises(CorruptFileError, match="more than 64 distributions"):
        codec.decode({"a": [node] * 65}, {})


def test_a_table_of_many_columns():
    names = np.array([f"column {i}" for i in range(300_000)], dtype=object)
    node, tensors = codec.encode({"names": names})
    assert len(strict_json.dump(node)) < 300
    assert same(codec.decode(node, tensors)["names"], names)


def test_nothing_is_left_over():
    with pytest.raises(CorruptFileError, match="nothing uses tensor 't'"):
        codec.decode({}, {"t": torch.ones(2)})


JSON = {
    "no JSON": "{",
    "a word": "os.system",
    "half a string": '"abc',
    "escapes without an end": '"' + '\\"' * 200_000,
    "twice": '{"a": 1, "a": 2}',
    "digits": "9" * 30,
    "more digits": "9" * 10_000,
    "long float": "0." + "1" * 1000,
    "infinite": "1e999",
    "NaN": "NaN",
    "Infinity": "[-Infinity]",
    "deep": "[" * 10_000 + "]" * 10_000,
    "deep in one": '{"a":' * 10_000,
    "wide": "[" + "[]," * 500_000 + "[]]",
    "many commas": "[" + "0," * 500_000 + "0]",
    "control": '"\n"',
}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_strict_json(text):
    with pytest.raises(CorruptFileError):
        strict_json.parse(text)


def test_json_numbers_are_exact():
    for value in (0.1, 1e-320, -0.0, 2.0**1000, 2**63, -(2**63), 5e-324, 1.7976931348623157e308):
        assert same(strict_json.parse(strict_json.dump(value)), value)
