"""An error at any line of a fit leaves the old estimator, or the last good epoch, whole."""

import copy
import linecache
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import skotae
from skotae.exceptions import ConvergenceWarning
from skotae.networks import MLP
from skotae.testing import make_data
from skotae.testing.base import unchanged_globals

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
CASES = {
    **{name: (name, {}) for name in NAMES},
    "GMWAE clusters": ("GMWAE", {"init": "clusters"}),
    "GAN penalty": ("WAEEstimator", {"penalty": "gan"}),
    "CoupledVAE network": ("CoupledVAE", {"potential": "network"}),
    "CoupledVAE amortised": ("CoupledVAE", {"posterior": "amortised"}),
    "batch norm": ("WAEEstimator", {"encoder": MLP((8,), batch_norm=True)}),
    "dropout": ("WAEEstimator", {"encoder": MLP((8,), dropout=0.3)}),
    "penalty batch": ("WAEEstimator", {"penalty_batch_size": 16, "batch_size": 8}),
}
SETTINGS = ["fit", "refit", "warm start", "partial_fit", "first partial_fit", "watched", "early"]
ERRORS = [KeyboardInterrupt, RuntimeError, MemoryError]
PACKAGE = Path(skotae.__file__).parent
FOLDERS = tuple(str(PACKAGE / folder) for folder in ("autoencoders", "training"))
OLD, X = make_data(26, seed=1), make_data(24)


class Lines:
    """Note the lines of the package that are run; raise an error at one of them, once.

    Not at the line of a `with`: a trace function is also called between the end of its block and
    its exit, where Python does not look for Ctrl-C.
    """

    def __init__(self, at=None, error=None):
        self.at, self.error = at, error
        self.places = []

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *details):
        sys.settrace(self.before)

    def _call(self, frame, event, arg):
        return self._line if frame.f_code.co_filename.startswith(FOLDERS) else None

    def _line(self, frame, event, arg):
        file, number = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and not linecache.getline(file, number).lstrip().startswith("with "):
            self.places.append((file, number))
            if len(self.places) == self.at:
                # An error in a trace function ends the tracing.
                raise self.error
        return self._line

    def some(self, n, rng):
        """Numbers of n lines; places run once are as likely as those run in every step."""
        places = [f"{file}:{line}" for file, line in self.places]
        _, inverse, counts = np.unique(places, return_inverse=True, return_counts=True)
        share = 1.0 / counts[inverse]
        return [int(k) + 1 for k in rng.choice(len(places), n, False, share / share.sum())]


class Epochs:
    """A callback that calls `action` with the estimator of each epoch."""

    def __init__(self, action=lambda fitted: None):
        self.action = action
        self.is_open = False

    def setup(self, estimator, context):
        self.is_open = True

    def teardown(self, estimator, context):
        self.is_open = False

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.action(fitted_estimator)


