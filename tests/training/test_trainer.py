"""The training loop on problems with a known minimum."""

import copy
import math
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from skotae.columns import Units
from skotae.exceptions import NonFiniteLossError
from skotae.training import Rows, Trainable, Trainer
from skotae.training._optim import schedule_factor

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


# What it finds.


def test_reaches_the_minimum():
    point = Point()
    trainer = make(quadratic(point), {"point": point}, learning_rate="cosine")
    run(trainer, 60)
    torch.testing.assert_close(place(trainer), TARGET, rtol=0, atol=1e-2)


def test_mean_of_the_rows_is_found_from_batches():
    point = Point()
    trainer = make(
        lambda batch, step: {"square": (batch - point.place).square().sum(1).mean()},
        {"point": point},
        learning_rate="cosine",
    )
    run(trainer, 100)
    expected = torch.from_numpy(trainer.rows.X).mean(0)
    torch.testing.assert_close(place(trainer), expected, rtol=0, atol=0.02)


def test_ends_in_evaluation_mode_without_gradients():
    point = Point()
    trainer = make(quadratic(point), {"point": point})
    run(trainer, 2)
    assert not trainer.model.training and point.place.grad is None


def test_trains_in_training_mode():
    point, modes = Point(), []

    def objective(batch, step):
        modes.append((point.training, step.training))
        return quadratic(point)(batch, step)

    run(make(objective, {"point": point}), 2)
    assert set(modes) == {(True, True)}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_the_same_run(seed):
    def once():
        point = Point()

        def objective(batch, step):
            noise = torch.randn(batch.shape, generator=step.generator)
            return {"noisy": (batch + noise - point.place).square().mean()}

        trainer = make(objective, {"point": point}, seed=seed)
        run(trainer, 5)
        return place(trainer), trainer.state.history

    (first, first_history), (second, second_history) = once(), once()
    assert torch.equal(first, second) and first_history == second_history


def test_seeds_give_different_runs():
    def once(seed):
        point = Point()
        trainer = make(
            lambda batch, step: {"square": (batch - point.place).square().mean()},
            {"point": point},
            seed=seed,
        )
        run(trainer, 2)
        return place(trainer)

    assert not torch.equal(once(0), once(1))


def test_dropout_is_seeded_and_leaves_the_global_generator_alone():
    def once():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        trainer = make(lambda batch, step: {"square": net(batch).square().mean()}, {"net": net})
        run(trainer, 3)
        return trainer.state.history["loss"]

    state = torch.get_rng_state()
    assert once() == once()
    assert torch.equal(torch.get_rng_state(), state)


# What it records.


def test_history_has_one_value_per_epoch():
    point = Point()
    trainer = make(quadratic(point), {"point": point})
    assert run(trainer, 7) == 7
    assert {name: len(values) for name, values in trainer.state.history.items()} == {
        "square": 7,
        "constant": 7,
        "loss": 7,
    }


def test_loss_is_the_sum_of_the_terms():
    point = Point()
    trainer = make(quadratic(point), {"point": point})
    run(trainer, 3)
    terms = zip(
        *(trainer.state.history[name] for name in ("square", "constant", "loss")), strict=True
    )
    assert all(loss == pytest.approx(square + constant) for square, constant, loss in terms)


def test_history_is_the_mean_over_rows():
    # Batches of 4 and 3 rows: the mean over batches would be another number.
    trainer = make(
        lambda batch, step: {"mean": batch.mean() + 0 * point.place.sum()},
        {"point": (point := Point())},
        n=7,
        batch_size=4,
    )
    run(trainer, 1)
    assert trainer.state.history["mean"][0] == pytest.approx(float(trainer.rows.X.mean()), abs=1e-6)


def test_best_loss_is_the_smallest():
    point = Point()
    trainer = make(quadratic(point), {"point": point})
    run(trainer, 10)
    assert trainer.state.best_loss == min(trainer.state.history["loss"])


def test_steps_know_their_rows():
    point, seen = Point(), []

    def objective(batch, step):
        seen.append(step.rows)
        assert torch.equal(batch, torch.from_numpy(trainer.rows.X[step.rows.numpy()]))
        assert step.n_rows == 20
        return quadratic(point)(batch, step)

    trainer = make(objective, {"point": point})
    run(trainer, 1)
    assert torch.equal(torch.cat(seen).sort()[0], torch.arange(20))


