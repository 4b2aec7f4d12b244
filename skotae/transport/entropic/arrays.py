"""NumPy on the CPU, torch elsewhere: the small arrays of the Sinkhorn solver.

A NumPy operation on a vector of some hundred entries takes a third of the time of torch's, and the
memory is shared. What is as large as a kernel is made by torch, which has the faster exponential.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable
from functools import cache
from types import EllipsisType, ModuleType

import numpy as np
import torch
from scipy.linalg.lapack import dposv
from torch import Tensor

Array: typing.TypeAlias = np.ndarray | Tensor
Index: typing.TypeAlias = tuple[int | slice | EllipsisType | list[int], ...]
# Operators that each of the classes has, but mypy does not see in their union.
magnitude = typing.cast(Callable[[Array], Array], abs)
put = typing.cast(Callable[[Array, Index, Array | float], None], operator.setitem)

SMALL = 2**16  # elements of a matrix that is not worth torch's threads
_KEPT = 2**23  # bytes
_FEW = 16  # systems that are not worth torch's batches
_RIDGE, _TINY = 1e-10, 1e-60  # relative and absolute, so that zeros have a solution too
_HOST = torch.device("cpu")
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


@cache
def keep_freed() -> None:
    """Let the C library keep for the next array what is freed, up to some 16 MiB, from now on.

    That of GNU returns to the system what is freed beyond twice the largest block that was freed
    before; pages that are asked for anew cost more than what is written to them.
    """
    np.empty(_KEPT, np.uint8)


def device_of(array: Array) -> torch.device:
    """Return the device of an array."""
    return _HOST if isinstance(array, np.ndarray) else array.device


def namespace(device: torch.device) -> ModuleType:
    """Return numpy for the CPU, torch for other devices."""
    return np if device.type == "cpu" else torch


def as_array(tensor: Tensor, dtype: torch.dtype | None = None) -> Array:
    """Return `tensor` without gradient, on the CPU as a NumPy array.

    In its own dtype it shares the memory of `tensor`.
    """
    tensor = tensor.detach()
    if namespace(tensor.device) is not np:
        return tensor if dtype is None else tensor.to(dtype)
    if dtype is None or tensor.dtype == dtype:
        return tensor.numpy()
    return cast((tensor if tensor.dtype in _NUMPY else tensor.to(dtype)).numpy(), dtype)


def as_tensor(array: Array, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor, which shares the memory of `array` unless it is of another `dtype`."""
    if isinstance(array, np.ndarray):
        array = torch.from_numpy(cast(array, dtype) if dtype in _NUMPY else array)
    return array if dtype is None or dtype == array.dtype else array.to(dtype)


def cast(array: Array, dtype: torch.dtype) -> Array:
    """Return `array` in `dtype`, itself where it has it."""
    if isinstance(array, np.ndarray):
        return array.astype(_NUMPY[dtype], copy=False)
    return array.to(dtype)


def empty(shape: tuple[int, ...], dtype: torch.dtype, *, like: Array) -> Array:
    """Return an uninitialised array on the device of `like`."""
    if isinstance(like, np.ndarray):
        return np.empty(shape, _NUMPY[dtype])
    return like.new_empty(shape, dtype=dtype)


def filled(shape: tuple[int, ...], value: float, *, like: Array) -> Array:
    """Return an array of one value, in the dtype and on the device of `like`."""
    if isinstance(like, np.ndarray):
        return np.full(shape, value, like.dtype)
    return like.new_full(shape, value)


def log2(array: Array, dtype: torch.dtype | None = None) -> Array:
    """Return the logarithm, in `dtype` if one is given."""
    found = np.log2(array) if isinstance(array, np.ndarray) else array.log2()
    return found if dtype is None else cast(found, dtype)


def exp2(array: Array) -> Array:
    """Return the power of two, which takes a third to half of the time of ``2.0**array``."""
    return np.exp2(array) if isinstance(array, np.ndarray) else array.exp2()


def least_mixture(rows: Array, metric: Array) -> Array:
    """Return the mixture (B, 1, k), of sum one, of rows (B, k, m) that is of least norm.

    ``sum_j metric_j (sum_i c_i rows_ij)^2`` is least at ``c = G^-1 1 / (1^T G^-1 1)`` with the Gram
    matrix `G`, whose diagonal is raised a little. Without waiting for a device; on the CPU, for a
    few, LAPACK itself takes a tenth of the time of NumPy's function.
    """
    gram = (rows * metric) @ rows.mT
    k = gram.shape[-1]
    if isinstance(gram, np.ndarray) and len(gram) <= _FEW:
        mixtures, ones = np.empty((len(gram), 1, k), gram.dtype), np.ones(k)
        for matrix, mixture in zip(gram, mixtures, strict=True):
            matrix.flat[:: k + 1] += _RIDGE * matrix[0, 0] + _TINY
            solution = dposv(matrix, ones)[1]
            mixture[0] = solution / solution.sum()
        return mixtures
    matrices = as_tensor(gram)
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    diagonal += _RIDGE * diagonal[:, :1].clone() + _TINY
    right = torch.ones_like(matrices[:, :, :1])
    factor, failed = torch.linalg.cholesky_ex(matrices)
    # As from LAPACK: the mean, where nothing but rounding is left of the residuals.
    found = torch.where(failed[:, None, None] == 0, torch.cholesky_solve(right, factor), right)
    found = (found / found.sum(1, keepdim=True)).mT
    return found.numpy() if isinstance(gram, np.ndarray) else found


def is_small(elements: int) -> bool:
    """Whether NumPy multiplies a matrix of as many elements faster than torch on the CPU.

    It does unless torch's threads pay; those of NumPy's library would get in their way.
    """
    return elements <= SMALL or torch.get_num_threads() == 1


def times(rows: Array, matrix: Array) -> Array:
    """Return ``rows @ matrix`` for (B, k, n) and (B, n, m), in the kind of `rows`."""
    if isinstance(matrix, np.ndarray) or isinstance(rows, Tensor):
        return rows @ matrix
    return torch.bmm(torch.from_numpy(rows), matrix).numpy()


def onto(matrix: Array, columns: Array) -> Array:
    """Return ``matrix @ columns`` for (B, n, m) and (B, m, k), in the kind of `columns`."""
    if isinstance(matrix, np.ndarray) or isinstance(columns, Tensor):
        return matrix @ columns
    # In this order torch is up to three times faster for a few columns.
    return torch.bmm(torch.from_numpy(columns).mT, matrix.mT).mT.numpy()


def concatenated(parts: list[Array], axis: int = -1) -> Array:
    """Return the parts joined along an axis."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis)
    return torch.cat([as_tensor(part) for part in parts], axis)


def added(total: Array | None, part: Array) -> Array:
    """Return the sum, of which there may be nothing yet."""
    return part if total is None else total + part


def dot(u: Array, v: Array) -> Array:
    """Return the products ``<u, v>`` of vectors, or of the rows of batches of them."""
    return u @ v if u.ndim == 1 else (u * v).sum(-1)


def least(array: Array) -> Array:
    """Return the smallest value along the last axis, which is kept."""
    return array.min(-1, keepdims=True) if isinstance(array, np.ndarray) else array.amin(-1, True)


def largest(array: Array) -> float:
    """Return the largest absolute value."""
    return float(magnitude(array).max())
