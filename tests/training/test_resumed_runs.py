"""A run that goes on elsewhere, from what its state was."""

import copy
from contextlib import contextmanager
from functools import cache

import pytest
import torch

from skotae.training import History

from .odd_model import N_EPOCHS, Odd, assert_equal, make_trainer, quietly, stop_after, whole

HELD_OUT = torch.tensor([2, 3, 11, 17, 20])
RUNS = {
    "plain": ({}, ()),
    "early stopping": ({"held_out": HELD_OUT, "n_iter_no_change": 2}, ()),
    "early stopping, warm": ({"held_out": HELD_OUT, "n_iter_no_change": 2, "fresh": False}, ()),
    "tol": ({"tol": 0.2, "n_iter_no_change": 2}, ()),
    "rollback before": ({}, (5,)),
    "rollback after": ({}, (20,)),
    "rollbacks and held-out rows": ({"held_out": HELD_OUT, "n_iter_no_change": 2}, (5, 20)),
    "constant rate": ({"learning_rate": "constant"}, ()),
}
each_run = pytest.mark.parametrize(("options", "fails_in"), RUNS.values(), ids=RUNS)


def result(trainer):
    """All that a finished run leaves."""
    counts = trainer.finish()
    state = trainer.state
    noise = {name: g.get_state() for name, g in state.generators.items()}
    return {
        **whole(state),
        "counts": counts,
        "least": trainer.least_loss,
        "factor": state.step_factor,
        "noise": noise,
        "networks": state.networks.states,
    }


@pytest.fixture(scope="module")
def undisturbed():
    """By name: what a run leaves that nothing has stopped."""

    @cache
    def make(name):
        options, fails_in = RUNS[name]
        trainer = make_trainer(Odd(fails_in), **options)
        trainer.rehearse()
        trainer.run(N_EPOCHS, on_epoch=quietly)
        return result(trainer)

    return make


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("n_first", [1, 2, 3, 5, 6, 7])
def test_a_run_goes_on_bit_by_bit(name, n_first, undisturbed):
    """At any epoch, in a trainer that has seen nothing but the state."""
    options, fails_in = RUNS[name]
    first = make_trainer(model := Odd(fails_in), **options)
    first.rehearse()
    first.run(N_EPOCHS, on_epoch=stop_after(n_first))
    saved = copy.deepcopy(first.state.state_dict())
    second = make_trainer(Odd(model.fails_in), **options)
    second.rehearse()
    second.state.load_state_dict(saved)
    second.run(N_EPOCHS, on_epoch=quietly)
    assert_equal(result(second), undisturbed(name))
    assert undisturbed(name)["factor"] == 0.5 ** len(fails_in)


def test_the_state_is_there_whenever_the_engine_says_so():
    """What is written in an epoch's end is what a run goes on from, though the run goes on too."""
    saved = {}

    @contextmanager
    def on_epoch(epoch):
        def done():
            saved[epoch + 1] = trainer.state.state_dict()

        yield done

    trainer = make_trainer()
    trainer.rehearse()
    trainer.run(N_EPOCHS, on_epoch=on_epoch)
    expected = result(trainer)
    for n in range(1, N_EPOCHS + 1):
        other = make_trainer()
        other.rehearse()
        other.state.load_state_dict(saved[n])
        assert other.state.epoch == n
        other.run(N_EPOCHS, on_epoch=quietly)
        assert_equal(result(other), expected)


def test_a_run_after_earlier_fits_goes_on():
    history = {"loss": [9.0, 8.0], "other": [1.0, 2.0]}

    def make(history):
        trainer = make_trainer(history=History({k: [*v] for k, v in history.items()}))
        trainer.rehearse()
        return trainer

    undisturbed, first, second = make(history), make(history), make(history)
    undisturbed.run(N_EPOCHS, on_epoch=quietly)
    first.run(N_EPOCHS, on_epoch=stop_after(3))
    second.state.load_state_dict(first.state.state_dict())
    second.run(N_EPOCHS, on_epoch=quietly)
    assert_equal(result(second), result(undisturbed))
    assert second.state.history["loss"][:2] == [9.0, 8.0]


def test_round_trip():
    trainer, other = make_trainer(), make_trainer()
    trainer.rehearse()
    trainer.run(N_EPOCHS, on_epoch=stop_after(3))
    saved = trainer.state.state_dict()
    other.state.load_state_dict(saved)
    assert_equal(other.state.state_dict(), saved)
    assert_equal(whole(other.state), whole(trainer.state))


def test_it_can_be_gone_on_from_twice():
    """A state is not changed by the run that goes on from it."""
    first = make_trainer()
    first.rehearse()
    first.run(N_EPOCHS, on_epoch=stop_after(4))
    saved, results = first.state.state_dict(), []
    kept = copy.deepcopy(saved)
    for _ in range(2):
        trainer = make_trainer()
        trainer.state.load_state_dict(saved)
        trainer.run(N_EPOCHS, on_epoch=quietly)
        results.append(result(trainer))
        assert_equal(saved, kept)
    assert_equal(*results)


@pytest.mark.parametrize("moment", ["epoch", "step"])
def test_an_interrupt_goes_back_to_the_last_epoch(moment):
    """Also a buffer, extra state and the moments of both optimisers."""
    expected = make_trainer(learning_rate="constant")
    expected.run(3, on_epoch=quietly)

    class Interrupted(Odd):
        def terms(self, batch, step):
            if moment == "step" and step.training and self.n_steps == 10:
                raise KeyboardInterrupt
            return super().terms(batch, step)

    @contextmanager
    def on_epoch(epoch):
        if moment == "epoch" and epoch == 3:
            raise KeyboardInterrupt
        yield lambda: False

    trainer = make_trainer(Interrupted(), learning_rate="constant")
    with pytest.raises(KeyboardInterrupt):
        trainer.run(N_EPOCHS, on_epoch=on_epoch)
    found, wanted = result(trainer), result(expected)
    for name in ("model", "optimisers", "epoch", "history", "best_loss", "counts"):
        assert_equal(found[name], wanted[name])
    assert found["epoch"] == 3 and found["model"]["table"] is not None


def test_a_rehearsal_leaves_no_trace():
    trainer = make_trainer(Odd())
    before, noise = whole(trainer.state), trainer.state.generators["noise"].get_state()
    streams = [state.clone() for state in trainer.state.networks.states]
    outside = torch.get_rng_state()
    trainer.rehearse()
    assert_equal(whole(trainer.state), before)
    assert torch.equal(trainer.state.generators["noise"].get_state(), noise)
    assert_equal(trainer.state.networks.states, streams)
    assert torch.equal(torch.get_rng_state(), outside)
    assert all(p.grad is None for p in trainer.model.parameters())
