"""One safetensors file: written as a whole or not at all, and checked before it is believed.

The file is eight bytes with the length n of the header, n bytes of JSON, and the tensors. Among
the metadata of the header are the text that describes the state, and the SHA-256 of the whole
file, taken while its own 64 digits are zeros.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.base import int_of, list_of, shown, str_of
from skotae.persistence.format import strict_json
from skotae.persistence.format._tensors import DTYPES

FORMAT = "skotae"
ZEROS = b"0" * 64
# A quote within a text is escaped, so that only the metadata themselves can look like this.
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
MAX_HEADER = 2**22
MAX_DIMENSIONS = 32
# safetensors writes no valid file for no tensors.
NOTHING = "nothing"


class Entry(NamedTuple):
    """Where a tensor lies, from the end of the header on."""

    name: str
    dtype: torch.dtype
    shape: list[int]
    start: int
    stop: int


def write(path: str, tensors: Mapping[str, Tensor], text: str) -> None:
    """Write a file in the place of the one that is there, if there is one.

    Whatever happens meanwhile, `path` is either what it was or the new file, whole.

    Raises
    ------
    OSError
        With the path, where the disk does not do it.
    UnsavableError
        If the text is longer than `read` allows.
    """
    tensors = tensors or {NOTHING: torch.empty(0, dtype=torch.uint8, device="cpu")}
    metadata = {"format": FORMAT, "sha256": ZEROS.decode(), "skotae": text}
    raw = memoryview(safetensors.torch.save(dict(tensors), metadata))
    length = int.from_bytes(raw[:8], "little")
    header, body = _in_order(bytes(raw[8 : 8 + length])), raw[8 + length :]
    if len(header) > MAX_HEADER:
        raise UnsavableError(
            f"the numbers and names outside of tensors take {len(header)} bytes; expected at the "
            f"most {MAX_HEADER}. Long lists are better arrays, and columns better without names."
        )
    try:
        # Whatever is written can be read.
        _parse(header, len(body))
        strict_json.check_extent(text)
    except CorruptFileError as error:
        raise UnsavableError(
            f"{error}; expected fewer values outside of arrays, or columns without names."
        ) from error
    start = len(header).to_bytes(8, "little")
    digest = hashlib.sha256(start + header)
    digest.update(body)
    _replace(path, [start, _with_digest(header, digest.hexdigest().encode()), body])


def _with_digest(header: bytes, digest: bytes) -> bytes:
    return DIGEST.sub(b'"sha256":"%s"' % digest, header)


def _in_order(header: bytes) -> bytes:
    """The header with sorted metadata, which safetensors shuffles: one state is one file."""
    entries = json.loads(header)
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    text = strict_json.dump(entries).encode()
    return text + b" " * (-len(text) % 8)


def _replace(path: str, chunks: list[Any]) -> None:
    # A link stays one: the file that it leads to is replaced.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    with _explained(path, folder):
        if os.path.lexists(target) and not os.path.isfile(target):
            raise IsADirectoryError(errno.EISDIR, "not a file that could be replaced", path)
        temporary = os.path.join(folder, f".skotae-{secrets.token_hex(8)}.tmp")
        try:
            with open(temporary, "xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if os.path.exists(target):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            # After a success there is none. KeyboardInterrupt comes through here too.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make a new name in a folder last through a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no such thing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: str, folder: str) -> Iterator[None]:
    """Errors of the disk with the path that was asked for, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            reason = f"there is no folder {folder!r}; make it first"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = f"folder {folder!r} cannot be written to; choose another one"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = "the disk is full, or this user's share of it"
        else:
            reason = error.strerror or "the system refused"
        raise type(error)(error.errno, f"Not saved, and nothing was changed: {reason}", path) from (
            error
        )


