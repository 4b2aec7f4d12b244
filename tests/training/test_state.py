"""All that a training run changes, kept, rolled back, saved and restored whole."""

import copy
import math
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from skotae.columns import Units
from skotae.training import Rows, Trainable, Trainer
from skotae.training._guard import fault_of
from skotae.training._state import TrainingState
from skotae.utils._random import GlobalStream, make_generator

N_EPOCHS = 8


class Odd(Trainable):
    """A network with dropout, an inner one, a buffer that comes and goes, and extra state."""

    inner = ("critic",)

    def __init__(self, fails_in=()):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3)
            )
            self.critic = nn.Linear(3, 1)
        self.register_buffer("table", None)
        self.n_steps = 0
        self.fails_in = [*fails_in]

    def get_extra_state(self):
        return {"n_steps": self.n_steps}

    def set_extra_state(self, state):
        self.n_steps = state["n_steps"]

    def terms(self, batch, step):
        noise = torch.randn(batch.shape, generator=step.generator)
        decoded = self.net(batch + 0.1 * noise)
        terms = {"square": (batch - decoded).square().sum(1).mean()}
        if step.training:
            self.n_steps += 1
            # There from the second epoch until the sixth.
            if self.n_steps == 4:
                self.table = torch.zeros(step.n_rows)
            elif self.n_steps == 16:
                self.table = None
            if self.table is not None:
                self.table[step.rows] += decoded.detach()[:, 0]
                terms["kept"] = 0.1 * (decoded[:, 0] - self.table[step.rows]).square().mean()
            if self.n_steps in self.fails_in:
                self.fails_in.remove(self.n_steps)
                terms["square"] = terms["square"] * math.nan
        terms["critic"] = 0.1 * self.critic(decoded).mean()
        return terms

    def inner_terms(self, batch, step):
        with torch.no_grad():
            decoded = self.net(batch)
        real, other = self.critic(batch), self.critic(decoded)
        return {"gap": (real - 1.0).square().mean() + (other + 1.0).square().mean()}

    def outputs(self, batch, generator):
        return {"net": self.net(batch)}


def make_trainer(model=None, *, learning_rate="cosine", **options):
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    return Trainer(
        Odd() if model is None else model,
        rows=Rows(X, Units(np.zeros(3), 1.0), torch.device("cpu")),
        seed=3,
        batch_size=10,
        learning_rate_init=0.02,
        learning_rate=learning_rate,
        **options,
    )


@contextmanager
def quietly(epoch):
    yield lambda: False


def stop_after(n):
    @contextmanager
    def on_epoch(epoch):
        yield lambda: epoch + 1 == n

    return on_epoch


def make_state(model=None, **options):
    model = Odd() if model is None else model
    optimisers = [torch.optim.Adam(model.parameters(), lr=0.01)]
    options = {"history": {}, "patience": 3, **options}
    return TrainingState(
        model, optimisers, {"noise": make_generator(0)}, GlobalStream(0), **options
    )


def step(state, n=1):
    """Change weights, moments of the optimiser, a buffer and extra state."""
    for _ in range(n):
        state.model.zero_grad()
        sum(p.square().sum() for p in state.model.parameters()).backward()
        state.optimisers[0].step()
        state.model.n_steps += 1


def assert_equal(one, other):
    """Nests of dictionaries, lists, tensors and values, bit by bit."""
    assert type(one) is type(other) or isinstance(one, dict), (one, other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other or (one != one and other != other)


def whole(state):
    """A copy of all that a state holds."""
    return copy.deepcopy(
        {
            "model": dict(state.model.state_dict()),
            "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
            "epoch": state.epoch,
            "best_loss": state.best_loss,
            "best_weights": state.best_weights,
            "patience": state.patience,
            "history": state.history,
        }
    )


# --- one state --------------------------------------------------------------------------


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


def test_the_least_loss_counts_earlier_fits():
    state = make_state(best_before=0.3)
    assert state.least_loss == 0.3
    state.best_loss = 0.2
    assert state.least_loss == 0.2


@pytest.mark.parametrize("first", [None, torch.arange(3.0)], ids=["none", "tensor"])
@pytest.mark.parametrize("second", [None, torch.ones(5)], ids=["none", "tensor"])
def test_buffers_that_come_and_go_are_taken_over(first, second):
    saved, other = Odd(), Odd()
    saved.table = first if first is None else first.clone()
    state = copy.deepcopy(saved.state_dict())
    other.table = second if first is None or second is None else torch.ones(3)
    other.load_state(state)
    assert_equal(dict(other.state_dict()), dict(state))


# --- a run that goes on elsewhere -------------------------------------------------------

HELD_OUT = torch.tensor([2, 3, 11, 17, 20])
RUNS = {
    "plain": ({}, ()),
    "early stopping": ({"held_out": HELD_OUT, "n_iter_no_change": 2}, ()),
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
        "least": state.least_loss,
        "factor": state.step_factor,
        "noise": noise,
        "networks": state.networks.states,
    }


@each_run
@pytest.mark.parametrize("n_first", [1, 2, 3, 5, 6, 7])
def test_a_run_goes_on_bit_by_bit(options, fails_in, n_first):
    """At any epoch, in a trainer that has seen nothing but the state."""
    undisturbed = make_trainer(Odd(fails_in), **options)
    undisturbed.rehearse()
    undisturbed.run(N_EPOCHS, on_epoch=quietly)
    first = make_trainer(model := Odd(fails_in), **options)
    first.rehearse()
    first.run(N_EPOCHS, on_epoch=stop_after(n_first))
    saved = copy.deepcopy(first.state.state_dict())
    second = make_trainer(Odd(model.fails_in), **options)
    second.rehearse()
    second.state.load_state_dict(saved)
    second.run(N_EPOCHS, on_epoch=quietly)
    assert_equal(result(second), result(undisturbed))
    assert undisturbed.state.step_factor == 0.5 ** len(fails_in)


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
        trainer = make_trainer(history={k: [*v] for k, v in history.items()}, best_before=0.1)
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
