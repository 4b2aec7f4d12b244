"""Devices, and the passage between NumPy and torch."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from skotae.utils._containers import check_container
from skotae.utils._threads import threads_for
from skotae.utils.base import brief, shortened

Module = TypeVar("Module", bound=nn.Module)

TORCH_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to train on.

    ``"auto"`` is the device named by the environment variable ``SKOTAE_DEVICE`` if it is
    set, else CUDA, then MPS, then the CPU, whichever is there first. Several worker
    processes on one host are spread over its GPUs: those of ``torchrun`` by their local rank,
    others by their process number.

    Raises
    ------
    ValueError
        If the device is unknown or not present on this machine.
    """
    source = "device"
    if device == "auto":
        if requested := os.environ.get("SKOTAE_DEVICE"):
            device, source = requested, "SKOTAE_DEVICE"
        elif torch.cuda.is_available():
            count = torch.cuda.device_count()
            number = int(os.environ.get("LOCAL_RANK", os.getpid()))
            return torch.device("cuda", number % count)
        elif torch.backends.mps.is_available():
            return torch.device("mps")
        else:
            return torch.device("cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"{source}={brief(device)} is not a device of this machine; expected 'auto', 'cpu', "
            f"'cuda', 'cuda:<index>' or 'mps', as far as present "
            f"({shortened(str(error), 200)})."
        ) from error
    if resolved.type == "meta":
        raise ValueError(f"{source}={device!r} holds no data; expected 'auto', 'cpu' or a GPU.")
    return resolved


def as_rows(X: Any, name: str = "X") -> Any:
    """What scikit-learn can take for X: the numbers of a tensor in an array of its dtype.

    Without gradient, from any device. Arrays of other libraries of the array API, which exchange
    memory by DLPack, are tensors first; a batch of records of PyArrow is a table, whose names of
    columns scikit-learn knows.

    Raises
    ------
    ValueError
        If values of a masked array are masked: what is under the mask is nothing to learn from; or
        if a file is closed.
    TypeError
        If a tensor is sparse, nested, quantized or without numbers, or if it is a dataset of torch
        whose items are more than rows.
    """
    check_container(X, name)
    if type(X).__module__ == "pyarrow.lib" and type(X).__name__ == "RecordBatch":
        return import_module("pyarrow").Table.from_batches([X])
    if isinstance(X, np.ma.MaskedArray):
        if np.ma.is_masked(X):
            raise ValueError(
                f"{name} is an array with {int(np.ma.getmaskarray(X).sum())} masked values; "
                "expected one without, such as X.filled(...) with values that stand for them."
            )
        return X.data
    if not hasattr(X, "__array__") and hasattr(X, "__array_interface__"):
        # A picture of Pillow, of which scikit-learn does not know how many columns it has.
        return np.asarray(X)
    if _has_namespace(X):
        X = torch.from_dlpack(X)
    if isinstance(X, torch.Tensor):
        check_readable(X, name)
        X = X.detach().cpu().resolve_conj().resolve_neg()
        return (X.double() if X.dtype == torch.bfloat16 else X).numpy()
    return X


def check_readable(X: torch.Tensor, name: str) -> None:
    """Raise a TypeError for a tensor whose numbers are not in an array of its shape."""
    if X.layout is torch.strided and not (X.is_nested or X.is_quantized or X.is_meta):
        return
    kinds = (
        ("nested", X.is_nested, f"one of two dimensions: {name}.to_padded_tensor(...)"),
        ("sparse", X.layout != torch.strided, f"a dense one: {name}.to_dense()"),
        ("quantized", X.is_quantized, f"one of numbers: {name}.dequantize()"),
        ("meta", X.is_meta, "one on a device that holds numbers"),
    )
    for kind, found, instead in kinds:
        if found:
            raise TypeError(f"{name} is a {kind} tensor; expected {instead}.")


def check_tensor(X: Any, name: str) -> None:
    """Raise a ValueError unless X is a tensor, and a TypeError as `check_readable` does."""
    if not isinstance(X, torch.Tensor):
        raise ValueError(f"{name} must be a torch tensor, got {type(X).__name__}.")
    check_readable(X, name)


