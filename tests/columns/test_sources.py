"""Rows that stay where they are: what is read, in which order, and what is refused."""

import mmap

import numpy as np
import pytest
import torch

from skotae.columns import Columns, Source, Units, measure, naming_columns, preceded, source_of
from skotae.columns.sources import _readers, moments
from skotae.columns.sources import source as _sources
from skotae.training import Rows

CPU = torch.device("cpu")
N, P = 1000, 5


class Taking:
    """The protocol, and no more."""

    def __init__(self, X):
        self.X = X
        self.asked = []

    def __len__(self):
        return len(self.X)

    def take(self, indices):
        self.asked.append(np.array(indices))
        return self.X[indices]


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(3.0, 2.0, size=(N, P)).astype(np.float32)


@pytest.fixture
def small(monkeypatch):
    """Blocks of 10 rows, windows of 100, and 50 that are asked for at once."""
    row = P * 4
    for name, rows in {"BLOCK": 10, "WINDOW": 100, "PIECE": 50}.items():
        monkeypatch.setattr(_sources, name, rows * row)


def _hdf5(X, folder, chunks=(70, P)):
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "rows.h5", "w").create_dataset("X", data=X, chunks=chunks)


def _zarr(X, folder):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(folder / "rows.zarr"), shape=X.shape, dtype=X.dtype, chunks=(70, 2)
    )
    array[:] = X
    return array


def _dask(X, folder):
    return pytest.importorskip("dask.array").from_array(X, chunks=((300, 600, 100), P))


def _parquet(X, folder):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    dataset = pytest.importorskip("pyarrow.dataset")
    for i, part in enumerate(np.split(X, [330])):
        table = pa.table({f"x{j}": part[:, j] for j in range(P)})
        parquet.write_table(table, folder / f"{i}.parquet", row_group_size=70)
    return dataset.dataset([str(folder / f"{i}.parquet") for i in range(2)])


def _feather(X, folder):
    pa = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    dataset = pytest.importorskip("pyarrow.dataset")
    feather.write_feather(pa.table({f"x{j}": X[:, j] for j in range(P)}), folder / "rows.feather")
    return dataset.dataset(folder / "rows.feather", format="feather")


def _memmap(X, folder, mode="r", order="C"):
    X.ravel(order).tofile(folder / "rows.bin")
    return np.memmap(folder / "rows.bin", X.dtype, mode, shape=X.shape, order=order)


KINDS = {
    "protocol": lambda X, folder: Taking(X),
    "tensors": lambda X, folder: Taking(torch.from_numpy(X)),
    "memmap": _memmap,
    "memmap F": lambda X, folder: _memmap(X, folder, order="F"),
    "memmap of columns": lambda X, folder: _memmap(np.repeat(X, 2, axis=1), folder)[:, ::2],
    "hdf5": _hdf5,
    "hdf5 without chunks": lambda X, folder: _hdf5(X, folder, None),
    "zarr": _zarr,
    "dask": _dask,
    "parquet": _parquet,
    "feather": _feather,
}


@pytest.mark.parametrize("kind", KINDS)
def test_gives_the_rows_that_are_asked_for(X, kind, small, tmp_path, monkeypatch):
    monkeypatch.setattr(_readers, "AROUND", 256)
    monkeypatch.setattr(_readers, "MAPPED", 512)
    source = source_of(KINDS[kind](X, tmp_path))
    assert source.shape == X.shape and source.dtype == np.float32 and len(source) == N
    shuffled = np.random.default_rng(1).permutation(N)
    for rows in (slice(None), slice(65, 75), slice(3, 900, 7), [5, 5, 999, 0], shuffled, []):
        np.testing.assert_array_equal(source[rows], X[rows])
    np.testing.assert_array_equal(np.asarray(source), X)
    assert source[:3].flags.writeable and source[:3].flags.owndata


