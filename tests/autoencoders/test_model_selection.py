"""Pipelines and searches."""

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae import CoupledVAE, SinkhornAE, WAEEstimator
from skotae.divergences import MMD
from skotae.networks import MLP
from skotae.testing import make_data

X, Y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}


def scores_of(search):
    return {key: value for key, value in search.cv_results_.items() if "score" in key}


def assert_same_scores(first, second):
    first, second = scores_of(first), scores_of(second)
    timed = {key for key in first if "time" in key}
    for key in first.keys() - timed:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


@pytest.mark.parametrize(
    # The first forks, which takes the time of no import.
    "backend",
    ["multiprocessing", pytest.param("loky", marks=pytest.mark.slow)],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_n_jobs_do_not_matter(backend):
    estimator = WAEEstimator(2, **SMALL)
    grid = {"lam": [0.1, 10.0], "encoder": [MLP((4,), dropout=0.2), None]}
    one, two = (GridSearchCV(estimator, grid, cv=2, n_jobs=n) for n in (1, 2))
    one.fit(X)
    with joblib.parallel_backend(backend):
        two.fit(X)
    assert_same_scores(one, two)
    assert one.best_params_["lam"] == two.best_params_["lam"]
    assert np.isfinite(one.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("name", ["SinkhornAE", "SymmetricWAE", "GMWAE", "CoupledVAE"])
def test_n_jobs_in_threads(name):
    estimator = getattr(skotae, name)(2, **SMALL)
    grid = {"learning_rate_init": [1e-3, 1e-2]}
    one = GridSearchCV(estimator, grid, cv=2, n_jobs=1).fit(X)
    with joblib.parallel_backend("threading"):
        two = GridSearchCV(estimator, grid, cv=2, n_jobs=2).fit(X)
    assert_same_scores(one, two)


def test_pipeline_search():
    pipeline = make_pipeline(StandardScaler(), SinkhornAE(**SMALL), KNeighborsClassifier())
    search = GridSearchCV(
        pipeline,
        {
            "sinkhornae__beta": [0.1, 1.0],
            "sinkhornae__epsilon": [0.05, 0.5],
            "sinkhornae__n_components": [2, 3],
        },
        cv=2,
        error_score="raise",
    ).fit(X, Y)
    assert len(search.cv_results_["params"]) == 8
    assert search.best_score_ > 0.6
    assert search.predict(X).shape == Y.shape
    names = search.best_estimator_[:-1].get_feature_names_out()
    assert list(names[:2]) == ["sinkhornae0", "sinkhornae1"]


def test_randomised_search_over_penalties():
    pipeline = make_pipeline(StandardScaler(), WAEEstimator(2, **SMALL))
    penalties = ["mmd", "sinkhorn", "sliced", "exact", "gaussian"]
    search = RandomizedSearchCV(
        pipeline,
        {"waeestimator__penalty": penalties},
        n_iter=5,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X)
    tried = {params["waeestimator__penalty"] for params in search.cv_results_["params"]}
    assert tried == set(penalties)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_search_over_parts_and_their_parameters():
    estimator = WAEEstimator(2, penalty=MMD(), encoder=MLP((4,)), **SMALL)
    grid = {
        "penalty__bandwidth": [0.5, 2.0],
        "encoder__hidden_layer_sizes": [(4,), (8, 8)],
    }
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X)
    best = search.best_estimator_
    assert best.divergence_.bandwidth == search.best_params_["penalty__bandwidth"]
    assert estimator.penalty.bandwidth == "auto", "the search changed the estimator it was given"


def test_scores_compare_estimators():
    """The score prefers a trained autoencoder to an untrained one, and a good start to both."""
    networks = dict.fromkeys(("encoder", "decoder"), MLP((8,), start="random"))
    # As trained: a last layer that is solved for makes much of random units.
    untrained = WAEEstimator(2, refit_decoder=False, **SMALL)
    untrained.set_params(learning_rate_init=1e-12, **networks)
    trained = clone(untrained).set_params(learning_rate_init=0.01, max_iter=20)
    started = clone(trained).set_params(encoder__start="pca", decoder__start="pca")
    folds = KFold(2, shuffle=True, random_state=0)
    first, second, third = (
        cross_val_score(model, X, cv=folds).mean() for model in (untrained, trained, started)
    )
    assert first + 0.5 < second < third - 0.1


def test_coupled_in_a_pipeline_of_frames():
    pytest.importorskip("pandas")
    frame, _ = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), CoupledVAE(2, n_bank=512, **SMALL))
    pipeline.set_output(transform="pandas")
    codes = pipeline.fit_transform(frame)
    assert list(codes.columns) == ["coupledvae0", "coupledvae1"]
    back = pipeline.inverse_transform(codes)
    assert np.shape(back) == frame.shape


def test_data_of_the_checks_are_what_they_say():
    data = make_data(30, 4, dtype=np.float32)
    assert data.shape == (30, 4) and data.dtype == np.float32
    assert data.min() >= 0 and data.max() <= 1
