"""How well clusters, found without labels, are classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from skotae.metrics._intervals import Rows, interval_by_rows
from skotae.metrics.base import check_labels, check_option, check_rows
from skotae.utils._torch import as_rows


def _agreement(y: Any, clusters: Any, *, assignment: str = "hungarian") -> list[Rows]:
    """Whether each row is in the cluster that its class is assigned to."""
    check_option(assignment, "assignment", ("hungarian", "greedy"))
    clusters = as_rows(clusters, "clusters")
    if np.ndim(clusters) == 2:
        proba = check_rows(clusters, "clusters")
        if proba.min() < 0 or not np.allclose(proba.sum(axis=1), 1.0, atol=1e-3):
            raise ValueError(
                "clusters of shape (n, n_clusters) must be probabilities, of 0 or more and with "
                f"sum 1 in each row; got sums from {proba.sum(axis=1).min():.3g} to "
                f"{proba.sum(axis=1).max():.3g} and a least value of {proba.min():.3g}. Labels "
                "have shape (n,)."
            )
        number = proba.argmax(axis=1)
    else:
        labels = check_labels(clusters, "clusters", np.size(clusters), "clusters")
        if len(labels) == 0:
            raise ValueError("clusters is empty; expected a label for each row.")
        number, proba = np.unique(labels, return_inverse=True)[1], None
    y = check_labels(y, "y", len(number), "clusters")
    classes, true = np.unique(y, return_inverse=True)
    if assignment == "hungarian" or proba is None:
        # A column for each cluster that occurs; a cluster without a row is of no use to a class.
        table = contingency_matrix(true, number)
        names = np.unique(number)
    else:
        table = np.zeros((len(classes), proba.shape[1]))
        np.add.at(table, true, proba)
        names = np.arange(proba.shape[1])
    if assignment == "hungarian":
        rows, columns = linear_sum_assignment(table, maximize=True)
    else:
        rows, columns = _largest_first(table / np.bincount(true)[:, None])
    cluster_of = np.full(len(classes), -1)
    cluster_of[rows] = names[columns]
    return [Rows((cluster_of[true] == number).astype(np.float64)[:, None])]


def _largest_first(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the largest entry, then of the largest of the other rows and columns."""
    table = table.copy()
    pairs = np.empty((min(table.shape), 2), dtype=int)
    for pair in pairs:
        pair[:] = np.unravel_index(table.argmax(), table.shape)
        table[pair[0]] = table[:, pair[1]] = -np.inf
    return pairs[:, 0], pairs[:, 1]


@interval_by_rows(_agreement)
def clustering_accuracy(y: Any, clusters: Any, *, assignment: str = "hungarian") -> float:
    r"""Share of rows in the cluster that stands for their class.

    Each class is assigned at most one cluster and each cluster at most one class:

    - "hungarian": the assignment of the largest accuracy;
    - "greedy", the protocol of [1]_: the class and cluster k of the largest mean
      :math:`\mathbb E_{x | \mathrm{class}}\, q(k|x)` belong together, then those of the largest
      among the other classes and clusters, and so on. With labels for `clusters`, the mean is the
      share of the class that is in the cluster.

    Parameters
    ----------
    y : array-like of shape (n,)
        Classes.
    clusters : array-like of shape (n,) or (n, n_clusters)
        Labels of clusters, such as from `predict`, or probabilities :math:`q(k|x)`, such as from
        `predict_proba`. A row is in its most probable cluster.
    assignment : {"hungarian", "greedy"}, default="hungarian"
        How clusters and classes are matched.

    Returns
    -------
    accuracy : float
        In [0, 1]. Rows of a class without a cluster count as wrong, as do those in a cluster
        without a class.

    Raises
    ------
    ValueError
        If an input or option is invalid.

    References
    ----------
    .. [1] Gaujac, Feige and Barber (2018), Gaussian mixture models with Wasserstein distance,
       section 3.2.
    .. [2] Kuhn (1955), The Hungarian method for the assignment problem.

    Examples
    --------
    >>> from skotae.metrics import clustering_accuracy
    >>> clustering_accuracy(["a", "a", "b", "b"], [1, 1, 0, 1])
    0.75
    """
    return float(_agreement(y, clusters, assignment=assignment)[0].value()[0])