@pytest.mark.parametrize("kind", KINDS)
def test_a_shuffle_reads_each_block_once(X, kind, small, tmp_path):
    rows = Rows(source_of(KINDS[kind](X, tmp_path)), Units(np.zeros(P), 1.0), CPU)
    n, batches = rows.batches(torch.arange(N), 16, torch.Generator().manual_seed(0))
    seen = [*batches]
    assert len(seen) == n
    order = torch.cat([index for index, _ in seen])
    assert torch.equal(order.sort().values, torch.arange(N))
    for index, batch in seen:
        np.testing.assert_array_equal(batch, X[index])
        assert 2 <= len(index) <= 16
    # Neighbours are no longer neighbours, and a window has rows of all places.
    assert (order.diff().abs() == 1).float().mean() < 0.1
    if kind != "dask":  # whose chunks are larger than a window
        assert order[:100].float().std() > 100


def test_what_a_window_holds_is_in_the_order_of_an_array(X):
    for which in (torch.arange(N), torch.tensor([4, 1, 9, 7, 7])):
        orders = []
        for data in (X, Source(Taking(X))):
            rows = Rows(data, Units(np.zeros(P), 1.0), CPU)
            n, batches = rows.batches(which, 16, torch.Generator().manual_seed(0))
            orders.append([*batches])
            assert n == len(orders[-1])
        for (index, batch), (other, same) in zip(*orders, strict=True):
            assert torch.equal(index, other) and torch.equal(batch, same)


@pytest.mark.parametrize("n", [101, 149, 151, 199, 201])
def test_no_batch_is_a_single_row(X, small, n):
    rows = Rows(Source(Taking(X)), Units(np.zeros(P), 1.0), CPU)
    for seed in range(5):
        order = torch.Generator().manual_seed(seed)
        n_batches, batches = rows.batches(torch.arange(n), 50, order)
        sizes = [len(index) for index, _ in batches]
        assert len(sizes) == n_batches and sum(sizes) == n and min(sizes) >= 2


