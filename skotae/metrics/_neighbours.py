"""Precision, recall, density and coverage: samples and the neighbourhoods of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.metrics import pairwise_distances_chunked

from skotae.metrics._intervals import Estimate, Options, interval_by, jackknife_interval, split
from skotae.metrics.base import (
    check_features,
    check_neighbors,
    has_blurred,
    rounding,
    standardise,
)

WORKING_MEMORY = 16  # MiB of a block of distances

Features = Callable[[Any], Any] | None


class Clouds:
    """Two samples, each row with a ball as far as the k-th nearest of its sample's other rows.

    Every measure is computed `n_views` times: of all rows, and without each group of rows in
    turn, where groups are asked for.
    """

    def __init__(self, X: Any, Y: Any, k: Any, features: Features, seed: int | None, names: str):
        x, y = check_features(X, Y, features)
        for sample, name in ((x, "X"), (y, "Y")):
            if name in names:
                of = f"the number of other rows of {name}"
                self.k = check_neighbors(k, len(sample) - 1, of)
        self.x, self.y, _ = standardise(x, y)
        self.x_square, self.y_square = (np.square(part).sum(1) for part in (self.x, self.y))
        # Distances come from matrix products, where these resolve the balls: rounding shall not
        # take a row out of a ball whose border it is on, such as one of several equal rows.
        self.rounding = self.slack = rounding(x.shape[1])
        self.metric: dict[str, Any] = {"metric": "euclidean", "squared": True}
        n_groups, groups = (0, []) if seed is None else split((len(x), len(y)), seed)
        used = [part for part, name in ((x, "X"), (y, "Y")) if name in names]
        if any(len(part) - -(-len(part) // max(1, n_groups)) <= self.k for part in used):
            n_groups = 0  # too few rows are left without a group
        self.n_views = 1 + n_groups
        self.x_kept, self.y_kept = (
            np.stack([np.ones(len(part), dtype=bool), *(group != g for g in range(n_groups))])
            for part, group in zip((x, y), groups or (None, None), strict=True)
        )

    def reaches(self, which: str) -> list[np.ndarray]:
        """Squared radii (n_views, n) of the balls about "x", "y" or both; none of rows left out."""
        radii, blurred = zip(*map(self._reach, which), strict=True)
        if any(blurred):
            # Groups that are far from each other: differences, which are slower, are exact.
            self.slack, self.metric = 0.0, {"metric": "sqeuclidean"}
            radii, _ = zip(*map(self._reach, which), strict=True)
        return list(radii)

    def _reach(self, of: str) -> tuple[np.ndarray, bool]:
        """Squared radii about the rows of one sample, and whether some are mostly rounding."""
        rows, square, kept = (getattr(self, name) for name in (of, f"{of}_square", f"{of}_kept"))
        n, k = len(rows), self.k
        # Of some more neighbours than k, k are not in a group, but for bad luck.
        near = k if self.n_views == 1 else min(2 * k + 10, n - 1)
        while True:
            parts = pairwise_distances_chunked(
                rows,
                reduce_func=lambda block, start, near=near: _nearest(block, start, near),
                working_memory=WORKING_MEMORY,
                **self.metric,
            )
            index, distance = (np.concatenate(part) for part in zip(*parts, strict=True))
            rank = kept[:, index].cumsum(axis=2, dtype=np.int32)  # (n_views, n, near)
            if near == n - 1 or rank[:, :, -1].min() >= k:
                break
            near = min(2 * near, n - 1)
        place = (rank >= k).argmax(axis=2)
        radii = distance[np.arange(n), place]
        furthest = index[np.arange(n), place[0]]
        blurred = self.slack > 0 and has_blurred(rows, rows, furthest, radii[0])
        radii = radii * (1 + self.rounding) + self.slack * square
        return np.where(kept, radii, -np.inf), blurred

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Squared distances of some rows of y from all of x, a block at a time."""
        start = 0
        for block in pairwise_distances_chunked(
            self.y, self.x, working_memory=WORKING_MEMORY, **self.metric
        ):
            yield slice(start, start + len(block)), block
            start += len(block)


def _nearest(block: np.ndarray, start: int, near: int) -> tuple[np.ndarray, np.ndarray]:
    """The `near` nearest rows of each, but for itself, from near to far, and their distances."""
    own = np.arange(len(block))
    block[own, start + own] = np.inf
    index = np.argpartition(block, near - 1, axis=1)[:, :near]
    distance = np.take_along_axis(block, index, axis=1)
    order = distance.argsort(axis=1)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _precision_recall(clouds: Clouds) -> np.ndarray:
    """Both measures of each view, of shape (n_views, 2)."""
    x_reach, y_reach = clouds.reaches("xy")
    inside = np.zeros_like(clouds.y_kept)
    recalled = np.zeros_like(clouds.x_kept)
    for rows, block in clouds.blocks():
        of_x = block - clouds.slack * clouds.y_square[rows, None]
        of_y = block - clouds.slack * clouds.x_square
        for view in range(clouds.n_views):
            inside[view, rows] = (of_x <= x_reach[view]).any(axis=1)
            recalled[view] |= (of_y <= y_reach[view, rows, None]).any(axis=0)
    return np.stack([_mean(inside, clouds.y_kept), _mean(recalled, clouds.x_kept)], axis=1)


