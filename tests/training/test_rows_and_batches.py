"""Rows are standardised as NumPy would do it, and come once an epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.columns import Units
from skotae.training import Rows, batch_indices

CPU = torch.device("cpu")
SOME = torch.tensor([4, 0, 4, 7])


def _data(dtype=np.float64, n=10, d=3):
    return np.random.default_rng(0).normal(5.0, 2.0, size=(n, d)).astype(dtype)


def _memmap(tmp_path, X, mode="r"):
    X.tofile(tmp_path / "rows.bin")
    return np.memmap(tmp_path / "rows.bin", dtype=X.dtype, mode=mode, shape=X.shape)


def _rows(X, mean=None, scale=1.0):
    return Rows(X, Units(np.zeros(X.shape[1]) if mean is None else mean, scale), CPU)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_are_standardised_as_numpy_does(dtype):
    X = _data(dtype)
    mean, scale = X.mean(0, dtype=np.float64), float(X.std())
    batch = _rows(X, mean, scale)[SOME]
    np.testing.assert_allclose(batch, (X[SOME] - mean) / scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_to_do_gives_the_rows(dtype):
    X = _data(dtype)
    np.testing.assert_array_equal(_rows(X)[SOME], X[SOME].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_batches_are_float32(dtype, mean):
    X = _data(dtype)
    assert _rows(X, np.full(3, mean))[SOME].dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 2.0)])
def test_data_are_never_written(dtype, mean, scale):
    X = _data(dtype)
    before = X.copy()
    _rows(X, np.full(3, mean), scale)[SOME].zero_()  # a batch belongs to the step
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_read_only_memory_maps_are_read(tmp_path, dtype, mean):
    X = _data(dtype)
    batch = _rows(_memmap(tmp_path, X), np.full(3, mean), 2.0)[SOME]
    batch.zero_()
    np.testing.assert_allclose(
        _rows(_memmap(tmp_path, X), np.full(3, mean), 2.0)[SOME], (X[SOME] - mean) / 2, rtol=1e-5
    )


def test_a_memory_map_is_not_copied_as_a_whole(tmp_path):
    X = _memmap(tmp_path, _data(np.float32))
    assert _rows(X).X is X


def test_rows_far_from_zero_keep_their_differences():
    X = 1e9 + _data()
    batch = _rows(X, X.mean(0), 2.0)[SOME]
    np.testing.assert_allclose(batch, (X[SOME] - X.mean(0)) / 2.0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_values_out_of_the_range_of_float32_are_finite(size):
    unit = _data() - 5.0
    batch = _rows(size * unit, np.full(3, size), 2.0 * size)[SOME]
    np.testing.assert_allclose(batch, (unit[SOME] - 1.0) / 2.0, rtol=1e-5, atol=1e-6)


def test_fortran_order_is_read():
    X = np.asfortranarray(_data(np.float32))
    np.testing.assert_array_equal(_rows(X)[SOME], X[SOME])


def test_length_is_the_number_of_rows():
    assert len(_rows(_data(n=7))) == 7


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mapped", [False, True])
def test_batches_on_a_gpu_are_those_on_the_cpu(tmp_path, dtype, mapped):
    X = _data(dtype)
    X = _memmap(tmp_path, X) if mapped else X
    batch = Rows(X, Units(np.ones(3), 2.0), torch.device("cuda"))[SOME]
    assert batch.device.type == "cuda"
    torch.testing.assert_close(batch.cpu(), _rows(X, np.ones(3), 2.0)[SOME])


# One epoch of row numbers.

sizes = st.integers(1, 200)
epochs = settings(deadline=None, derandomize=True, max_examples=100)


def _batches(n, batch_size, seed=0):
    rows = torch.arange(n) * 3 + 5
    return rows, [*batch_indices(rows, batch_size, torch.Generator().manual_seed(seed))]


@epochs
@given(sizes, sizes)
def test_every_row_comes_once(n, batch_size):
    rows, batches = _batches(n, batch_size)
    assert torch.equal(torch.cat(batches).sort()[0], rows)


@epochs
@given(sizes, sizes)
def test_batches_are_of_nearly_equal_size(n, batch_size):
    lengths = [len(batch) for batch in _batches(n, batch_size)[1]]
    assert max(lengths) - min(lengths) <= 1


@epochs
@given(st.integers(2, 200), sizes)
def test_no_batch_is_a_single_row(n, batch_size):
    assert min(len(batch) for batch in _batches(n, batch_size)[1]) >= 2


@epochs
@given(sizes, st.integers(3, 200))
def test_no_batch_is_larger_than_asked_for(n, batch_size):
    assert max(len(batch) for batch in _batches(n, batch_size)[1]) <= batch_size


@epochs
@given(sizes, st.integers(2, 200))
def test_there_are_no_more_batches_than_needed(n, batch_size):
    assert len(_batches(n, batch_size)[1]) <= -(-n // batch_size)


def test_a_single_row_is_a_batch():
    assert [batch.tolist() for batch in _batches(1, 8)[1]] == [[5]]


def test_order_follows_the_seed():
    first, again, other = (torch.cat(_batches(50, 7, seed)[1]) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_epochs_have_different_orders():
    rows, generator = torch.arange(50), torch.Generator().manual_seed(0)
    first, second = (torch.cat([*batch_indices(rows, 7, generator)]) for _ in range(2))
    assert not torch.equal(first, second)
