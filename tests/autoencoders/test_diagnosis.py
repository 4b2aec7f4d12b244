"""What a fit says about itself."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skotae import WGAN, SinkhornEncoder, WAEEstimator
from skotae.autoencoders.bases import _diagnosis
from skotae.networks import MLP
from skotae.testing import make_data

X, _ = load_iris(return_X_y=True)
WORSE = "worse than the mean of these rows"


def runaway(**params):
    """Steps so large that nothing is learned."""
    options = {"max_iter": 2, "learning_rate_init": 1.0, "random_state": 0, **params}
    return WAEEstimator(2, hidden_layer_sizes=(16,), **options)


def test_a_fit_worse_than_the_constant_says_so_once():
    with pytest.warns(UserWarning, match=WORSE) as caught:
        model = runaway().fit(X)
    assert len(caught) == 1 and caught[0].filename == __file__
    message = str(caught[0].message)
    assert "max_iter=2" in message and "learning_rate_init=1.0" in message
    r2 = 1 - np.square(X - model.reconstruct(X)).sum() / np.square(X - X.mean(axis=0)).sum()
    assert r2 < -_diagnosis.MARGIN


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_it_does_not_depend_on_units(scale):
    with pytest.warns(UserWarning, match=WORSE):
        runaway().fit(scale * X)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WAEEstimator(2, max_iter=30, random_state=0).fit(X),
        lambda: WAEEstimator(2, max_iter=1, learning_rate_init=1e-9, random_state=0).fit(X),
        lambda: WAEEstimator(2, max_iter=3, random_state=0).fit(np.full((10, 3), 0.1)),
        lambda: runaway().partial_fit(X).partial_fit(X),
        lambda: SinkhornEncoder(2, max_iter=2, random_state=0).fit(X),
        lambda: WGAN(2, max_iter=2, random_state=0).fit(X),
    ],
    ids=["good", "untrained", "constant rows", "partial_fit", "no decoder", "no encoder"],
)
def test_silence(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()


def test_some_hundred_rows_are_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(_diagnosis, "CHECKS", (lambda estimator, rows: seen.append(rows),))
    rows = make_data(3000)
    WAEEstimator(2, max_iter=1, random_state=0).fit(rows)
    assert len(seen) == 1 and 256 <= len(seen[0]) <= _diagnosis.MAX_ROWS


def test_each_check_has_a_warning_of_its_own(monkeypatch):
    checks = (lambda *_: "first", lambda *_: None, lambda *_: "third")
    monkeypatch.setattr(_diagnosis, "CHECKS", checks)
    with pytest.warns(UserWarning) as caught:
        WAEEstimator(2, max_iter=1, random_state=0).fit(X)
    assert [str(warning.message) for warning in caught] == ["first", "third"]


def messages(make, category=UserWarning):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [str(w.message) for w in caught if w.category is category]


def test_more_components_than_columns():
    def fit(d):
        return messages(lambda: WAEEstimator(d, max_iter=2, random_state=0).fit(X))

    assert fit(4) == []
    (message,) = fit(5)
    assert "n_components=5" in message and "4 columns" in message


class Narrow(nn.Module):
    """Codes a thousand times narrower than the prior, which no training widens."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = nn.Linear(n_in, n_out)

    def forward(self, x):
        return 1e-3 * self.net(x)


def test_codes_that_miss_the_prior_and_samples_out_of_range():
    options = {"encoder": Narrow, "lam": 1e-6, "prior": "normal", "latent": "prior"}
    options |= {"decoder": nn.Linear, "learning_rate_init": 0.3, "max_iter": 60, "random_state": 0}
    codes, samples = messages(lambda: WAEEstimator(2, **options).fit(X))
    assert "in 2 of 2 coordinates" in codes and "lam (now 1e-06)" in codes
    assert "clips them" in samples
    only = messages(lambda: WAEEstimator(2, clip=False, **options).fit(X))
    assert only == [codes]


def test_after_few_steps_nothing_is_said_of_codes_and_samples():
    few = {"encoder": Narrow, "max_iter": 2, "batch_size": 32, "prior": "normal"}
    assert messages(lambda: WAEEstimator(2, random_state=0, **few).fit(X)) == []


@pytest.mark.parametrize(("labels", "n_unused"), [([0, 1, 2], 0), ([0, 2], 1), ([1], 2)])
def test_components_without_rows(labels, n_unused):
    fitted = SimpleNamespace(n_mixtures_=3, n_mixtures=3, predict_proba=None)
    fitted.labels_ = np.resize(labels, 3 * _diagnosis.ROWS_TO_TELL)
    message = _diagnosis.unused_components(fitted, X)
    assert message is None if n_unused == 0 else message.startswith(f"{n_unused} of 3 components")
    # So few rows may leave one out.
    fitted.labels_ = fitted.labels_[:-1]
    assert _diagnosis.unused_components(fitted, X) is None


epochs = np.arange(40)
noise = np.random.default_rng(0).normal(size=40)


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        (1 - 0.01 * epochs, True),
        (-5 - 0.01 * epochs + 0.002 * noise, True),
        (np.exp(-epochs / 5), False),
        (1 + 0.01 * noise, False),
        (1 + 0.01 * epochs, False),
        (np.ones(40), False),
        (1 - 0.01 * epochs[:9], False),
    ],
    ids=["line", "noisy line", "settles", "noise", "rises", "flat", "too few epochs"],
)
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_loss_that_still_falls(losses, falls, size):
    fitted = SimpleNamespace(max_iter=40, learning_rate="constant", learning_rate_init=1e-3)
    assert (_diagnosis.still_falling(fitted, size * losses) is not None) == falls
    fitted.max_iter = "auto"
    assert _diagnosis.still_falling(fitted, losses) is None


def test_time_is_measured_in_steps_times_their_size():
    """What a straight line in the sum of step sizes looks like in epochs."""
    losses = 1 - np.cumsum(0.5 + 0.5 * np.cos(np.pi * (epochs + 0.5) / 40)) / 40
    fitted = SimpleNamespace(max_iter=40, learning_rate="cosine", learning_rate_init=1e-3)
    assert _diagnosis.still_falling(fitted, losses) is not None


def test_max_iter_reached_while_the_loss_falls():
    def fit(**params):
        options = {"learning_rate": "constant", "learning_rate_init": 1e-3, "random_state": 0}
        net = MLP((32,), start="random")
        model = WAEEstimator(2, encoder=net, decoder=net, max_iter=20, **options, **params)
        return messages(lambda: model.fit(X), ConvergenceWarning)

    (message,) = fit()
    assert "max_iter=20" in message
    # Training that ended for another reason did not run out of epochs.
    assert fit(tol=1e9, n_iter_no_change=12) == []