# What torch says of operations in place that it cannot do: of a result that is larger than what
# it shall be written into, of rows that are expanded, and of leaves.
MISFITS = (
    *("output with shape", "unsupported operation: more than one element"),
    *("a leaf Variable", "a view of a leaf Variable"),
)


def read_only(
    function: Callable[..., Tensor], name: str, *rows: Tensor, of: Any = None, **options: Any
) -> Tensor:
    """What a function, or a method `of` a part, gives for rows or codes that others need after it.

    Raises
    ------
    ValueError
        If it writes into them.
    """
    watched = [part for part in rows if not part.is_inference()]
    versions = [part._version for part in watched]
    value, misfit = rows[0], False
    try:
        value = function(*rows, **options)
    except RuntimeError as error:
        misfit = str(error).startswith(MISFITS)
        if not misfit:
            raise
    if misfit or versions != [part._version for part in watched]:
        raise ValueError(
            f"{name}={function if of is None else of!r} writes into the rows that it is given; "
            "expected one without operations in place, such as x -= y or x.abs_()."
        )
    return value


def _has_namespace(X: Any) -> bool:
    """Whether X is an array of the array API, of another library than NumPy."""
    known = isinstance(X, (np.ndarray, np.generic, type))
    return not known and hasattr(X, "__array_namespace__") and hasattr(X, "__dlpack__")


def tensor_of(
    values: Any, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tensor:
    """Numbers as a tensor, copied where they may only be read: torch warns of sharing these."""
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()
    return torch.as_tensor(values, dtype=dtype, device=device)


def in_namespace(array: np.ndarray, like: Any) -> Any:
    """An array in the library and on the device of the rows it is about; as it is for others."""
    if isinstance(like, torch.Tensor):
        dtype = torch.float32 if like.device.type == "mps" else None  # it has no float64
        return torch.as_tensor(array, device=like.device, dtype=dtype)
    if _has_namespace(like):
        return like.__array_namespace__().asarray(array, device=like.device)
    return array


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, of the host or of a device."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and re.search("allocate memory|out of memory", str(error)) is not None
    )


def module_in(module: Module, dtype: torch.dtype) -> Module:
    """``module`` itself if its weights have ``dtype``, else a copy that has it."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(tensor.dtype == dtype for tensor in tensors if tensor.is_floating_point()):
        return module
    # Copied in the other dtype at once.
    memo: dict[int, Any] = {}
    for each in tensors:
        if each.is_floating_point() and type(each) in (torch.Tensor, nn.Parameter):
            value = each.detach().to(dtype, copy=True)
            if isinstance(each, nn.Parameter):
                value = nn.Parameter(value, each.requires_grad)
            memo[id(each)] = value
    return copy.deepcopy(module, memo).to(dtype)


# torch's default dtype belongs to the process, not to a thread: the first thread of ours that
# needs another one sets it, the last one puts it back.
# Reentrant: an interrupt at the wrong moment may leave it held, by the thread it is raised in.
_dtype_lock = threading.RLock()
_n_inside = 0
_dtype_outside = torch.float32


def _outside() -> None:
    """In a forked child none of the other threads is there to leave."""
    global _dtype_lock, _n_inside
    _dtype_lock, _n_inside = threading.RLock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_outside)


@contextlib.contextmanager
def ambient(gradients: bool = False) -> Iterator[None]:
    """Torch as our own code takes it to be, whatever the caller has set; put back at the end.

    Gradients on or off, no inference mode, no autocast, float32 and the CPU as defaults, and
    one thread, where no work is known to be worth more.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_plain_dtype())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(threads_for(0.0))
        yield


@contextlib.contextmanager
def _plain_dtype() -> Iterator[None]:
    global _n_inside, _dtype_outside
    inside = False
    try:
        with _dtype_lock:
            if _n_inside == 0:
                _dtype_outside = torch.get_default_dtype()
            # Counted before anything is changed: Ctrl-C may come in between.
            _n_inside, inside = _n_inside + 1, True
            if _dtype_outside != torch.float32:
                torch.set_default_dtype(torch.float32)
        yield
    finally:
        if inside:
            with _dtype_lock:
                _n_inside -= 1
                if _n_inside == 0 and _dtype_outside != torch.float32:
                    torch.set_default_dtype(_dtype_outside)
