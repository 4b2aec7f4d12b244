"""Several processes that train one model: what they agree on, and what they send each other."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from skotae.exceptions import ProcessLostError
from skotae.training._batches import Rows
from skotae.training._sharing import sharing
from skotae.transport.entropic.shards import Group
from skotae.utils.base import shortened

Result = TypeVar("Result")
# Rows that tell one X from another.
N_HASHED = 4096
# Of a thread: those that others start train alone.
_here = threading.local()


class OneProcess:
    """A fit on its own: nobody to share work or to agree with.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and number of processes.
    """

    rank, size = 0, 1

    def first(self, function: Callable[[], Result]) -> Result:
        """What `function` gives, or raises, on the first rank, which alone calls it."""
        return function()

    def begin(self, module: nn.Module, rows: Rows, *options: Any) -> None:
        """The weights of the first rank for all, once rows and options are seen to be the same."""

    def sharing(self, module: nn.Module, draws: bool) -> contextlib.AbstractContextManager[None]:
        """The networks in a module share out the rows that they are called with, for a while.

        With `draws` they draw from torch's global generator.
        """
        return contextlib.nullcontext()

    def average(self, optimiser: torch.optim.Optimizer) -> None:
        """The mean of the gradients over ranks, on each."""


ALONE = OneProcess()


class Ranks(Group, OneProcess):
    """The processes of a group, which train one model."""

    def __init__(self, group: Any = None):
        super().__init__(distributed.group.WORLD if group is None else group)  # type: ignore

    def _told(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a collective function gives."""
        try:
            return function(*args, group=self._group, **options)
        except RuntimeError as error:
            raise ProcessLostError(self.rank, self.size, str(error)) from error

    def first(self, function: Callable[[], Result]) -> Result:
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = function()
            except Exception as error:
                outcome[1] = error
        self._told(distributed.broadcast_object_list, outcome, group_src=0)
        value, raised = outcome
        if raised is not None:
            raise raised
        return value

    def begin(self, module: nn.Module, rows: Rows, *options: Any) -> None:
        X, tensors = rows.X, [*module.parameters(), *module.buffers()]
        some = np.ascontiguousarray(X[:: max(1, len(X) // N_HASHED)])
        shapes = [tuple(tensor.shape) for tensor in tensors]
        for what, own in {
            "X": f"{X.dtype} of shape {X.shape} ({zlib.crc32(some.data):08x})",
            "the model": f"{type(module).__name__}, {options}, {shapes}",
        }.items():
            found: list[str] = [""] * self.size
            self._told(distributed.all_gather_object, found, own)
            if len({*found}) > 1:
                raise ValueError(
                    f"The processes of data_parallel() differ in {what}: expected the same data "
                    f"and parameters in each, got {'; '.join(shortened(each) for each in found)}."
                )
        for tensor in tensors:
            self._told(distributed.broadcast, tensor.data, group_src=0)

    def sharing(self, module: nn.Module, draws: bool) -> contextlib.AbstractContextManager[None]:
        return sharing(module, self, draws)

    def average(self, optimiser: torch.optim.Optimizer) -> None:
        gradients = [
            p.grad
            for group in optimiser.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        mean = self.sum_of(torch.cat([each.flatten() for each in gradients])) / self.size
        parts = mean.split([each.numel() for each in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def part_of(self, rows: Tensor) -> Tensor:
        """The rows that are computed here."""
        start, stop = self.part(len(rows))
        return rows[start:stop]

    def whole_of(self, part: Tensor, n: int) -> Tensor:
        """The rows of all ranks, `n` in number."""
        bounds = [n * rank // self.size for rank in range(self.size + 1)]
        counts = [stop - start for start, stop in zip(bounds, bounds[1:], strict=False)]
        # Messages of one length: that is what all backends can send.
        padded = part.new_zeros((max(counts), *part.shape[1:]))
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in counts]
        self._told(distributed.all_gather, parts, padded)
        return torch.cat([each[:count] for each, count in zip(parts, counts, strict=True)])

    def sum_of(self, part: Tensor) -> Tensor:
        """The sum over ranks."""
        total = part.clone()
        self._told(distributed.all_reduce, total)
        return total


def current_ranks() -> OneProcess:
    """The processes that a fit shares its work with, here and now."""
    return getattr(_here, "ranks", ALONE)


@contextlib.contextmanager
def data_parallel(group: Any = None) -> Iterator[OneProcess]:
    """Let the processes of a group train one model together.

    Every process runs the same script and calls `fit` with the same data; within this context
    each computes the networks for its part of the rows of each mini-batch. The objective is
    that of all rows, so that N processes with ``batch_size=B`` train as one with
    ``batch_size=N * B`` does, up to rounding. Without a group it is that one process: the script
    needs no change.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        By default that of all processes. If ``torch.distributed`` is not initialised yet, but the
        process was started by ``torchrun``, it is now.

    Yields
    ------
    ranks : object
        With the attributes ``rank``, the number of this process, and ``size``, that of all.

    Raises
    ------
    ValueError
        In `fit`, if the data or the parameters differ between processes.
    ProcessLostError
        In `fit`, if another process has ended. The estimator is what it was after the last
        epoch that went well.

    Notes
    -----
    Outside of this context fits do not look at ``torch.distributed``. Within it, threads and
    processes that are started, such as the workers of a grid search, train on their own.

    Examples
    --------
    >>> import skotae
    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> with skotae.data_parallel() as ranks:
    ...     wae = skotae.WAEEstimator(max_iter=2, random_state=0).fit(X)
    >>> ranks.rank, ranks.size
    (0, 1)
    """
    there = distributed.is_available() and distributed.is_initialized()
    if not there and distributed.is_available() and distributed.is_torchelastic_launched():
        # It stays until the process ends: processes do not meet a second time.
        distributed.init_process_group()
        there = True
    before = current_ranks()
    try:
        _here.ranks = Ranks(group) if there else ALONE
        yield _here.ranks
    finally:
        _here.ranks = before
