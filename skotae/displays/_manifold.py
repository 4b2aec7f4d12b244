"""What the decoder makes of a grid of codes, or of a path between codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skotae.displays.base import (
    COLOURS,
    column_name,
    columns_of,
    decoded,
    headline,
    image_shape_of,
    last_step,
    mosaic,
    need,
    panels,
    prior_draws,
    show_images,
    titled,
)
from skotae.priors.base import path

MAX_LINES = len(COLOURS) - 1
ENDS = 0.05, 0.95


class ManifoldDisplay:
    """Decoded codes: a grid of quantiles of the prior, or paths between codes.

    Of images, a grid over two coordinates, the others at their medians. Of a table, the columns
    that move most along each of up to four coordinates from its 5 % to its 95 % quantile, in
    units of ``data_scale_``. Where the prior does not live on the whole space or a cube, and
    for :meth:`from_paths`, the lines are paths between codes, as the prior joins them: great
    circles on a sphere.

    Make one by :meth:`from_estimator` or :meth:`from_paths`.

    Parameters
    ----------
    rows : ndarray of shape (n_paths, n_steps, n_features)
        Decoded rows, line by line.
    positions : ndarray of shape (n_steps,)
        Of the steps on the lines, in quantiles or shares of the way.
    names : sequence of str
        What each line is.
    scale : ndarray of shape (n_features,)
        Unit of each column that changes of a table are measured in.
    image_shape : tuple of int, optional
        (height, width) or (channels, height, width); None is a table.
    columns : sequence of str, optional
        Names of the columns of a table.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import WAEEstimator
    >>> from skotae.displays import ManifoldDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0).fit(X)
    >>> ManifoldDisplay.from_estimator(model, n_steps=5).rows.shape
    (2, 5, 4)
    >>> ManifoldDisplay.from_paths(model, X[:3], X[-3:], n_steps=6).rows.shape
    (3, 6, 4)
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        rows: np.ndarray,
        positions: np.ndarray,
        names: Any,
        *,
        scale: np.ndarray,
        image_shape: tuple[int, ...] | None = None,
        columns: Any = None,
    ):
        self.rows = rows
        self.positions = positions
        self.names = names
        self.scale = scale
        self.image_shape = image_shape
        self.columns = columns

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        n_steps=12,
        coordinates=None,
        image_shape=None,
        ax=None,
        random_state=0,
    ):
        """Decode quantiles of the prior.

        Parameters
        ----------
        estimator : fitted estimator with a decoder, or pipeline that ends in one
        n_steps : int, default=12
            Number of steps on a line.
        coordinates : sequence of int, optional
            Which coordinates move: two for images, up to four for tables; by default the first.
        image_shape : tuple of int, optional
            Shape of the image that a row is; by default that of a ConvNet, or else a table.
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.
        random_state : int, default=0
            Seed of the draws that give the quantiles.

        Returns
        -------
        display : ManifoldDisplay

        Raises
        ------
        TypeError
            If the estimator has no decoder.
        """
        (estimator,) = last_step(estimator)
        need("ManifoldDisplay", estimator, ("sample",), "CodesDisplay, which needs no decoder")
        shape = image_shape_of(estimator, image_shape)
        d = estimator.n_components_
        draws = prior_draws(estimator, random_state)
        most = 2 if shape else 4
        moving = [*range(min(d, most))] if coordinates is None else [*coordinates]
        if not 1 <= len(set(moving)) == len(moving) <= most or not set(moving) <= {*range(d)}:
            raise ValueError(
                f"coordinates={coordinates!r}; expected up to {most} different numbers from 0 to "
                f"{d - 1}."
            )
        options: dict[str, Any] = {"image_shape": shape, "columns": columns_of(estimator)}
        if estimator.prior_.support not in ("space", "cube"):
            starts, stops = draws[:8:2], draws[1:8:2]
            return cls._of_paths(estimator, starts, stops, n_steps, **options).plot(ax=ax)
        positions = np.linspace(*ENDS, n_steps)
        ways = np.quantile(draws[:, moving], positions, axis=0)
        start = np.median(draws, axis=0)
        if shape and len(moving) == 2:
            codes = np.tile(start, (n_steps, n_steps, 1))
            codes[..., moving[0]] = ways[:, 0]
            codes[..., moving[1]] = ways[::-1, 1, None]
            names = [f"z{moving[1]} at {p:.0%}" for p in positions[::-1]]
        else:
            codes = np.tile(start, (len(moving), n_steps, 1))
            for line, coordinate in enumerate(moving):
                codes[line, :, coordinate] = ways[:, line]
            names = [f"z{k}" for k in moving]
        flat = decoded(estimator, codes.reshape(-1, d))
        rows = flat.reshape(*codes.shape[:2], -1)
        return cls(rows, positions, names, scale=_scale(estimator), **options).plot(ax=ax)

    @classmethod
    def from_paths(cls, estimator, X1, X2, *, n_steps=10, image_shape=None, ax=None):
        """Decode the paths between the codes of two sets of rows.

        Parameters
        ----------
        estimator : fitted estimator with encoder and decoder, or pipeline that ends in one
        X1, X2 : array-like of shape (n_paths, n_features)
            Ends of the paths; of a table at most eight are drawn.
        n_steps : int, default=10
            Number of points on a path, both ends included.
        image_shape : tuple of int, optional
            Shape of the image that a row is; by default that of a ConvNet, or else a table.
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.

        Returns
        -------
        display : ManifoldDisplay

        Raises
        ------
        TypeError
            If the estimator has no encoder or no decoder.
        """
        estimator, X1, X2 = last_step(estimator, X1=X1, X2=X2)
        one = "ManifoldDisplay.from_estimator"
        one = one if hasattr(estimator, "sample") else "CodesDisplay"
        need("ManifoldDisplay.from_paths", estimator, ("interpolate",), one)
        rows = np.asarray(estimator.interpolate(X1, X2, n_steps), dtype=np.float64)
        return cls(
            rows,
            np.linspace(0, 1, n_steps),
            [f"path {k}" for k in range(len(rows))],
            scale=_scale(estimator),
            image_shape=image_shape_of(estimator, image_shape),
            columns=columns_of(estimator),
        ).plot(ax=ax)

    @classmethod
    def _of_paths(cls, estimator, starts, stops, n_steps, **options):
        """Decoded paths between codes, as the prior joins them."""
        positions = np.linspace(0, 1, n_steps)
        ends = torch.from_numpy(starts), torch.from_numpy(stops)
        codes = path(estimator.prior_, *ends, positions.tolist()).numpy()
        rows = decoded(estimator, codes.reshape(-1, codes.shape[2]))
        names = [f"between draws {2 * k} and {2 * k + 1}" for k in range(len(starts))]
        rows = rows.reshape(*codes.shape[:2], -1)
        return cls(rows, positions, names, scale=_scale(estimator), **options)

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided if there are several panels; None makes a figure.

        Returns
        -------
        display : ManifoldDisplay
        """
        n_paths, n_steps = self.rows.shape[:2]
        if self.image_shape is not None:
            h, w = self.image_shape[-2:]
            height = min(6.0, 5.8 * n_paths * h / (n_steps * w))
            figure, axes = panels("ManifoldDisplay.plot", ax, 1, 1, max(0.8, height))
            flat = self.rows.reshape(n_paths * n_steps, -1)
            picture = mosaic(flat, self.image_shape, n_steps)
            show_images(axes[0, 0], picture, flat.min(), flat.max())
            text = "Decoded codes, line by line"
            if n_paths == n_steps and " at " in self.names[0]:
                text = f"Decoded quantiles of the prior: {self.names[0].split()[0]} grows upwards"
        else:
            n = min(n_paths, 8)
            n_cols = min(n, 2)
            figure, axes = panels("ManifoldDisplay.plot", ax, -(-n // n_cols), n_cols, 2.0)
            for place, name, rows in zip(axes.ravel(), self.names, self.rows, strict=False):
                self._lines(place, name, rows)
            for place in axes.ravel()[n:]:
                place.set_axis_off()
            text = "What moves along a line of codes, in spreads of the data (data_scale_)"
            of_prior = not self.names[0].startswith(("between", "path"))
            for place in axes[-1]:
                place.set_xlabel("quantile of the prior" if of_prior else "share of the way")
        self.figure_, self.axes_ = figure, axes
        headline(figure, ax is not None, axes, text)
        return self

    def _lines(self, ax, name, rows):
        moves = (rows - rows[len(rows) // 2]) / self.scale
        most = np.argsort(-np.ptp(moves, axis=0), kind="stable")[:MAX_LINES]
        for column, colour in zip(np.sort(most), COLOURS, strict=False):
            label = column_name(self.columns, column, 16)
            ax.plot(self.positions, moves[:, column], color=colour, label=label, lw=1.3)
        # Below the lines: room for a row of names for every two of them.
        low, high = ax.get_ylim()
        ax.set_ylim(low - (high - low) * 0.1 * (1 + len(most) // 2), high)
        ax.legend(fontsize=6, ncols=2, loc="lower center", framealpha=0.6)
        titled(ax, name)


def _scale(estimator: Any) -> np.ndarray:
    """What a column moves by is measured in."""
    scale = np.broadcast_to(estimator.data_scale_, estimator.n_features_in_)
    return np.asarray(scale, dtype=np.float64)
