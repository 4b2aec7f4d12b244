"""Between the state of an estimator and what a file holds: JSON and named tensors."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from skotae.exceptions import CorruptFileError, PersistenceError, UnsavableError, UntrustedError
from skotae.persistence.base import (
    TAG,
    Budget,
    Decode,
    Decoder,
    Node,
    fields,
    float_node,
    float_of,
    is_text,
    list_of,
    shown,
    tagged,
    type_name,
)
from skotae.persistence.format import _arrays, _distributions, _parts
from skotae.persistence.format._tensors import Collection as Tensors
from skotae.persistence.format._tensors import Handout

# Of values in values; JSON has up to three levels for each.
MAX_DEPTH = 32
MAX_INT = 2**63
# So many floats in a list lie as a tensor, in 8 bytes each and bit for bit.
LONG = 32
KINDS = (_arrays.encode, _distributions.encode, _parts.encode)
ADVICE = (
    "expected None, booleans, numbers, strings, lists, tuples and dicts of them, arrays, tensors, "
    "parts of skotae, importable functions and classes, or objects of an importable class "
    "derived from sklearn.base.BaseEstimator, which are their parameters."
)


def encode(state: Mapping[str, Any]) -> tuple[Node, dict[str, Tensor]]:
    """The node of a state, and the tensors that it refers to.

    Raises
    ------
    UnsavableError
        For what a file cannot hold; the message has the path of the value, as in
        ``encoder.activation``, and a way out.
    """
    encoding = _Encoding()
    return encoding.mapping(state, ""), encoding.tensors.tensors


def decode(node: Node, tensors: Mapping[str, Tensor], trusted: Collection[str] = ()) -> Any:
    """The value of a node. Nothing is imported but what `trusted` lists.

    Raises
    ------
    UntrustedError
        If the node names classes or functions that are not trusted; nothing is made then.
    CorruptFileError
        If the node is not one that `encode` writes.
    """
    check_trust(node, trusted)
    decoding = _Decoding(tensors, trusted)
    value = decoding.value(node)
    decoding.tensors.check_empty()
    return value


class _Encoding:
    def __init__(self) -> None:
        self.tensors = Tensors()
        self.spend = Budget(UnsavableError).spend
        self._depth = 0

    def tensor(self, tensor: Tensor, path: str) -> Node:
        return self.tensors.add(tensor, path)

    def value(self, value: Any, path: str) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnsavableError(f"{path[:80]} is nested more than {MAX_DEPTH} deep.")
        node = self._any(value, path)
        self._depth -= 1
        return node

    def _any(self, value: Any, path: str) -> Node:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            if abs(value) > MAX_INT:
                raise UnsavableError(f"{path} is an integer of more than 64 bits.")
            return value
        if kind is float:
            node = float_node(value)
            return node if type(node) is float else tagged("float", value=node)
        if kind is str:
            return self._text(value, path)
        if kind is list and len(value) >= LONG and all(type(each) is float for each in value):
            numbers = torch.tensor(value, dtype=torch.float64, device="cpu")
            return tagged("floats", data=self.tensor(numbers, path))
        if kind in (list, tuple):
            items = [self.value(each, f"{path}[{i}]") for i, each in enumerate(value)]
            return items if kind is list else tagged("tuple", items=items)
        if kind in (dict, OrderedDict):
            return self.mapping(value, path)
        for encode_kind in KINDS:
            node = encode_kind(value, path, self)
            if node is not None:
                return node
        raise UnsavableError(f"{path} is of type {type_name(value)}; {ADVICE}")

    def _text(self, value: str, path: str) -> str:
        if not is_text(value):
            raise UnsavableError(f"{path} is a string with half of a surrogate pair.")
        return value

    def mapping(self, value: Mapping[Any, Any], path: str) -> Node:
        if not all(type(key) in (str, int) for key in value):
            raise UnsavableError(
                f"{path} is a dict with keys that are neither strings nor integers."
            )
        items = [
            (self._any(key, f"a key of {path}"), self.value(each, f"{path}.{key}".lstrip(".")))
            for key, each in value.items()
        ]
        if TAG in value or not all(type(key) is str for key in value):
            return tagged("dict", items=[[*item] for item in items])
        return dict(items)


class _Decoding:
    def __init__(self, tensors: Mapping[str, Tensor], trusted: Collection[str]):
        self.tensors = Handout(tensors)
        self.spend = Budget(CorruptFileError).spend
        self._trusted = trusted
        self._depth = 0

    def tensor(self, node: Node) -> Tensor:
        if type(node) is not dict or node.get(TAG) != "tensor":
            raise CorruptFileError(f"{shown(node)} stands where a tensor belongs")
        return self.tensors.take(node)

    def value(self, node: Node) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CorruptFileError(f"its values are nested more than {MAX_DEPTH} deep")
        value = self._any(node)
        self._depth -= 1
        return value

    def _any(self, node: Node) -> Any:
        if type(node) is int and abs(node) > MAX_INT:
            raise CorruptFileError("an integer has more than 64 bits")
        if type(node) is str and not is_text(node):
            raise CorruptFileError("a string has half of a surrogate pair")
        if type(node) is list:
            return [self.value(each) for each in node]
        if type(node) is not dict:
            return node
        if TAG not in node:
            return {self._any(key): self.value(each) for key, each in node.items()}
        kind = node[TAG]
        if type(kind) is not str or kind not in DECODE:
            raise CorruptFileError(f"{shown(kind)} is no kind of value")
        return DECODE[kind](node, self)

    def resolve(self, module: str, qualname: str) -> Any:
        path = f"{module}.{qualname}"
        if path not in self._trusted:
            raise UntrustedError(f"{shown(path)} is not trusted")
        try:
            found: Any = importlib.import_module(module)
            for name in qualname.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise PersistenceError(
                f"{path} cannot be imported here: {error}. Install or put it where Python finds "
                "it, under the name that it had when the file was written."
            ) from error
        return found


def check_trust(node: Node, trusted: Collection[str]) -> None:
    """Raise an UntrustedError that names all that is not trusted, before anything is made."""
    missing = sorted({*_foreign(node)} - {*trusted})
    if missing:
        raise UntrustedError(
            "it needs code that is not part of skotae and runs when it is used: "
            + ", ".join(shown(path, 200) for path in missing[:10])
            + (", ..." if len(missing) > 10 else "")
            + ". If you know this code and trust the file, pass trusted=["
            + ", ".join(shown(path, 200) for path in missing[:10])
            + "]."
        )


def _foreign(node: Node) -> Iterator[str]:
    """``module.Class`` of every class or function of the user's own."""
    pending = [node]
    while pending:
        each = pending.pop()
        if type(each) is dict:
            if each.get(TAG) in ("object", "instance"):
                yield f"{each.get('module')}.{each.get('qualname')}"
            pending.extend(each.values())
        elif type(each) is list:
            pending.extend(each)


def _decode_dict(node: Mapping[str, Node], decoder: Decoder) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for item in list_of(*fields(node, "items")):
        key, each = item if type(item) is list and len(item) == 2 else (None, None)
        if type(key) not in (str, int) or key in made:
            raise CorruptFileError("a dict has a key twice, or one that is no key")
        made[decoder.value(key)] = decoder.value(each)
    return made


def _decode_floats(node: Mapping[str, Node], decoder: Decoder) -> list[float]:
    tensor = decoder.tensor(*fields(node, "data"))
    if tensor.dtype != torch.float64 or tensor.ndim != 1:
        raise CorruptFileError("a list of floats lies there as something else")
    return tensor.tolist()


def _decode_tuple(node: Mapping[str, Node], decoder: Decoder) -> tuple[Any, ...]:
    return tuple(decoder.value(each) for each in list_of(*fields(node, "items")))


def _decode_float(node: Mapping[str, Node], decoder: Decoder) -> float:
    return float_of(*fields(node, "value"))


DECODE: dict[str, Decode] = {
    "dict": _decode_dict,
    "float": _decode_float,
    "floats": _decode_floats,
    "tuple": _decode_tuple,
    **_arrays.DECODE,
    **_distributions.DECODE,
    **_parts.DECODE,
}
