"""Searches whose candidates go to workers elsewhere."""

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from skotae import WAEEstimator


@pytest.mark.slow
def test_candidates_on_a_dask_cluster_are_those_of_one_process():
    distributed = pytest.importorskip("distributed")
    X, _ = load_iris(return_X_y=True)
    model = WAEEstimator(n_components=2, hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    search = GridSearchCV(model, {"lam": [0.1, 10.0]}, cv=2, error_score="raise")
    expected = clone(search).fit(X)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        found = clone(search).fit(X)
        # On the workers, not here.
        assert sum(client.run(lambda: "skotae" in __import__("sys").modules).values()) >= 1
    scores, others = (each.cv_results_["mean_test_score"] for each in (expected, found))
    np.testing.assert_allclose(others, scores, rtol=1e-6)
    np.testing.assert_allclose(found.transform(X), expected.transform(X), rtol=1e-5, atol=1e-6)
