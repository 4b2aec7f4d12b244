"""Small problems with a known minimum, and trainers of them."""

from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from skotae.columns import Units
from skotae.training import Rows, Trainable, Trainer

TARGET = torch.tensor([1.0, -2.0])
HELD_OUT = torch.tensor([1, 5, 9])


class Point(nn.Module):
    """A point that is to be moved."""

    def __init__(self, start=(0.0, 0.0)):
        super().__init__()
        self.place = nn.Parameter(torch.tensor(start))


class Toy(Trainable):
    """Modules by name, and objectives written as functions."""

    def __init__(self, objective, modules, inner_objective=None, inner=(), n_inner=1):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.objective, self.inner_objective = objective, inner_objective
        self.inner, self.n_inner = inner, n_inner

    def terms(self, batch, step):
        return self.objective(batch, step)

    def inner_terms(self, batch, step):
        return self.inner_objective(batch, step)


@contextmanager
def quietly(epoch):
    yield lambda: False


def make(objective, modules=None, *, n=20, seed=0, **options):
    return trainer_of(Toy(objective, modules or {"point": Point()}), n=n, seed=seed, **options)


def trainer_of(model, *, n=20, seed=0, **options):
    X = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    options = {
        "batch_size": 5,
        "learning_rate_init": 0.05,
        "learning_rate": "constant",
        **options,
    }
    rows = Rows(X, Units(np.zeros(2), 1.0), torch.device("cpu"))
    return Trainer(model, rows=rows, seed=seed, **options)


def place(trainer):
    return trainer.model.point.place.detach().clone()


def quadratic(point):
    """The squared distance to the target, and a term that is there to be named."""

    def objective(batch, step):
        return {"square": (point.place - TARGET).square().sum(), "constant": torch.tensor(0.5)}

    return objective


def run(trainer, n_epochs, on_epoch=quietly, **options):
    """Train, and leave the model for use; the number of epochs that count."""
    trainer.run(n_epochs, on_epoch=on_epoch, **options)
    trainer.finish()
    return trainer.state.epoch
