"""Devices, and the passage between NumPy and torch."""

from __future__ import annotations

import copy
import os

import numpy as np
import torch
from torch import nn

TORCH_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to train on.

    ``"auto"`` is the device named by the environment variable ``SKOTAE_DEVICE`` if it is
    set, else CUDA, then MPS, then the CPU, whichever is there first. Several worker
    processes on one host are spread over its GPUs by their process number.

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
            return torch.device("cuda", os.getpid() % count if count > 1 else 0)
        elif torch.backends.mps.is_available():
            return torch.device("mps")
        else:
            return torch.device("cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"{source}={device!r} is not a device of this machine; expected 'auto', 'cpu', "
            f"'cuda', 'cuda:<index>' or 'mps', as far as present ({error})."
        ) from error
    if resolved.type == "meta":
        raise ValueError(f"{source}={device!r} holds no data; expected 'auto', 'cpu' or a GPU.")
    return resolved


def module_in(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """``module`` itself if its weights have ``dtype``, else a copy that has it."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(tensor.dtype == dtype for tensor in tensors if tensor.is_floating_point()):
        return module
    return copy.deepcopy(module).to(dtype)


def on_cpu(module: nn.Module) -> nn.Module:
    """``module`` itself if it is on the CPU, else a copy there."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return module
    return copy.deepcopy(module).cpu()


def uses_global_generator(module: nn.Module) -> bool:
    """Whether a part of ``module`` draws from torch's global generator while training."""
    return any(
        (isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0)
        or isinstance(part, nn.RReLU)
        or (isinstance(part, (nn.MultiheadAttention, nn.RNNBase)) and part.dropout > 0)
        for part in module.modules()
    )
