"""A transport plan between two clouds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skotae.displays.base import DATA, MODEL, headline, numbers_of, panels, pyplot, titled
from skotae.transport import sinkhorn_plan

MAX_LINES = 2000


class PlanDisplay:
    """A transport plan between two clouds in the plane: what moves where, and how much.

    Each entry of the plan is a line, the darker the more mass it moves; the faintest, that move
    less than a tenth of the heaviest, are left out.

    Make one by :meth:`from_clouds`, or from a plan of any solver.

    Parameters
    ----------
    x : array-like of shape (n, 2)
        Where mass is.
    y : array-like of shape (m, 2)
        Where it goes.
    plan : array-like of shape (n, m)
        How much of it.

    Attributes
    ----------
    lines_ : matplotlib LineCollection
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes

    See Also
    --------
    skotae.transport.sinkhorn_plan : The plan.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.displays import PlanDisplay
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(30, 2)), rng.normal(size=(40, 2)) + 3
    >>> display = PlanDisplay.from_clouds(x, y, epsilon=0.01)
    >>> display.plan.shape, round(float(display.plan.sum()), 3)
    ((30, 40), 1.0)
    """

    lines_: Any
    figure_: Any
    axes_: np.ndarray

    def __init__(self, x: Any, y: Any, plan: Any):
        self.x, self.y = numbers_of(x, "x"), numbers_of(y, "y")
        self.plan = numbers_of(plan, "plan")
        for name, points in (("x", self.x), ("y", self.y)):
            if points.ndim != 2 or points.shape[1] != 2:
                raise ValueError(
                    f"{name} has shape {points.shape}; expected points in the plane, (n, 2)."
                )
        if self.plan.shape != (len(self.x), len(self.y)):
            raise ValueError(
                f"plan has shape {self.plan.shape}; expected {(len(self.x), len(self.y))}."
            )

    @classmethod
    def from_clouds(cls, x, y, *, epsilon=0.05, ax=None):
        """Plot the entropic plan between two clouds.

        Parameters
        ----------
        x : array-like of shape (n, 2)
        y : array-like of shape (m, 2)
            Points of equal weight; the cost is the squared distance.
        epsilon : float, default=0.05
            Weight of the entropy, relative to the mean cost.
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.

        Returns
        -------
        display : PlanDisplay
        """
        x, y = numbers_of(x, "x"), numbers_of(y, "y")
        plan = sinkhorn_plan(torch.from_numpy(x), torch.from_numpy(y), epsilon=epsilon)
        return cls(x, y, plan.numpy()).plot(ax=ax)

    def plot(self, ax=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            To draw in; None makes a figure.

        Returns
        -------
        display : PlanDisplay
        """
        pyplot("PlanDisplay.plot")
        from matplotlib.collections import LineCollection

        figure, axes = panels("PlanDisplay.plot", ax, 1, 1, 4.0)
        place = axes[0, 0]
        i, j = np.nonzero(self.plan > 0.1 * self.plan.max())
        mass = self.plan[i, j]
        heaviest = np.argsort(-mass)[:MAX_LINES]
        i, j, mass = i[heaviest], j[heaviest], mass[heaviest]
        strength = mass / mass.max() if len(mass) else mass
        ends = np.stack([self.x[i], self.y[j]], axis=1)
        self.lines_ = LineCollection(
            list(ends), colors="0.3", alpha=0.15 + 0.6 * strength, linewidths=0.4 + 1.2 * strength
        )
        place.add_collection(self.lines_)
        for points, colour, marker, label in (
            (self.x, DATA, "o", "x"),
            (self.y, MODEL, "s", "y"),
        ):
            place.scatter(*points.T, s=16, color=colour, marker=marker, label=label, zorder=3)
        place.set_aspect("equal", adjustable="datalim")
        place.legend(fontsize=8)
        titled(place, "")
        self.figure_, self.axes_ = figure, axes
        square = np.square(self.x[:, None] - self.y[None]).sum(axis=2)
        cost = float((self.plan * square).sum() / self.plan.sum())
        text = f"Mass moves by {np.sqrt(cost):.3g}, root mean square"
        headline(figure, ax is not None, axes, text)
        return self
