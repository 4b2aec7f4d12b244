"""Trained modules applied to arrays, in the dtype of the array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.utils._torch import module_in

CHUNK = 4096


def infer(function: Callable[[Tensor], Tensor], X: np.ndarray, device: torch.device) -> np.ndarray:
    """``function`` on the rows of X, some thousand at a time, without gradients."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(X), CHUNK):
            rows = torch.from_numpy(np.array(X[start : start + CHUNK], order="C")).to(device)
            parts.append(function(rows).cpu())
    return torch.cat(parts).numpy()


def in_dtype(estimator: Any, dtype: np.dtype) -> Any:
    """The estimator with its modules in `dtype`; itself if they are.

    Training is in float32; inference is in the dtype of X, so that a row gives the same
    code alone and within a batch, to the accuracy of its dtype.
    """
    torch_dtype = torch.float64 if dtype == np.float64 else torch.float32
    view = object.__new__(type(estimator))
    view.__dict__.update(estimator.__dict__)
    for name, part in vars(estimator).items():
        if isinstance(part, nn.Module):
            setattr(view, name, module_in(part, torch_dtype))
    if torch_dtype == torch.float64 and estimator.device_.type == "mps":
        view.device_ = torch.device("cpu")
    return view


def standardiser(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of the columns, and the root mean square distance from it per feature.

    One scale for all features keeps the geometry of the data. It is 1 where X is
    constant.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    peak, square = 0.0, 0.0
    for start in range(0, len(X), CHUNK):
        rows = X[start : start + CHUNK].astype(np.float64) - mean
        largest = max(rows.max(), -rows.min())
        if largest > peak:
            # Relative to the largest deviation, so that no square leaves the range.
            square *= (peak / largest) ** 2
            peak = largest
        if peak > 0:
            rows /= peak
            square += float(np.vdot(rows, rows))
    scale = peak * np.sqrt(square / X.size)
    return mean, float(scale) if scale > 0 else 1.0
