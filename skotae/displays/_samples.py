"""Samples beside the data that they should be like, and not be copies of."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skotae.displays._verdicts import Verdict
from skotae.displays.base import (
    DATA,
    GREY,
    MODEL,
    column_name,
    columns_of,
    comparable,
    headline,
    image_shape_of,
    last_step,
    mosaic,
    need,
    panels,
    show_images,
    some,
    titled,
)
from skotae.metrics.base import check_rows

N_IMAGES = 10
MAX_COLUMNS = 7
# A sample is a copy if it is nearer to a row than this share of the way to that row's neighbour.
COPY = 0.2
# Share of copies, beyond those among rows, that is memory.
MEMORY = 0.1


class SamplesDisplay:
    """Samples beside the nearest training rows, or their marginals beside those of the data.

    A sample counts as a *copy* if its distance to the nearest row is below a fifth of the
    distance from that row to its nearest other row. Fresh rows do so too by chance, as often as
    each row does among the others. The model *memorises* if the share of copies is more than
    10 % above that.

    Make one by :meth:`from_estimator`.

    Parameters
    ----------
    samples : ndarray of shape (m, n_features)
        Draws from the model.
    rows : ndarray of shape (n, n_features)
        Training rows.
    nearest : ndarray of shape (m,)
        For each sample the index of the row nearest to it.
    copies, copies_among_rows : float
        Share of samples, and of rows, that are copies.
    image_shape : tuple of int, optional
        (height, width) or (channels, height, width); None is a table.
    columns : sequence of str, optional
        Names of the columns of a table.

    Attributes
    ----------
    verdict : Verdict
        Whether the model memorises.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import SamplesDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0).fit(X)
    >>> SamplesDisplay.from_estimator(model, X).verdict.name
    'does not memorise'
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        samples: np.ndarray,
        rows: np.ndarray,
        nearest: np.ndarray,
        *,
        copies: float,
        copies_among_rows: float,
        image_shape: tuple[int, ...] | None = None,
        columns: Any = None,
    ):
        self.samples = samples
        self.rows = rows
        self.nearest = nearest
        self.copies = copies
        self.copies_among_rows = copies_among_rows
        self.image_shape = image_shape
        self.columns = columns

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, ax=None, random_state=0):
        """Draw samples and plot them.

        Parameters
        ----------
        estimator : fitted estimator with a decoder, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            Training rows. Copies are looked for among all, marginals are of at most 2,000.
        image_shape : tuple of int, optional
            Shape of the image that a row is; by default that of a ConvNet, or else a table.
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.
        random_state : int, default=0
            Seed of the samples.

        Returns
        -------
        display : SamplesDisplay

        Raises
        ------
        TypeError
            If the estimator has no decoder.
        """
        estimator, X = last_step(estimator, X=X)
        need("SamplesDisplay", estimator, ("sample",), "CodesDisplay, which needs no decoder")
        rows = check_rows(X, "X")
        n = len(some(random_state, np.arange(len(rows))))
        samples = np.asarray(estimator.sample(n, random_state=random_state), dtype=np.float64)
        pair = comparable(estimator, samples, rows)
        nearest, copies, among = copies_of(pair[0], pair[1], seed=random_state)
        return cls(
            samples,
            rows,
            nearest,
            copies=copies,
            copies_among_rows=among,
            image_shape=image_shape_of(estimator, image_shape),
            columns=columns_of(estimator),
        ).plot(ax=ax)

    @property
    def verdict(self) -> Verdict:
        """Whether the model memorises."""
        shares = f"{self.copies:.0%} of the samples are copies of training rows"
        usual = f"{self.copies_among_rows:.0%} of the rows are such copies of others"
        if self.copies > self.copies_among_rows + MEMORY:
            return Verdict("memorises", False, f"{shares}; {usual}.")
        return Verdict("does not memorise", True, f"{shares}; {usual}.")

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.

        Returns
        -------
        display : SamplesDisplay
        """
        if self.image_shape is not None:
            figure, axes = panels("SamplesDisplay.plot", ax, 2, 1, 0.85)
            n = min(N_IMAGES, len(self.samples))
            ends = self.rows.min(), self.rows.max()
            for place, rows, text in (
                (axes[0, 0], self.samples[:n], "samples"),
                (axes[1, 0], self.rows[self.nearest[:n]], "the training rows nearest to them"),
            ):
                show_images(place, mosaic(rows, self.image_shape, n), *ends)
                titled(place, text)
        else:
            p = self.rows.shape[1]
            n = min(p, MAX_COLUMNS) + (p > 1)
            n_cols = 3 if n in (5, 6) else min(n, 4)
            figure, axes = panels("SamplesDisplay.plot", ax, -(-n // n_cols), n_cols, 1.7)
            flat = axes.ravel()
            shown = np.sort(np.argsort(-self._gaps(), kind="stable")[:MAX_COLUMNS])
            for place, column in zip(flat, shown, strict=False):
                self._marginal(place, column)
            flat[0].legend(fontsize=7)
            if p > 1:
                self._correlations(flat[n - 1])
            for place in flat[n:]:
                place.set_axis_off()
        self.figure_, self.axes_ = figure, axes
        headline(figure, ax is not None, axes, str(self.verdict))
        return self

    def _gaps(self):
        """How far apart the marginals are, in spreads of the column: the farthest are shown."""
        levels = np.linspace(0.02, 0.98, 25)
        x, s = (np.quantile(part, levels, axis=0) for part in (self.rows, self.samples))
        spread = self.rows.std(axis=0)
        # Columns that hardly vary beside the others are not what a reader asks for.
        varied = spread > 0.05 * spread.max()
        return np.where(varied, np.abs(x - s).mean(axis=0) / np.where(varied, spread, 1.0), 0.0)

    def _marginal(self, ax, column):
        x, s = self.rows[:, column], self.samples[:, column]
        low, high = np.quantile(np.concatenate([x, s]), [0.005, 0.995])
        bins = np.linspace(low, high if high > low else low + 1, 21)
        weights = (np.full(len(part), 1 / len(part)) for part in (x, s))
        ax.hist(x, bins, weights=next(weights), color=DATA, alpha=0.45, label="rows")
        ax.hist(
            s, bins, weights=next(weights), histtype="step", color=MODEL, lw=1.6, label="samples"
        )
        ax.set_yticks([])
        # Long numbers side by side.
        ax.locator_params(axis="x", nbins=2)
        ax.ticklabel_format(axis="x", scilimits=(-3, 4))
        ax.xaxis.get_offset_text().set_size(7)
        name = column_name(self.columns, column, 15)
        titled(ax, name)

    def _correlations(self, ax):
        varied = np.flatnonzero((np.ptp(self.rows, 0) > 0) & (np.ptp(self.samples, 0) > 0))[:60]
        pair = [
            np.atleast_2d(np.corrcoef(part[:, varied], rowvar=False))
            for part in (self.rows, self.samples)
        ]
        upper = np.triu_indices(len(pair[0]), 1)
        ax.plot([-1, 1], [-1, 1], color=GREY, lw=1)
        ax.scatter(*(part[upper] for part in pair), s=10, color=MODEL, lw=0)
        ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xlabel="rows", ylabel="samples")
        titled(ax, "correlations")


def copies_of(
    samples: np.ndarray, rows: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, float, float]:
    """Nearest row of each sample, and the share of copies among samples and among rows."""
    near = NearestNeighbors(n_neighbors=1).fit(rows)
    distance, index = near.kneighbors(samples)
    if len(rows) < 3:
        return index[:, 0], 0.0, 0.0
    used, back = np.unique(index[:, 0], return_inverse=True)
    copies = distance[:, 0] < COPY * _nearest_other(near, rows, used)[0][back]
    # Of the rows, some among all the others.
    chosen = some(seed, np.arange(len(rows)))
    gap, neighbour = _nearest_other(near, rows, chosen)
    reach = _nearest_other(near, rows, neighbour, chosen)[0]
    return index[:, 0], float(copies.mean()), float((gap < COPY * reach).mean())


def _nearest_other(
    near: NearestNeighbors, rows: np.ndarray, of: np.ndarray, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of the nearest row but the row itself, and but another one of each."""
    distance, index = near.kneighbors(rows[of], n_neighbors=3)
    other = index != of[:, None]
    if without is not None:
        other &= index != without[:, None]
    first = np.arange(len(of)), other.argmax(axis=1)
    return distance[first], index[first]
