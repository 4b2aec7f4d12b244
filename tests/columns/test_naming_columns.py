"""Errors over values that are no numbers name the value and its column."""

import datetime
import decimal
import re
import warnings

import numpy as np
import pytest
import torch

import skotae
from skotae.columns import naming_columns
from skotae.metrics import mmd

N_ROWS = 12
GRADES = ["1.5", "good", *["2"] * (N_ROWS - 2)]
# One column of a frame: its values, what the message has, and the kind of the error.
COLUMNS = {
    "words": (GRADES, "X has 'good' in column 'grade'; expected numbers", ValueError),
    "None": ([None, 1.5, None, *[0.0] * 9], "It has 2 NaN in column 'grade'", ValueError),
    "NaN": ([np.nan, *[0.0] * 11], "Input X contains NaN. It has 1 NaN in col", ValueError),
    "infinity": ([-np.inf, *[0.0] * 11], "It has 1 infinite value in column 'gr", ValueError),
    "dates": (
        [datetime.date(2020, 1, 31)] * N_ROWS,
        "2020, 1, 31) in",
        (ValueError, TypeError),
    ),
    "times": (
        [datetime.datetime(2020, 1, 31)] * N_ROWS,
        "X has 2020-01-31T00:00:00.000000",
        ValueError,
    ),
    "durations": ([datetime.timedelta(1)] * N_ROWS, "in column 'grade'; exp", ValueError),
}


def numbers(n_columns=3):
    return np.random.default_rng(0).normal(size=(N_ROWS, n_columns))


def frame_of(library, values):
    X = numbers()
    return library.DataFrame({"a": X[:, 0], "grade": values, "c": X[:, 2]})