def test_is_asked_for_increasing_numbers_of_few_rows(X, small):
    reader = Taking(X)
    rows = Rows(Source(reader), Units(np.zeros(P), 1.0), CPU)
    list(rows.batches(torch.arange(N), 16, torch.Generator().manual_seed(0))[1])
    rows[torch.tensor([7, 3, 7])]
    for indices in reader.asked:
        assert len(indices) <= 50 and (np.diff(indices) > 0).all()
    # In whole blocks, each once, but for the first rows and the last two.
    assert sum(map(len, reader.asked)) == N + 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_moments_are_those_of_an_array(X, small, dtype, size, monkeypatch):
    monkeypatch.setattr(moments, "rows_at_once", lambda width: 64)
    X = (X * size).astype(dtype)
    X[:, 1] = X[0, 1]
    X[:, 2] += dtype(100 * size)
    X[::100, 3] *= 1000
    expected = Columns(X)
    source = Source(Taking(X))
    found = Columns(source)
    np.testing.assert_array_equal([source.min(), source.max()], [X.min(axis=0), X.max(axis=0)])
    for name in ("mean", "spread", "size", "limits"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
    np.testing.assert_array_equal(found.counts, expected.counts)
    for by_column in (False, True):
        one, other = (measure(c, by_column) for c in (found, expected))
        np.testing.assert_allclose(one.scale, other.scale, rtol=1e-6)


def test_squares_out_of_the_range_are_looked_at_again(X):
    X = X.astype(np.float64) * 1e200
    source = Source(Taking(X))
    found = Columns(source)
    np.testing.assert_allclose(found.spread / 1e200, (X / 1e200).std(axis=0), rtol=1e-9)


def test_one_pass_tells_all_moments(X):
    reader = Taking(X)
    source = Source(reader)
    before = sum(map(len, reader.asked))
    source.min(), source.max()
    assert sum(map(len, reader.asked)) == before + N
    assert source.moments.mean == pytest.approx(X.mean(axis=0, dtype=float))
    assert sum(map(len, reader.asked)) == before + N


def test_pages_of_a_map_are_let_go(X, tmp_path, monkeypatch):
    class Map(mmap.mmap):
        advice = []

        def madvise(self, option):
            self.advice.append(option)
            return super().madvise(option)

    monkeypatch.setattr(mmap, "mmap", Map)
    source = Source(_readers.MappedRows(np.asarray(_memmap(X, tmp_path))[::2]))
    source[:10]
    assert Map.advice and set(Map.advice) == {mmap.MADV_DONTNEED}


def test_what_was_written_into_a_private_copy_is_kept(X, tmp_path):
    view = _memmap(X, tmp_path, "c")
    view[3] = 7.0
    source = Source(_readers.MappedRows(view))
    source[:]
    np.testing.assert_array_equal(view[3], np.full(P, 7.0))
    np.testing.assert_array_equal(source[[3]], np.full((1, P), 7.0))


def test_what_is_written_into_a_shared_map_is_kept(X, tmp_path):
    view = _memmap(X, tmp_path, "r+")
    view[3] = 7.0
    source = Source(_readers.MappedRows(view))
    for _ in range(2):
        np.testing.assert_array_equal(source[[3]], np.full((1, P), 7.0))


def test_arrays_and_frames_are_no_sources(X, tmp_path):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    for given in (
        X,
        X.tolist(),
        torch.from_numpy(X),
        pandas.DataFrame(X),
        polars.DataFrame(X),
        pa.table({"x": X[:, 0]}),
        _memmap(X, tmp_path),
        np.ma.array(X),
    ):
        assert source_of(given) is None


def test_values_that_are_no_numbers_are_named(X):
    X[444, 2] = np.nan
    source = Source(Taking(X))
    with pytest.raises(ValueError, match="Input X contains NaN. It has 1 NaN in column 2"):
        source.min()
    with pytest.raises(ValueError, match="No such thing"):
        list(Source(_Failing(X))[:])


class _Failing(Taking):
    def take(self, indices):
        if len(indices) > 2:
            raise ValueError("No such thing")
        return super().take(indices)


def test_rows_that_are_not_those_asked_for_are_refused(X):
    class Short(Taking):
        def take(self, indices):
            return super().take(indices)[:3]

    class Narrow(Taking):
        def take(self, indices):
            return super().take(indices)[:, : 5 if len(indices) == 2 else 4]

    for kind, shape in ((Short, r"\(3, 5\)"), (Narrow, r"\(10, 4\)")):
        with pytest.raises(ValueError, match=rf"take\(\) of a {kind.__name__} .* shape {shape}"):
            Source(kind(X))[:10]
    for few, shape in (
        (lambda rows: rows[:1], r"\(1, 5\)"),
        (lambda rows: rows[:, 0], r"\(2,\)"),
        (lambda rows: [[1.0, 2.0], [3.0]], r"\(2,\)"),
        (lambda rows: None, r"\(\)"),
    ):
        asked = type("Few", (Taking,), {"take": lambda self, i, few=few: few(self.X[i])})
        with pytest.raises(ValueError, match=rf"take\(\) of a Few .* shape {shape} for 2 rows"):
            Source(asked(X))


def test_no_rows_are_refused_in_the_words_for_arrays(X, tmp_path):
    nothing = [Taking(X[:0]), _parquet(X[:0], tmp_path)]
    for rows in nothing:
        name = type(rows).__name__
        words = rf"0 sample\(s\) while a minimum of 2 is required by VAE: X is a {name} without"
        with pytest.raises(ValueError, match=words):
            source_of(rows, 2, "VAE")


def test_row_groups_of_a_file_are_read_together(X, tmp_path, monkeypatch):
    source, asked, table = source_of(_parquet(X, tmp_path)), [], _readers.DatasetRows._table

    def watched(reader, numbers):
        asked.append([int(number) for number in numbers])
        return table(reader, numbers)

    monkeypatch.setattr(_readers.DatasetRows, "_table", watched)
    np.testing.assert_array_equal(source[:], X)
    assert asked == [[*range(5)], [*range(5, 15)]]
    # The last one is kept; others are not read.
    source[[5, 75, 999]]
    assert asked[2:] == [[0, 1], [14]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_are_those_of_the_schema(X, tmp_path, dtype):
    _parquet(X, tmp_path)
    pa = pytest.importorskip("pyarrow")
    fields = pa.schema([(name, getattr(pa, dtype)()) for name in ("x3", "x1")])
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path, schema=fields)
    source = source_of(dataset)
    assert source.dtype == dtype and source.first.column_names == ["x3", "x1"]
    np.testing.assert_array_equal(source[:], X[:, [3, 1]])


def test_the_first_rows_of_short_row_groups_and_files(X, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    dataset = pytest.importorskip("pyarrow.dataset")
    for i, part in enumerate(np.split(X, [1, 1, 2])):
        table = pa.table({f"x{j}": part[:, j] for j in range(P)})
        parquet.write_table(table, tmp_path / f"{i}.parquet", row_group_size=300)
    parquet.write_table(table, tmp_path / "single.parquet", row_group_size=1)
    files = [tmp_path / f"{i}.parquet" for i in range(4)]
    for some, expected in ((files, X), ([tmp_path / "single.parquet"], X[2:])):
        source = source_of(dataset.dataset([str(file) for file in some]))
        np.testing.assert_array_equal(np.asarray(source.first), expected[:2])
        np.testing.assert_array_equal(source[:], expected)
        assert source.first.column_names == [f"x{j}" for j in range(P)]


def test_columns_of_a_dataset_are_named_in_errors(X):
    pa = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    height = X[:, 0].astype(object)
    for value, message in ((np.nan, "1 NaN in column 'height'"), (None, "1 NaN in col")):
        height[500] = value
        table = pa.table({"width": X[:, 1], "height": pa.array(height, pa.float64())})
        with pytest.raises(ValueError, match=message):
            source_of(dataset.dataset(table))[:]
    grade = pa.array(["7"] * (N - 1) + ["good"])
    with pytest.raises(ValueError, match="X has 'good' in column 'grade'"):
        source_of(dataset.dataset(pa.table({"width": X[:, 1], "grade": grade})))[:]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_precede_a_source(X, small, dtype):
    """One source, whose rows are those of the two, and whose blocks are the source's."""
    before, after = np.full((2, X.shape[1]), 7.0, dtype), Source(Taking(X))
    both = preceded(before, after)
    whole = preceded(before, X)
    assert isinstance(both, Source) and len(both) == len(X) + 2
    assert both.dtype == whole.dtype == np.result_type(before, X)
    np.testing.assert_array_equal(both[:], whole)
    for index in ([1], [0, 1, 2, 5], [4, 9], [9, 0, 2, 2], []):
        np.testing.assert_array_equal(both[np.array(index, int)], whole[np.array(index, int)])
    np.testing.assert_array_equal(both.starts, [0, *(after.starts[1:] + 2)])
    np.testing.assert_array_equal(both.max(), whole.max(axis=0))


def test_a_filtered_dataset_is_refused(X, tmp_path):
    dataset = _parquet(X, tmp_path)
    field = pytest.importorskip("pyarrow.dataset").field
    with pytest.raises(ValueError, match="filter"):
        source_of(dataset.filter(field("x0") > 3))


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
@pytest.mark.parametrize("made", ["table", "batch", "dataset"])
def test_dates_of_pyarrow_are_no_numbers(X, made, unit):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"x": X[:, 0], "day": np.full(N, np.datetime64("2020-01-31", unit))})
    with pytest.raises(ValueError, match="X has 2020-01-31.* in column 'day'; expected numbers"):
        if made == "dataset":
            source_of(pytest.importorskip("pyarrow.dataset").dataset(table))
        else:
            with naming_columns(table if made == "table" else table.to_batches()[0]):
                pass


def test_integers_are_float64(X):
    source = Source(Taking(X.astype(np.int32)))
    assert source.dtype == np.float64 and source[:4].dtype == np.float64
