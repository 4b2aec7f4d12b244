"""Codes over the prior."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import chi2, gaussian_kde

from skotae.displays.base import (
    COLOURS,
    GREY,
    codes_of,
    headline,
    labels_of,
    last_step,
    need,
    panels,
    prior_draws,
    shown,
    some,
    titled,
)
from skotae.priors import GaussianMixturePrior, NormalPrior
from skotae.utils.base import overrides

MASSES = (0.5, 0.9, 0.99)
MAX_COORDINATES = 4
# Classes with a colour each, and those with a name in the middle of their codes.
MAX_CLASSES, MAX_NAMES = 8, 20
# Corners of the triangle that a simplex of three shares is drawn as.
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


class CodesDisplay:
    """Codes of rows over the prior: rings, a sphere, a cube, a simplex or components.

    Rings hold 50, 90 and 99 % of the prior. Codes of three shares are drawn in a triangle, codes on
    the sphere in three dimensions in Hammer's projection, that keeps areas: where the
    prior is uniform, codes should be spread evenly. Above two dimensions pairs of coordinates are
    drawn, of the four whose codes vary most.

    Make one by :meth:`from_estimator`.

    Parameters
    ----------
    codes : ndarray of shape (n, d)
        Draws from the posteriors of the rows.
    prior_codes : ndarray of shape (m, d)
        Draws from the prior.
    prior : prior, optional
        With its `support`; None is the whole space.
    labels : array-like of shape (n,), optional
        Colours the rows.
    train_codes : ndarray of shape (n_train, d), optional
        Codes of training rows, drawn in grey beneath.

    Attributes
    ----------
    coordinates_ : list of tuple
        The pairs of coordinates of the panels, or ``("projection",)``.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    See Also
    --------
    PriorDisplay : Each coordinate against the prior, in numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import CodesDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = WAEEstimator(3, max_iter=5, random_state=0).fit(X)
    >>> display = CodesDisplay.from_estimator(model, X, y)
    >>> len(display.coordinates_), display.codes.shape
    (3, (150, 3))
    """

    coordinates_: list[tuple]
    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        codes: np.ndarray,
        prior_codes: np.ndarray,
        *,
        prior: Any = None,
        labels: Any = None,
        train_codes: np.ndarray | None = None,
    ):
        self.codes = codes
        self.prior_codes = prior_codes
        self.prior = prior
        self.labels = labels
        self.train_codes = train_codes

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, X_train=None, ax=None, random_state=0):
        """Encode rows and plot them.

        Parameters
        ----------
        estimator : fitted estimator with an encoder, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            At most 2,000 of the rows are drawn, at random.
        y : array-like of shape (n_samples,), optional
            Labels or numbers that colour the rows.
        X_train : array-like of shape (n_train, n_features), optional
            Training rows, beneath new rows X.
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.
        random_state : int, default=0
            Seed of the draws.

        Returns
        -------
        display : CodesDisplay

        Raises
        ------
        TypeError
            If the estimator has no encoder.
        """
        estimator, X, X_train = last_step(estimator, X=X, X_train=X_train)
        instead = "SamplesDisplay, which needs no encoder"
        need("CodesDisplay", estimator, ("sample_posterior",), instead)
        X, y = some(random_state, X, labels_of(y, X))
        before = None
        if X_train is not None:
            before = codes_of(estimator, some(random_state, X_train), random_state)
        # What is learned in the place of a normal prior has no closed form.
        learned = hasattr(estimator, "pseudo_inputs_")
        return cls(
            codes_of(estimator, X, random_state),
            prior_draws(estimator, random_state),
            prior=None if learned else estimator.prior_,
            labels=y,
            train_codes=before,
        ).plot(ax=ax)

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.

        Returns
        -------
        display : CodesDisplay
        """
        d = self.codes.shape[1]
        support = getattr(self.prior, "support", "space")
        if d == 3 and support in ("simplex", "sphere"):
            self.coordinates_ = [("projection",)]
        elif d == 1:
            self.coordinates_ = [(0,)]
        else:
            largest = np.argsort(-self.codes.var(axis=0), kind="stable")[:MAX_COORDINATES]
            self.coordinates_ = [*combinations(sorted(map(int, largest)), 2)]
        n = len(self.coordinates_)
        n_cols = min(n, 3)
        height = 4.2 if n == 1 else 2.1
        figure, axes = panels("CodesDisplay.plot", ax, -(-n // n_cols), n_cols, height)
        for place, coordinates in zip(axes.ravel(), self.coordinates_, strict=False):
            if coordinates == (0,):
                self._histogram(place)
            else:
                self._panel(place, coordinates, support)
        for place in axes.ravel()[n:]:
            place.set_axis_off()
        self.figure_, self.axes_ = figure, axes
        headline(figure, ax is not None, axes, self._caption(support, d))
        if axes.ravel()[0].get_legend_handles_labels()[0]:
            axes.ravel()[0].legend(fontsize=7, markerscale=1.5, framealpha=0.8)
        return self

    def _caption(self, support, d):
        shape = {
            "sphere": "the sphere" + ", areas kept" * (d == 3),
            "cube": "the cube",
            "simplex": "the simplex",
        }
        if draws_as(self.prior, GaussianMixturePrior):
            return "Codes, and circles of two standard deviations about the prior's components"
        rings = "rings that hold 50, 90 and 99 % of the prior"
        return f"Codes, and {shape.get(support, rings) if d > 1 else 'the prior (outline)'}"

    def _histogram(self, ax):
        ends = np.quantile(np.concatenate([self.codes, self.prior_codes]), [0.001, 0.999])
        bins = np.linspace(ends[0], ends[1], 40)
        ax.hist(self.codes[:, 0], bins, density=True, color=COLOURS[0], alpha=0.6, label="codes")
        ax.hist(
            self.prior_codes[:, 0], bins, density=True, histtype="step", color="k", label="prior"
        )
        ax.set(xlabel="z0", yticks=[])
        titled(ax, "")

    def _panel(self, ax, coordinates, support):
        def place(z):
            if coordinates == ("projection",):
                return z @ CORNERS if support == "simplex" else hammer(z)
            return z[:, coordinates]

        outline(ax, self.prior, place(self.prior_codes), coordinates, support, self.codes.shape[1])
        if self.train_codes is not None:
            ax.scatter(*place(self.train_codes).T, s=4, color=GREY, label="training rows", lw=0)
        points = place(self.codes)
        if self.labels is None:
            label = "rows" if self.train_codes is not None else None
            ax.scatter(*points.T, s=7, color=COLOURS[0], lw=0, alpha=0.7, label=label)
        elif len(classes := np.unique(np.asarray(self.labels))) <= MAX_CLASSES:
            for value, colour, marker in zip(classes, COLOURS, "osD^vP*X", strict=False):
                mine = np.asarray(self.labels) == value
                style = {"s": 9, "color": colour, "marker": marker, "lw": 0, "alpha": 0.8}
                ax.scatter(*points[mine].T, label=shown(value), **style)
        else:
            numbers = np.unique(np.asarray(self.labels), return_inverse=True)[1]
            if np.asarray(self.labels).dtype.kind in "iuf":
                numbers = np.asarray(self.labels)
            ax.scatter(*points.T, s=7, c=numbers, cmap="viridis", lw=0)
            for value in classes if len(classes) <= MAX_NAMES else ():
                middle = np.median(points[np.asarray(self.labels) == value], axis=0)
                box = {"fc": "w", "ec": "none", "alpha": 0.75, "pad": 1}
                ax.text(*middle, shown(value), fontsize=8, ha="center", va="center", bbox=box)
        if coordinates == ("projection",):
            ax.set_aspect("equal")
            ax.set_axis_off()
        else:
            ax.set_aspect("equal", adjustable="datalim")
            ax.set(xlabel=f"z{coordinates[0]}", ylabel=f"z{coordinates[1]}")
        titled(ax, "")


def draws_as(prior: Any, kind: type) -> bool:
    """Whether the draws of a prior are those of a class, of which a subclass may make others."""
    methods = [name for name in ("sample", "sample_with_component") if hasattr(kind, name)]
    return isinstance(prior, kind) and not any(overrides(prior, kind, name) for name in methods)


def outline(
    ax: Any, prior: Any, draws: np.ndarray, coordinates: tuple, support: str, d: int
) -> None:
    """Where the prior is, of two coordinates or a projection of `draws` (n, 2)."""
    circle = np.stack([f(np.linspace(0, 2 * np.pi, 200)) for f in (np.cos, np.sin)])
    style: dict[str, Any] = {"color": "0.35", "lw": 1, "zorder": 2.5}
    if coordinates == ("projection",):
        edge = circle * np.array([[2 * np.sqrt(2)], [np.sqrt(2)]])
        ax.plot(*(CORNERS[[0, 1, 2, 0]].T if support == "simplex" else edge), **style)
    elif support == "sphere":
        ax.plot(*(prior.radius * circle), **style)
    elif support in ("cube", "simplex"):
        low, high = (prior.low, prior.high) if support == "cube" else (0.0, 1.0)
        corner = high if support == "cube" else low
        ax.plot([low, high, corner, low, low], [low, low, high, high, low], **style)
    elif draws_as(prior, GaussianMixturePrior):
        for mean in prior.component_means(d).numpy()[:, coordinates]:
            ax.plot(*(mean[:, None] + 2 * prior.scale * circle), **style)
            ax.plot(*mean, "+", **style)
    elif draws_as(prior, NormalPrior):
        widths = np.broadcast_to(prior.scale, d)[list(coordinates)]
        for mass in MASSES:
            ax.plot(*(widths[:, None] * np.sqrt(chi2.ppf(mass, 2)) * circle), **style)
    else:
        _density_rings(ax, draws)


def _density_rings(ax: Any, draws: np.ndarray) -> None:
    """Levels of a kernel estimate that hold shares of the draws."""
    spread = np.linalg.matrix_rank(draws - draws.mean(axis=0)) == 2
    if not spread:
        ax.scatter(*draws.T, s=3, color="0.35", lw=0)
        return
    density = gaussian_kde(draws[:1500].T)
    low, high = draws.min(axis=0), draws.max(axis=0)
    margin = 0.1 * (high - low)
    grid = [np.linspace(a, b, 60) for a, b in zip(low - margin, high + margin, strict=True)]
    x, y = np.meshgrid(*grid)
    levels = np.quantile(density(draws[:1500].T), [1 - mass for mass in MASSES])
    values = density(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
    ax.contour(x, y, values, np.unique(levels), colors="0.35", linewidths=1, zorder=2.5)


def hammer(z: np.ndarray) -> np.ndarray:
    """Hammer's projection of points (n, 3) on a sphere, that keeps areas, of shape (n, 2)."""
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    half = np.arctan2(z[:, 1], z[:, 0]) / 2
    up = np.sqrt(np.clip(1 - z[:, 2] ** 2, 0, None))
    length = np.sqrt(1 + up * np.cos(half))
    return (
        np.stack([2 * np.sqrt(2) * up * np.sin(half), np.sqrt(2) * z[:, 2]], axis=1)
        / length[:, None]
    )
