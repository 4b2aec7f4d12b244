"""What a run tells of itself: history, steps, progress and learning rates."""

import pytest
import torch

from skotae.training._optim import schedule_factor

from .toys import Point, make, quadratic, run


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
