"""Each coordinate of the codes against the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from skotae.displays._verdicts import Verdict
from skotae.displays.base import (
    DATA,
    GREY,
    codes_of,
    headline,
    last_step,
    need,
    numbers_of,
    panels,
    prior_draws,
    some,
    titled,
)

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
N_NEIGHBORS = 5
N_REPEATS = 20
MAX_COORDINATES = 16
# What counts as off: widths by a quarter, quantiles by 0.3 widths, and 10 % more holes.
WIDTH_OFF, QUANTILE_OFF, HOLES_OFF = 0.25, 0.3, 0.1


class PriorDisplay:
    r"""Quantiles and width of each coordinate of the codes, against the prior.

    Codes are draws from the posteriors of the rows. Quantiles are shown as
    :math:`(F^{-1}_Q(p) - m_P) / s_P` with mean and standard deviation of the prior; grey are those
    of the prior, with bands in which 95 % of as many draws from it lie. *Holes* are the share of
    draws from the prior that are in no ball about a code which reaches to its fifth neighbour: a
    decoder has not seen their like. As many draws from the prior itself leave out some too.

    The codes *follow* the prior if every width is within 25 % of the prior's, the median
    difference of the quantiles of every coordinate is below 0.3 widths, and no more than 10 %
    of the prior's draws are in holes beyond those that the prior leaves itself.

    Make one by :meth:`from_estimator`.

    Parameters
    ----------
    quantiles : ndarray of shape (d, 5)
        5, 25, 50, 75 and 95 % quantiles of the codes, in the units above.
    prior_bands : ndarray of shape (3, d, 5)
        Those of the prior: low end, middle and high end.
    widths : ndarray of shape (d,)
        Standard deviations of the codes in units of the prior's.
    width_bands : ndarray of shape (2, d)
        Where they would lie if codes were draws from the prior.
    holes : float
        Share of the draws from the prior far from all codes.
    own_holes : float
        The same of as many draws from the prior in the place of the codes.

    Attributes
    ----------
    verdict : Verdict
        Whether the codes follow the prior.
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes
        Quantiles on the left, widths on the right.

    See Also
    --------
    CodesDisplay : The codes themselves.
    skotae.metrics.prior_gap : One number for the difference.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skotae import SinkhornAE
    >>> from skotae.displays import PriorDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = SinkhornAE(2, max_iter=20, random_state=0).fit(X)
    >>> display = PriorDisplay.from_estimator(model, X)
    >>> display.widths.shape, 0 <= display.holes <= 1
    ((2,), True)
    """

    figure_: Any
    axes_: np.ndarray

    def __init__(
        self,
        quantiles: np.ndarray,
        prior_bands: np.ndarray,
        widths: np.ndarray,
        width_bands: np.ndarray,
        *,
        holes: float,
        own_holes: float,
    ):
        self.quantiles = quantiles
        self.prior_bands = prior_bands
        self.widths = widths
        self.width_bands = width_bands
        self.holes = holes
        self.own_holes = own_holes

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, random_state=0):
        """Encode rows and compare them with the prior.

        Parameters
        ----------
        estimator : fitted estimator with an encoder, or pipeline that ends in one
        X : array-like of shape (n_samples, n_features)
            At most 2,000 of the rows are used, at random.
        ax : matplotlib Axes, optional
            Is divided into two panels; None makes a figure.
        random_state : int, default=0
            Seed of the draws.

        Returns
        -------
        display : PriorDisplay

        Raises
        ------
        TypeError
            If the estimator has no encoder.
        """
        estimator, X = last_step(estimator, X=X)
        instead = "SamplesDisplay, which needs no encoder"
        need("PriorDisplay", estimator, ("sample_posterior",), instead)
        codes = codes_of(estimator, some(random_state, X), random_state)
        n = len(codes)
        draws = prior_draws(estimator, random_state, N_REPEATS * n)
        return cls.from_codes(codes, draws.reshape(N_REPEATS, n, -1), ax=ax)

    @classmethod
    def from_codes(cls, codes, prior_codes, *, ax=None):
        """Compare codes with sets of draws from a prior.

        Parameters
        ----------
        codes : array-like of shape (n, d)
        prior_codes : array-like of shape (n_sets, n, d)
            Two sets or more, for the bands.
        ax : matplotlib Axes, optional
            Is divided into two panels; None makes a figure.

        Returns
        -------
        display : PriorDisplay
        """
        codes, sets = numbers_of(codes, "codes"), numbers_of(prior_codes, "prior_codes")
        if sets.ndim != 3 or len(sets) < 2 or sets.shape[2] != codes.shape[1]:
            raise ValueError(
                f"prior_codes has shape {sets.shape}; expected (n_sets, n, {codes.shape[1]}) with "
                "two sets or more."
            )
        pooled = sets.reshape(-1, sets.shape[2])
        middle, width = pooled.mean(axis=0), np.maximum(pooled.std(axis=0), 1e-12)
        codes, sets = (codes - middle) / width, (sets - middle) / width
        own = np.quantile(sets, LEVELS, axis=1)
        bands = np.quantile(own, [0.025, 0.5, 0.975], axis=1)
        return cls(
            np.quantile(codes, LEVELS, axis=0).T,
            np.moveaxis(bands, 1, 2),
            codes.std(axis=0),
            np.quantile(sets.std(axis=1), [0.025, 0.975], axis=0),
            holes=_holes(codes, sets[0]),
            own_holes=_holes(sets[1], sets[0]),
        ).plot(ax=ax)

    @property
    def verdict(self) -> Verdict:
        """Whether the codes follow the prior."""
        off = np.median(np.abs(self.quantiles - self.prior_bands[1]), axis=1)
        widest = int(np.abs(np.log(np.maximum(self.widths, 1e-12))).argmax())
        width, limit = self.widths[widest], 1 + WIDTH_OFF
        holes = f"{self.holes:.0%} of the prior lies in holes ({self.own_holes:.0%} would anyway)"
        if not 1 / limit <= width <= limit:
            side = "narrower" if width < 1 else "wider"
            return Verdict(
                "off the prior",
                False,
                f"coordinate z{widest} of the codes is {side} than the prior, {width:.2f} times "
                f"its width; {holes}.",
            )
        if off.max() > QUANTILE_OFF:
            return Verdict(
                "off the prior",
                False,
                f"quantiles of coordinate z{off.argmax()} are {off.max():.2f} widths away from the "
                f"prior's; {holes}.",
            )
        if self.holes - self.own_holes > HOLES_OFF:
            return Verdict("holes", False, f"each coordinate is like the prior's, but {holes}.")
        return Verdict("follows the prior", True, f"widths and quantiles agree, and {holes}.")

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Is divided into two panels; None makes a figure.

        Returns
        -------
        display : PriorDisplay
        """
        farthest = np.abs(self.quantiles - self.prior_bands[1]).max(axis=1)
        shown = np.sort(np.argsort(-farthest, kind="stable")[:MAX_COORDINATES])
        height = 1.2 + 0.24 * len(shown)
        figure, axes = panels("PriorDisplay.plot", ax, 1, 2, height)
        left, right = axes[0]
        y = np.arange(len(shown))
        low, middle, high = self.prior_bands[:, shown]
        sizes = (16, 28, 44, 28, 16)
        for k, size in enumerate(sizes):
            left.fill_betweenx(
                *_steps(y, low[:, k], high[:, k]), color=GREY, alpha=0.4, lw=0, step=None
            )
            left.scatter(middle[:, k], y, s=60, marker="|", color="0.35", zorder=2)
            label = "codes: 5, 25, 50, 75, 95 %" if k == 2 else None
            values = self.quantiles[shown, k]
            left.scatter(values, y, s=size, color=DATA, zorder=3, label=label)
        left.set(yticks=y, yticklabels=[f"z{k}" for k in shown], ylim=(len(y) - 0.4, -0.6))
        titled(left, "quantiles, in widths of the prior (grey)")
        band = self.width_bands[:, shown]
        right.fill_betweenx(*_steps(y, *band), color=GREY, alpha=0.4, lw=0)
        right.scatter(self.widths[shown], y, color=DATA, s=28, zorder=3)
        right.axvline(1.0, color="0.35", lw=1)
        right.set(yticks=y, yticklabels=[], ylim=left.get_ylim())
        right.set_xlim(0, max(1.2, 1.1 * float(self.widths.max())))
        titled(right, "width of the codes / of the prior")
        self.figure_, self.axes_ = figure, axes
        headline(figure, ax is not None, axes, str(self.verdict))
        return self


def _steps(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
    """Corners of boxes of height 0.7 about y, for `fill_betweenx`, with gaps between them."""
    edges = (y[:, None] + [-0.35, 0.35, 0.35]).ravel()
    gap = np.tile([1.0, 1.0, np.nan], len(y))
    return edges, np.repeat(low, 3) * gap, np.repeat(high, 3) * gap


def _holes(codes: np.ndarray, draws: np.ndarray) -> float:
    """Share of draws that are in no ball about a code that reaches to its fifth neighbour."""
    k = min(N_NEIGHBORS, len(codes) - 1)
    near = NearestNeighbors(n_neighbors=k).fit(codes)
    radius = near.kneighbors()[0][:, -1]
    # Balls that hold a draw are about codes that are near, or else wide.
    distance, index = near.kneighbors(draws, n_neighbors=min(64, len(codes)))
    return float(1 - (distance <= radius[index]).any(axis=1).mean())
