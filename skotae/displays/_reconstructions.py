"""Rows beside what comes back of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from skotae.displays.base import (
    DATA,
    GREY,
    MODEL,
    column_name,
    columns_of,
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

N_IMAGES = 10
MAX_COLUMNS = 20


class ReconstructionDisplay:
    r"""Rows beside their reconstructions: images in pairs, or how well each column comes back.

    Of a table, the share of the variance of each column j that comes back,

    .. math:: 1 - \sum_i (x_{ij} - \tilde x_{ij})^2 / \sum_i (x_{ij} - \bar x_j)^2,

    the worst first, and the worst column against its reconstruction.

    Make one by :meth:`from_estimator`.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
        Data.
    reconstructions : ndarray of shape (n, n_features)
        What comes back of them.
    image_shape : tuple of int, optional
        (height, width) or (channels, height, width); None is a table.
    columns : sequence of str, optional
        Names of the columns of a table.

    Attributes
    ----------
    shares : ndarray of shape (n_features,)
        Share of the variance of each column that comes back; NaN for constant columns.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import ReconstructionDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X)
    >>> bool((display.shares > 0.5).all())
    True
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        rows: np.ndarray,
        reconstructions: np.ndarray,
        *,
        image_shape: tuple[int, ...] | None = None,
        columns: Any = None,
    ):
        self.rows = rows
        self.reconstructions = reconstructions
        self.image_shape = image_shape
        self.columns = columns

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, ax=None, random_state=0):
        """Reconstruct rows and plot them.

        Parameters
        ----------
        estimator : fitted estimator with encoder and decoder, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            At most 2,000 of the rows are used, at random; of images the first 10 are shown.
        image_shape : tuple of int, optional
            Shape of the image that a row is; by default that of a ConvNet, or else a table.
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.
        random_state : int, default=0
            Seed of the choice of rows.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        TypeError
            If the estimator has no encoder or no decoder.
        """
        estimator, X = last_step(estimator, X=X)
        one = "SamplesDisplay" if hasattr(estimator, "sample") else "CodesDisplay"
        need("ReconstructionDisplay", estimator, ("reconstruct",), one)
        shape = image_shape_of(estimator, image_shape)
        X = X[:N_IMAGES] if shape else some(random_state, X)
        made = np.asarray(estimator.reconstruct(X), dtype=np.float64)
        rows = np.asarray(X, dtype=np.float64)
        return cls(rows, made, image_shape=shape, columns=columns_of(estimator)).plot(ax=ax)

    @property
    def shares(self) -> np.ndarray:
        """Share of the variance of each column that comes back."""
        total = np.square(self.rows - self.rows.mean(axis=0)).sum(axis=0)
        lost = np.square(self.rows - self.reconstructions).sum(axis=0)
        constant = np.ptp(self.rows, axis=0) == 0
        return 1 - lost / np.where(constant, np.nan, total)

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.

        Returns
        -------
        display : ReconstructionDisplay
        """
        if self.image_shape is not None:
            figure, axes = panels("ReconstructionDisplay.plot", ax, 1, 1, 1.3)
            n = min(N_IMAGES, len(self.rows))
            both = np.concatenate([self.rows[:n], self.reconstructions[:n]])
            picture = mosaic(both, self.image_shape, n)
            show_images(axes[0, 0], picture, self.rows[:n].min(), self.rows[:n].max())
            text = "Rows (above) and their reconstructions"
        else:
            n_bars = min(MAX_COLUMNS, int(np.isfinite(self.shares).sum()))
            height = max(2.4, 0.9 + 0.17 * n_bars)
            figure, axes = panels("ReconstructionDisplay.plot", ax, 1, 2, height)
            self._columns(*axes[0])
            x, r = self.rows, self.reconstructions
            total = np.square(x - x.mean(axis=0)).sum()
            text = "The rows are all the same"
            if total:
                share = 1 - np.square(x - r).sum() / total
                text = f"{share:.1%} of the variance over all columns comes back"
        self.figure_, self.axes_ = figure, axes
        headline(figure, ax is not None, axes, text)
        return self

    def _columns(self, left, right):
        shares = self.shares
        worst = np.argsort(shares)[: np.isfinite(shares).sum()][:MAX_COLUMNS]
        names = [column_name(self.columns, k, 24) for k in worst]
        y = np.arange(len(worst))
        left.barh(y, shares[worst].clip(-1), 0.7, color=DATA)
        left.axvline(0.0, color="0.35", lw=1)
        left.set(yticks=y, yticklabels=names, ylim=(len(y) - 0.4, -0.6))
        left.set_xlim(min(0.0, left.get_xlim()[0]), 1)
        rest = f", the worst {len(worst)}" if len(worst) < np.isfinite(shares).sum() else ""
        titled(left, f"share of variance that comes back{rest}")
        if len(worst):
            x, r = self.rows[:, worst[0]], self.reconstructions[:, worst[0]]
            right.scatter(x, r, s=6, color=MODEL, alpha=0.6, lw=0)
            right.axline((x.mean(), x.mean()), slope=1, color=GREY, lw=1)
            right.set(xlabel="value", ylabel="reconstruction")
            titled(right, f"worst: {names[0]}")
