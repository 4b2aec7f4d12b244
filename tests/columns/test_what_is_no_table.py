"""Files, queries and datasets in the place of rows: the error says what of them to hand over."""

import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import skotae
from skotae.displays import SamplesDisplay, TrainingDisplay
from skotae.metrics import exact_wasserstein, generation_report

X = np.random.default_rng(0).normal(size=(12, 2))
KINDS = (TypeError, ValueError)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skotae.WAEEstimator(1, hidden_layer_sizes=(4,), max_iter=1).fit(X)


CALLS = {
    "fit": lambda model, rows: skotae.WAEEstimator(1, max_iter=1).fit(rows),
    "partial_fit": lambda model, rows: model.partial_fit(rows),
    "transform": lambda model, rows: model.transform(rows),
    "inverse_transform": lambda model, rows: model.inverse_transform(rows),
    "score": lambda model, rows: model.score(rows),
    "a measure": lambda model, rows: exact_wasserstein(rows, X),
    "a display": lambda model, rows: SamplesDisplay.from_estimator(model, rows),
    "a report": lambda model, rows: generation_report(model, rows),
}


def message_of(rows, model, call):
    with pytest.raises(KINDS) as raised:
        CALLS[call](model, rows)
    return str(raised.value)


class Rows(Dataset):
    """Items are made by a function."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if i >= len(X):
            raise IndexError
        return self.item(i)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.tensor(X))


PAIRS = TensorDataset(torch.tensor(X))
OBJECTS = {
    "a path": (lambda: Path("rows.parquet"), "PosixPath.*such as pyarrow.dataset.dataset(X)."),
    "a name": (lambda: "rows.CSV", "str.*such as pandas.read_csv(X)."),
    "an open file": (lambda: io.StringIO("1,2"), "such as pandas.read_csv(X) or numpy.load(X)."),
    "a dict": (lambda: {"a": X[:, 0], "b": X[:, 1]}, "dict.*such as pandas.DataFrame(X)."),
    "records": (lambda: X.view([("a", "f8"), ("b", "f8")])[:, 0], "such as pandas.DataFrame(X)."),
    "dicts": (lambda: [{"a": 1.0, "b": 2.0}] * 3, "such as pandas.DataFrame(X)."),
    "a generator": (lambda: (row for row in X), "generator.*such as numpy.array(list(X))."),
    "a stream": (Stream, "such as numpy.array(list(X))."),
    "a loader": (lambda: DataLoader(PAIRS), "DataLoader.*partial_fit of an estimator takes "),
    "tensors": (lambda: PAIRS, "a TensorDataset, whose items are of type tuple; .*X.tensors[0]."),
    "pairs": (lambda: Rows(lambda i: (X[i], i)), "torch.stack([item[0] for item in X])."),
    "named": (lambda: Rows(lambda i: {"x": X[i]}), "torch.stack([item['x'] for item in X])."),
    "a class": (lambda: np.ndarray, " type.* or a data frame."),
}


@pytest.mark.parametrize("call", ["fit", "transform", "a measure", "a display"])
@pytest.mark.parametrize("case", OBJECTS)
def test_objects(case, call, fitted):
    make, words = OBJECTS[case]
    pattern = ".*".join(map(re.escape, words.split(".*")))
    rows = make()
    assert re.search(pattern, message_of(rows, fitted, call))


def test_a_dataset_whose_items_are_rows_is_a_sequence(fitted):
    rows = Rows(lambda i: torch.tensor(X[i]))
    np.testing.assert_array_equal(fitted.transform(rows), fitted.transform(X))
    lists = Rows(lambda i: X[i].tolist())
    np.testing.assert_array_equal(fitted.transform(lists), fitted.transform(X))


@pytest.mark.parametrize("call", CALLS)
def test_hdf5_files(call, fitted, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows = file.create_dataset("rows", data=X)
        file["more/a"] = X
        file["records"] = np.zeros(3, dtype=[("a", "f8"), ("b", "f8")])
        file["words"] = [["a", "b"]] * 3
        words = "File.*such as X['more'], of what it holds ('more', 'records', 'rows', 'words')."
        pattern = ".*".join(map(re.escape, words.split(".*")))
        assert re.search(pattern, message_of(file, fitted, call))
        assert "such as X['a'], of" in message_of(file["more"], fitted, call)
        assert "such as pandas.DataFrame(X)" in message_of(file["records"], fitted, call)
        assert "X has b'a' in column 0" in message_of(file["words"], fitted, call)
    words = "X is of an HDF5 file that is closed; expected it open."
    assert message_of(rows, fitted, call) == message_of(file, fitted, call) == words


@pytest.mark.parametrize("call", CALLS)
def test_polars_and_pyarrow(call, fitted, tmp_path):
    polars, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    parquet, dataset = (pytest.importorskip(f"pyarrow.{name}") for name in ("parquet", "dataset"))
    assert "such as X.collect()." in message_of(polars.DataFrame(X).lazy(), fitted, call)
    table = pa.table({"a": X[:, 0], "b": X[:, 1]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    assert "X.read()." in message_of(parquet.ParquetFile(tmp_path / "rows.parquet"), fitted, call)
    assert "X.read_all()." in message_of(table.to_reader(), fitted, call)
    rows = dataset.dataset(tmp_path / "rows.parquet")
    assert "X.to_table()." in message_of(rows.scanner(), fitted, call)
    some = rows.filter(dataset.field("a") > 0)
    assert re.search(r"X.*, .*expected .*X\.to_table\(\)\.$", message_of(some, fitted, call))


def test_arrays_of_a_file(fitted, tmp_path):
    np.savez(tmp_path / "rows.npz", rows=X)
    with np.load(tmp_path / "rows.npz") as arrays:
        words = "such as X['rows'], of what it holds ('rows')."
        assert words in message_of(arrays, fitted, "fit")


def test_nothing_in_the_place_of_rows(fitted):
    with pytest.raises(ValueError, match="X must have shape .* 0 dimensions of a NoneType; exp"):
        SamplesDisplay.from_estimator(fitted, None)
    assert TrainingDisplay.from_estimator(fitted).lines_  # they are not needed here
