"""JSON that is read strictly: what a file may hold is bounded before anything is made of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from skotae.exceptions import CorruptFileError
from skotae.persistence.base import shown

MAX_DEPTH = 128
# Strings, brackets and commas. Each takes up to 72 bytes once it is a Python object.
MAX_TOKENS = 200_000
# 2**64 has 20 digits, and a float 24 characters at the most.
MAX_DIGITS = 21
MAX_FLOAT = 40

# Possessive, so that long strings need no stack. A quote that begins no whole string is found
# by the last alternative: the scan would start anew at each escaped one behind it.
TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]|,|"', re.DOTALL)


def dump(value: Any) -> str:
    """JSON text of a node, compact."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse(text: str) -> Any:
    """The node of JSON text.

    Raises
    ------
    CorruptFileError
        For text that is no JSON, is nested deeply, has very many parts, a key twice in one
        object, a number of very many digits, or one that is not finite.
    """
    check_extent(text)
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, CorruptFileError):
            raise
        raise CorruptFileError("its description is no JSON") from error


def check_extent(text: str) -> None:
    """Raise a CorruptFileError for text of many parts, or nested deeply."""
    depth = 0
    for count, match in enumerate(TOKEN.finditer(text)):
        token = match[0]
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
        elif token == '"':
            raise CorruptFileError("its description is no JSON")
        if depth > MAX_DEPTH:
            raise CorruptFileError(f"its description is nested more than {MAX_DEPTH} deep")
        if count >= MAX_TOKENS:
            raise CorruptFileError(f"its description has more than {MAX_TOKENS} parts")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise CorruptFileError("its description has a key twice")
    return made


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise CorruptFileError(f"its description has an integer of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= MAX_FLOAT else math.inf
    if not math.isfinite(value):
        raise CorruptFileError(f"its description has the number {shown(digits)}")
    return value


def _constant(name: str) -> float:
    raise CorruptFileError(f"its description has {name}, which is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant
)
