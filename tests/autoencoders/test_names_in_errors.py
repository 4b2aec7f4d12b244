"""Values that a cost is not defined for are told by the names of their columns, and their rows."""

import re
import warnings

import numpy as np
import pytest

import skotae
from skotae.costs import SquaredEuclideanCost

N = 40
NAMES = {
    "strings": ["a", "b", "c"],
    "years": [2001, 2002, 2003],
    "pairs": [("a", "x"), ("a", "y"), ("b", "x")],
}
TOLD = {"strings": "'c'", "years": "2003", "pairs": "('b', 'x')"}
COSTS = {"cost='bernoulli'": "bernoulli", "bounds=(0, 1)": SquaredEuclideanCost(bounds=(0, 1))}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def rows(wrong=None, n=N):
    X = np.random.default_rng(0).uniform(0.1, 0.9, size=(n, 3))
    if wrong is not None:
        X[wrong, 2] = 1.5
    return X


def small(cost="bernoulli", **options):
    return skotae.WAEEstimator(1, hidden_layer_sizes=(4,), max_iter=1, cost=cost, **options)


@pytest.mark.parametrize("who", COSTS)
@pytest.mark.parametrize("names", NAMES)
def test_frames(who, names):
    pandas = pytest.importorskip("pandas")
    columns = NAMES[names]
    columns = pandas.MultiIndex.from_tuples(columns) if names == "pairs" else columns
    good, bad = (pandas.DataFrame(rows(wrong), columns=columns) for wrong in (None, 7))
    model = small(COSTS[who]).fit(good)
    words = rf"{re.escape(who)}.* got 1.5 in column {re.escape(TOLD[names])} of X \(row 7\)\. Scale"
    for call in (small(COSTS[who]).fit, model.fit, model.partial_fit, model.transform, model.score):
        with pytest.raises(ValueError, match=words) as raised:
            call(bad)
        assert type(raised.value) is ValueError
    with pytest.raises(ValueError, match=words):
        model.transform(bad.to_numpy())


def test_names_of_another_fit_are_forgotten():
    pandas = pytest.importorskip("pandas")
    model = small().fit(pandas.DataFrame(rows(), columns=NAMES["years"]))
    with pytest.raises(ValueError, match=r"in column 2 of X \(row 7\)"):
        model.fit(rows(7))
    with pytest.raises(ValueError, match=r"in column 2003 of X \(row 7\)"):
        model.transform(rows(7))  # the fit that failed left the first


def test_a_file(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    dataset = pytest.importorskip("pyarrow.dataset")
    table = pa.table(dict(zip("abc", rows(25).T, strict=True)))
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=10)
    X = dataset.dataset(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"rows 0 to 39 of X: .* in column 'c' of X \(row 25\)"):
        small().fit(X)


def test_rows_of_a_file_have_the_numbers_that_they_have_there(monkeypatch):
    class Taking:
        def __len__(self):
            return N

        def take(self, indices):
            return rows(25)[indices]

    monkeypatch.setattr("skotae.columns.sources.source.PIECE", 10 * 3 * 8)
    with pytest.raises(ValueError, match=r"the rows 20 to 29 of X: .* column 2 of X \(row 25\)"):
        small().fit(Taking())


def test_a_row_that_waits_is_not_counted():
    model = small().partial_fit(rows()).partial_fit(rows(n=1))
    with pytest.raises(ValueError, match=r"column 2 of X \(row 7\)"):
        model.partial_fit(rows(7))
    with pytest.raises(ValueError, match=r"column 2 of X \(row 0\)"):
        model.partial_fit(rows(0, n=1))


def test_the_warning_of_units_names_columns_whose_names_are_numbers():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rows() * [1, 1, 1e4], columns=NAMES["years"])
    with pytest.warns(UserWarning, match=r"spreads of the columns .*\(column 2003\)"):
        small(None, scale="global").fit(X)
