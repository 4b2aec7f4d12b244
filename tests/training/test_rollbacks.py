"""Losses and weights that are not finite: rolled back, or an error that names them."""

import math

import numpy as np
import pytest
import torch

from skotae.exceptions import NonFiniteLossError

from .toys import TARGET, Point, make, place, quadratic, run


def test_a_loss_that_blows_up_once_recovers():
    point, calls = Point(), []

    def objective(batch, step):
        calls.append(None)
        terms = quadratic(point)(batch, step)
        if len(calls) == 6:
            terms["square"] = terms["square"] * math.nan
        return terms

    trainer = make(objective, {"point": point})
    assert run(trainer, 100) == 100
    torch.testing.assert_close(place(trainer), TARGET, rtol=0, atol=1e-2)


def test_history_of_a_run_that_recovered_is_finite():
    point, calls = Point(), []

    def objective(batch, step):
        calls.append(None)
        scale = math.inf if len(calls) == 6 else 1.0
        return {"square": scale * (point.place - TARGET).square().sum()}

    trainer = make(objective, {"point": point})
    run(trainer, 5)
    assert (
        len(trainer.state.history["loss"]) == 5 and np.isfinite(trainer.state.history["loss"]).all()
    )


def test_steps_are_smaller_after_a_rollback():
    point, places = Point((10.0,)), []

    def objective(batch, step):
        places.append(point.place.item())
        slope = math.nan if len(places) == 2 else 1.0
        return {"linear": slope * point.place.sum()}

    # One batch per epoch. Adam's step for a constant slope is the learning rate.
    trainer = make(objective, {"point": point}, batch_size=20, learning_rate_init=0.1)
    run(trainer, 4)
    steps = -np.diff(places)
    # The second epoch is run twice, from the same place.
    np.testing.assert_allclose(steps[0], 0.1, rtol=1e-3)
    assert steps[1] == 0
    np.testing.assert_allclose(steps[2:], 0.05, rtol=1e-3)


def _barrier(point):
    """Finite only for |x| < 1.6, with the minimum at 0."""

    def objective(batch, step):
        x = point.place.sum()
        return {"barrier": x.square() - torch.log(1.6 - x.abs())}

    return objective


@pytest.mark.parametrize("learning_rate_init", [1.0, 4.0])
def test_steps_that_are_too_large_are_overcome(learning_rate_init):
    point = Point((1.0,))
    trainer = make(_barrier(point), {"point": point}, learning_rate_init=learning_rate_init)
    run(trainer, 40)
    assert abs(place(trainer).item()) < 1.6


def test_a_last_step_that_leads_out_of_the_domain_is_taken_back():
    """The weights are finite, and the loss, computed before the step, is; the next is not."""
    point = Point((1.0,))
    trainer = make(_barrier(point), {"point": point}, batch_size=20, learning_rate_init=4.0)
    run(trainer, 5)
    assert abs(place(trainer).item()) < 1.6


def _always_nan(point):
    return lambda batch, step: {
        "fine": point.place.sum() * 0 + 1,
        "penalty": point.place.sum() * math.nan,
    }


def test_a_loss_that_is_never_finite_names_term_and_epoch():
    point = Point()
    trainer = make(_always_nan(point), {"point": point})
    with pytest.raises(NonFiniteLossError, match="'penalty' is not finite in epoch 1"):
        run(trainer, 5)


def test_a_loss_that_is_never_finite_gives_the_advice():
    point = Point()
    trainer = make(_always_nan(point), {"point": point}, advice={"penalty": "Raise epsilon."})
    with pytest.raises(NonFiniteLossError, match="Raise epsilon."):
        run(trainer, 5)


def test_a_loss_that_is_never_finite_has_default_advice():
    point = Point()
    with pytest.raises(NonFiniteLossError, match="learning_rate_init or the weight of 'penalty'"):
        run(make(_always_nan(point), {"point": point}), 5)


@pytest.mark.parametrize("first", ["value", "slope"])
def test_the_term_that_is_at_fault_is_named(first):
    """And not the first of all, which are NaN once a step has gone wrong."""
    point = Point()

    def objective(batch, step):
        x = point.place.sum()
        # Of value 0, its slope is 0 * inf.
        bad = torch.sqrt(x - x.detach()) * 0 if first == "slope" else x * math.nan
        return {"fine": x, "constant": torch.tensor(1.0), "bad": bad, "after": x.square()}

    trainer = make(objective, {"point": point})
    with pytest.raises(NonFiniteLossError, match="'bad' is not finite in epoch 1"):
        run(trainer, 5)


def test_the_term_at_fault_is_looked_for_in_all_rows():
    point = Point()

    def objective(batch, step):
        x = point.place.sum()
        # Of value 0 wherever its slope is not finite.
        bad = torch.sqrt(x - x.detach()) * 0 if 17 in step.rows else x
        return {"fine": x, "bad": bad}

    trainer = make(objective, {"point": point})
    with pytest.raises(NonFiniteLossError, match="'bad' is not finite in epoch 1"):
        run(trainer, 5)


@pytest.mark.parametrize("fails", [False, True])
def test_a_fault_that_is_not_seen_again_has_its_first_name(fails):
    """So has one where that look fails, as a cost of one's own may; it is the cause then."""
    point, failure, epochs = Point(), RuntimeError("no more"), []

    def objective(batch, step):
        if step.progress == 0:
            epochs.append(None)  # the first of them four times: it is rolled back thrice
        again = len(epochs) > 4
        if again and fails:
            raise failure
        return {"fine": point.place.sum(), "rest": point.place.sum() * (1 if again else math.nan)}

    with pytest.raises(NonFiniteLossError, match="'rest' is not finite in epoch 1") as raised:
        run(make(objective, {"point": point}), 5)
    assert raised.value.__cause__ is (failure if fails else None)


def test_weights_before_a_fatal_loss_are_kept():
    point, calls = Point(), []

    def objective(batch, step):
        calls.append(None)
        slope = 1.0 if len(calls) <= 2 else math.nan
        return {"linear": slope * point.place.sum()}

    trainer = make(objective, {"point": point}, batch_size=20, learning_rate_init=0.1)
    with pytest.raises(NonFiniteLossError, match="epoch 3"):
        run(trainer, 5)
    assert trainer.finish() and trainer.state.epoch == 2
    torch.testing.assert_close(place(trainer), torch.full((2,), -0.2))


def test_weights_that_are_not_finite_are_rolled_back():
    """The loss of a step is computed before it: the last step of an epoch may go wrong."""
    point, calls = Point(), []

    def objective(batch, step):
        calls.append(None)
        x = point.place.sum()
        # Value 0, gradient 0 * inf = NaN.
        bad = torch.sqrt(x - x.detach()) * 0 if len(calls) == 4 else 0 * x
        return {"square": (point.place - TARGET).square().sum() + bad}

    trainer = make(objective, {"point": point})
    run(trainer, 3)
    assert place(trainer).isfinite().all()
