"""The terms of the loss over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from skotae.autoencoders import MIM, WGAN, CoupledVAE, SymmetricWAE
from skotae.displays._verdicts import Verdict, training_verdict
from skotae.displays.base import DATA, GREY, MODEL, headline, last_step, panels, some, titled

# Whose loss is not one function that falls.
NOT_TOLD = {
    WGAN: "two networks play against each other, and the loss does not say who wins; judge the "
    "samples.",
    CoupledVAE: "what is minimised is cooled during training, and the loss falls with it; judge "
    "the score.",
}


class TrainingDisplay:
    """Each term of the loss over the epochs, and a verdict on how training ended.

    Make one by :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    history : mapping of str to sequence of float
        Terms of the loss by epoch, as in ``history_``.
    constant : mapping of str to float, optional
        For reconstruction terms, what the mean of the rows would cost: a fit that is not below
        this line has learned nothing.
    verdict : Verdict, optional
        What the figure says above; None says nothing.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes
        A panel for the loss, and one for each term.
    lines_ : dict of str to matplotlib Line2D
        The curves by term.

    See Also
    --------
    ScoreDisplay : What the fit is worth on data.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import TrainingDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0).fit(X)
    >>> display = TrainingDisplay.from_estimator(model)
    >>> [*display.lines_], display.constant
    (['loss', 'reconstruction', 'penalty'], {'reconstruction': 1.0})
    """

    figure_: Any
    axes_: np.ndarray
    lines_: dict[str, Any]

    def __init__(
        self,
        history: Mapping[str, Any],
        *,
        constant: Mapping[str, float] | None = None,
        verdict: Verdict | None = None,
    ):
        self.history = history
        self.constant = constant
        self.verdict = verdict

    @classmethod
    def from_estimator(cls, estimator, X=None, *, ax=None):
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator of skotae, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features), optional
            Training rows. With them the line of the mean is known for likelihoods too;
            without, for costs that are in units of it (``cost_scale="auto"``).
        ax : matplotlib Axes, optional
            Is divided into panels; None makes a figure.

        Returns
        -------
        display : TrainingDisplay
        """
        given = {} if X is None else {"X": X}
        estimator, *rows = last_step(estimator, **given)
        X = rows[0] if rows else None
        constant = constant_levels(estimator, X)
        nats = {}
        if constant and estimator.cost_.likelihood:
            least = 0.01 * estimator.n_features_in_ / estimator.cost_scale_
            nats = {term: least * weight for term, weight in term_weights(estimator).items()}
        reasons = [text for kind, text in NOT_TOLD.items() if isinstance(estimator, kind)]
        if reasons:
            verdict = Verdict("not told", None, reasons[0])
        else:
            # Of a budget nothing is said about its end.
            params = estimator._params
            rate = "constant" if params.max_iter == "auto" else params.learning_rate
            verdict = training_verdict(estimator.history_, constant, nats, rate)
        return cls(estimator.history_, constant=constant, verdict=verdict).plot(ax=ax)

    @classmethod
    def from_history(cls, history, *, ax=None):
        """Plot terms by epoch.

        Parameters
        ----------
        history : mapping of str to sequence of float
            With ``"loss"`` among its names.
        ax : matplotlib Axes, optional
            Is divided into panels; None makes a figure.

        Returns
        -------
        display : TrainingDisplay
        """
        return cls(history, verdict=training_verdict(history)).plot(ax=ax)

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided into panels; None makes a figure.

        Returns
        -------
        display : TrainingDisplay
        """
        terms = [name for name in self.history if name not in ("loss", "validation_loss")]
        if len(terms) == 1 and list(self.history[terms[0]]) == list(self.history["loss"]):
            terms = []
        names = ["loss", *terms]
        n_cols = min(len(names), 2)
        figure, axes = panels("TrainingDisplay.plot", ax, -(-len(names) // n_cols), n_cols, 1.9)
        self.lines_ = {}
        for place, name in zip(axes.ravel(), names, strict=False):
            values = np.asarray(self.history[name], dtype=float)
            self._draw(place, name, values)
            if name == "loss" and "validation_loss" in self.history:
                held_out = np.asarray(self.history["validation_loss"], dtype=float)
                self._draw(place, "validation_loss", held_out, MODEL, "--")
                place.legend(fontsize=8)
            level = (self.constant or {}).get(name)
            if level is not None:
                finite = values[np.isfinite(values)]
                if finite.min() > 0 and level > 5 * finite.max():
                    place.set_yscale("log")
                place.axhline(level, color=GREY, linestyle=":")
                place.annotate(
                    "the mean of the rows",
                    (0.98, level),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, -2),
                    textcoords="offset points",
                    fontsize=8,
                    color="0.35",
                    ha="right",
                    va="top",
                )
            titled(place, name)
        for place in axes.ravel()[len(names) :]:
            place.set_axis_off()
        for place in axes[-1]:
            place.set_xlabel("epoch", fontsize=8)
        self.figure_, self.axes_ = figure, axes
        if self.verdict is not None:
            headline(figure, ax is not None, axes, str(self.verdict))
        return self

    def _draw(self, ax, name, values, colour=DATA, style="-"):
        epochs = np.arange(1, len(values) + 1)
        few = "." if len(values) < 3 else None
        (line,) = ax.plot(epochs, values, style, color=colour, label=name, marker=few)
        self.lines_[name] = line
        finite = values[np.isfinite(values)]
        if finite.size and finite.min() > 0 and finite.max() > 30 * finite.min():
            ax.set_yscale("log")


def term_weights(estimator: Any) -> dict[str, float]:
    """Weights of the terms that are costs of reconstructions."""
    if isinstance(estimator, SymmetricWAE):
        beta = estimator._params.beta
        return {"denoising": beta, "reconstruction": 1 - beta}
    return {"reconstruction": 0.5 if isinstance(estimator, MIM) else 1.0}


def constant_levels(estimator: Any, X: Any = None) -> dict[str, float]:
    """What the mean of the rows costs, of the terms that are costs of reconstructions."""
    terms = {k: w for k, w in term_weights(estimator).items() if k in estimator.history_}
    if not terms or not hasattr(estimator, "cost_scale_"):
        return {}
    cost_scale = getattr(estimator._params, "cost_scale", None)
    if X is not None:
        unit = _cost_of_mean(estimator, X) / estimator.cost_scale_
    elif cost_scale == "auto" and not estimator.cost_.likelihood:
        unit = 1.0
    else:
        return {}
    return {term: weight * unit for term, weight in terms.items()}


def _cost_of_mean(estimator: Any, X: Any) -> float:
    rows = np.asarray(some(0, X, n=4096), dtype=np.float64)
    x = estimator._units.standardised(rows)
    cost = estimator.decoder_.cost
    if getattr(cost, "sets_scale", False) and getattr(estimator.cost_, "variance", 0) == "learned":
        # A scale of its own, as the mean would learn it.
        square = np.square(x - x.mean(axis=0)).mean(axis=0)
        square = square if estimator.cost_.per_feature else np.full_like(square, square.mean())
        square = np.maximum(square, estimator.cost_.min_scale**2)
        return float(0.5 * np.log(2 * math.pi * math.e * square).sum())
    parameter = next(estimator.model_.parameters())
    x = torch.from_numpy(x).to(parameter)
    with torch.no_grad():
        return float(cost(x, x.mean(0, keepdim=True)).double().mean())
