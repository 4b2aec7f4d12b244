"""Scorers for searches."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.metrics import r2_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skotae import GMWAE, WAEEstimator
from skotae.metrics import get_scorer

X, Y = load_iris(return_X_y=True)
NAMES = ("reconstruction", "distance", "knn")


class Constant:
    """A model that gives the mean of what it was fitted on."""

    def __init__(self, rows):
        self.mean = rows.mean(axis=0)

    def reconstruct(self, rows):
        return np.tile(self.mean, (len(rows), 1))

    def sample(self, n):
        return np.tile(self.mean, (n, 1))


@pytest.mark.parametrize("name", ["reconstruction", "distance"])
def test_the_constant_gets_zero(name):
    assert abs(get_scorer(name)(Constant(X), X)) < 1e-9


def test_reconstruction_is_r2():
    pca = PCA(1).fit(X)
    expected = r2_score(X, pca.inverse_transform(pca.transform(X)), multioutput="variance_weighted")
    assert get_scorer("reconstruction")(pca, X) == pytest.approx(expected)


def test_distance_sees_samples_alone():
    good = GaussianMixture(3, random_state=0).fit(X)
    bad = GaussianMixture(3, random_state=0).fit(X + 3)
    assert get_scorer("distance")(bad, X) < 0 < 0.9 < get_scorer("distance")(good, X) <= 1


def test_knn_leaves_each_row_out():
    codes = PCA(2).fit(X)
    Z = codes.transform(X)
    by_hand = np.mean(
        [
            KNeighborsClassifier(5).fit(np.delete(Z, i, 0), np.delete(Y, i)).predict(Z[i : i + 1])
            == Y[i]
            for i in range(len(X))
        ]
    )
    assert get_scorer("knn")(codes, X, Y) == pytest.approx(by_hand)


def test_labels_may_be_a_column():
    """A column beside predictions in a row would be a table of all pairs."""
    codes, scorer = PCA(2).fit(X), get_scorer("knn")
    expected = scorer(codes, X, Y)
    assert scorer(codes, X, Y[:, None]) == expected
    frame = pytest.importorskip("pandas").DataFrame({"kind": Y.astype(str)})
    assert scorer(codes, X, frame) == expected


def test_knn_of_numbers_is_r2():
    rows, target = load_diabetes(return_X_y=True)
    target = target + 0.5
    score = get_scorer("knn")(PCA(5).fit(rows), rows, target)
    assert 0.2 < score < 0.6
    shuffled = np.random.default_rng(0).permutation(target)
    assert get_scorer("knn")(PCA(5).fit(rows), rows, shuffled) < 0.05


def test_a_pipeline_is_scored_at_its_autoencoder():
    wae = WAEEstimator(2, max_iter=5, random_state=0)
    scaled = StandardScaler().fit_transform(X)
    alone = wae.fit(scaled)
    for pipeline in (
        make_pipeline(StandardScaler(), wae),
        make_pipeline(StandardScaler(), "passthrough", wae, KNeighborsClassifier()),
    ):
        pipeline.fit(X, Y)
        for name in NAMES:
            scorer = get_scorer(name)
            assert scorer(pipeline, X, Y) == pytest.approx(scorer(alone, scaled, Y))


def test_a_model_that_clusters_is_no_classifier():
    model = make_pipeline(StandardScaler(), GMWAE(n_mixtures=3, max_iter=3, random_state=0)).fit(X)
    assert all(np.isfinite(get_scorer(name)(model, X, Y)) for name in NAMES)


def test_a_search_over_all_of_them():
    pipeline = make_pipeline(StandardScaler(), WAEEstimator(max_iter=20, random_state=0))
    search = GridSearchCV(
        pipeline,
        {"waeestimator__n_components": [1, 3]},
        scoring={name: get_scorer(name) for name in NAMES},
        refit="reconstruction",
        cv=2,
        error_score="raise",
    ).fit(X[::2], Y[::2])
    for name in NAMES:
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()
    assert search.best_params_ == {"waeestimator__n_components": 3}


def test_cross_validation_by_one():
    scores = cross_val_score(PCA(2), X, scoring=get_scorer("reconstruction"), cv=3)
    assert scores.shape == (3,) and (scores <= 1).all()


def test_it_pickles_and_has_a_name():
    scorer = get_scorer("knn")
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    assert repr(scorer) == "get_scorer('knn')"


def test_what_cannot_be_scored_is_named():
    with pytest.raises(ValueError, match=r"name='accuracy'; expected one of \['reconstruction'"):
        get_scorer("accuracy")
    with pytest.raises(ValueError, match="y=None; expected a label"):
        get_scorer("knn")(PCA(1).fit(X), X)
    with pytest.raises(ValueError, match="y must be one label for each row of X"):
        get_scorer("knn")(PCA(1).fit(X), X, np.c_[Y, Y])
    with pytest.raises(ValueError, match="X has 1 row, which 'knn'"):
        get_scorer("knn")(PCA(1).fit(X), X[:1], Y[:1])
    with pytest.raises(TypeError, match="scored by sample; it has none"):
        get_scorer("distance")(PCA(1).fit(X), X)
    with pytest.raises(TypeError, match="scored by transform; it has none"):
        get_scorer("knn")(DummyClassifier().fit(X, Y), X, Y)
