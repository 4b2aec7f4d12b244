"""One seed in, explicit generators out; global random state stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

# torch.nn initialises weights, drops units and samples distributions from its global
# generator only. Whoever borrows that generator holds this lock, so that fits in several
# threads give what they give one after the other.
GLOBAL_GENERATOR_LOCK = threading.RLock()


def draw_seed(random_state: Any) -> int:
    """One integer seed from anything scikit-learn accepts as ``random_state``."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def make_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for ``seed`` on ``device``."""
    return torch.Generator(device=device).manual_seed(seed)


@contextmanager
def borrowed_global_generator(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator for a while, then put its state back."""
    with GLOBAL_GENERATOR_LOCK, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
