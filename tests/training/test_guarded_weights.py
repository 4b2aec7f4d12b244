"""Copies of weights that a fit keeps, and how it sees that they are finite."""

import math
import weakref

import pytest
import torch
from torch import nn

from skotae.training._guard import fault_of

from .odd_model import assert_equal, make_state, make_trainer, quietly, step


def test_there_are_never_three_moments():
    state = make_state()
    for _ in range(2):
        step(state)
        state.commit({"loss": 1.0})
    before, alive, weights = weakref.ref(state.before), [], state.weights
    state.weights = lambda: alive.append(before() is not None) or weights()
    state.commit({"loss": 1.0})
    assert alive == [False]


def test_the_best_weights_are_copied_once():
    state = make_state()
    step(state)
    state.commit({"loss": 2.0}, best=True)
    best = state.best_weights
    assert best is state.good.weights
    step(state)
    state.commit({"loss": 3.0})
    assert state.best_weights is best is not state.good.weights
    state.go_back(state.before)
    assert_equal(dict(state.model.state_dict()), dict(best))


def test_gradients_are_let_go_before_weights_are_copied():
    trainer = make_trainer()
    seen, weights = [], trainer.state.weights

    def looked():
        seen.append(all(p.grad is None for p in trainer.model.parameters()))
        return weights()

    trainer.state.weights = looked
    trainer.run(2, on_epoch=quietly)
    assert seen == [True, True]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_weights_that_are_not_finite_are_found(dtype, value):
    model = nn.ParameterList([torch.ones(3), torch.empty(0), torch.ones(2000, dtype=dtype)])
    if value is not None:
        model[2].data[[7, 8]] = torch.tensor([value, -value]).to(dtype)
    assert fault_of({"square": 1.0}, model) == (None if value is None else "loss")


def test_large_weights_are_finite():
    # Their sum is not.
    model = nn.ParameterList([torch.full((4,), 3e38)])
    assert fault_of({"square": 1.0}, model) is None
