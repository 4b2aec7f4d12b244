"""The tensors of a file: collected under names of their own, handed out once each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.base import Node, fields, list_of, shown, str_of, tagged, type_name

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_NAME = 200


class Collection:
    """The tensors that go into a file.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Each on the CPU, contiguous, and with memory that no other one has.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._storages: set[int] = set()

    def add(self, tensor: Tensor, path: str) -> Node:
        """Put in a tensor, under a name like `path`; the node that refers to it."""
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
            raise UnsavableError(
                f"{path} is a tensor of type {type_name(tensor)} and layout {tensor.layout}; "
                "expected a plain, dense tensor."
            )
        if tensor.dtype not in NAMES or tensor.device.type == "meta":
            raise UnsavableError(
                f"{path} is a tensor of dtype {tensor.dtype} on device {tensor.device}; expected "
                f"one with data, and of a dtype among {sorted(map(str, NAMES))}."
            )
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        # Two tensors of one storage go in as two: each comes back by value.
        if plain.untyped_storage().data_ptr() in self._storages:
            plain = plain.clone(memory_format=torch.contiguous_format)
        if plain.numel():
            self._storages.add(plain.untyped_storage().data_ptr())
        name = self._free_name(path)
        self.tensors[name] = plain
        return tagged("tensor", name=name, dtype=NAMES[plain.dtype], shape=[*plain.shape])

    def _free_name(self, path: str) -> str:
        # ``__metadata__`` is taken by the format; no name of a file begins with underscores.
        base = path.lstrip("_")[:MAX_NAME] or "tensor"
        name, count = base, 1
        while name in self.tensors:
            count += 1
            name = f"{base}#{count}"
        return name


class Handout:
    """The tensors that came out of a file."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._left = dict(tensors)

    def take(self, node: Node) -> Tensor:
        """The tensor that a node refers to."""
        name, dtype, shape = fields(node, "name", "dtype", "shape")
        if str_of(name) not in self._left:
            raise CorruptFileError(f"tensor {shown(name)} is not there, or is used twice")
        tensor = self._left.pop(name)
        if [*tensor.shape] != list_of(shape) or NAMES[tensor.dtype] != str_of(dtype):
            raise CorruptFileError(f"tensor {shown(name)} has another shape or dtype than it says")
        return tensor

    def check_empty(self) -> None:
        """Raise a CorruptFileError if a tensor is left that nothing refers to."""
        if self._left:
            raise CorruptFileError(f"nothing uses tensor {shown(next(iter(self._left)))}")
