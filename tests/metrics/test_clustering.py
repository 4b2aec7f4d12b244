"""Clusters against classes."""

from itertools import permutations

import numpy as np
import pytest

from skotae.metrics import clustering_accuracy


def test_names_of_clusters_do_not_matter():
    y = ["a", "b", "c"] * 5
    clusters = [{"a": 7, "b": -1, "c": 3}[label] for label in y]
    for assignment in ("hungarian", "greedy"):
        assert clustering_accuracy(y, clusters, assignment=assignment) == 1.0


def test_hungarian_is_the_best_of_all_assignments():
    rng = np.random.default_rng(0)
    for _ in range(10):
        y, clusters = rng.integers(4, size=(2, 50))
        best = max(np.mean(np.array(order)[clusters] == y) for order in permutations(range(4)))
        assert clustering_accuracy(y, clusters) == pytest.approx(best)


def test_greedy_takes_the_largest_mean_first():
    means = np.array([[0.6, 0.4], [0.9, 0.1]])
    proba, y = means.repeat(3, axis=0), [0, 0, 0, 1, 1, 1]
    # Class 1 has the largest mean and takes cluster 0; every row is in cluster 0.
    assert clustering_accuracy(y, proba, assignment="greedy") == 0.5
    y = [0] * 4 + [1] * 3
    proba = means.repeat([4, 3], axis=0)
    assert clustering_accuracy(y, proba, assignment="greedy") == 3 / 7
    assert clustering_accuracy(y, proba, assignment="hungarian") == 4 / 7


def test_probabilities_of_one_are_labels():
    rng = np.random.default_rng(0)
    y, clusters = rng.integers(5, size=(2, 80))
    for assignment in ("hungarian", "greedy"):
        soft = clustering_accuracy(y, np.eye(5)[clusters], assignment=assignment)
        assert soft == clustering_accuracy(y, clusters, assignment=assignment)


@pytest.mark.parametrize("assignment", ["hungarian", "greedy"])
def test_one_cluster_for_each_class_at_most(assignment):
    assert clustering_accuracy([0, 0, 0, 0], [0, 0, 1, 2], assignment=assignment) == 0.5
    assert clustering_accuracy([0, 0, 1, 2], [5, 5, 5, 5], assignment=assignment) == 0.5
    assert clustering_accuracy(["a"], [0], assignment=assignment) == 1.0


def test_hungarian_fills_the_clusters_that_occur():
    proba = np.array([[0.0, 0.0, 1.0]] * 4)
    assert clustering_accuracy([0, 0, 0, 1], proba) == 0.75


def test_memory_for_many_clusters_is_that_of_the_table():
    y = np.zeros(100_000, dtype=int)
    assert clustering_accuracy(y, np.arange(100_000)) == 1e-5


@pytest.mark.parametrize(
    ("y", "clusters", "params", "message"),
    [
        ([0, 1], [0, 1], {"assignment": "best"}, "assignment='best'; expected one of"),
        ([0, 1], [0, 1, 2], {}, "y has 2 labels and clusters has 3 rows"),
        ([0, 1], [[0.5, 0.6], [1, 0]], {}, "must be probabilities.* sums from 1 to 1.1"),
        ([0, 1], [[1.5, -0.5], [1, 0]], {}, "must be probabilities.* least value of -0.5"),
        ([0, 1], [[3], [4]], {}, r"must be probabilities.*Labels have shape \(n,\)"),
        ([0.5, 1], [0, 1], {}, "y holds numbers that are not whole"),
        ([0, 1], [0, np.nan], {}, "clusters holds numbers that are not whole"),
        ([], [], {}, "clusters is empty"),
    ],
)
def test_bad_input_is_named(y, clusters, params, message):
    with pytest.raises(ValueError, match=message):
        clustering_accuracy(y, clusters, **params)
