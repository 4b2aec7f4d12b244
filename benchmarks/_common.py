"""What the benchmarks share: versions, timing in turn, tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("skotae", "numpy", "scipy", "scikit-learn", "torch", "POT")


def environment(*packages: str) -> dict[str, Any]:
    """Versions and the size of the machine."""
    import torch

    versions = {}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "n_cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": versions,
    }


def in_turn(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each function, one call of each after the other, `repeats` times.

    In turn, so that a machine that slows down or is shared does so for all of them; every
    other round goes backwards, so that no function always follows the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for i in range(repeats):
        for name in names if i % 2 == 0 else reversed(names):
            start = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def timing(seconds: Sequence[float]) -> dict[str, Any]:
    """The median, and all that it was taken of."""
    return {
        "median": round(statistics.median(seconds), 4),
        "all": [round(value, 4) for value in seconds],
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table that is readable as text and as Markdown."""
    lines = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("| " + " | ".join(cells) + " |", flush=True)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def save_json(name: str, results: Mapping[str, Any], *packages: str) -> Path:
    """Write ``results/<name>.json``, with the versions it was made with; all of it or nothing."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = {key: value for key, value in results.items() if key != "environment"}
    content = {"environment": environment(*packages), **rest}
    partly = path.with_suffix(".part")
    partly.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    partly.replace(path)
    return path


def write_json(name: str, results: Mapping[str, Any], *packages: str) -> None:
    """Write ``results/<name>.json`` and say so."""
    path = save_json(name, results, *packages)
    print(f"written: {path.parent.name}/{path.name}")


def pythae_coders(encoder: nn.Module, decoder: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The networks as encoder and decoder of pythae.

    Of what the encoder gives beyond the components it takes the logarithm of variances.
    """
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import Tensor, nn

    class Encoder(BaseEncoder):
        def __init__(self, d: int):
            super().__init__()
            self.net = encoder
            self.d = d

        def forward(self, x: Tensor) -> ModelOutput:
            out = self.net(x)
            mean, rest = out[:, : self.d], out[:, self.d :]
            return ModelOutput(embedding=mean, **({"log_covariance": rest} if rest.numel() else {}))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    first = next(part for part in decoder.modules() if isinstance(part, nn.Linear))
    return Encoder(first.in_features), Decoder()
