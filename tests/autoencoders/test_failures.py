"""What is left after a fit that fails or is interrupted, case by case."""

import copy
import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

import skotae.autoencoders.mixture._gmwae as clusters_module
from skotae.exceptions import ConvergenceWarning, NonFiniteLossError
from skotae.testing import make_data
from skotae.training import Trainer

X = make_data(24)
NAMES = ["WAEEstimator", "GMWAE", "CoupledVAE", "AdversarialVB", "WGAN"]


calls_left = [float("inf")]


def cost(x, y):
    """Squares, as often as `calls_left` says."""
    calls_left[0] -= 1
    if calls_left[0] < 0:
        raise RuntimeError("out of memory")
    return (x - y).square().sum(-1)


@pytest.fixture(autouse=True)
def many_calls():
    calls_left[0] = float("inf")


class Watch:
    """A callback that raises an error at the end of an epoch, or of the fit."""

    def __init__(self, error=None, epoch=2, task="epoch"):
        self.error, self.epoch, self.task = error, epoch, task
        self.torn_down = 0

    def setup(self, estimator, context):
        self.n = 0

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.n += 1
            self.see(estimator, fitted_estimator)
        if self.error and context.task_name == self.task and self.n >= self.epoch:
            raise self.error

    def see(self, estimator, fitted):
        """At the end of each epoch."""


def assert_whole(model, n_iter):
    """Evaluation mode, counts that agree, finite results, and no trace of the trainer."""
    assert model.n_iter_ == n_iter
    assert {len(values) for values in model.history_.values()} == {n_iter}
    assert not any(part.training for part in model.model_.modules())
    assert all(p.grad is None for p in model.model_.parameters())
    assert "_run" not in vars(model)
    assert np.isfinite(model.score(X))
    pickle.loads(pickle.dumps(model))
    clone(model)


# --- errors --------------------------------------------------------------------------------


def test_error_in_a_second_fit(small, digest):
    """The old fit is still there, bit for bit, though epochs of the new one have gone well."""
    model = small("WAEEstimator", cost=cost, max_iter=5).fit(X)
    before = digest(model, X)
    calls_left[0] = 6
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(make_data(30, seed=1))
    calls_left[0] = float("inf")
    assert digest(model, X) == before
    assert_whole(model, 5)


def test_error_in_a_first_fit(small):
    """The last good epoch is kept, also where the cost goes on failing."""
    calls_left[0] = 6
    model = small("WAEEstimator", cost=cost, max_iter=5)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(X)
    assert 1 <= model.n_iter_ < 5
    assert_whole(model, model.n_iter_)


def test_error_in_the_first_epoch(small):
    calls_left[0] = 2
    model = small("WAEEstimator", cost=cost)
    attributes = [*vars(model)]
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(pd.DataFrame(X))
    assert [*vars(model)] == attributes


def test_columns_are_those_of_the_old_fit(small):
    old = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    model = small("WAEEstimator", cost=cost).fit(old)
    calls_left[0] = 3
    with pytest.raises(RuntimeError):
        model.fit(X)
    assert model.n_features_in_ == 3
    assert [*model.feature_names_in_] == ["a", "b", "c"]
    assert model.transform(old).shape == (24, 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["epoch", "fit"])
def test_error_in_a_callback(name, task, small, digest):
    """After epoch 2 of 3 two epochs are there; at the end of the fit, all of them."""
    expected = []
    watch = Watch()
    watch.see = lambda estimator, fitted: expected.append(digest(fitted, X))
    small(name, max_iter=3).set_callbacks(watch).fit(X)
    watch = Watch(ZeroDivisionError(), task=task)
    model = small(name, max_iter=3).set_callbacks(watch)
    with pytest.raises(ZeroDivisionError):
        model.fit(X)
    assert watch.torn_down == 1
    n_epochs = 2 if task == "epoch" else 3
    assert_whole(model, n_epochs)
    assert digest(model, X) == expected[n_epochs - 1]


