"""A model with all that a state has to hold, and what tells two states apart."""

import copy
import math
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from skotae.columns import Units
from skotae.training import Rows, Trainable, Trainer
from skotae.training._state import TrainingState
from skotae.utils._random import GlobalStream, make_generator

N_EPOCHS = 8


class Odd(Trainable):
    """A network with dropout, an inner one, a buffer that comes and goes, and extra state."""

    inner = ("critic",)

    def __init__(self, fails_in=()):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3)
            )
            self.critic = nn.Linear(3, 1)
        self.register_buffer("table", None)
        self.n_steps = 0
        self.fails_in = [*fails_in]

    def get_extra_state(self):
        return {"n_steps": self.n_steps}

    def set_extra_state(self, state):
        self.n_steps = state["n_steps"]

    def terms(self, batch, step):
        noise = torch.randn(batch.shape, generator=step.generator)
        decoded = self.net(batch + 0.1 * noise)
        terms = {"square": (batch - decoded).square().sum(1).mean()}
        if step.training:
            self.n_steps += 1
            # There from the second epoch until the sixth.
            if self.n_steps == 4:
                self.table = torch.zeros(step.n_rows)
            elif self.n_steps == 16:
                self.table = None
            if self.table is not None:
                self.table[step.rows] += decoded.detach()[:, 0]
                terms["kept"] = 0.1 * (decoded[:, 0] - self.table[step.rows]).square().mean()
            if self.n_steps in self.fails_in:
                self.fails_in.remove(self.n_steps)
                terms["square"] = terms["square"] * math.nan
        terms["critic"] = 0.1 * self.critic(decoded).mean()
        return terms

    def inner_terms(self, batch, step):
        with torch.no_grad():
            decoded = self.net(batch)
        real, other = self.critic(batch), self.critic(decoded)
        return {"gap": (real - 1.0).square().mean() + (other + 1.0).square().mean()}

    def outputs(self, batch, generator):
        return {"net": self.net(batch)}


def make_trainer(model=None, *, learning_rate="cosine", **options):
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    return Trainer(
        Odd() if model is None else model,
        rows=Rows(X, Units(np.zeros(3), 1.0), torch.device("cpu")),
        seed=3,
        batch_size=10,
        learning_rate_init=0.02,
        learning_rate=learning_rate,
        **options,
    )


@contextmanager
def quietly(epoch):
    yield lambda: False


def stop_after(n):
    @contextmanager
    def on_epoch(epoch):
        yield lambda: epoch + 1 == n

    return on_epoch


def make_state(model=None, **options):
    model = Odd() if model is None else model
    optimisers = [torch.optim.Adam(model.parameters(), lr=0.01)]
    options = {"history": {}, "patience": 3, **options}
    return TrainingState(
        model, optimisers, {"noise": make_generator(0)}, GlobalStream(0), **options
    )


def step(state, n=1):
    """Change weights, moments of the optimiser, a buffer and extra state."""
    for _ in range(n):
        state.model.zero_grad()
        sum(p.square().sum() for p in state.model.parameters()).backward()
        state.optimisers[0].step()
        state.model.n_steps += 1


def assert_equal(one, other):
    """Nests of dictionaries, lists, tensors and values, bit by bit."""
    assert type(one) is type(other) or isinstance(one, dict), (one, other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other or (one != one and other != other)


def whole(state):
    """A copy of all that a state holds."""
    return copy.deepcopy(
        {
            "model": dict(state.model.state_dict()),
            "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
            "epoch": state.epoch,
            "best_loss": state.best_loss,
            "best_weights": state.best_weights,
            "patience": state.patience,
            "history": state.history,
        }
    )
