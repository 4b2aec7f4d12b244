"""All that a training run changes, kept, rolled back and restored whole."""

import copy
import math

import pytest
import torch

from .odd_model import Odd, assert_equal, make_state, step, whole


def test_commit_counts_an_epoch():
    state = make_state()
    state.commit({"a": 1.0, "loss": 1.0})
    state.commit({"a": 0.5, "loss": 0.5})
    assert state.epoch == 2 and state.history == {"a": [1.0, 0.5], "loss": [1.0, 0.5]}
    assert (state.before.epoch, state.good.epoch) == (1, 2)


def test_terms_that_come_and_go_are_no_number_meanwhile():
    state = make_state(history={"a": [1.0, 2.0], "loss": [1.0, 2.0]})
    state.commit({"b": 3.0, "loss": 3.0})
    state.commit({"a": 4.0, "loss": 4.0})
    nan = math.nan
    expected = {"a": [1.0, 2.0, nan, 4.0], "b": [nan, nan, 3.0, nan], "loss": [1.0, 2.0, 3.0, 4.0]}
    assert_equal(state.history, expected)


def test_commit_ends_a_row_of_rollbacks():
    state = make_state()
    state.n_rollbacks = 2
    state.commit({"loss": 1.0})
    assert state.n_rollbacks == 0


def test_going_back_restores_everything():
    state = make_state(history={"loss": [9.0]})
    step(state)
    state.model.table = torch.arange(4.0)
    state.best_loss, state.best_weights, state.patience = 1.0, state.weights(), 2
    state.commit({"loss": 1.0})
    expected = whole(state)
    step(state, 3)
    state.model.table = None
    state.best_loss, state.best_weights, state.patience = 0.5, state.weights(), 1
    state.history["loss"].append(0.5)
    state.epoch += 1
    state.go_back()
    assert_equal(whole(state), expected)


def test_going_back_to_the_epoch_before():
    state = make_state()
    wholes = []
    for loss in (3.0, 2.0, 1.0):
        step(state)
        state.model.table = torch.full((2,), loss) if loss != 2.0 else None
        state.commit({"loss": loss, **({"late": 1.0} if loss == 1.0 else {})})
        wholes.append(whole(state))
    state.go_back(state.before)
    expected = wholes[1]
    # A term of which no epoch is left has no list.
    assert "late" not in expected["history"]
    assert_equal(whole(state), expected)
    # A moment serves any number of times.
    step(state, 2)
    state.go_back(state.before)
    assert_equal(whole(state), expected)


def test_going_back_to_the_start():
    state = make_state(history={"loss": [7.0, 6.0]})
    expected = whole(state)
    step(state)
    state.history["loss"].append(5.0)
    state.go_back()
    assert_equal(whole(state), expected)


def test_rewinding_keeps_what_is_counted():
    state = make_state()
    start = whole(state)
    step(state)
    state.commit({"loss": 1.0})
    state.rewind(state.before)
    assert state.epoch == 1 and state.history == {"loss": [1.0]}
    for name in ("model", "optimisers"):
        assert_equal(whole(state)[name], start[name])


def test_moments_are_not_what_goes_on_changing():
    state = make_state()
    step(state)
    state.model.table = torch.zeros(3)
    state.commit({"loss": 1.0})
    kept = copy.deepcopy(vars(state.good))
    step(state, 2)
    state.model.table += 1.0
    assert_equal(vars(state.good), kept)
    state.go_back()
    step(state, 2)
    state.model.table += 1.0
    assert_equal(vars(state.good), kept)


def test_weights_to_begin_with_are_the_best_until_an_epoch_is_better():
    state = make_state()
    start = state.weights()
    state.begin_at(0.5)
    step(state)
    state.commit({"loss": 1.0})
    state.go_back(state.before)
    for moment in (state, state.good, state.before):
        assert moment.best_loss == 0.5
        assert_equal(moment.best_weights, start)


@pytest.mark.parametrize("first", [None, torch.arange(3.0)], ids=["none", "tensor"])
@pytest.mark.parametrize("second", [None, torch.ones(5)], ids=["none", "tensor"])
def test_buffers_that_come_and_go_are_taken_over(first, second):
    saved, other = Odd(), Odd()
    saved.table = first if first is None else first.clone()
    state = copy.deepcopy(saved.state_dict())
    other.table = second if first is None or second is None else torch.ones(3)
    other.load_state(state)
    assert_equal(dict(other.state_dict()), dict(state))
