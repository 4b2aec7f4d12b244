"""Weights and labels that are none are refused by name, from estimators and reports too."""

import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline

import skotae
from skotae.displays import CodesDisplay, report
from skotae.metrics import exact_wasserstein, generation_report

X = np.random.default_rng(0).normal(size=(20, 3))


@pytest.fixture(scope="module", params=["WAEEstimator", "SinkhornEncoder"])
def fitted(request):
    return fit(request.param)


def fit(name="WAEEstimator"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(skotae, name)(2, hidden_layer_sizes=(4,), max_iter=1).fit(X)


NO_WEIGHTS = {
    "words": ("abc", ValueError, "could not convert"),
    "a mapping": ({0: 1.0}, TypeError, "not 'dict'"),
    "a generator": ((1.0 for _ in X), TypeError, "not 'generator'"),
    "complex": (np.ones(len(X)) * 1j, ValueError, "Complex data not supported$"),
    "sparse": (torch.ones(len(X)).to_sparse(), TypeError, "is a sparse tensor"),
    "zeros": (np.zeros(len(X)), ValueError, "at least one non-zero"),
    "negative": (-np.ones(len(X)), ValueError, "Negative"),
    "huge": (np.full(len(X), 1e308), ValueError, "its sum is beyond the range of float64"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_weights(case, fitted):
    weights, kind, words = NO_WEIGHTS[case]
    with pytest.raises(kind, match=f"^sample_weight is invalid: .*{words}"):
        fitted.score(X, sample_weight=weights)
    with pytest.raises(kind, match=f"^X_weight is invalid: .*{words}"):
        exact_wasserstein(X, X[:5], X_weight=weights)


def test_weights_of_a_tensor(fitted):
    weights = torch.arange(1.0, len(X) + 1, requires_grad=True)
    expected = fitted.score(X, sample_weight=weights.detach().numpy())
    assert fitted.score(X, sample_weight=weights) == expected


def test_labels_of_a_report():
    model = fit()
    with pytest.raises(ValueError, match="^y has 2 labels and X has 20 rows"):
        generation_report(model, X, [0, 1])
    with pytest.raises(ValueError, match="^y_test has 2 labels and X_test has 5 rows"):
        generation_report(model, X, np.arange(20) % 2, X_test=X[:5], y_test=[0, 1])


def test_rows_that_are_sparse_before_a_pipeline_and_within():
    pytest.importorskip("matplotlib")
    rows = scipy.sparse.csr_matrix(X)
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        CodesDisplay.from_estimator(fit(), rows)
    model = skotae.WAEEstimator(1, hidden_layer_sizes=(4,), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = make_pipeline(TruncatedSVD(2), model).fit(rows)
    assert CodesDisplay.from_estimator(pipe, rows).codes.shape == (20, 1)


def test_reports_take_tables():
    class Taking:
        def __len__(self):
            return len(X)

        def take(self, indices):
            return X[indices]

    pytest.importorskip("matplotlib")
    for function in (report, generation_report):
        with pytest.raises(ValueError, match="X must have shape .* 0 dimensions of a Taking"):
            function(fit(), Taking())
