"""How training ended, by rule."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_iris

import skotae
from skotae.displays import TrainingDisplay
from skotae.displays._training import constant_levels
from skotae.displays._verdicts import training_verdict
from skotae.displays.base import DATA, GREY

X, _ = load_iris(return_X_y=True)
EPOCHS = np.arange(60)
NOISE = np.random.RandomState(0).normal(size=60)


def history(loss, **terms):
    return {"loss": list(loss), **{name: list(values) for name, values in terms.items()}}


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e-6, 0.0), (1e3, -5e4)])
@pytest.mark.parametrize(
    "curve, name",
    [
        (np.exp(-EPOCHS / 30), "still falling"),
        (np.exp(-EPOCHS / 5), "flat"),
        (np.exp(-EPOCHS / 5) + 0.02 * NOISE, "flat"),
        (0.02 * NOISE, "flat"),
        (np.exp(-EPOCHS / 30) + 0.005 * NOISE, "still falling"),
        (np.abs(EPOCHS - 30) / 30.0, "rising"),
        (np.ones(60), "flat"),
        (np.exp(-EPOCHS[:9] / 30), "too few epochs"),
    ],
)
def test_curves_with_a_known_end(curve, name, scale, shift):
    verdict = training_verdict(history(scale * curve + shift))
    assert verdict.name == name
    assert verdict.good is {"flat": True, "too few epochs": None}.get(name, False)


def test_steps_count_by_their_size():
    """What is straight in the sum of the steps flattens over the epochs of a cosine."""
    curve = -np.cumsum(0.5 + 0.5 * np.cos(np.pi * (EPOCHS + 0.5) / 60))
    assert training_verdict(history(curve), schedule="cosine").name == "still falling"
    assert training_verdict(history(np.exp(-EPOCHS / 5)), schedule="cosine").name == "flat"


def test_the_validation_loss_is_judged_where_there_is_one():
    rising = history(np.exp(-EPOCHS / 30), validation_loss=np.abs(EPOCHS - 30))
    verdict = training_verdict(rising)
    assert verdict.name == "rising" and "validation_loss" in verdict.text
    gone = training_verdict(history(np.exp(-EPOCHS / 30), validation_loss=np.full(60, np.nan)))
    assert gone.name == "still falling" and "validation_loss" not in gone.text


def test_collapse_is_told_from_the_line_of_the_mean():
    curve = 1.0 + np.exp(-EPOCHS / 5)
    terms = {"reconstruction": curve}
    assert training_verdict(history(curve, **terms), {"reconstruction": 1.0}).name == "collapsed"
    assert training_verdict(history(curve, **terms), {"reconstruction": 1.1}).name == "flat"
    # Of a likelihood the margin is in nats: a level of 0 has no share to be near to.
    level, nats = {"reconstruction": 1.0}, {"reconstruction": 0.5}
    assert training_verdict(history(curve - 0.4, reconstruction=curve - 0.4), level, nats).name == (
        "collapsed"
    )
    assert training_verdict(history(curve - 0.6, reconstruction=curve - 0.6), level, nats).name == (
        "flat"
    )


def test_a_posterior_that_collapses_is_called_so(fit):
    options = {"learning_rate_init": 0.02, "random_state": 0, "hidden_layer_sizes": (8,)}
    lost = skotae.VAE(2, beta=100.0, max_iter=60, **options).fit(X)
    found = TrainingDisplay.from_estimator(lost, X).verdict
    assert found.name == "collapsed" and lost.score(X) < 0.1
    kept = TrainingDisplay.from_estimator(fit("VAE", max_iter=12), X).verdict
    assert kept.name != "collapsed"


@pytest.mark.parametrize("per_feature", [False, True])
def test_the_line_of_the_mean_for_a_likelihood(per_feature):
    cost = skotae.costs.GaussianCost(per_feature=per_feature)
    model = skotae.VAE(2, cost=cost, max_iter=1, random_state=0).fit(X)
    rows = (X - model.data_mean_) / model.data_scale_
    spread = rows.std(axis=0) if per_feature else rows.std()
    expected = -norm(rows.mean(axis=0), spread).logpdf(rows).sum(axis=1).mean()
    assert constant_levels(model, X)["reconstruction"] == pytest.approx(
        expected / model.cost_scale_, rel=1e-6
    )
    assert constant_levels(model) == {}


@pytest.mark.parametrize("name, weights", [("WAEEstimator", [1.0]), ("SymmetricWAE", [0.3, 0.7])])
def test_the_line_of_the_mean_for_a_cost(fit, name, weights):
    model = fit(name, **({"beta": 0.3} if len(weights) > 1 else {}))
    assert [*constant_levels(model).values()] == pytest.approx(weights)
    assert [*constant_levels(model, X[::2]).values()] == pytest.approx(weights, rel=1e-3)


def test_what_is_drawn(fit):
    model = fit("WAEEstimator", max_iter=12, early_stopping=True, n_iter_no_change=12)
    display = TrainingDisplay.from_estimator(model)
    assert display.verdict.name in display.figure_.get_suptitle()
    titles = [ax.get_title(loc="left") for ax in display.axes_.ravel() if ax.axison]
    assert titles == ["loss", "reconstruction", "penalty"]
    for name, values in model.history_.items():
        x, y = display.lines_[name].get_data()
        assert np.array_equal(y, values) and np.array_equal(x, np.arange(1, 13))
    assert display.lines_["validation_loss"].axes is display.lines_["loss"].axes
    level = [line for line in display.axes_[0, 1].lines if line.get_color() == GREY]
    assert len(level) == 1 and level[0].get_ydata()[0] == 1.0
    low, high = display.axes_[0, 1].get_ylim()
    assert low < min(model.history_["reconstruction"]) and high > 1.0
    assert display.lines_["loss"].get_color() == DATA


@pytest.mark.parametrize("name", ["WGAN", "CoupledVAE"])
def test_what_is_no_loss_that_falls_is_not_judged(fit, name):
    verdict = TrainingDisplay.from_estimator(fit(name, max_iter=12)).verdict
    assert verdict.name == "not told" and verdict.good is None


def test_a_history_alone():
    display = TrainingDisplay.from_history({"loss": [math.exp(-k / 3) for k in range(40)]})
    assert display.verdict.name == "flat" and display.axes_.shape == (1, 1)
    assert display.axes_[0, 0].get_yscale() == "log"
