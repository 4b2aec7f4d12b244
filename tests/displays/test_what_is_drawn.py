"""Axes that are none, and rows that are tensors."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import skotae
from skotae.displays import (
    PlanDisplay,
    PriorDisplay,
    ReconstructionDisplay,
    ScoreDisplay,
    TrainingDisplay,
)

X = np.random.default_rng(0).normal(size=(30, 3))


@pytest.fixture(scope="module")
def fitted():
    return skotae.WAEEstimator(1, hidden_layer_sizes=(4,), max_iter=10, random_state=0).fit(X)


@pytest.mark.parametrize("wrong", [plt.subplots, "left", 3], ids=["several", "string", "number"])
def test_what_are_no_axes_is_told_by_name(fitted, wrong):
    wrong = wrong(1, 2)[1] if callable(wrong) else wrong
    for draw in (
        lambda: TrainingDisplay.from_estimator(fitted, ax=wrong),
        lambda: ReconstructionDisplay.from_estimator(fitted, X, ax=wrong),
        lambda: PlanDisplay.from_clouds(X[:, :2], X[:7, :2], ax=wrong),
    ):
        with pytest.raises(TypeError, match=r"^ax=.*; expected one axes of matplotlib"):
            draw()
    plt.close("all")


def test_tensors_with_a_gradient_are_drawn_like_arrays(fitted):
    rows, points = torch.tensor(X, requires_grad=True), torch.tensor(X[:, :2], requires_grad=True)
    codes = fitted.sample_posterior(X, 1, random_state=0)[:, 0]
    prior = np.random.default_rng(1).normal(size=(2, 30, 1))
    of = {"requires_grad": True}
    pairs = {
        ("rows", "reconstructions"): (
            ReconstructionDisplay.from_estimator(fitted, given) for given in (rows, X)
        ),
        ("losses",): (ScoreDisplay.from_estimator(fitted, given) for given in (rows, X)),
        ("x", "plan"): (PlanDisplay.from_clouds(given, given) for given in (points, X[:, :2])),
        ("widths", "quantiles", "holes"): (
            PriorDisplay.from_codes(torch.tensor(codes, **of), torch.tensor(prior, **of)),
            PriorDisplay.from_codes(codes, prior),
        ),
    }
    for names, (drawn, expected) in pairs.items():
        for name in names:
            np.testing.assert_equal(getattr(drawn, name), getattr(expected, name))
    plt.close("all")