def test_error_while_callbacks_are_set_up(small):
    watch = Watch()
    watch.setup = lambda estimator, context: 1 / 0
    model = small("WAEEstimator").set_callbacks(watch)
    with pytest.raises(ZeroDivisionError):
        model.fit(X)
    assert not hasattr(model, "n_iter_")
    assert watch.torn_down == 1


def test_losses_that_become_infinite(small):
    """No epoch of the new fit has gone well: the estimator is as before."""
    model = small("WAEEstimator", max_iter=4)
    whole = clone(model).fit(X)
    model.set_params(learning_rate_init=1e30)
    with pytest.raises(NonFiniteLossError):
        model.fit(X)
    assert not hasattr(model, "n_iter_")
    with pytest.raises(NonFiniteLossError):
        whole.set_params(learning_rate_init=1e30).fit(X)
    assert_whole(whole, 4)


factor = [1.0]


def factor_times_cost(x, y):
    return factor[0] * (x - y).square().sum(-1)


def test_epochs_are_counted_as_everywhere(small, capsys, monkeypatch):
    """From 1, and on from those of the fit before: in the error, n_iter_ and what is printed."""
    options = {"max_iter": 2, "warm_start": True, "verbose": True, "cost": factor_times_cost}
    model = small("WAEEstimator", **options).fit(X)
    model.fit(X)
    printed = [line.split()[2] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["1/2", "2/2", "3/4", "4/4"]
    monkeypatch.setattr(sys.modules[__name__], "factor", [float("nan")])
    for call, n in ((model.fit, 4), (model.partial_fit, 4), (clone(model).fit, 0)):
        with pytest.raises(NonFiniteLossError, match=f"not finite in epoch {n + 1}, ") as raised:
            call(X)
        assert raised.value.epoch == n + 1
    assert model.n_iter_ == 4


def test_partial_fit_goes_on_as_if_nothing_had_happened(small, digest):
    """Weights and the optimiser's averages are those of the last chunk that went well."""
    model, untroubled = (small("WAEEstimator", cost=cost).partial_fit(X[:12]) for _ in range(2))
    for n in (0, 1):
        calls_left[0] = n
        with pytest.raises(RuntimeError):
            model.partial_fit(X)
        calls_left[0] = float("inf")
    assert digest(model, X) == digest(untroubled, X)
    assert digest(model.partial_fit(X), X) == digest(untroubled.partial_fit(X), X)


def test_an_error_while_the_old_state_is_put_back(small, digest, monkeypatch):
    """The first error is told of; Ctrl-C pressed twice ends in the state before."""
    model = small("WAEEstimator").fit(X)
    before = digest(model, X)

    def failing(error):
        def finish(trainer, accept):
            raise error

        return finish

    monkeypatch.setattr(Trainer, "finish", failing(MemoryError()))
    unfitted = small("WAEEstimator").set_callbacks(Watch(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        unfitted.fit(X)
    assert not hasattr(unfitted, "n_iter_")
    monkeypatch.setattr(Trainer, "finish", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        model.set_callbacks(Watch(KeyboardInterrupt())).fit(X)
    assert digest(model, X) == before


# --- Ctrl-C --------------------------------------------------------------------------------


@pytest.mark.parametrize("fitted", [False, True])
def test_interrupt_while_clusters_are_sought(fitted, small, digest, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    model = small("GMWAE", init="clusters")
    before = digest(model.fit(X), X) if fitted else None
    monkeypatch.setattr(clusters_module, "graph_clusters", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert digest(model, X) == before


@pytest.mark.parametrize("name", NAMES)
def test_interrupt(name, small):
    model = small(name).fit(X).set_callbacks(Watch(KeyboardInterrupt()))
    with pytest.warns(ConvergenceWarning, match="n_iter_=2") as caught:
        assert model.fit(X) is model
    [warning] = [w for w in caught if w.category is ConvergenceWarning]
    assert warning.filename == __file__
    assert_whole(model, 2)


@pytest.mark.parametrize("task", ["epoch", "fit"])
def test_interrupt_of_a_chunk_with_a_row_that_waited(task, small, digest):
    """The weights that are kept have seen it: it does not come twice."""
    models = [small("WAEEstimator").partial_fit(X[:10]).partial_fit(X[10:11]) for _ in range(2)]
    with pytest.warns(ConvergenceWarning, match="n_iter_=2"):
        models[0].set_callbacks(Watch(KeyboardInterrupt(), epoch=1, task=task))
        models[0].partial_fit(X[11:])
    models[0].set_callbacks()
    for model in (models[0], models[1].partial_fit(X[11:])):
        model.partial_fit(X[:3])
    assert digest(models[0], X) == digest(models[1], X)


@pytest.mark.parametrize("name", NAMES)
def test_interrupt_with_warnings_as_errors(name, small):
    watch = Watch(KeyboardInterrupt())
    model = small(name).set_callbacks(watch)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            model.fit(X)
    assert_whole(model, 2)
    assert watch.torn_down == 1


def test_interrupt_keeps_the_best_epoch(small):
    """With early stopping, the weights of the best epoch so far."""
    epochs = []
    params = {"early_stopping": True, "learning_rate_init": 1.0, "max_iter": 8}
    watch = Watch(KeyboardInterrupt(), epoch=6)
    watch.see = lambda estimator, fitted: epochs.append(fitted)
    model = small("WAEEstimator", **params).set_callbacks(watch)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    best = int(np.argmin(model.history_["validation_loss"]))
    assert best < 5, "the last epoch is the best one: choose another seed"
    np.testing.assert_array_equal(model.transform(X), epochs[best].transform(X))
    assert model.best_loss_ == min(model.history_["validation_loss"])
    assert_whole(model.set_callbacks(), 6)


# --- what cannot be trained ----------------------------------------------------------------


def detached(x, y):
    return (x - y.detach()).square().sum(-1)


class NotInEvaluation(nn.Linear):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else torch.nan)


class Counting(nn.Linear):
    """It counts its calls in training, beside what is kept of it."""

    def __init__(self, n_in, n_out, persistent=False):
        super().__init__(n_in, n_out)
        self.register_buffer("calls", torch.zeros(()), persistent=persistent)

    def forward(self, x):
        if self.training:
            self.calls += 1
        return super().forward(x) * (1.0 + 0.1 * self.calls)


class CountingInPython(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (1.0 + 0.1 * self.calls)


@pytest.mark.moves_torch_rng
def test_a_step_can_be_undone_that_is_kept(small, digest):
    model = small("WAEEstimator", encoder=Counting(X.shape[1], 2, persistent=True)).fit(X)
    assert float(model.encoder_.net.calls) > 0
    assert digest(pickle.loads(pickle.dumps(model)), X) == digest(model, X)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cost": detached}, "No gradient .* decoder"),
        ({"encoder": Counting}, "The encoder keeps something of its calls"),
        ({"decoder": CountingInPython}, "The decoder keeps something of its calls"),
        ({"encoder": NotInEvaluation}, "not finite in evaluation mode"),
    ],
)
def test_refused_before_training(fitted, params, message, small, digest):
    model = small("WAEEstimator")
    before = digest(model.fit(X), X) if fitted else None
    watch = Watch()
    model.set_params(**params).set_callbacks(watch)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert digest(model, X) == before
    assert watch.torn_down == 0, "training had begun"


# --- callbacks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_callbacks_see_the_values_so_far(name, small):
    """In the estimator that is fitted, and in the copy that is as if the fit ended there."""
    seen = []
    watch = Watch()
    watch.see = lambda *both: seen.append(
        [(m.n_iter_, copy.deepcopy(m.history_), m.best_loss_) for m in both]
    )
    model = small(name).set_callbacks(watch).fit(X)
    for epoch, (one, other) in enumerate(seen, 1):
        expected = {term: values[:epoch] for term, values in model.history_.items()}
        assert one == other
        assert one[:2] == (epoch, expected)
        assert one[2] == min(expected["loss"])
