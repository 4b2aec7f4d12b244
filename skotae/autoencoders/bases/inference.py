"""A fitted model applied to arrays, in the dtype of the array."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.columns import CHUNK, Units, rows_at_once
from skotae.utils._random import GlobalStream, make_generator
from skotae.utils._threads import threads_for, work_of
from skotae.utils._torch import TORCH_DTYPES, ambient, module_in, tensor_of
from skotae.utils.base import as_whole

DTYPES = (np.float64, np.float32)
# The lowest and the highest value: two numbers, or two for each column.
Limits = tuple[float, float] | tuple[Tensor, Tensor]


def check_count(name: str, value: Any, least: int) -> int:
    """A number of things, that a ValueError calls `name` if it is no integer from `least` on."""
    return as_whole(name, value, least=least, of="")


def check_room(name: str, n: int, *shape: int, dtype: Any = np.float64) -> None:
    """Raise a MemoryError if an array that `n` things of a name ask for cannot be had.

    Nothing is written into it: it is only asked for.
    """
    try:
        np.empty(shape, dtype)
    except (MemoryError, ValueError, OverflowError) as error:
        size = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        raise MemoryError(
            f"{name}={n} asks for {size:.3g} GiB, more than there is; expected fewer, if need be "
            "in several calls with other seeds."
        ) from error


def farthest(dtype: torch.dtype) -> float:
    """How far out networks see standardised rows: the cube root of the largest number.

    Squares of what they make of them, and divisions of those, stay within the range.
    """
    return torch.finfo(dtype).max ** (1 / 3)


def range_of(dtype: np.dtype) -> Limits:
    """The lowest and the highest number of a dtype."""
    most = float(np.finfo(dtype).max)
    return -most, most


def within_range(rows: np.ndarray) -> np.ndarray:
    """Rows, in place, with what is beyond the range of their dtype at the end of it."""
    return np.clip(rows, *range_of(rows.dtype), out=rows)


def joined(parts: Iterable[np.ndarray], n: int) -> np.ndarray:
    """Blocks of n rows in all as one array: never more at a time than that and a block."""
    out, start = np.empty(0), 0
    for part in parts:
        if start == 0:
            out = np.empty((n, *part.shape[1:]), part.dtype)
        out[start : start + len(part)] = part
        start += len(part)
    return out


@dataclass(frozen=True)
class Inference:
    """Arrays in, arrays out: a model in one dtype, and the units of the data.

    Parameters
    ----------
    model : Model
        In the dtype that is computed in.
    device : torch.device
        Where the model is.
    units : Units
        What rows are standardised by.
    dtype : dtype
        Of what comes back.
    seed : int or None
        Of what networks draw that draw in evaluation mode too; None if they do not.
    """

    model: Any
    device: torch.device
    units: Units
    dtype: np.dtype
    seed: int | None = None

    @cached_property
    def _work(self) -> float:
        """Operations for a row."""
        return work_of(self.model, len(self.units.mean))

    # Asked for in every block, and found once.
    @cached_property
    def _model_dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @cached_property
    def _far(self) -> float | None:
        """How far out rows are seen; None where they stay what they are."""
        return None if self.units.is_identity else farthest(self._model_dtype)

    @cached_property
    def _known(self) -> dict[np.dtype, list[Tensor]]:
        """What `_mean_and_scale` has found."""
        return {}

    def generator(self, seed: int) -> torch.Generator:
        """On the model's device."""
        return make_generator(seed, self.device)

    def blocks(
        self,
        function: Callable[[Tensor], Tensor],
        X: np.ndarray,
        *,
        rows: bool = True,
        size: int | None = None,
    ) -> Iterator[np.ndarray]:
        """``function`` on the rows of X, `size` of them at a time, without gradients.

        Parameters
        ----------
        function : callable
            From tensors on the model's device to tensors.
        X : ndarray of shape (n, ...)
            It is only sliced, and never copied as a whole.
        rows : bool, default=True
            Whether X holds rows in the units of the data, which are standardised first.
        size : int, optional
            Some thousand by default, or fewer where rows are wide.

        Yields
        ------
        values : ndarray
            Of the next rows.
        """
        if size is None:
            widest = max(X.shape[1], len(self.units.mean), self.model.row_width if rows else 0)
            size = rows_at_once(widest, CHUNK)
        stream = None if self.seed is None else GlobalStream(self.seed, self.device)
        work = self._work * min(size, len(X))
        for start in range(0, len(X), size):
            # Nothing of ours stays set while the caller has its turn.
            drawing = contextlib.nullcontext() if stream is None else stream.borrowed()
            with ambient(), threads_for(work), drawing:
                part = function(self.tensor(X[start : start + size], rows)).detach().cpu()
                values = part.to(TORCH_DTYPES[self.dtype]).numpy()
                del part
            yield values

    def apply(self, function: Callable[[Tensor], Tensor], X: np.ndarray, **options) -> np.ndarray:
        """The `blocks` as one array."""
        return joined(self.blocks(function, X, **options), len(X))

    def tensor(self, X: np.ndarray, rows: bool = True) -> Tensor:
        """X as the model takes it: a copy, standardised if it holds rows.

        Standardised rows are brought within what is `farthest`.
        """
        dtype = self._model_dtype
        if not rows:
            return torch.from_numpy(np.array(X, order="C")).to(self.device, dtype)
        # As the units do it, with the threads of torch; in one order, so that codes do not depend
        # on that of X.
        mean, scale = self._mean_and_scale(X.dtype)
        given = tensor_of(self.units.within(np.ascontiguousarray(X)))
        batch = (given - mean).div_(scale).to(given.dtype).to(self.device, dtype)
        return batch if self._far is None else batch.clamp_(-self._far, self._far)

    def _mean_and_scale(self, dtype: np.dtype) -> list[Tensor]:
        """Those of the units, in what they compute in for rows of a dtype."""
        if dtype not in self._known:
            both, wide = (self.units.mean, self.units.scale), self.units.dtype_for(dtype)
            self._known[dtype] = [tensor_of(np.asarray(each, wide)) for each in both]
        return self._known[dtype]

    def restored(
        self, Z: Tensor, limits: Limits | None = None, out: Tensor | None = None
    ) -> Tensor:
        """Rows of what networks give, as the units do it, with the threads of torch.

        They are brought within limits, those of the dtype if none are given, and written into
        `out` if it is.
        """
        dtype = TORCH_DTYPES[self.dtype]
        mean, scale = self._mean_and_scale(self.dtype)
        rows = (Z.cpu().to(dtype).to(mean.dtype) * scale).add_(mean).to(dtype)
        if (constant := self.units.constant) is not None:
            known = ~np.isnan(constant)
            rows[:, torch.from_numpy(known)] = torch.from_numpy(constant[known]).to(dtype)
        within = range_of(self.dtype) if limits is None else limits
        return torch.clamp(rows, *within, out=rows if out is None else out)

    def codes(self, X: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Posterior means of rows; a draw from each posterior, if there is a seed."""
        generator = None if seed is None else self.generator(seed)
        return self.apply(lambda x: self.model.encode(x, generator), X)

    def draws(self, X: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Some draws from the posterior of each row, of shape (n_rows, n, d)."""
        if n == 1:
            return self.codes(X, seed)[:, None]
        generator = self.generator(seed)

        def some(x: Tensor, count: int) -> Tensor:
            if self.seed is None:
                # Encoded once.
                z = self.model.encode(x, generator, count)
            else:
                # What networks draw is a part of the posterior.
                z = self.model.encode(x.repeat_interleave(count, dim=0), generator)
            return z.reshape(len(x), count, -1)

        counts = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
        return self.apply(
            lambda x: torch.cat([some(x, count) for count in counts], dim=1),
            X,
            size=max(1, rows_at_once(max(X.shape[1], n * self.model.n_components), CHUNK // n)),
        )

    def decoded(
        self, Z: np.ndarray, noise_seed: int | None = None, limits: Limits | None = None
    ) -> np.ndarray:
        """Rows of codes: means of the likelihood; draws from it, if there is a seed.

        They are brought within limits, those of their dtype if none are given.
        """
        generator = None if noise_seed is None else self.generator(noise_seed)
        result = np.empty((len(Z), len(self.units.mean)), self.dtype)
        filled = 0

        def fill(z: Tensor) -> Tensor:
            nonlocal filled
            here = torch.from_numpy(result[filled : filled + len(z)])
            filled += len(z)
            return self.restored(self.model.decode(z, generator), limits, here)

        for _ in self.blocks(fill, Z, rows=False):
            pass
        return result

    def reconstructed(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Rows that are encoded and decoded, within the range of their dtype, in blocks."""
        return self.blocks(lambda x: self.restored(self.model.decode(self.model.encode(x))), X)


def widest_dtype(model: Any, rows: Tensor) -> torch.dtype:
    """float64 if the networks can compute in it; float32 if they hold on to that."""

    @torch.no_grad()
    def is_finite() -> bool:
        wide = module_in(model, torch.float64).cpu()
        outputs = wide.outputs(rows.to("cpu").double(), make_generator(0))
        return all(bool(values.isfinite().all()) for values in outputs.values())

    try:
        return torch.float64 if is_finite() else torch.float32
    except (RuntimeError, TypeError):
        # What holds on to float32 fails again; any other error is not ours to keep quiet about.
        try:
            is_finite()
        except (RuntimeError, TypeError):
            return torch.float32
        raise
