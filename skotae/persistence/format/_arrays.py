"""NumPy and torch: scalars, arrays, tensors, dtypes, devices, random states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.base import (
    Decode,
    Decoder,
    Encoder,
    Node,
    fields,
    float_node,
    float_of,
    int_of,
    is_text,
    shown,
    str_of,
    tagged,
    type_name,
)
from skotae.persistence.format._tensors import DTYPES, NAMES

# Booleans, integers and floats of up to eight bytes: what a tensor holds too.
NUMBERS = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]")
STRINGS = re.compile(r"object|[<>]U([1-9]\d{0,7})")
DEVICE = re.compile(r"[a-z]{1,16}(:\d{1,3})?")


def encode(value: Any, path: str, encoder: Encoder) -> Node:
    """The node of what NumPy or torch made, or None."""
    if isinstance(value, np.generic):
        return _encode_scalar(value, path)
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, encoder)
    if isinstance(value, np.dtype):
        if NUMBERS.fullmatch(value.str):
            return tagged("dtype", value=value.str)
        raise UnsavableError(f"{path} is the dtype {value}; expected one of numbers.")
    if isinstance(value, np.random.RandomState):
        return _encode_random_state(value, path, encoder)
    if isinstance(value, Tensor):
        return encoder.tensor(value, path)
    if isinstance(value, torch.device):
        return tagged("device", value=str(value))
    if isinstance(value, torch.dtype) and value in NAMES:
        return tagged("torch dtype", value=NAMES[value])
    return None


def _encode_scalar(value: np.generic, path: str) -> Node:
    if type(value) is np.str_ and is_text(value):
        # str() of a NumPy string drops zeros at its end.
        return tagged("scalar", dtype="str", value="".join(value))
    if not NUMBERS.fullmatch(value.dtype.str):
        raise UnsavableError(
            f"{path}={value!r} is a NumPy scalar of type {value.dtype}; expected a string, or a "
            "boolean, integer or float of up to 64 bits."
        )
    number = float_node(float(value)) if value.dtype.kind == "f" else value.item()  # type: ignore[arg-type]
    return tagged("scalar", dtype=value.dtype.str, value=number)


def _encode_array(value: np.ndarray, path: str, encoder: Encoder) -> Node:
    if type(value) is np.memmap:
        # Of a model that joblib has mapped: nothing but numbers.
        value = value.view(np.ndarray)
    if type(value) is not np.ndarray:
        raise UnsavableError(
            f"{path} is an array of type {type_name(value)}; expected a plain one, as "
            "numpy.array(...) makes it."
        )
    if NUMBERS.fullmatch(value.dtype.str):
        native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        data = encoder.tensor(torch.from_numpy(native), path)
        return tagged("array", dtype=value.dtype.str, data=data)
    if value.dtype.kind in "OU" and value.ndim == 1:
        items = ["".join(item) if type(item) is np.str_ else item for item in value.tolist()]
        if all(type(item) is str and is_text(item) for item in items):
            return _encode_strings(value, items, path, encoder)
    raise UnsavableError(
        f"{path} is an array of dtype {value.dtype} and shape {value.shape}; expected one of "
        "booleans, integers or floats of up to 64 bits, or a list of strings."
    )


def _encode_strings(value: np.ndarray, items: list[str], path: str, encoder: Encoder) -> Node:
    """As tensors: a table may have a million columns, for which JSON is no place."""
    dtype = "object" if value.dtype == object else value.dtype.str
    _width(dtype, len(items), encoder)
    parts = [item.encode() for item in items]
    text = np.frombuffer(b"".join(parts), dtype=np.uint8).copy()
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return tagged(
        "strings",
        dtype=dtype,
        text=encoder.tensor(torch.from_numpy(text), path),
        lengths=encoder.tensor(torch.from_numpy(lengths), path),
    )


def _width(dtype: str, n: int, coder: Encoder | Decoder) -> None:
    """Count the characters of n strings of fixed width."""
    match = STRINGS.fullmatch(dtype)
    if not match:
        raise CorruptFileError(f"{shown(dtype)} is no dtype of strings")
    coder.spend("characters", n * int(match[1] or 0))


def _encode_random_state(value: np.random.RandomState, path: str, encoder: Encoder) -> Node:
    state = value.get_state(legacy=False)
    if type(value) is not np.random.RandomState or state["bit_generator"] != "MT19937":
        raise UnsavableError(
            f"{path} is a random state of {state['bit_generator']}; expected an integer, or "
            "numpy.random.RandomState(seed)."
        )
    keys = torch.from_numpy(np.array(state["state"]["key"], dtype=np.uint32))
    return tagged(
        "random state",
        keys=encoder.tensor(keys, path),
        position=int(state["state"]["pos"]),
        has_gauss=int(state["has_gauss"]),
        gauss=float_node(float(state["gauss"])),
    )


def _dtype_of(node: Node) -> np.dtype:
    if not NUMBERS.fullmatch(str_of(node)):
        raise CorruptFileError(f"{shown(node)} is no dtype of numbers")
    return np.dtype(node)


def _decode_scalar(node: Mapping[str, Node], decoder: Decoder) -> Any:
    name, value = fields(node, "dtype", "value")
    if name == "str":
        return np.str_(str_of(value))
    dtype = _dtype_of(name)
    if dtype.kind == "b":
        if type(value) is not bool:
            raise CorruptFileError(f"{shown(value)} stands where a boolean belongs")
        return np.bool_(value)
    if dtype.kind == "f":
        number = float_of(value)
        with np.errstate(over="ignore"):
            made = dtype.type(number)
        if float(made) != number and number == number:
            raise CorruptFileError(f"{shown(value)} is no number of dtype {shown(name)}")
        return made
    info = np.iinfo(dtype)
    return dtype.type(int_of(value, int(info.min), int(info.max)))


def _decode_array(node: Mapping[str, Node], decoder: Decoder) -> np.ndarray:
    name, data = fields(node, "dtype", "data")
    dtype, tensor = _dtype_of(name), decoder.tensor(data)
    if torch.from_numpy(np.empty(0, dtype.newbyteorder("="))).dtype != tensor.dtype:
        raise CorruptFileError(f"an array of dtype {shown(name)} lies there as {tensor.dtype}")
    return np.array(tensor.numpy(), dtype=dtype)


def _decode_strings(node: Mapping[str, Node], decoder: Decoder) -> np.ndarray:
    dtype, *references = fields(node, "dtype", "text", "lengths")
    text, lengths = map(decoder.tensor, references)
    if (text.dtype, lengths.dtype) != (torch.uint8, torch.int64) or lengths.ndim != 1:
        raise CorruptFileError("strings lie there as something else")
    _width(str_of(dtype), len(lengths), decoder)
    within = bool(((lengths >= 0) & (lengths <= text.numel())).all())
    ends = lengths.cumsum(0).tolist() if within else []
    if text.shape != (ends[-1] if ends else 0,) or len(ends) != len(lengths):
        raise CorruptFileError("strings are shorter than they say")
    whole = text.numpy().tobytes()
    try:
        items = [whole[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    except UnicodeDecodeError as error:
        raise CorruptFileError("strings are no text") from error
    made = np.empty(len(items), dtype=dtype)
    made[:] = items
    if made.tolist() != items:
        raise CorruptFileError(f"dtype {shown(dtype)} cuts strings short")
    return made


def _decode_random_state(node: Mapping[str, Node], decoder: Decoder) -> np.random.RandomState:
    keys, position, has_gauss, gauss = fields(node, "keys", "position", "has_gauss", "gauss")
    tensor = decoder.tensor(keys)
    if tensor.dtype != torch.uint32 or tensor.shape != (624,):
        raise CorruptFileError("a random state has no 624 keys of 32 bits")
    state = np.random.RandomState(0)
    state.set_state(
        (
            "MT19937",
            tensor.numpy(),
            int_of(position, 0, 624),
            int_of(has_gauss, 0, 1),
            float_of(gauss),
        )
    )
    return state


def _decode_dtype(node: Mapping[str, Node], decoder: Decoder) -> np.dtype:
    return _dtype_of(*fields(node, "value"))


def _decode_device(node: Mapping[str, Node], decoder: Decoder) -> torch.device:
    (name,) = fields(node, "value")
    try:
        if DEVICE.fullmatch(str_of(name)):
            return torch.device(name)
    except RuntimeError as error:
        raise CorruptFileError(f"{shown(name)} is no device") from error
    raise CorruptFileError(f"{shown(name)} is no device")


def _decode_torch_dtype(node: Mapping[str, Node], decoder: Decoder) -> torch.dtype:
    (name,) = fields(node, "value")
    if str_of(name) not in DTYPES:
        raise CorruptFileError(f"{shown(name)} is no dtype of torch")
    return DTYPES[name]


DECODE: dict[str, Decode] = {
    "array": _decode_array,
    "device": _decode_device,
    "dtype": _decode_dtype,
    "random state": _decode_random_state,
    "scalar": _decode_scalar,
    "strings": _decode_strings,
    "tensor": lambda node, decoder: decoder.tensor(node),
    "torch dtype": _decode_torch_dtype,
}