def _density_coverage(clouds: Clouds) -> np.ndarray:
    """Both measures of each view, of shape (n_views, 2)."""
    (reach,) = clouds.reaches("x")
    counts = np.zeros(clouds.y_kept.shape)
    covered = np.zeros_like(clouds.x_kept)
    for rows, block in clouds.blocks():
        block = block - clouds.slack * clouds.y_square[rows, None]
        for view in range(clouds.n_views):
            held = block <= reach[view]
            counts[view, rows] = held.sum(axis=1)
            covered[view] |= held[clouds.y_kept[view, rows]].any(axis=0)
    density = _mean(counts, clouds.y_kept) / clouds.k
    return np.stack([density, _mean(covered, clouds.x_kept)], axis=1)


def _mean(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return (values * kept).sum(axis=1) / kept.sum(axis=1)


def _precision_recall_intervals(
    options: Options, X: Any, Y: Any, *, n_neighbors: int = 3, features: Features = None
) -> list[Estimate]:
    values = _precision_recall(Clouds(X, Y, n_neighbors, features, options.seed, "XY"))
    return [jackknife_interval(v[0], v[1:], options, largest=1.0) for v in values.T]


@interval_by(_precision_recall_intervals)
def precision_recall(
    X: Any, Y: Any, *, n_neighbors: int = 3, features: Features = None
) -> tuple[float, float]:
    r"""Share of generated rows that look like data, and of data that the model could generate.

    .. math::
        \mathrm{precision} = \frac1m \sum_j f(y_j, X), \quad
        \mathrm{recall} = \frac1n \sum_i f(x_i, Y), \quad
        f(y, X) = \begin{cases} 1 & \exists i: |y - x_i| \le |x_i - \mathrm{NN}_k(x_i, X)| \\
        0 & \text{otherwise,} \end{cases}

    where :math:`\mathrm{NN}_k(x_i, X)` is the k-th nearest to :math:`x_i` of the other rows of X.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Data; of shape (n, d) if `features` is None.
    Y : array-like of shape (m, ...)
        Generated rows. Of two data frames the columns must have the same names in the same order.
    n_neighbors : int, default=3
        The number k.
    features : callable, optional
        Takes a sample and returns an array of shape (n, p), in which distances are taken. None
        compares the rows themselves.

    Returns
    -------
    precision, recall : float
        In [0, 1]. Not 1 where the distributions are equal; compare values of equal n, m and k. A
        single outlier in the data has a large ball, which raises precision:
        :func:`density_coverage` is robust to that.

    Raises
    ------
    ValueError
        If an input is invalid or a sample has k rows or fewer.
    TypeError
        If `features` is not callable.

    References
    ----------
    .. [1] Kynkaanniemi et al. (2019), Improved precision and recall metric for assessing generative
       models, eq. 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import precision_recall
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> precision_recall(X, X), precision_recall(X, X + 100)
    ((1.0, 1.0), (0.0, 0.0))
    """
    precision, recall = _precision_recall(Clouds(X, Y, n_neighbors, features, None, "XY"))[0]
    return float(precision), float(recall)


def _density_coverage_intervals(
    options: Options, X: Any, Y: Any, *, n_neighbors: int = 5, features: Features = None
) -> list[Estimate]:
    density, coverage = _density_coverage(Clouds(X, Y, n_neighbors, features, options.seed, "X")).T
    return [
        jackknife_interval(density[0], density[1:], options),
        jackknife_interval(coverage[0], coverage[1:], options, largest=1.0),
    ]


@interval_by(_density_coverage_intervals)
def density_coverage(
    X: Any, Y: Any, *, n_neighbors: int = 5, features: Features = None
) -> tuple[float, float]:
    r"""How dense generated rows lie where data are dense, and how much of the data they cover.

    .. math::
        \mathrm{density} = \frac{1}{k m} \sum_j \sum_i 1[y_j \in B_i], \quad
        \mathrm{coverage} = \frac1n \sum_i 1[\exists j: y_j \in B_i],

    where :math:`B_i` is the ball about :math:`x_i` as far as the k-th nearest of the other rows
    of X.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Data; of shape (n, d) if `features` is None.
    Y : array-like of shape (m, ...)
        Generated rows. Of two data frames the columns must have the same names in the same order.
    n_neighbors : int, default=5
        The number k.
    features : callable, optional
        Takes a sample and returns an array of shape (n, p), in which distances are taken. None
        compares the rows themselves.

    Returns
    -------
    density : float
        0 or more, and 1 on average where the distributions are equal.
    coverage : float
        In [0, 1], and :math:`1 - \prod_{i=1}^{k} \frac{n - i}{n + m - i}` on average where the
        distributions are equal.

    Raises
    ------
    ValueError
        If an input is invalid or X has k rows or fewer.
    TypeError
        If `features` is not callable.

    References
    ----------
    .. [1] Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models, eq. 3
       and 5.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import density_coverage
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> density_coverage(X, X + 100)
    (0.0, 0.0)
    """
    density, coverage = _density_coverage(Clouds(X, Y, n_neighbors, features, None, "X"))[0]
    return float(density), float(coverage)
