"""The description of a state in its file: schema, versions, what it is of, the state."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

from skotae.exceptions import CorruptFileError, VersionError
from skotae.persistence.base import Node, dict_of, shown
from skotae.persistence.format import codec, file, strict_json

SCHEMA = 1
# From the document of one schema to that of the next: a later skotae reads an older file.
MIGRATIONS: dict[int, Callable[[dict[str, Node]], dict[str, Node]]] = {}
LIBRARIES = ("skotae", "torch", "scikit-learn", "numpy")

Check = Callable[[int], None]


class Document(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    kind : str or class
        What the state is of.
    state : dict of str to object
        The state.
    n_elements, n_tensors : int
        Number of elements of all tensors in the file, and of tensors.
    """

    kind: Any
    state: dict[str, Any]
    n_elements: int
    n_tensors: int


def write(path: str, kind: Any, state: Mapping[str, Any], check: Check | None = None) -> None:
    """Write a state; `check` is called before, with the number of elements of its tensors.

    Parameters
    ----------
    path : str
        The file.
    kind : str or class
        What the state is of.
    state : mapping of str to object
        What `codec.encode` takes.
    check : callable, default=None
        Raises if the state is not to be written after all.
    """
    of, _ = codec.encode({"its class": kind})
    node, tensors = codec.encode(state)
    if check is not None:
        check(sum(tensor.numel() for tensor in tensors.values()))
    versions = {library: version(library) for library in LIBRARIES}
    document = {"schema": SCHEMA, "versions": versions, "class": of["its class"], "state": node}
    file.write(path, tensors, strict_json.dump(document))


def read(path: str, trusted: Collection[str] = ()) -> Document:
    """Read a state that `write` wrote, of this schema or an earlier one."""
    tensors, text = file.read(path)
    document = _current(strict_json.parse(text))
    values = codec.decode({name: document[name] for name in ("class", "state")}, tensors, trusted)
    if type(values["state"]) is not dict or not all(type(key) is str for key in values["state"]):
        raise CorruptFileError("its state is none")
    n_elements = sum(tensor.numel() for tensor in tensors.values())
    return Document(values["class"], values["state"], n_elements, len(tensors))


def write_state(path: str | os.PathLike[str], kind: str, state: Mapping[str, Any]) -> None:
    """Write plain values and tensors, of a kind that is no estimator."""
    write(os.fspath(path), kind, state)


def read_state(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what `write_state` wrote."""
    document = read(os.fspath(path))
    if document.kind != kind:
        raise CorruptFileError(f"{os.fspath(path)!r} holds no {kind}, but {shown(document.kind)}")
    return document.state


def _current(document: Node) -> dict[str, Node]:
    """The document as this version writes it.

    Raises
    ------
    VersionError
        If it is of a later version, or of one that is no longer read.
    """
    schema = dict_of(document).get("schema")
    if type(schema) is not int or schema < 1:
        raise CorruptFileError("it has no schema version")
    if schema > SCHEMA:
        versions = document.get("versions")
        writer = versions.get("skotae") if type(versions) is dict else None
        raise VersionError(
            f"it has schema {shown(schema)}, written by skotae {shown(writer)}; this is skotae "
            f"{version('skotae')}, which reads up to schema {SCHEMA}. Install that version or a "
            "later one, or fit again and save with this one."
        )
    for old in range(schema, SCHEMA):
        if old not in MIGRATIONS:
            raise VersionError(
                f"it has schema {old}, which skotae {version('skotae')} no longer reads. Load and "
                "save it with a version between."
            )
        document = MIGRATIONS[old](document)
    if document.keys() != {"schema", "versions", "class", "state"}:
        raise CorruptFileError("its description is not whole")
    return document
