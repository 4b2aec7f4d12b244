"""What is there without an autoencoder."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from skotae.metrics import baselines, frechet_distance, knn_accuracy, reconstruction_error


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    X, y = X[order], y[order]
    return X[:80], X[80:], y[:80], y[80:]


@pytest.fixture(scope="module")
def found(data):
    X, X_test, y, y_test = data
    return baselines(X, X_test, 2, y_train=y, y_test=y_test, random_state=0)


def test_reconstructions_of_pca_are_those_of_scikit_learn(data, found):
    X, X_test, y, y_test = data
    pca = PCA(2).fit(X)
    codes = pca.transform(X_test)
    error = reconstruction_error(X_test, pca.inverse_transform(codes))
    accuracy = knn_accuracy(pca.transform(X), y, codes, y_test)
    for name in ("PCA + Gaussian", "PCA + mixture"):
        assert found[name]["reconstruction_error"] == pytest.approx(error)
        assert found[name]["knn_accuracy"] == pytest.approx(accuracy, abs=0.02)


def test_the_constant_is_the_mean_of_the_training_rows(data, found):
    X, X_test, *_ = data
    mean = np.tile(X.mean(axis=0), (len(X_test), 1))
    row = found["constant"]
    assert row["reconstruction_error"] == pytest.approx(reconstruction_error(X_test, mean))
    assert row["frechet_distance"] == pytest.approx(frechet_distance(X_test, mean))
    assert -0.1 < row["score"] <= 1e-9, "at most that of the mean of the test rows"
    assert "knn_accuracy" not in row and row["coverage"] < 0.2


def test_they_are_in_the_order_one_expects(found):
    score = {name: row["score"] for name, row in found.items()}
    assert score["constant"] < 0.05 < score["PCA + Gaussian"] < score["PCA + mixture"] < 1
    coverage = {name: row["coverage"] for name, row in found.items()}
    assert coverage["training rows"] > 0.8 > coverage["constant"]


def test_the_units_do_not_matter(data, found):
    X, X_test, *_ = data
    large = baselines(1e9 * X + 1e9, 1e9 * X_test + 1e9, 2, random_state=0)
    for name, row in large.items():
        assert row["score"] == pytest.approx(found[name]["score"], abs=0.02)
        assert row["reconstruction_error"] == pytest.approx(
            1e18 * found[name]["reconstruction_error"], rel=1e-4
        )


def test_few_rows_and_constant_rows():
    X = np.random.default_rng(0).normal(size=(6, 3))
    for row in baselines(X[:3], X[3:], 8, random_state=0).values():
        assert np.isfinite([*row.values()]).all()
    still = baselines(np.ones((5, 2)), np.ones((4, 2)), 1, random_state=0)
    assert {row["reconstruction_error"] for row in still.values()} == {0.0}


def test_features_are_compared_but_for_the_score(data, found):
    X, X_test, *_ = data
    row = baselines(X, X_test, 2, features=lambda rows: rows[:, :1], random_state=0)["constant"]
    assert row["score"] == found["constant"]["score"]
    assert row["frechet_distance"] < found["constant"]["frechet_distance"]


def test_the_text_is_a_table(found):
    head, blank, titles, *lines = str(found).splitlines()
    assert head == "baselines, 2 components" and not blank
    assert titles.split()[0] == "measure" and titles.endswith("training rows")
    assert [line.split()[0] for line in lines] == list(found["PCA + mixture"])


def test_the_seed_decides(data, found):
    X, X_test, *_ = data
    again, other = (baselines(X, X_test, 2, random_state=seed) for seed in (0, 1))
    for name in ("score", "frechet_distance"):
        assert again["PCA + mixture"][name] == found["PCA + mixture"][name]
    assert again["PCA + mixture"]["frechet_distance"] != other["PCA + mixture"]["frechet_distance"]


def test_bad_input_is_refused(data):
    X, X_test, *_ = data
    with pytest.raises(ValueError, match="X_train has 4 columns and X_test has 3"):
        baselines(X, X_test[:, :3], 2)
    with pytest.raises(ValueError, match="n_components"):
        baselines(X, X_test, 0)
