"""Interrupts and other errors in a run, and optimisers that go on."""

import copy

import pytest
import torch

from .toys import Point, make, place, quadratic, quietly, run


def _interrupted(in_epoch):
    point, places = Point(), []

    def objective(batch, step):
        places.append(point.place.detach().clone())
        if len(places) == 4 * in_epoch - 1:  # in the third of four batches
            raise KeyboardInterrupt
        return quadratic(point)(batch, step)

    return make(objective, {"point": point}), places


def run_until_interrupted(trainer, n_epochs):
    """Whether an epoch counts when the interrupt has come through."""
    with pytest.raises(KeyboardInterrupt):
        trainer.run(n_epochs, on_epoch=quietly)
    return trainer.finish()


def test_an_interrupt_keeps_the_last_complete_epoch():
    trainer, places = _interrupted(in_epoch=3)
    assert run_until_interrupted(trainer, 10)
    assert trainer.state.epoch == len(trainer.state.history["loss"]) == 2
    assert torch.equal(place(trainer), places[8])


def test_an_interrupt_leaves_modules_for_use():
    trainer, _ = _interrupted(in_epoch=3)
    run_until_interrupted(trainer, 10)
    assert not trainer.model.training
    assert trainer.model.point.place.grad is None


def test_an_interrupt_in_the_first_epoch_keeps_the_start():
    trainer, places = _interrupted(in_epoch=1)
    assert not run_until_interrupted(trainer, 10)
    assert trainer.state.epoch == 0 and not any(trainer.state.history.values())
    assert torch.equal(place(trainer), places[0])


def test_an_interrupt_keeps_the_state_of_the_optimiser():
    """A chunk that is interrupted leaves what was loaded, and not a fresh optimiser."""
    point = Point()
    before = make(quadratic(point), {"point": point})
    run(before, 3)
    state = copy.deepcopy(before.optimiser_state())

    def objective(batch, step):
        raise KeyboardInterrupt

    trainer = make(objective, {"point": point})
    trainer.load_optimiser_state(state)
    assert not run_until_interrupted(trainer, 1)
    kept = trainer.optimiser_state()[0]["state"]
    assert kept.keys() == state[0]["state"].keys()
    assert all(torch.equal(kept[0][name], value) for name, value in state[0]["state"][0].items())


def test_optimiser_state_goes_on_where_it_was():
    """Two runs of one epoch with the state handed over are one run of two."""

    def trained(parts):
        point, state = Point(), None
        for n_epochs in parts:
            trainer = make(quadratic(point), {"point": point})
            if state is not None:
                trainer.load_optimiser_state(state)
            run(trainer, n_epochs)
            state = trainer.optimiser_state()
        return point.place.detach()

    torch.testing.assert_close(trained([1, 1]), trained([2]))


def test_other_errors_are_not_caught():
    def objective(batch, step):
        raise ValueError("of the objective")

    with pytest.raises(ValueError, match="of the objective"):
        run(make(objective), 2)