@pytest.fixture(scope="module")
def fitted():
    """On columns of the names of `frame_of`."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(numbers(), columns=["a", "grade", "c"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skotae.VAE(1, hidden_layer_sizes=(4,), max_iter=1).fit(X)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score", "reconstruct"])
@pytest.mark.parametrize("case", COLUMNS)
def test_frames(case, method, library, fitted):
    values, words, kind = COLUMNS[case]
    if case == "dates" and library == "polars":
        words = "2020-01-31 in column 'grade'"
    X = frame_of(pytest.importorskip(library), values)
    model = fitted if "fit" not in method else skotae.VAE(1, max_iter=1)
    with pytest.raises(kind, match=re.escape(words)):
        getattr(model, method)(X)


def test_pandas_dtypes():
    """Categories, strings, and missing values of each of the dtypes that have them."""
    pandas = pytest.importorskip("pandas")

    def check(values, words):
        with pytest.raises(ValueError, match=re.escape(words)):
            skotae.VAE(1, max_iter=1).fit(frame_of(pandas, values))

    check(pandas.Categorical(GRADES), "X has 'good' in column 'grade'")
    check(pandas.array(GRADES, dtype="string"), "X has 'good' in column 'grade'")
    for dtype in ("Float64", "Int64", "boolean"):
        values = pandas.array([None, *[1] * (N_ROWS - 1)], dtype=dtype)
        check(values, "It has 1 NaN in column 'grade'")


@pytest.mark.parametrize(
    "X, words, kind",
    [
        (np.full((4, 2), "word"), "'word' in column 0, 'word' in column 1", ValueError),
        ([[1.0, "a"], [2.0, 3.0]], "X has 'a' in column 1", ValueError),
        (np.array([[{}, 1], [2, 3]], object), "X has {} in column 0", TypeError),
        ([[10**400, 1], [2, 3]], "0000 in column 0", ValueError),
        (np.array([[1.0, 2.0 + 1j]] * 2), "(1+0j) in column 0, (2+1j) in column 1", ValueError),
        (np.full((3, 2), np.datetime64("2020-01-31")), "X has 2020-01-31 in column 0", ValueError),
    ],
)
def test_arrays(X, words, kind):
    with pytest.raises(kind, match=re.escape(words)):
        skotae.VAE(1, max_iter=1).fit(X)


@pytest.mark.parametrize(
    "X, kind",
    [
        ({"a": [1.0, 2.0]}, TypeError),
        ((row for row in numbers()), TypeError),
        ([[1.0, 2.0], [3.0]], ValueError),
        (np.zeros(4, dtype=[("a", "f8"), ("b", "f8")]), TypeError),
        ("rows.csv", ValueError),
    ],
)
def test_what_is_no_table(X, kind):
    words = f"X, of type {type(X).__name__}, is no table of numbers (.*); expected an array of two"
    with pytest.raises(kind, match=words):
        skotae.VAE(1, max_iter=1).fit(X)


def test_frames_without_rows_yet():
    X = pytest.importorskip("polars").DataFrame(numbers()).lazy()
    with pytest.raises(ValueError, match="X, of type LazyFrame, is no table of numbers"):
        skotae.VAE(1, max_iter=1).fit(X)


def test_sparse_tensors():
    X = torch.tensor(numbers()).to_sparse()
    with pytest.raises(TypeError, match="X is a sparse tensor; expected a dense one: X.to_dense"):
        skotae.VAE(1, max_iter=1).fit(X)


TENSORS = {
    "nested": (lambda: torch.nested.nested_tensor([torch.zeros(3)] * 2), "to_padded_tensor"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.zeros(3, 2), 0.1, 0, torch.qint8),
        r"X.dequantize\(\)",
    ),
    "meta": (lambda: torch.zeros(3, 2, device="meta"), "a device that holds numbers"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_whose_numbers_are_not_there(kind, fitted):
    make, words = TENSORS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of what is a prototype
        X = make()
    for call in (skotae.VAE(1, max_iter=1).fit, fitted.transform, lambda X: mmd(X, X)):
        with pytest.raises(TypeError, match=f"X is a {kind} tensor; expected .*{words}"):
            call(X)


def test_lazy_signs_of_tensors():
    X = numbers()
    assert mmd(torch._neg_view(-torch.tensor(X)), X[:5]) == mmd(X, X[:5])


def test_columns_of_arrays_and_of_structs():
    polars = pytest.importorskip("polars")
    arrays = polars.Series([[1.0, 2.0]] * N_ROWS, dtype=polars.Array(polars.Float64, 2))
    for values, words in ((arrays, "X has Series of shape"), ([{"u": 1.0}] * N_ROWS, "{'u': 1.0}")):
        with pytest.raises(ValueError, match=f"{words}.* in column 'grade'; expected numbers"):
            skotae.VAE(1, max_iter=1).fit(frame_of(polars, values))


def test_sparse_columns():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(numbers()).astype(pandas.SparseDtype("float64", 0.0))
    with pytest.raises(TypeError, match=r"sparse columns; expected dense ones: X.sparse.to_dense"):
        skotae.VAE(1, max_iter=1).fit(X)


def test_frames_without_columns(fitted):
    X = pytest.importorskip("pandas").DataFrame(index=range(N_ROWS))
    for call in (skotae.VAE(1, max_iter=1).fit, fitted.transform):
        with pytest.raises(
            ValueError, match=r"0 feature\(s\) .*shape=\(12, 0\).* X has no columns"
        ):
            call(X)
    with pytest.raises(ValueError, match="X, of type DataFrame, is no table of numbers"):
        mmd(X, X)


def test_counts_are_those_of_all_rows():
    """Also where rows are looked at in several blocks."""
    X = np.zeros((5000, 300), dtype=np.float32)
    X[::2, 7], X[4999, 7], X[:3, 299] = np.nan, np.inf, -np.inf
    words = "It has 2500 NaN and 1 infinite value in column 7, 3 infinite values in column 299;"
    with pytest.raises(ValueError, match=words):
        skotae.VAE(1, max_iter=1).fit(X)


def test_many_columns_are_not_all_named():
    X = np.full((3, 40), np.nan)
    words = "It has 3 NaN in column 0, 3 NaN in column 1, 3 NaN in column 2 and more in 37 "
    with pytest.raises(ValueError, match=words):
        skotae.VAE(1, max_iter=1).fit(X)


def test_codes_and_measures(fitted):
    with pytest.raises(ValueError, match="1 NaN in column 0"):
        fitted.inverse_transform([[np.nan], [1.0]])
    with pytest.raises(ValueError, match="Input Y contains NaN. It has 1 NaN in column 1"):
        mmd([[0.0, 1.0]], [[0.0, np.nan]])


def test_what_counts_as_a_number_stays_so():
    """Numbers in strings, decimals and truth values, as scikit-learn has it."""
    X = numbers().astype(object)
    X[:, 0], X[:, 1] = "1.5", [decimal.Decimal(i) for i in range(N_ROWS)]
    X[::2, 2] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert skotae.VAE(1, hidden_layer_sizes=(4,), max_iter=1).fit(X).n_features_in_ == 3


def test_other_errors_are_left_alone():
    """Those of shapes and of names, though there are values that are no numbers."""
    error = ValueError("The feature names should match")
    with pytest.raises(ValueError) as caught, naming_columns(np.full((2, 2), "word")):
        raise error
    assert caught.value is error
    with pytest.raises(ValueError, match="inhomogeneous"):
        skotae.VAE(1, max_iter=1).fit([[1.0, 2.0], [3.0]])
