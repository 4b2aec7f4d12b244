"""The report of a fitted estimator."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skotae
from skotae import metrics
from skotae.datasets import make_gaussian_grid
from skotae.metrics import generation_report
from skotae.priors import NormalPrior

SAMPLES = ["frechet_distance", "precision", "recall", "density", "coverage"]


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.fixture(scope="module")
def model(data):
    return skotae.GMWAE(n_mixtures=3, max_iter=5, random_state=0).fit(data[0])


def test_everything_that_applies_is_reported(model, data):
    report = generation_report(model, *data, random_state=0)
    assert list(report) == [
        "score",
        "reconstruction_error",
        "knn_accuracy",
        "prior_gap",
        "clustering_accuracy",
        "clustering_accuracy_greedy",
        *SAMPLES,
    ]
    for name, (value, low, high) in report.items():
        assert low <= value <= high or (name == "score" and math.isnan(low))


def test_values_are_those_of_the_measures(model, data):
    X, y, X_test, y_test = data
    report = generation_report(model, *data, random_state=0)
    expected = {
        "reconstruction_error": metrics.reconstruction_error(X_test, model.reconstruct(X_test)),
        "knn_accuracy": metrics.knn_accuracy(
            model.transform(X), y, model.transform(X_test), y_test
        ),
        "clustering_accuracy": metrics.clustering_accuracy(y_test, model.predict(X_test)),
        "clustering_accuracy_greedy": metrics.clustering_accuracy(
            y_test, model.predict_proba(X_test), assignment="greedy"
        ),
    }
    assert {name: report[name].value for name in expected} == pytest.approx(expected)


def test_samples_are_compared_with_the_test_rows():
    X, _ = make_gaussian_grid(400, random_state=0)
    model = GaussianMixture(25, random_state=0).fit(X)
    near = generation_report(model, X, random_state=0)
    far = generation_report(model, X, X_test=X + 10, random_state=0)
    assert near["precision"].value > 0.5 and near["frechet_distance"].value < 1
    assert far["precision"].value == 0 and far["frechet_distance"].value > 150


def test_the_random_state_decides(model, data):
    first, again, other = (generation_report(model, *data, random_state=seed) for seed in (0, 0, 1))
    assert dict(first) == dict(again) and str(first) == str(again)
    assert first["frechet_distance"].value != other["frechet_distance"].value


def test_without_labels_or_test_rows(model, data):
    unsupervised = generation_report(model, data[0], random_state=0)
    assert list(unsupervised) == ["score", "reconstruction_error", "prior_gap", *SAMPLES]
    labelled = generation_report(model, data[0], data[1], random_state=0)
    assert {*labelled} - {*unsupervised} == {"clustering_accuracy", "clustering_accuracy_greedy"}
    assert labelled.n_rows == labelled.n_samples == 75


def test_scikit_learns_estimators(data):
    pca = make_pipeline(StandardScaler(), PCA(2)).fit(data[0])
    assert list(generation_report(pca, *data)) == ["reconstruction_error", "knn_accuracy"]
    mixture = GaussianMixture(3, random_state=0).fit(data[0])
    report = generation_report(mixture, *data, random_state=0)
    assert list(report) == ["clustering_accuracy", "clustering_accuracy_greedy", *SAMPLES]
    with pytest.raises(ValueError, match="estimator=StandardScaler.. has nothing to measure"):
        generation_report(_Nothing(), data[0])


class _Nothing:
    def __repr__(self):
        return "StandardScaler()"


class _Broad:
    """Codes at the origin, with a broad posterior; generates from a shifted prior."""

    n_components_, prior_ = 2, NormalPrior()

    def transform(self, X):
        return np.zeros((len(X), 2))

    def sample_posterior(self, X, n_samples, *, random_state):
        return np.random.RandomState(random_state).normal(size=(len(X), n_samples, 2))


class _Elsewhere:
    def draw_codes(self, n, generator, dtype):
        return 5 + torch.randn(n, 2, generator=generator, dtype=dtype)


class _Shifted(_Broad):
    model_ = _Elsewhere()


class _Narrow(_Broad):
    sample_posterior = property()


@pytest.mark.parametrize(("model", "gap"), [(_Broad(), 0), (_Shifted(), 1), (_Narrow(), 1)])
def test_the_gap_is_between_posterior_draws_and_what_is_decoded(model, gap):
    value = generation_report(model, np.zeros((500, 3)), random_state=0)["prior_gap"].value
    assert (value > 0.5) == bool(gap)
    assert abs(value) < 0.05 or gap


def test_a_learned_prior_is_what_codes_are_compared_with(data):
    model = skotae.SymmetricWAE(2, max_iter=30, random_state=0).fit(data[0])
    learned = generation_report(model, data[0], random_state=0)["prior_gap"].value
    codes = model.sample_posterior(data[0], random_state=0)[:, 0]
    reference = metrics.prior_gap(codes, "normal", random_state=0)
    assert learned < 0.03 < 0.1 < reference


def test_the_grid(model):
    X, _ = make_gaussian_grid(200, random_state=0)
    means = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    model = GaussianMixture(25, means_init=means, random_state=0).fit(X)
    report = generation_report(model, X, means=means, scale=0.05, random_state=0)
    assert report["high_density_ratio"].value > 0.9
    assert report["n_modes"].value == 25
    assert report["std_within_modes"].value == pytest.approx(0.05, rel=0.1)


def test_features_are_what_samples_are_compared_in(data):
    model = GaussianMixture(3, random_state=0).fit(data[0])
    report = generation_report(
        model, data[0], features=lambda rows: 10 * rows[:, :1], random_state=0
    )
    plain = generation_report(model, data[0], random_state=0)
    assert report["frechet_distance"].value > 5 * plain["frechet_distance"].value


def test_n_samples(model, data):
    report = generation_report(model, data[0], n_samples=20, random_state=0)
    assert (report.n_rows, report.n_samples) == (75, 20)
    report = generation_report(model, data[0], n_samples=300, random_state=0)
    assert (report.n_rows, report.n_samples) == (75, 300)


def test_the_text_is_a_table(model, data):
    report = generation_report(model, data[0], confidence_level=0.9, random_state=0)
    head, blank, titles, *lines = str(report).splitlines()
    assert head == "GMWAE: 75 rows, 75 samples, intervals of 0.9" and not blank
    assert titles.split()[:4] == ["measure", "value", "low", "high"]
    assert [name.strip() for name in titles.split("  ")[-4:]] == list(report.baselines)
    assert [line.split()[0] for line in lines] == list(report)
    assert float(lines[0].split()[1]) == pytest.approx(report["score"].value, rel=1e-3)
    assert lines[0].split()[-1] == f"{report.baselines['training rows']['score']:.4g}"


def test_baselines_are_measured_beside_the_model(model, data):
    X, y, X_test, y_test = data
    report = generation_report(model, *data, random_state=0)
    beside = report.baselines
    assert beside.n_components == min(model.n_components_, 4)
    error = np.square(X_test - X.mean(axis=0)).sum(axis=1).mean()
    assert beside["constant"]["reconstruction_error"] == pytest.approx(error)
    # Five epochs from principal components keep what these have.
    assert report["score"].value > beside["PCA + Gaussian"]["score"] > beside["constant"]["score"]
    mixture = GaussianMixture(random_state=0).fit(X)
    assert generation_report(mixture, X, random_state=0).baselines is None


def test_data_frames(model, data):
    pandas = pytest.importorskip("pandas")
    X, X_test = (pandas.DataFrame(part, columns=list("abcd")) for part in data[::2])
    framed = skotae.GMWAE(n_mixtures=3, max_iter=5, random_state=0).fit(X)
    y, y_test = (pandas.Series(part, index=range(9, 84)) for part in data[1::2])
    report = generation_report(framed, X, y, X_test, y_test, random_state=0)
    assert dict(report) == dict(generation_report(model, *data, random_state=0))
    table = pandas.DataFrame(dict(report), index=["value", "low", "high"]).T
    assert table.loc["knn_accuracy", "low"] == report["knn_accuracy"].low


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_rows(data, n):
    model = skotae.WAEEstimator(max_iter=1, random_state=0).fit(data[0][:n])
    report = generation_report(model, *(part[:n] for part in data), random_state=0)
    assert all(math.isfinite(estimate.value) for estimate in report.values())
    assert {"knn_accuracy", "recall", "coverage"} <= {*report}


def test_constant_rows():
    X = np.full((12, 3), 7.0)
    report = generation_report(skotae.WAEEstimator(max_iter=1, random_state=0).fit(X), X)
    assert report["frechet_distance"].value == pytest.approx(0.0, abs=1e-6)
    assert all(math.isfinite(estimate.value) for estimate in report.values())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"X_test": None, "X": [1.0]}, r"X must have shape .*, got 1 dimensions"),
        ({"X_test": "rows"}, r"X_test must have shape .*, got 0 dimensions"),
        ({"y_test": [0]}, "y_test is given without X_test"),
        ({"means": [[0.0] * 4]}, "Of means and scale only means is given"),
        ({"scale": 1.0}, "Of means and scale only scale is given"),
        ({"n_samples": 0}, "n_samples == 0"),
        ({"confidence_level": 1.0}, "confidence_level=1.0"),
        ({"random_state": "a"}, "random_state .* got 'a'"),
        ({"y": [0, 1]}, "y has 2 labels and X has 75 rows"),
    ],
)
def test_bad_input_is_named(model, data, params, message):
    with pytest.raises(ValueError, match=message):
        generation_report(model, **{"X": data[0], **params})


def test_a_report_is_a_data_frame_too(model, data):
    pytest.importorskip("pandas")
    report = generation_report(model, *data, random_state=0)
    frame = report.to_frame()
    assert [*frame.index] == [*report]
    assert [*frame.columns] == ["value", "low", "high", *report.baselines]
    assert tuple(frame.loc["recall", ["value", "low", "high"]]) == tuple(report["recall"])
    assert frame.loc["score", "constant"] == report.baselines["constant"]["score"]
    assert np.isnan(frame.loc["prior_gap", "constant"])
    alone = generation_report(PCA(2).fit(data[0]), data[0], random_state=0)
    assert [*alone.to_frame().columns] == ["value", "low", "high"]


def test_a_report_is_a_table_of_html_too(model, data):
    report = generation_report(model, *data, random_state=0)
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + len(report)
    assert f"<td>{report['recall'].value:.4g}</td>" in html
    assert "PCA + mixture" in html and "nan" not in html
