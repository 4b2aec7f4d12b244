"""How many of torch's threads a piece of work is worth, and back to what they were."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

Method = TypeVar("Method", bound=Callable[..., Any])

# Operations of a product of matrices that are worth a thread: half a millisecond and more of a
# core. Threads wait for each other at the end of each product, for some 10 microseconds on an
# idle host, and for as long as others are at work on a busy one.
GRAIN = 32e6
# Of the places of an image, one that a convolution's weights are used at, as after two strides.
PLACES = 16

# Torch's number of threads is kept in each thread that has used torch, and once more in the
# process, for new ones and for MKL. What is asked for is what the first of ours finds, and what the
# last one leaves.
_lock = threading.RLock()
_inside: dict[object, int] = {}
_asked = 1
_here = threading.local()
_forked = False


def _after_fork() -> None:
    """In a forked child none of the threads is there that those of torch would be waited for."""
    global _lock, _here, _forked
    if _inside:
        torch.set_num_threads(_asked)
    _lock, _here, _forked = threading.RLock(), threading.local(), True
    _inside.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def work_of(model: nn.Module, n_features: int) -> float:
    """Operations that a product of the model's takes for a row: a mean, large ones count most.

    Parameters
    ----------
    model : Module
    n_features : int
        Width of a row; of an image, the number of its pixels.
    """
    places = max(1, n_features // PLACES)
    factors = [each for each in (*model.parameters(), *model.buffers()) if each.ndim > 1]
    sizes = [2.0 * each.numel() * (places if each.ndim > 2 else 1) for each in factors]
    return sum(size * size for size in sizes) / max(1.0, sum(sizes))


@contextmanager
def threads_for(work: float) -> Iterator[None]:
    """As many of torch's threads as products of so many operations are worth.

    Never more than there were; one in a forked child, where those of the parent are not there.
    The number depends on nothing else, so that results do not depend on what else is going on.
    """
    global _asked
    token, outer = None, getattr(_here, "number", None)
    try:
        with _lock:
            if not _inside:
                _asked = torch.get_num_threads()
            number = 1 if _forked else min(_asked, max(1, int(work / GRAIN)))
            # Counted before anything is changed: Ctrl-C may come in between.
            token = object()
            _inside[token], _here.number = number, number
            if number != torch.get_num_threads() or len({*_inside.values()}) > 1:
                torch.set_num_threads(number)
        yield
    finally:
        if token is not None:
            with _lock:
                _inside.pop(token, None)
                _here.number = outer
                _put_back(_asked if outer is None else outer)


def _put_back(number: int) -> None:
    """The number of this thread; in the process that of those who are still at work."""
    if torch.get_num_threads() == number:
        return
    torch.set_num_threads(number)
    if others := [n for n in _inside.values() if n != number]:
        # A thread that comes and goes sets the number of the process alone.
        setter = threading.Thread(target=torch.set_num_threads, args=(others[-1],))
        setter.start()
        setter.join()


def limited(method: Method) -> Method:
    """A method that is run with as many threads as its object's `work` is worth."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with threads_for(self.work):
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]
