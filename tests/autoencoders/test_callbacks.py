"""scikit-learn's callbacks on autoencoders."""

import re
import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae.testing import make_data

X = make_data(40)
Y = np.arange(40) % 2
NAMES = ["WAEEstimator", "SinkhornAE", "SymmetricWAE", "GMWAE", "CoupledVAE"]


def small(name, **params):
    fewer = {"GMWAE": {"n_mixtures": 3}, "CoupledVAE": {"n_bank": 64}}.get(name, {})
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    return getattr(skotae, name)(**{**defaults, **fewer, **params})


def wait_for(monitor, n):
    """The log of the latest run; entries arrive by another thread."""
    for _ in range(200):
        log = monitor.get_logs()
        rows = [row for row in log.data if row["task_name"] == "epoch"] if log else []
        if len(rows) >= n:
            break
        time.sleep(0.02)
    return rows


def final_score(estimator, X, y=None):
    return estimator.score(X)


@pytest.mark.parametrize("name", NAMES)
def test_scoring_monitor(name):
    """One score for each epoch; the last is that of the fitted estimator."""
    monitor = ScoringMonitor(scoring={"score": final_score})
    model = small(name).set_callbacks(monitor).fit(X, Y)
    scores = [row["score"] for row in wait_for(monitor, 3)]
    assert len(scores) == 3 and np.isfinite(scores).all()
    assert len(set(scores)) == 3, "the estimator of an epoch is not the one of that epoch"
    unwatched = small(name).fit(X)
    np.testing.assert_array_equal(model.transform(X), unwatched.transform(X))
    assert model.score(X) == scores[-1]


@pytest.mark.parametrize("name", NAMES)
def test_progress_bar(name, capsys):
    pytest.importorskip("rich")
    model = small(name).set_callbacks(ProgressBar()).fit(X)
    assert f"{name} - fit" in capsys.readouterr().out
    np.testing.assert_array_equal(model.transform(X), small(name).fit(X).transform(X))


def test_progress_bar_of_a_search(capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(small("WAEEstimator"), {"lam": [0.1, 1.0]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X)
    assert "WAEEstimator" in capsys.readouterr().out


class Record:
    """What the hooks of a callback get."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name} {context.task_id}")
        if fitted_estimator is not None:
            assert np.isfinite(fitted_estimator.sample(2, random_state=0)).all()
            assert fitted_estimator.transform(X).shape == (len(X), 2)
            assert not any(module.training for module in fitted_estimator.decoder_.modules())
        return self.stop_after is not None and context.task_id + 1 >= self.stop_after


@pytest.mark.parametrize("name", NAMES)
def test_hooks(name):
    record = Record()
    small(name, max_iter=2).set_callbacks(record).fit(X, Y)
    assert record.events == [
        "setup",
        "begin fit 0",
        "begin epoch 0",
        "end epoch 0",
        "begin epoch 1",
        "end epoch 1",
        "end fit 0",
        "teardown",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_stop_within_a_pipeline(name):
    model = small(name, max_iter=9).set_callbacks(Record(stop_after=4))
    pipeline = make_pipeline(StandardScaler(), model).fit(X)
    assert pipeline[-1].n_iter_ == 4


def fails_after(event, record):
    """A cost that breaks in steps of training, once a callback has recorded an event."""

    def cost(x, y):
        if y.requires_grad and event in (None, *record.events):
            raise ZeroDivisionError
        return (x - y).square().sum(-1)

    return cost


@pytest.mark.parametrize("name", NAMES)
def test_teardown_after_an_error(name):
    record = Record()
    model = small(name).set_callbacks(record)
    model.set_params(cost=fails_after("begin epoch 0", record))
    with pytest.raises(ZeroDivisionError):
        model.fit(X)
    assert record.events == ["setup", "begin fit 0", "begin epoch 0", "teardown"]
    assert clone(model).get_params().keys() == model.get_params().keys()


@pytest.mark.parametrize("name", NAMES)
def test_callbacks_do_not_see_a_fit_that_cannot_begin(name):
    record = Record()
    model = small(name, cost=fails_after(None, record)).set_callbacks(record)
    with pytest.raises(ZeroDivisionError):
        model.fit(X)
    assert not record.events


class Interrupt(Record):
    """As if the user pressed Ctrl-C in the first epoch."""

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            raise KeyboardInterrupt


@pytest.mark.parametrize("again", ["first fit", "second fit", "warm start", "partial_fit"])
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_before_the_first_epoch_leaves_the_estimator(name, again):
    """It comes through, and there is nothing of the fit: no number, no weight, no attribute."""
    model = small(name, warm_start=again == "warm start")
    if again != "first fit":
        model.fit(X)
        expected = model.transform(X)
    model.set_callbacks(Interrupt())
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[:20]) if again == "partial_fit" else model.fit(X + 1.0)
    after = vars(model)
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)
    if again == "first fit":
        with pytest.raises(NotFittedError):
            model.transform(X)
    else:
        np.testing.assert_array_equal(model.transform(X), expected)


@pytest.mark.parametrize("change", [{"n_components": 3}, {"hidden_layer_sizes": (9,)}], ids=str)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_shapes_the_model_cannot_change_while_training_goes_on(method, change):
    model = small("WAEEstimator", warm_start=True).fit(X)
    expected = model.transform(X)
    (name, value), *_ = change.items()
    before = getattr(model, name)
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} (was {before!r})")):
        getattr(model.set_params(**change), method)(X)
    np.testing.assert_array_equal(model.transform(X), expected)
    assert model.set_params(warm_start=False).fit(X).n_iter_ == 3
