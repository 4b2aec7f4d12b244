"""One estimator is fitted by one call at a time; estimators do not wait for each other."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from skotae.testing import make_data

X = make_data(24)
ALREADY = r"This {} is being fitted by another call.*clone\(estimator\)"


class Meanwhile:
    """A callback that calls something in another thread at the end of the first epoch."""

    def __init__(self, call):
        self.call = call
        self.torn_down = 0
        self.errors = []

    def setup(self, estimator, context):
        self.done = False

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and not self.done:
            self.done = True
            self.meet(estimator)
            assert not self.torn_down

    def meet(self, estimator):
        with ThreadPoolExecutor(1) as pool:
            self.errors.append(pool.submit(self.call, estimator).exception())


class Within(Meanwhile):
    """The same in the thread of the fit, and a part of it."""

    def meet(self, estimator):
        self.call(estimator)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
@pytest.mark.parametrize("second", ["fit", "partial_fit", "fit_predict"])
@pytest.mark.parametrize("fitted", [False, True])
def test_the_second_call_is_refused(first, second, fitted, small, digest):
    """And the first goes on as if nothing had been."""
    models = [small("GMVAE", warm_start=True) for _ in range(2)]
    if fitted:
        models = [model.fit(X) for model in models]
    callback = Meanwhile(lambda estimator: getattr(estimator, second)(X[::2]))
    models[0].set_callbacks(callback)
    for model in models:
        getattr(model, first)(X)
    [error] = callback.errors
    with pytest.raises(RuntimeError, match=ALREADY.format("GMVAE")):
        raise error
    assert callback.torn_down == 1
    models[0].set_callbacks()
    assert digest(models[0], X) == digest(models[1], X)
    # It can be fitted again.
    assert digest(models[0].fit(X), X) == digest(models[1].fit(X), X)


def test_a_call_within_a_callback_is_one_more(small):
    model = small("VAE").set_callbacks(Within(lambda estimator: estimator.partial_fit(X)))
    with pytest.raises(RuntimeError, match=ALREADY.format("VAE")):
        model.fit(X)
    assert model.set_callbacks().fit(X).n_iter_ == 2


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_fit_that_failed_is_over(error, small, monkeypatch):
    model = small("VAE")
    for where in ("_measure", "_validate_params"):
        with monkeypatch.context() as patch:
            patch.setattr(type(model), where, lambda *_: (_ for _ in ()).throw(error()))
            with pytest.raises(error):
                model.fit(X)
    with pytest.raises(ValueError, match="minimum of 2"):
        model.fit(X[:1])
    assert model.fit(X).n_iter_ == 2


def fit_copies(model):
    """By copy, by clone and by pickle; the callback has no part in them."""
    twin = copy.copy(model).set_callbacks()
    copies = [twin, clone(twin), copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))]
    assert [each.fit(X).n_iter_ for each in copies] == [2] * 4


def test_copies_made_in_a_fit_are_others(small):
    assert small("VAE").set_callbacks(Within(fit_copies)).fit(X).n_iter_ == 2


def test_a_fork_made_in_a_fit_has_its_own(small):
    codes = []

    def fork(model):
        child = multiprocessing.get_context("fork").Process(
            target=model.set_callbacks().fit, args=(X,)
        )
        child.start()
        child.join(60)
        codes.append(child.exitcode)

    small("VAE").set_callbacks(Within(fork)).fit(X)
    assert codes == [0]


def test_many_estimators_at_once(small):
    models = [small("VAE", random_state=seed) for seed in range(4)]
    alone = [model.fit(X).transform(X) for model in models]
    fits = (delayed(clone(model).fit)(X) for model in models)
    for model, codes in zip(Parallel(2, "threading")(fits), alone, strict=True):
        np.testing.assert_array_equal(model.transform(X), codes)
