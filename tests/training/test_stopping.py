"""When a run ends: callbacks, a loss that stays, held-out rows."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from skotae.training import History

from .toys import HELD_OUT, Point, make, quadratic, run


def test_a_callback_stops_the_run():
    @contextmanager
    def until_third(epoch):
        yield lambda: epoch == 2

    point = Point()
    trainer = make(quadratic(point), {"point": point})
    assert run(trainer, 10, until_third) == 3
    assert len(trainer.state.history["loss"]) == 3


def _scripted(values, point):
    """An objective whose loss in each epoch (of one batch) is given."""
    values = iter(values)

    def objective(batch, step):
        return {"scripted": point.place.sum() * 0 + next(values)}

    return objective


def test_tol_stops_where_the_loss_stays():
    point = Point()
    objective = _scripted([5.0, 4.0, 3.0, 2.95, 2.94, 2.93, 1.0, 0.0], point)
    trainer = make(objective, {"point": point}, batch_size=20, tol=0.1, n_iter_no_change=3)
    assert run(trainer, 8) == 6


@pytest.mark.parametrize(("earlier", "least"), [([0.5, 2.0], 0.5), ([4.0], 1.0), ([], 1.0)])
def test_the_least_loss_counts_earlier_fits(earlier, least):
    point = Point()
    history = History({"loss": earlier, "validation_loss": [0.1] * len(earlier)})
    objective = _scripted([3.0, 1.0, 2.0], point)
    trainer = make(objective, {"point": point}, batch_size=20, history=history)
    run(trainer, 3)
    assert trainer.least_loss == least


def test_without_tol_every_epoch_is_run():
    point = Point()
    objective = _scripted([1.0] * 8, point)
    trainer = make(objective, {"point": point}, batch_size=20, n_iter_no_change=2)
    assert run(trainer, 8) == 8


def test_patience_begins_anew_with_every_gain():
    point = Point()
    objective = _scripted([5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0], point)
    trainer = make(objective, {"point": point}, batch_size=20, tol=0.1, n_iter_no_change=3)
    assert run(trainer, 8) == 8


class Counter(nn.Module):
    """Its weight is the number of the epoch, and its validation loss has a minimum."""

    def __init__(self, best):
        super().__init__()
        self.epoch = nn.Parameter(torch.zeros(()))
        self.best = best

    def objective(self, batch, step):
        if step.training:
            with torch.no_grad():
                self.epoch += 1
            return {"loss_of_training": 0 * self.epoch}
        return {"distance": (self.epoch - self.best).abs()}


def _counting(best, **options):
    counter = Counter(best)
    options = {"batch_size": 20, "learning_rate_init": 1e-9, "held_out": HELD_OUT, **options}
    trainer = make(counter.objective, {"counter": counter}, **options)
    n_iter = run(trainer, 20)
    return trainer, counter, n_iter


def test_early_stopping_restores_the_best_epoch():
    _, counter, _ = _counting(4, n_iter_no_change=3)
    assert round(counter.epoch.item()) == 4


def test_early_stopping_waits_for_its_patience():
    _, _, n_iter = _counting(4, n_iter_no_change=3)
    assert n_iter == 7


def test_early_stopping_records_the_validation_loss():
    trainer, _, n_iter = _counting(4, n_iter_no_change=3)
    assert trainer.state.history["validation_loss"] == pytest.approx(
        [3, 2, 1, 0, 1, 2, 3], abs=1e-5
    )
    assert trainer.state.best_loss == pytest.approx(0, abs=1e-5)


def test_held_out_rows_are_not_trained_on():
    point, seen = Point(), []

    def objective(batch, step):
        if step.training:
            seen.append(step.rows)
        return quadratic(point)(batch, step)

    run(make(objective, {"point": point}, held_out=HELD_OUT), 1)
    assert not set(torch.cat(seen).tolist()) & {1, 5, 9}


def test_validation_draws_the_same_noise_every_epoch():
    point, noise = Point(), []

    def objective(batch, step):
        if not step.training:
            noise.append(float(torch.rand((), generator=step.generator)))
        return quadratic(point)(batch, step)

    run(make(objective, {"point": point}, held_out=HELD_OUT), 3)
    assert noise == [noise[0]] * 3


def test_validation_is_in_evaluation_mode_without_gradients():
    point, modes = Point(), []

    def objective(batch, step):
        if not step.training:
            modes.append((point.training, torch.is_grad_enabled()))
        return quadratic(point)(batch, step)

    run(make(objective, {"point": point}, held_out=HELD_OUT), 1)
    assert modes == [(False, False)]