@pytest.mark.parametrize(("fresh", "expected"), [(True, [0, 0.25, 0.5, 0.75]), (False, [1.0] * 4)])
def test_progress_is_the_share_of_the_steps(fresh, expected):
    point, seen = Point(), []

    def objective(batch, step):
        seen.append(step.progress)
        return quadratic(point)(batch, step)

    run(make(objective, {"point": point}, batch_size=10, fresh=fresh), 2)
    assert seen == expected


def test_progress_is_printed(capsys):
    point = Point()
    run(make(quadratic(point), {"point": point}), 2, verbose=True, name="Toy")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("[Toy] epoch 2/2  square ")


def test_the_time_that_is_left_is_that_of_the_mean_epoch(capsys, monkeypatch):
    point = Point()
    trainer = make(quadratic(point), {"point": point})
    clock = iter([0.0, 0.0, 1830.0, 1830.0, 1860.0, 1860.0, 1905.0])
    monkeypatch.setattr("skotae.training._loop.time.perf_counter", lambda: next(clock))
    run(trainer, 3, verbose=2)
    ends = [line.rpartition("(")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends == [
        "1830.00 s, about 1 h 1 min left)",
        "30.00 s, about 15 min 30 s left)",
        "45.00 s, about 0 s left)",
    ]


def test_silent_by_default(capsys):
    point = Point()
    run(make(quadratic(point), {"point": point}), 2)
    assert capsys.readouterr().out == ""


# The learning rate.


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 1.0), (0.5, 0.505), (1.0, 0.01), (1 / 3, 0.01 + 0.99 * 0.75), (2.0, 0.01)],
)
def test_cosine_schedule(progress, factor):
    assert schedule_factor("cosine", progress) == pytest.approx(factor)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_constant_schedule(progress):
    assert schedule_factor("constant", progress) == 1.0


# When it stops.


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


# What watches over it.


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
    with pytest.raises(NonFiniteLossError, match="'penalty' is not finite in epoch 0"):
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


def test_weights_before_a_fatal_loss_are_kept():
    point, calls = Point(), []

    def objective(batch, step):
        calls.append(None)
        slope = 1.0 if len(calls) <= 2 else math.nan
        return {"linear": slope * point.place.sum()}

    trainer = make(objective, {"point": point}, batch_size=20, learning_rate_init=0.1)
    with pytest.raises(NonFiniteLossError, match="epoch 2"):
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


# The inner problem.


class Game(Trainable):
    """A point, and an inner point that learns something else."""

    inner = ("inside",)

    def __init__(self, n_inner=1):
        super().__init__()
        self.outside, self.inside = Point(), Point()
        self.n_inner = n_inner
        self.calls = {"inner": 0, "outer": 0}

    def terms(self, batch, step):
        self.calls["outer"] += 1
        # Its gradient reaches the inner point, which is not to follow it.
        return {"outer": (self.outside.place - TARGET).square().sum() + self.inside.place.sum()}

    def inner_terms(self, batch, step):
        self.calls["inner"] += 1
        return {"inner": (self.inside.place + TARGET).square().sum() + self.outside.place.sum()}


@pytest.mark.parametrize("n_inner", [1, 3])
def test_inner_terms_are_asked_for_n_inner_times_per_step(n_inner):
    game = Game(n_inner)
    run(trainer_of(game), 2)
    assert game.calls == {"inner": 8 * n_inner, "outer": 8}


def test_each_objective_moves_its_own_modules():
    game = Game()
    run(trainer_of(game, learning_rate="cosine"), 100)
    torch.testing.assert_close(game.outside.place.detach(), TARGET, rtol=0, atol=1e-2)
    torch.testing.assert_close(game.inside.place.detach(), -TARGET, rtol=0, atol=1e-2)


def test_inner_terms_are_not_in_the_history():
    trainer = trainer_of(Game())
    run(trainer, 2)
    assert set(trainer.state.history) == {"outer", "loss"}


def test_a_rollback_covers_the_inner_modules():
    places = []

    class Failing(Game):
        def inner_terms(self, batch, step):
            places.append(self.inside.place.detach().clone())
            factor = math.nan if len(places) == 3 else 1
            return {name: factor * v for name, v in super().inner_terms(batch, step).items()}

    game = Failing()
    run(trainer_of(game, batch_size=20), 4)
    assert torch.equal(places[3], places[2]) and game.inside.place.isfinite().all()


def test_nothing_is_warned_about():
    point = Point()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(make(quadratic(point), {"point": point}, held_out=HELD_OUT), 3)
