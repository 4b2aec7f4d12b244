"""The components of a mixture: how much they are used, and what they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from skotae.displays.base import (
    DATA,
    column_name,
    columns_of,
    decoded,
    headline,
    image_shape_of,
    labels_of,
    last_step,
    mosaic,
    need,
    panels,
    show_images,
    shown,
    some,
    titled,
)

MAX_COLUMNS = 20
# Share of an equal share below which a component is dead.
DEAD = 0.05


class ComponentDisplay:
    """Shares of the components of a mixture, their decoded means and, with labels, their contents.

    A component with less than a twentieth of an equal share is *dead*.

    Make one by :meth:`from_estimator`.

    Parameters
    ----------
    shares : ndarray of shape (n_mixtures,)
        Mean probability of each component over the rows.
    means : ndarray of shape (n_mixtures, n_features)
        Decoded means of the components of the prior.
    table : ndarray of shape (n_mixtures, n_classes), optional
        Number of rows of each class in each component.
    classes : sequence, optional
        Names of the classes.
    centre, scale : ndarray of shape (n_features,), optional
        Means and standard deviations that a table is shown in.
    image_shape : tuple of int, optional
        (height, width) or (channels, height, width); None is a table.
    columns : sequence of str, optional
        Names of the columns of a table.

    Attributes
    ----------
    dead : list of int
        Components that are hardly used.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import GMWAE
    >>> from skotae.displays import ComponentDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GMWAE(2, n_mixtures=3, max_iter=20, random_state=0).fit(X)
    >>> display = ComponentDisplay.from_estimator(model, X, y)
    >>> display.table.shape, round(float(display.shares.sum()), 6)
    ((3, 3), 1.0)
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        shares: np.ndarray,
        means: np.ndarray,
        *,
        table: np.ndarray | None = None,
        classes: Any = None,
        centre: Any = 0.0,
        scale: Any = 1.0,
        image_shape: tuple[int, ...] | None = None,
        columns: Any = None,
    ):
        self.shares = shares
        self.means = means
        self.table = table
        self.classes = classes
        self.centre = centre
        self.scale = scale
        self.image_shape = image_shape
        self.columns = columns

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, image_shape=None, ax=None, random_state=0):
        """Look at the components of a fitted mixture.

        Parameters
        ----------
        estimator : fitted GMWAE or GMVAE, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            At most 2,000 of the rows are used, at random.
        y : array-like of shape (n_samples,), optional
            Labels, that the components are set against.
        image_shape : tuple of int, optional
            Shape of the image that a row is; by default that of a ConvNet, or else a table.
        ax : matplotlib Axes, optional
            Is divided; None makes a figure.
        random_state : int, default=0
            Seed of the choice of rows.

        Returns
        -------
        display : ComponentDisplay

        Raises
        ------
        TypeError
            If the estimator is no mixture.
        """
        estimator, X = last_step(estimator, X=X)
        one = "CodesDisplay" if hasattr(estimator, "transform") else "SamplesDisplay"
        need("ComponentDisplay", estimator, ("predict_proba", "interpolate_components"), one)
        X, y = some(random_state, X, labels_of(y, X))
        proba = estimator.predict_proba(X)
        table = classes = None
        if y is not None:
            classes, number = np.unique(y, return_inverse=True)
            size = max(len(classes), proba.shape[1])
            counts = confusion_matrix(proba.argmax(axis=1), number, labels=np.arange(size))
            table = counts[: proba.shape[1], : len(classes)]
        means = estimator.prior_.component_means(estimator.n_components_).numpy()
        return cls(
            proba.mean(axis=0),
            decoded(estimator, means),
            table=table,
            classes=classes,
            centre=estimator.data_mean_,
            scale=estimator.data_scale_,
            image_shape=image_shape_of(estimator, image_shape),
            columns=columns_of(estimator),
        ).plot(ax=ax)

    @property
    def dead(self) -> list[int]:
        """Components that are hardly used."""
        return np.flatnonzero(self.shares * len(self.shares) < DEAD).tolist()

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided; None makes a figure.

        Returns
        -------
        display : ComponentDisplay
        """
        k = len(self.shares)
        n = 2 + (self.table is not None)
        figure, axes = panels("ComponentDisplay.plot", ax, 1, n, max(2.2, 0.9 + 0.22 * k))
        places = axes[0]
        y = np.arange(k)
        ticks = {"yticks": y, "ylim": (k - 0.4, -0.6)}
        colours = ["0.75" if i in self.dead else DATA for i in range(k)]
        places[0].barh(y, self.shares, 0.7, color=colours)
        places[0].axvline(1 / k, color="0.35", lw=1, ls=":")
        places[0].set(ylabel="component", **ticks)
        titled(places[0], "share (dotted: equal)")
        self._contents(places[1], ticks)
        if self.table is not None:
            share = self.table / np.maximum(self.table.sum(axis=1, keepdims=True), 1)
            places[2].imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            names = [shown(name) for name in self.classes]
            places[2].set_xticks(np.arange(len(names)), names, rotation=90 if len(names) > 6 else 0)
            places[2].set(yticks=y, yticklabels=[])
            if k * len(names) <= 60:
                for (i, j), count in np.ndenumerate(self.table):
                    colour = "w" if share[i, j] > 0.6 else "k"
                    places[2].text(j, i, count, fontsize=7, ha="center", va="center", color=colour)
            titled(places[2], "classes within, in rows")
        self.figure_, self.axes_ = figure, axes
        used = f"{k - len(self.dead)} of {k} components are in use"
        text = used + (f"; dead: {', '.join(map(str, self.dead))}" if self.dead else "")
        headline(figure, ax is not None, axes, text)
        return self

    def _contents(self, ax, ticks):
        if self.image_shape is not None:
            n_cols = int(np.ceil(np.sqrt(len(self.means))))
            picture = mosaic(self.means, self.image_shape, n_cols)
            show_images(ax, picture, self.means.min(), self.means.max())
            titled(ax, "decoded means, in lines")
            return
        moved = (self.means - self.centre) / self.scale
        most = np.sort(np.argsort(-np.ptp(moved, axis=0), kind="stable")[:MAX_COLUMNS])
        end = float(np.abs(moved).max()) or 1.0
        picture = ax.imshow(moved[:, most], cmap="PuOr", vmin=-end, vmax=end, aspect="auto")
        names = [column_name(self.columns, k, 12) for k in most]
        ax.set_xticks(np.arange(len(most)), names, rotation=90)
        ax.set(yticks=ticks["yticks"], yticklabels=[])
        bar = ax.figure.colorbar(picture, ax=ax, shrink=0.8)
        bar.ax.tick_params(labelsize=7)
        titled(ax, "decoded means, in spreads")
