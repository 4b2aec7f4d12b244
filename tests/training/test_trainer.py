"""The training loop on problems with a known minimum."""

import math
import warnings

import pytest
import torch
from torch import nn

from skotae.training import Trainable

from .toys import HELD_OUT, TARGET, Point, make, place, quadratic, run, trainer_of


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
