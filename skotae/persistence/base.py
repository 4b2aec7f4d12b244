"""What the files of this room share: the form of a node, and what a kind of value is given.

A value that JSON has no form for is an object with the key ``"$"``, which holds the name of
its kind. One file holds the kinds of one sort: `encode` functions take a value, its path and
an `Encoder`, and return None for what is not theirs; `decode` functions take a node and a
`Decoder`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from skotae.exceptions import CorruptFileError

TAG = "$"
Node = Any
# Of what takes much more memory or time than bytes, so much may be in one file: characters in
# arrays of strings of fixed width, where each string is as long as the longest one, and
# distributions of scipy or torch.
LIMITS = {"characters": 2**24, "distributions": 64}


class Encoder(Protocol):
    """From values to nodes, for what is inside of a value."""

    def value(self, value: Any, path: str) -> Node:
        """The node of any value; `path` names it in messages."""

    def tensor(self, tensor: Tensor, path: str) -> Node:
        """Put a tensor into the file; the node that refers to it."""

    def spend(self, what: str, n: int) -> None:
        """Count what `LIMITS` bounds."""


class Decoder(Protocol):
    """From nodes to values, for what is inside of a node."""

    def value(self, node: Node) -> Any:
        """The value of any node."""

    def tensor(self, node: Node) -> Tensor:
        """The tensor that a node refers to, which no other node may."""

    def spend(self, what: str, n: int) -> None:
        """Count what `LIMITS` bounds."""

    def resolve(self, module: str, qualname: str) -> Any:
        """A trusted object, imported."""


Encode = Callable[[Any, str, Encoder], Node]
Decode = Callable[[Mapping[str, Node], Decoder], Any]


class Budget:
    """What is left of `LIMITS` for one file.

    Parameters
    ----------
    error : type of exception
        Raised once nothing is left.
    """

    def __init__(self, error: type[Exception]):
        self._error = error
        self._left = dict(LIMITS)

    def spend(self, what: str, n: int) -> None:
        self._left[what] -= n
        if self._left[what] < 0:
            raise self._error(f"it has more than {LIMITS[what]} {what}, which is the most")


def tagged(kind: str, **fields: Node) -> Node:
    """The node of a kind of value."""
    return {TAG: kind, **fields}


def fields(node: Mapping[str, Node], *names: str) -> list[Node]:
    """The fields of a node, which has these and no others."""
    if node.keys() != {TAG, *names}:
        raise CorruptFileError(f"a value of kind {shown(node[TAG])} has other fields than it needs")
    return [node[name] for name in names]


def shown(value: Any, length: int = 80) -> str:
    """A name from a file or a value for a message: escaped, and never long."""
    if isinstance(value, str):
        text = repr(value[: length + 1])
    elif value is None or isinstance(value, (bool, int, float)):
        text = repr(value)
    else:
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= length else f"{text[:length]}..."


def type_name(value: Any) -> str:
    """Name of the type of a value, with its module where that tells something."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def float_node(value: float) -> Node:
    """A float where its kind is known: a number, or the name of one that JSON has not."""
    return value if math.isfinite(value) else repr(value)


def float_of(node: Node) -> float:
    """The float of such a node."""
    if type(node) is float or node in ("inf", "-inf", "nan"):
        return float(node)
    raise CorruptFileError(f"{shown(node)} stands where a number with a point belongs")


def int_of(node: Node, low: int, high: int) -> int:
    """An integer within bounds."""
    if type(node) is int and low <= node <= high:
        return node
    raise CorruptFileError(f"{shown(node)} stands where an integer from {low} to {high} belongs")


def str_of(node: Node) -> str:
    """A string."""
    if type(node) is str and is_text(node):
        return node
    raise CorruptFileError(f"{shown(node)} stands where text belongs")


def list_of(node: Node) -> list[Node]:
    """A list."""
    if type(node) is list:
        return node
    raise CorruptFileError(f"{shown(node)} stands where a list belongs")


def dict_of(node: Node) -> dict[str, Node]:
    """An object without a kind."""
    if type(node) is dict and TAG not in node:
        return node
    raise CorruptFileError(f"{shown(node)} stands where an object belongs")
