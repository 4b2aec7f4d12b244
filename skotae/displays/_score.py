"""The two parts of the score, beside what is there without an autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skotae.displays._verdicts import Verdict
from skotae.displays.base import (
    COLOURS,
    DATA,
    comparable,
    headline,
    last_step,
    need,
    panels,
    shown,
    titled,
)
from skotae.metrics import baselines

PARTS = {"reconstruction": DATA, "distance of samples": COLOURS[1]}
MARKS = {"constant": "s", "PCA + Gaussian": "^", "PCA + mixture": "D", "training rows": "o"}
# Differences of scores that are none.
EQUAL = 0.01


class ScoreDisplay:
    r"""What fits lose of the variance of the data: by reconstructions, and by samples.

    .. math::
        1 - R^2 = \frac{\mathbb E |x - \tilde x|^2}{\mathbb E |x - \mathbb E x|^2}
        + \frac{\max(0, W_2^2(\tilde P_X, P_G))}{\mathbb E |x - \mathbb E x|^2}

    are the two parts of a bar, shorter is better, and the score :math:`R^2` stands at its end.
    Marks are what :func:`~skotae.metrics.baselines` lose; the constant loses 1.

    Make one by :meth:`from_estimator`, :meth:`from_estimators` or :meth:`from_cv_results`.

    Parameters
    ----------
    losses : mapping of str to array-like of shape (n_fits, 2)
        By name, the two parts for each of several fits, of other seeds for example.
    baseline_scores : mapping of str to float, optional
        Scores of the baselines.
    path : tuple of str and array-like, optional
        Name and values of a parameter that the fits differ in, in their order: the losses are
        then curves over it.

    Attributes
    ----------
    scores : dict of str to ndarray of shape (n_fits,)
        One minus the sum of the parts.
    verdict : Verdict or None
        Whether the best score beats the baselines; None without them.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    See Also
    --------
    skotae.metrics.transport_r2_score : The score.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import ScoreDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0).fit(X[::2])
    >>> display = ScoreDisplay.from_estimator(model, X[1::2], X_train=X[::2])
    >>> bool(abs(display.scores["WAEEstimator"][0] - model.score(X[1::2])) < 1e-6)
    True
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        losses: Mapping[str, Any],
        *,
        baseline_scores: Mapping[str, float] | None = None,
        path: tuple[str, Sequence[Any]] | None = None,
    ):
        self.losses = {
            name: np.atleast_2d(np.asarray(parts, dtype=float)) for name, parts in losses.items()
        }
        self.baseline_scores = baseline_scores
        self.path = path

    @classmethod
    def from_estimator(cls, estimator, X, *, X_train=None, ax=None, random_state=0):
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with a decoder, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            Rows to score, by custom held out.
        X_train : array-like of shape (n_train, n_features), optional
            Rows that baselines are fitted to; X by default.
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.
        random_state : int, default=0
            Seed of the baselines.

        Returns
        -------
        display : ScoreDisplay

        Raises
        ------
        TypeError
            If the estimator has no decoder.
        """
        name = type(last_step(estimator)[0]).__name__
        options = {"X_train": X_train, "ax": ax, "random_state": random_state}
        return cls.from_estimators({name: estimator}, X, **options)

    @classmethod
    def from_estimators(cls, estimators, X, *, X_train=None, ax=None, random_state=0):
        """Score fitted estimators side by side.

        Parameters
        ----------
        estimators : mapping of str to estimator or list of estimators
            Several under one name, fitted with other seeds, give a mean and its spread.
        X : array-like of shape (n_samples, n_features)
            Rows to score, by custom held out.
        X_train : array-like of shape (n_train, n_features), optional
            Rows that baselines are fitted to; X by default.
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.
        random_state : int, default=0
            Seed of the baselines.

        Returns
        -------
        display : ScoreDisplay
        """
        losses = {}
        for name, fits in estimators.items():
            fits = fits if isinstance(fits, (list, tuple)) else [fits]
            losses[name] = [loss_parts(fit, X) for fit in fits]
        given = X if X_train is None else X_train
        first, rows, train = last_step(fits[0], X=X, X_train=given)
        train, rows = comparable(first, train, rows)
        beside = baselines(train, rows, first.n_components_, random_state=random_state)
        scores = {name: row["score"] for name, row in beside.items()}
        return cls(losses, baseline_scores=scores).plot(ax=ax)

    @classmethod
    def from_cv_results(cls, cv_results, param, *, ax=None):
        """Plot what a parameter does, from a search.

        Parameters
        ----------
        cv_results : mapping
            ``cv_results_`` of a search with ``scoring={"score": None or a scorer, ...}``. The parts
            are apart if one of the scorings is called ``"reconstruction"``, by
            ``get_scorer("reconstruction")``; the score is then called ``"score"``. Else
            ``mean_test_score`` is shown as a whole. The spread is that over the folds, and over
            other parameters of the search.
        param : str
            Name of the parameter, such as ``"lam"``.
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.

        Returns
        -------
        display : ScoreDisplay

        Raises
        ------
        ValueError
            If the results do not have the parameter or a score.
        """
        found = f"param_{param}"
        if found not in cv_results or "mean_test_score" not in cv_results:
            names = sorted(name for name in cv_results if name.startswith(("param_", "mean_test")))
            raise ValueError(
                f"cv_results has {names}; expected {found!r} and 'mean_test_score' among them."
            )

        def folds(name):
            keys = [
                key
                for key in cv_results
                if key.startswith("split") and key.endswith(f"_test_{name}")
            ]
            return np.array([cv_results[key] for key in keys], dtype=float)

        score = folds("score")
        part = 1 - folds("reconstruction") if "mean_test_reconstruction" in cv_results else None
        values = list(cv_results[found])
        losses: dict[str, np.ndarray] = {}
        for k, value in enumerate(values):
            total = 1 - score[:, k]
            own = np.zeros_like(total) if part is None else part[:, k]
            rows = np.stack([own, total - own], axis=1)
            before = losses.get(str(value))
            losses[str(value)] = rows if before is None else np.concatenate([before, rows])
        kept = sorted({str(value): value for value in values}.items(), key=lambda item: _rank(item))
        ordered = {name: losses[name] for name, _ in kept}
        return cls(ordered, path=(param, [value for _, value in kept])).plot(ax=ax)

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """One minus the sum of the parts."""
        return {name: 1 - parts.sum(axis=1) for name, parts in self.losses.items()}

    @property
    def verdict(self) -> Verdict | None:
        """Whether the best score beats the baselines."""
        if self.baseline_scores is None:
            return None
        means = {name: float(values.mean()) for name, values in self.scores.items()}
        best = max(means, key=lambda name: means[name])
        rivals = {k: v for k, v in self.baseline_scores.items() if k != "training rows"}
        rival = max(rivals, key=lambda name: rivals[name])
        numbers = f"{best} has {means[best]:.3f}, {rival} {rivals[rival]:.3f}"
        gap = means[best] - rivals[rival]
        if gap > EQUAL:
            return Verdict("beats the baselines", True, f"{numbers}.")
        if gap >= -EQUAL:
            return Verdict("about as the baselines", None, f"{numbers}.")
        return Verdict("behind a baseline", False, f"{numbers}.")

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.

        Returns
        -------
        display : ScoreDisplay
        """
        height = 2.6 if self.path else 1.3 + 0.45 * len(self.losses)
        figure, axes = panels("ScoreDisplay.plot", ax, 1, 1, height)
        if self.path:
            self._curve(axes[0, 0], *self.path)
        else:
            self._bars(axes[0, 0])
            if ax is None:
                figure.legend(fontsize=8, loc="outside lower left", ncols=3, frameon=False)
            else:
                ax.legend(fontsize=6)
        self.figure_, self.axes_ = figure, axes
        text = "Share of the variance that is lost" if self.verdict is None else str(self.verdict)
        headline(figure, ax is not None, axes, text)
        return self

    def _bars(self, ax):
        y = np.arange(len(self.losses))
        means = np.array([parts.mean(axis=0) for parts in self.losses.values()])
        start = np.zeros(len(y))
        for (label, colour), width in zip(PARTS.items(), means.T, strict=True):
            ax.barh(y, width, 0.55, left=start, color=colour, label=label)
            start = start + width
        for place, values in zip(y, self.scores.values(), strict=True):
            if len(values) > 1:
                ends = [1 - values.max(), 1 - values.min()]
                ax.plot(ends, [place, place], color="k", lw=2, label=None)
            score = float(np.mean(values))
            ax.annotate(
                f" score {score:.3f}",
                (start[place], place),
                fontsize=8,
                va="center",
                xytext=(4, 0),
                textcoords="offset points",
                bbox={"fc": "w", "ec": "none", "alpha": 0.7, "pad": 0.5},
            )
        for name, score in (self.baseline_scores or {}).items():
            ax.plot(1 - score, len(y) - 0.35, MARKS[name], color="0.25", ms=6, label=name)
        ax.set(
            yticks=y, yticklabels=[shown(name) for name in self.losses], ylim=(len(y) - 0.1, -0.6)
        )
        ax.set_xlim(0, max(1.08, 1.15 * float(start.max())))
        ax.axvline(1.0, color="0.35", lw=1, ls=":")
        ax.set_xlabel("share of the variance that is lost")
        titled(ax, "")

    def _curve(self, ax, param, values):
        numeric = all(isinstance(value, (int, float, np.number)) for value in values)
        x = np.asarray(values, dtype=float) if numeric else np.arange(len(values))
        means = np.array([parts.mean(axis=0) for parts in self.losses.values()])
        total = means.sum(axis=1)
        if means[:, 0].any():
            ax.fill_between(x, 0, means[:, 0], color=DATA, alpha=0.7, label="reconstruction")
            colour, label = COLOURS[1], "distance of samples"
            ax.fill_between(x, means[:, 0], total, color=colour, alpha=0.7, label=label)
        spread = np.array([parts.sum(axis=1).std() for parts in self.losses.values()])
        label = "1 - score, spread over the folds"
        ax.errorbar(x, total, spread, color="k", marker="o", ms=4, capsize=3, label=label)
        if numeric and x.min() > 0 and x.max() > 10 * x.min():
            ax.set_xscale("log")
        elif not numeric:
            ax.set_xticks(x, [str(value) for value in values])
        ax.set(xlabel=shown(param), ylabel="share of the variance lost")
        ax.set_ylim(bottom=min(0.0, float(means.min())))
        ax.legend(fontsize=8)
        titled(ax, "")


def _rank(item: tuple[str, Any]) -> tuple[bool, Any]:
    """Numbers by size, before words by name."""
    name, value = item
    numeric = isinstance(value, (int, float, np.number))
    return not numeric, value if numeric else name


def loss_parts(estimator: Any, X: Any) -> tuple[float, float]:
    """Shares of the variance of X that reconstructions and samples lose: 1 - score is their sum."""
    estimator, X = last_step(estimator, X=X)
    instead = "PriorDisplay, which needs no decoder"
    need("ScoreDisplay", estimator, ("sample",), instead)
    score = float(estimator.score(X))
    X = np.asarray(X, dtype=np.float64)
    rows, made = comparable(estimator, X, estimator._reconstruct(X))
    total = np.square(rows - rows.mean(axis=0)).sum()
    own = float(np.square(rows - made).sum() / total) if total > 0 else 0.0
    return own, 1 - score - own