def read(path: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file, each with memory of its own, and its text.

    Raises
    ------
    CorruptFileError
        If one bit of the file is not what was written, or if it is not written by skotae.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise CorruptFileError("it is no regular file")
    # Tensors made in inference mode could never be trained again.
    with open(path, "rb") as file, torch.inference_mode(False):
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise CorruptFileError("it is cut short, or not written by skotae")
        if length > MAX_HEADER:
            raise CorruptFileError(f"its header has {length} bytes, more than skotae writes")
        header = _exactly(file, length)
        digests = DIGEST.findall(header)
        if len(digests) != 1:
            raise CorruptFileError("it is damaged, or not written by skotae")
        entries, text = _parse(header, size - 8 - length)
        digest = hashlib.sha256(start)
        digest.update(_with_digest(header, ZEROS))
        tensors = {entry.name: _tensor(file, entry, digest) for entry in entries}
    if digest.hexdigest().encode() != digests[0]:
        raise CorruptFileError("it is damaged: its contents are not those of its checksum")
    for name, tensor in tensors.items():
        # Other bytes than 0 and 1 are both true and false to torch.
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise CorruptFileError(f"tensor {shown(name)} holds booleans that are none")
    if NOTHING in tensors and len(tensors) == 1:
        tensors = {}
    return tensors, text


def _exactly(file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) < n:
        raise CorruptFileError("it is cut short")
    return data


def _parse(header: bytes, n_bytes: int) -> tuple[list[Entry], str]:
    """Entries in the order of their bytes, of which none is left out, and the text."""
    try:
        entries = strict_json.parse(header.decode())
    except UnicodeDecodeError as error:
        raise CorruptFileError("its header is no text") from error
    metadata = entries.pop("__metadata__", None) if type(entries) is dict else None
    if type(metadata) is not dict or metadata.keys() != {"format", "sha256", "skotae"}:
        raise CorruptFileError("it is damaged, or not written by skotae")
    if metadata["format"] != FORMAT:
        raise CorruptFileError(f"its format is {shown(metadata['format'])}, not {FORMAT!r}")
    found = sorted((_entry(*item) for item in entries.items()), key=lambda entry: entry[3:])
    place = 0
    for entry in found:
        if entry.start != place:
            raise CorruptFileError(f"tensor {shown(entry.name)} overlaps another one, or a gap")
        # An empty tensor may have huge sides, that other sizes are then made from.
        if max(entry.shape, default=0) > n_bytes + MAX_HEADER:
            raise CorruptFileError(f"tensor {shown(entry.name)} is larger than the file")
        place = entry.stop
    if place != n_bytes:
        raise CorruptFileError("its tensors do not fill it")
    return found, str_of(metadata["skotae"])


def _entry(name: str, value: Any) -> Entry:
    if type(value) is not dict or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise CorruptFileError(f"tensor {shown(name)} is not described as one")
    kind, shape, offsets = value["dtype"], list_of(value["shape"]), list_of(value["data_offsets"])
    if type(kind) is not str or kind not in DTYPES:
        raise CorruptFileError(f"tensor {shown(name)} has the unknown dtype {shown(kind)}")
    if len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise CorruptFileError(f"tensor {shown(name)} is not described as one")
    start, stop = (int_of(each, 0, 2**62) for each in offsets)
    sides = [int_of(each, 0, 2**62) for each in shape]
    if stop - start != math.prod(sides) * DTYPES[kind].itemsize:
        raise CorruptFileError(f"tensor {shown(name)} has another size than its shape")
    return Entry(str_of(name), DTYPES[kind], sides, start, stop)


def _tensor(file: BinaryIO, entry: Entry, digest: Any) -> Tensor:
    data = torch.empty(entry.stop - entry.start, dtype=torch.uint8, device="cpu")
    view = data.numpy()
    if file.readinto(view) < len(view):  # type: ignore[attr-defined]
        raise CorruptFileError("it is cut short")
    digest.update(view)
    return data.view(entry.dtype).reshape(entry.shape)
