"""Checks of what happens during and between fits."""

from __future__ import annotations

import tempfile
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skotae.exceptions import ConvergenceWarning
from skotae.networks import MLP
from skotae.testing.base import (
    assert_same_fit,
    assert_usable,
    estimator_check,
    fresh,
    main_result,
    make_data,
    results_of,
    unchanged_globals,
    with_dense_networks,
)


class EpochCallback:
    """scikit-learn callback that calls `action` with the number of each finished epoch."""

    def __init__(self, action: Any):
        self.action = action
        self.n_epochs = 0

    def setup(self, estimator: Any, context: Any) -> None:
        self.n_epochs = 0

    def teardown(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> Any:
        if context.task_name != "epoch":
            return None
        self.n_epochs += 1
        return self.action(self.n_epochs)


@estimator_check()
def check_globals_untouched(estimator: Any) -> None:
    """Fitting, encoding, sampling and scoring leave global state alone."""
    X = make_data()
    # Dropout draws from torch's global generator; without it nothing has an excuse to.
    with unchanged_globals("fit with dropout"):
        with_dense_networks(estimator, MLP((8,), dropout=0.2)).fit(X)
    model = with_dense_networks(estimator)
    with unchanged_globals("fit"):
        model.fit(X)
    with unchanged_globals("inference"):
        results_of(model, X)
        model.score(X)


@estimator_check()
def check_refit_is_identical(estimator: Any) -> None:
    """Equal seeds give equal fits, other seeds other ones."""
    X = make_data()
    first = fresh(estimator).fit(X)
    assert_same_fit(first, fresh(estimator).fit(X), X, "two fits with one random_state differ")
    other = fresh(estimator, random_state=1).fit(X)
    same = np.array_equal(main_result(first, X), main_result(other, X))
    assert not same, "random_state has no effect"


@estimator_check()
def check_refit_forgets(estimator: Any) -> None:
    """A second fit, on data of another width, starts from nothing."""
    model = with_dense_networks(estimator).fit(make_data(n_features=4, seed=1))
    X = make_data()
    model.fit(X)
    expected = with_dense_networks(estimator).fit(X)
    assert_same_fit(model, expected, X, "a second fit remembers the first")
    extra = set(vars(model)) ^ set(vars(expected))
    assert not extra, f"attributes differ after a second fit: {sorted(extra)}"


def _check_threads(estimator: Any) -> None:
    X = make_data()
    serial = [fresh(estimator, random_state=seed).fit(X) for seed in (0, 1)]
    with ThreadPool(2) as pool:
        threaded = pool.map(lambda seed: fresh(estimator, random_state=seed).fit(X), (0, 1))
    for one, other in zip(serial, threaded, strict=True):
        assert_same_fit(one, other, X, "a fit in a thread differs from a serial one")


@estimator_check()
def check_threads(estimator: Any) -> None:
    """Two fits at once give what they give one after the other."""
    _check_threads(estimator)


@estimator_check()
def check_threads_with_dropout(estimator: Any) -> None:
    """The same for networks that draw from torch's global generator while training."""
    _check_threads(with_dense_networks(estimator, MLP((8,), dropout=0.3)))


def _no_stopping(estimator: Any) -> dict[str, Any]:
    off = {"early_stopping": False, "tol": None}
    return {name: value for name, value in off.items() if name in estimator.get_params()}


@estimator_check()
def check_history(estimator: Any) -> None:
    """``history_`` has one number for each epoch and term, and "loss" is their sum."""
    model = fresh(estimator, max_iter=3, **_no_stopping(estimator)).fit(make_data())
    assert model.n_iter_ == 3, f"n_iter_ is {model.n_iter_} after max_iter=3"
    history = dict(model.history_)
    for name, values in history.items():
        assert len(values) == model.n_iter_, f"history_[{name!r}] has {len(values)} entries"
        assert all(type(value) is float for value in values), f"history_[{name!r}] is no float"
    loss = history.pop("loss")
    terms = [values for name, values in history.items() if not name.startswith("adversary")]
    assert terms, "history_ has no term but the loss"
    np.testing.assert_allclose(loss, np.sum(terms, axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.best_loss_, min(loss))


@estimator_check()
def check_callback_stop(estimator: Any) -> None:
    """A callback that returns True ends training."""
    model = fresh(estimator, max_iter=5).set_callbacks(EpochCallback(lambda epoch: epoch == 2))
    model.fit(make_data())
    assert model.n_iter_ == 2, f"stopped after epoch 2, n_iter_ is {model.n_iter_}"
    assert len(model.history_["loss"]) == 2


@estimator_check()
def check_interrupt(estimator: Any) -> None:
    """KeyboardInterrupt leaves a fitted estimator."""

    def interrupt(epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    X = make_data()
    model = fresh(estimator, max_iter=5).set_callbacks(EpochCallback(interrupt))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert any(issubclass(w.category, ConvergenceWarning) for w in caught), "no warning"
    assert len(model.history_["loss"]) == model.n_iter_ <= 2
    assert_usable(model, X)


class _Start(EpochCallback):
    """Keeps the weights that training begins with."""

    def __init__(self) -> None:
        super().__init__(lambda epoch: False)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        if context.task_name != "epoch":
            self.weights = _weights(estimator)


def _weights(model: Any) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in model.model_.parameters()]


@estimator_check()
def check_warm_start(estimator: Any) -> None:
    """``warm_start`` goes on from the last weights, and counts on."""
    X = make_data()
    model = fresh(estimator, warm_start=True, max_iter=2, **_no_stopping(estimator)).fit(X)
    before, weights, start = main_result(model, X), _weights(model), _Start()
    model.set_params(max_iter=3).set_callbacks(start).fit(X)
    assert model.n_iter_ == 5, f"n_iter_ is {model.n_iter_} after 2 and 3 epochs"
    assert all(len(values) == 5 for values in model.history_.values())
    assert len(start.weights) == len(weights) and all(map(torch.equal, start.weights, weights)), (
        "warm_start did not begin with the weights of the fit before"
    )
    assert not np.array_equal(before, main_result(model, X)), "warm_start did not train"
    assert_usable(model, X)


@estimator_check()
def check_partial_fit(estimator: Any) -> None:
    """``partial_fit`` takes chunks of different sizes; one of one row waits for the next."""
    X = make_data(60)
    model = fresh(estimator)
    for chunk in (X[:30], X[30:50], X[50:51], X[51:52], X[52:], X[:1]):
        assert model.partial_fit(chunk) is model
    assert model.n_iter_ == 4, f"n_iter_ is {model.n_iter_} after four chunks"
    assert all(len(values) == 4 for values in model.history_.values())
    assert_usable(model, X)
    again = fresh(estimator)
    for chunk in (X[:30], X[30:50], X[50:52], X[52:]):
        again.partial_fit(chunk)
    assert_same_fit(model, again, X, "partial_fit is not reproducible")


@estimator_check()
def check_early_stopping(estimator: Any) -> None:
    """``early_stopping`` keeps the epoch of the least validation loss."""
    if "early_stopping" not in estimator.get_params():
        return
    X = make_data()
    model = fresh(
        estimator, early_stopping=True, validation_fraction=0.25, max_iter=4, n_iter_no_change=1
    ).fit(X)
    validation = model.history_["validation_loss"]
    assert len(validation) == model.n_iter_ <= 4
    np.testing.assert_allclose(model.best_loss_, min(validation))
    assert_usable(model, X)


@estimator_check()
def check_params_untouched(estimator: Any) -> None:
    """Fitting leaves the parameters as they were, and puts nothing live into them."""
    model = fresh(estimator)
    before = model.get_params(deep=True)
    state = {name: repr(value) for name, value in before.items()}
    model.fit(make_data())
    for name, value in model.get_params(deep=True).items():
        assert not isinstance(value, (torch.Tensor, torch.nn.Module)) or value is before[name], (
            f"{name} holds a live {type(value).__name__} after fit"
        )
        assert repr(value) == state[name], f"fit changed the parameter {name}"
        attributes = vars(value) if hasattr(value, "get_params") else {}
        fitted = [key for key in attributes if key.endswith("_") and not key.startswith("_")]
        assert not fitted, f"fit wrote {fitted} into the parameter {name}"


@estimator_check()
def check_evaluation_mode(estimator: Any) -> None:
    """Training ends in evaluation mode, without gradients."""
    model = fresh(estimator).fit(make_data())
    check_is_fitted(model)
    for name, module in model.model_.named_modules():
        assert not module.training, f"{name or 'model_'} is training"
    for name, weight in model.model_.named_parameters():
        assert weight.grad is None, f"{name} holds a gradient"


@estimator_check()
def check_memory_map(estimator: Any) -> None:
    """A read-only memory map is read, and only read."""
    for dtype in (np.float32, np.float64):
        X = make_data(dtype=dtype)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "X.npy"
            np.save(path, X)
            content = path.read_bytes()
            mapped = np.load(path, mmap_mode="r")
            model = fresh(estimator).fit(mapped)
            result = main_result(model, mapped)
            results_of(model, mapped)
            model.score(mapped)
            assert path.read_bytes() == content, "the file changed"
            del mapped
        np.testing.assert_array_equal(result, main_result(fresh(estimator).fit(X), X))