class Scenario:
    """A call, what the estimator is before it, and what it may be after it.

    Attributes
    ----------
    start : estimator
    before : str or None
        Digest of `start`.
    epochs : list of str
        Digests at the end of each epoch of the call.
    lines : Lines
        Of the whole call.
    """

    def __init__(self, case, setting, small, digest):
        name, params = CASES[case]
        self.name, self.setting, self.digest = f"{case}, {setting}", setting, digest
        extra = {
            "warm start": {"warm_start": True},
            "early": {"early_stopping": True, "validation_fraction": 0.25},
        }.get(setting, {})
        self.start = small(name, **params, **extra, max_iter=3)
        if setting in ("refit", "warm start"):
            self.start.fit(OLD)
        if setting == "partial_fit":
            self.start.partial_fit(OLD)
        self.before = digest(self.start, OLD)
        self.epochs = []
        if setting == "early":
            # What an epoch leaves are the weights of the best one so far.
            self.epochs = [self._stopped_after(epoch) for epoch in (1, 2, 3)]
        else:
            watch = Epochs(lambda fitted: self.epochs.append(digest(fitted, OLD)))
            self.call(copy.deepcopy(self.start).set_callbacks(watch))
        whole = copy.deepcopy(self.start)
        if setting == "watched":
            whole.set_callbacks(Epochs())
        with Lines() as self.lines:
            self.call(whole)
        assert digest(whole, OLD) == self.epochs[-1], f"{self.name}: callbacks change the fit"

    def call(self, model):
        return model.partial_fit(X) if "partial" in self.setting else model.fit(X)

    def _stopped_after(self, n):
        seen = []

        def stop(fitted):
            seen.append(fitted)
            if len(seen) == n:
                raise KeyboardInterrupt

        model = copy.deepcopy(self.start).set_callbacks(Epochs(stop))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.call(model)
        best = seen[int(np.argmin(model.history_["validation_loss"]))]
        first, second = (m.sample(5, random_state=0) for m in (model, best))
        np.testing.assert_array_equal(first, second)
        return self.digest(model, OLD)

    def _without_refit(self):
        model = copy.deepcopy(self.start)
        with patch("skotae.autoencoders.bases.autoencoder.solve_last_layer"):
            self.call(model)
        return self.digest(model, OLD)

    def inject(self, at, error):
        """Raise an error at a line of the call, and look at what it leaves."""
        model, watch = copy.deepcopy(self.start), Epochs()
        if self.setting == "watched":
            model.set_callbacks(watch)
        attributes = set(vars(model))
        raised = False
        with warnings.catch_warnings(record=True) as caught, unchanged_globals("the error"):
            warnings.simplefilter("always")
            try:
                with Lines(at, error) as lines:
                    assert self.call(model) is model
            except type(error) as other:
                assert other is error
                raised = True
        file, line = lines.places[-1]
        where = f"{self.name}: {type(error).__name__} at {Path(file).name}:{line}"
        now = self.digest(model, OLD)
        assert not watch.is_open, f"{where}: no teardown"
        assert "_run" not in vars(model), f"{where}: the trainer is left"
        if now == self.before:
            assert raised, f"{where}: nothing has happened, and no error"
            assert set(vars(model)) == attributes, f"{where}: attributes differ"
            return
        kept = any("it stays as it was trained" in str(warning.message) for warning in caught)
        ends = [*self.epochs, self._without_refit()] if kept else self.epochs
        assert now in ends, f"{where}: a half-estimator"
        assert not any(part.training for part in model.model_.modules()), f"{where}: training"
        warned = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        interrupt = isinstance(error, KeyboardInterrupt)
        assert raised != (interrupt or kept) and warned == interrupt, f"{where}: raised {raised}"
        assert interrupt or kept or self.setting != "refit", f"{where}: the old fit is gone"


def inject_some(case, settings, n, small, digest):
    rng = np.random.RandomState(sorted(CASES).index(case))
    with warnings.catch_warnings():
        # Of estimators that are trained for so few epochs.
        warnings.simplefilter("ignore", UserWarning)
        for setting in settings:
            if setting == "early" and case in ("WGAN", "SinkhornEncoder"):
                continue
            scenario = Scenario(case, setting, small, digest)
            for i, at in enumerate(scenario.lines.some(n, rng)):
                scenario.inject(at, ERRORS[(i + rng.randint(3)) % 3](f"line {at}"))


@pytest.mark.parametrize("name", NAMES)
def test_error_at_some_lines(name, small, digest):
    inject_some(name, [SETTINGS[NAMES.index(name) % len(SETTINGS)]], 4, small, digest)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_error_at_many_lines(case, small, digest):
    inject_some(case, SETTINGS, 4, small, digest)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["WAEEstimator", "GMWAE clusters", "CoupledVAE"])
def test_error_at_every_place(case, small, digest):
    """Each line of a fit once, the last time that it is run."""
    scenario = Scenario(case, "fit", small, digest)
    last = {place: k for k, place in enumerate(scenario.lines.places, 1)}
    for i, at in enumerate(last.values()):
        scenario.inject(at, ERRORS[i % 3](f"line {at}"))
