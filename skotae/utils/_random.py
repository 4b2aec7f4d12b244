"""One seed in, explicit generators out; global random state stays as it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from skotae.utils.base import brief

# torch.nn initialises weights, drops units and samples distributions from its global
# generator only. Whoever borrows that generator holds this lock, so that fits in several
# threads give what they give one after the other.
_borrowing = threading.RLock()


def _unlock() -> None:
    """A child that was forked while another thread held the lock would wait for ever."""
    global _borrowing
    _borrowing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def draw_seed(random_state: Any) -> int:
    """One integer seed from anything scikit-learn accepts as ``random_state``."""
    try:
        source = check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be None, an integer >= 0 or a numpy.random.RandomState, got "
            f"{brief(random_state)}."
        ) from error
    return int(source.randint(np.iinfo(np.int32).max))


# What draws at random in a fit. Each has a stream of its own, so that a change in one (another
# number of draws, another device) leaves the others what they are.
STREAMS = (
    *("weights", "start", "training"),
    *("held out", "order", "prior", "noise", "networks", "validation", "codes"),
)


def child_seed(seed: int, stream: str, *keys: int) -> int:
    """Seed of one of the independent `STREAMS`, with numbers that tell one fit from the next."""
    child = np.random.SeedSequence(seed, spawn_key=(STREAMS.index(stream), *keys))
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for ``seed`` on ``device``."""
    return torch.Generator(device=device).manual_seed(seed)


class GlobalStream:
    """A stream of random numbers that torch's global generators give while it is borrowed.

    For what takes no generator: initial weights, dropout, noise within a user's network.

    Parameters
    ----------
    seed : int
    device : torch.device, default="cpu"
        A GPU's global generator is borrowed beside the CPU's.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self._gpu = [torch.device(device)] if torch.device(device).type == "cuda" else []
        places = [torch.device("cpu"), *self._gpu]
        self.states = [make_generator(seed, place).get_state() for place in places]

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Go on with this stream, then put back what was there."""
        with _borrowing, torch.random.fork_rng(devices=self._gpu):
            torch.set_rng_state(self.states[0])
            for place, state in zip(self._gpu, self.states[1:], strict=True):
                torch.cuda.set_rng_state(state, place)
            try:
                yield
            finally:
                self.states = self._now()

    def _now(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(place) for place in self._gpu)]


@contextmanager
def borrowed_global_generator(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator for a while, then put its state back."""
    with GlobalStream(seed).borrowed():
        yield
