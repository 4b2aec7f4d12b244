"""Parts of an estimator: skotae's own by name, a user's by module and name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from sklearn.base import BaseEstimator
from torch import nn

from skotae import costs, divergences, networks, priors
from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.base import (
    Decode,
    Decoder,
    Encoder,
    Node,
    dict_of,
    fields,
    shown,
    str_of,
    tagged,
    type_name,
)

PARTS: dict[str, type[BaseEstimator]] = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (networks, priors, costs, divergences)
    for name in room.__all__
    if inspect.isclass(getattr(room, name)) and issubclass(getattr(room, name), BaseEstimator)
}
NAMES = {cls: name for name, cls in PARTS.items()}


def encode(value: Any, path: str, encoder: Encoder) -> Node:
    """The node of a part, a class or a function, or None."""
    if type(value) in NAMES:
        return tagged("part", name=NAMES[type(value)], params=_params(value, path, encoder))
    if isinstance(value, (type, FunctionType)):
        return tagged("object", **reference(value, f"{path} is"))
    if isinstance(value, nn.Module):
        raise UnsavableError(
            f"{path} is a live module of type {type_name(value)}, which a file cannot hold; "
            "expected a spec such as skotae.networks.MLP(...), or the class of the module, or a "
            "class with a method build(n_in, n_out) that returns it, in a module that can be "
            "imported."
        )
    if hasattr(type(value), "fit"):
        raise UnsavableError(
            f"{path} is an estimator of its own, of type {type_name(value)}; save it by itself, "
            "and set it anew after loading."
        )
    if hasattr(type(value), "get_params"):
        where = reference(type(value), f"{path} is an object of class")
        return tagged("instance", **where, params=_params(value, path, encoder))
    return None


def _params(value: Any, path: str, encoder: Encoder) -> dict[str, Node]:
    try:
        params = value.get_params(deep=False)
    except AttributeError as error:
        raise UnsavableError(
            f"{path} of type {type_name(value)} has lost a parameter: {error}; expected an "
            "attribute for each argument of its constructor."
        ) from error
    return {name: encoder.value(each, f"{path}.{name}") for name, each in params.items()}


def reference(value: Any, subject: str) -> dict[str, str]:
    """Where a class or a function is imported from; `subject` begins the message if nowhere.

    Raises
    ------
    UnsavableError
        If it cannot be.
    """
    module, qualname = value.__module__, value.__qualname__
    if module == "__main__" or "<" in qualname:
        raise UnsavableError(
            f"{subject} {qualname} of {module}, which another process cannot import; "
            "move it to the top level of a module (a file of your own, say mynetworks.py), import "
            "it from there and fit again."
        )
    if lookup(module, qualname) is not value:
        raise UnsavableError(
            f"{subject} {qualname}, but {module}.{qualname} is something else, or is "
            "not there; expected what can be imported under its own name."
        )
    return {"module": module, "qualname": qualname}


def lookup(module: str, qualname: str) -> Any:
    """What a module that is already imported has under a name, or None."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _decode_part(node: Mapping[str, Node], decoder: Decoder) -> Any:
    name, params = fields(node, "name", "params")
    if str_of(name) not in PARTS:
        raise CorruptFileError(
            f"{shown(name)} is no part of this skotae; perhaps of a later version"
        )
    return _make(PARTS[name], params, decoder)


def _decode_object(node: Mapping[str, Node], decoder: Decoder) -> Any:
    found = decoder.resolve(*map(str_of, fields(node, "module", "qualname")))
    if not isinstance(found, (type, FunctionType)):
        raise CorruptFileError(f"{shown(node['qualname'])} is neither a class nor a function")
    return found


def _decode_instance(node: Mapping[str, Node], decoder: Decoder) -> Any:
    module, qualname, params = fields(node, "module", "qualname", "params")
    cls = decoder.resolve(str_of(module), str_of(qualname))
    if not isinstance(cls, type) or not hasattr(cls, "get_params"):
        raise CorruptFileError(f"{shown(qualname)} is no class with get_params")
    return _make(cls, params, decoder)


def _make(cls: type, params: Node, decoder: Decoder) -> Any:
    arguments = {name: decoder.value(each) for name, each in dict_of(params).items()}
    try:
        return cls(**arguments)
    except Exception as error:
        raise CorruptFileError(
            f"{cls.__name__} does not take the parameters of the file: {error}"
        ) from error


DECODE: dict[str, Decode] = {
    "instance": _decode_instance,
    "object": _decode_object,
    "part": _decode_part,
}
