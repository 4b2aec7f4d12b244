"""Fitted estimators as ONNX graphs, for programs without Python."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders.bases._noise import codes_of_noise
from skotae.autoencoders.bases.inference import DTYPES, farthest
from skotae.columns import Units
from skotae.utils._torch import TORCH_DTYPES, ambient
from skotae.utils.base import as_path, brief

# What goes in, and what comes out.
NAMES = {
    "transform": ("X", ["Z"]),
    "inverse_transform": ("Z", ["X"]),
    "sample": ("noise", ["X", "Z"]),
}


class Graph(nn.Module):
    """What is exported: codes of rows in the units of the data, or rows of codes.

    Parameters
    ----------
    model : nn.Module
        In float32, for which runtimes have all functions, whatever the dtype of the rows.
    units : InUnits
        Of the data.
    encodes : bool
        Whether rows come in and codes out, or the other way round.
    """

    def __init__(self, model: Any, units: InUnits, encodes: bool):
        super().__init__()
        self.model = model
        self.units = units
        self.encodes = encodes

    def forward(self, rows: Tensor) -> Tensor:
        if self.encodes:
            return self.model.encode(self.units.standardised(rows).float()).to(rows.dtype)
        return self.units.restored(self.model.decode(rows.float()))


class SampleGraph(Graph):
    """Rows, and their codes, of noise.

    Parameters
    ----------
    model, units
        As for `Graph`.
    codes : nn.Module
        From standard normal numbers to codes.
    limits : Tensor of shape (2, n_features) or None
        Ends of the columns, that rows are clipped to.
    """

    limits: Tensor | None

    def __init__(self, model: Any, units: InUnits, codes: nn.Module, limits: Tensor | None):
        super().__init__(model, units, False)
        self.codes = codes
        self.register_buffer("limits", limits)

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        z = self.codes(noise.float()).to(noise.dtype)
        rows = super().forward(z)
        if self.limits is not None:
            rows = torch.minimum(torch.maximum(rows, self.limits[0]), self.limits[1])
        return rows, z


class InUnits(nn.Module):
    """`Units` on tensors.

    Parameters
    ----------
    units : Units
    dtype : dtype
        Of rows in the units of the data. Where scales are at the ends of its range, float64 is
        computed in.
    """

    mean: Tensor
    scale: Tensor
    limits: Tensor | None
    constant: Tensor | None
    most: Tensor

    def __init__(self, units: Units, dtype: np.dtype):
        super().__init__()
        self.dtype = TORCH_DTYPES[np.dtype(dtype)]
        self.wide = wide = TORCH_DTYPES[units.dtype_for(dtype)]
        self.register_buffer("mean", torch.tensor(units.mean, dtype=wide))
        self.register_buffer("scale", torch.tensor(units.scale, dtype=wide))
        self.register_buffer("limits", self._like_rows(units.limits))
        self.register_buffer("constant", self._like_rows(units.constant))
        self.register_buffer("most", torch.tensor(torch.finfo(self.dtype).max, dtype=wide))
        # As in inference, for networks that compute in float32.
        self.far = None if units.is_identity else farthest(torch.float32)

    def _like_rows(self, values: np.ndarray | None) -> Tensor | None:
        return None if values is None else torch.tensor(values, dtype=self.dtype)

    def standardised(self, x: Tensor) -> Tensor:
        """Rows as networks see them."""
        if self.limits is not None:
            x = torch.minimum(torch.maximum(x, self.limits[0]), self.limits[1])
        x = (x.to(self.wide) - self.mean) / self.scale
        return x if self.far is None else x.clamp(-self.far, self.far)

    def restored(self, rows: Tensor) -> Tensor:
        """The way back."""
        rows = rows.to(self.wide) * self.scale + self.mean
        rows = rows.clamp(-self.most, self.most).to(self.dtype)
        if self.constant is None:
            return rows
        return torch.where(self.constant.isnan(), rows, self.constant)


@contextlib.contextmanager
def _without_words_of_torch() -> Iterator[None]:
    """Torch warns, in each export, that it skips functions of a library that we do not use.

    And of its own use of what it no longer recommends, which would end the export where warnings
    are errors.
    """
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*treespec, LeafSpec", FutureWarning)
            yield
    finally:
        logger.disabled = before


def export(estimator: Any, path: Any, method: str, dtype: Any) -> None:
    """Write a fitted estimator's method to an ONNX file; see `FittedEstimator.to_onnx`."""
    path = as_path("path", path)
    if method not in NAMES or not hasattr(estimator, method):
        able = [name for name in NAMES if hasattr(estimator, name)]
        raise ValueError(
            f"method={brief(method)}; expected one of {able}, which {type(estimator).__name__} has."
        )
    if dtype not in DTYPES and dtype not in ("float32", "float64"):
        raise ValueError(f"dtype={brief(dtype)}; expected 'float32' or 'float64'.")
    inference = estimator._inference(np.float32)
    if inference.seed is not None:
        raise ValueError(
            "The networks draw random numbers in evaluation mode, which a graph of one function "
            "does not do; expected networks that do not."
        )
    clip = method == "sample" and estimator._current("clip")
    codes = codes_of_noise(estimator) if method == "sample" else None
    try:
        importlib.import_module("onnxscript")
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx and onnxscript: pip install 'skotae[onnx]'."
        ) from error
    units = InUnits(estimator._units, np.dtype(dtype)).to(inference.device)
    if codes is not None:
        limits = None
        if clip:
            limits = units._like_rows(np.stack([estimator.data_min_, estimator.data_max_]))
        graph: Graph = SampleGraph(inference.model, units, codes, limits).to(inference.device)
        width = codes.n_noise
    else:
        graph = Graph(inference.model, units, method == "transform")
        width = estimator.n_features_in_ if graph.encodes else estimator.n_components_
    source, targets = NAMES[method]
    # Any two rows: only their shape enters.
    rows = torch.zeros((2, width), dtype=units.dtype, device=inference.device)
    with ambient(), _without_words_of_torch():
        torch.onnx.export(
            graph.eval(),
            (rows,),
            path,
            input_names=[source],
            output_names=targets,
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
