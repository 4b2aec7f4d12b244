"""Units over blocks of rows, chunks and files."""

import numpy as np
import pytest

import skotae
from skotae.columns import CHUNK, Units

from .tables import columns_of, one_unit, table


def test_columns_are_read_in_blocks(tmp_path):
    X = table(3 * CHUNK + 5).astype(np.float32)
    X[7, 0] = 1e7
    X.tofile(tmp_path / "rows.bin")
    mapped = np.memmap(tmp_path / "rows.bin", dtype=np.float32, mode="r", shape=X.shape)
    taken = []

    class Watched(np.memmap):
        def astype(self, *args, **kwargs):
            taken.append(self.shape[0])
            return super().astype(*args, **kwargs)

    found, expected = columns_of(mapped.view(Watched)), columns_of(X)
    assert taken and max(taken) < 2 * CHUNK
    for name in ("mean", "spread", "counts", "limits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [table, one_unit, lambda: 1e36 * one_unit()])
def test_networks_see_rows_in_these_units(make, dtype, small):
    X = make().astype(dtype)
    X.flags.writeable = False  # of which torch would warn
    model = small("WAEEstimator").fit(X)
    seen = model._inference(X.dtype).tensor(X).numpy()
    np.testing.assert_array_equal(seen, model._units.standardised(X).astype(seen.dtype))


def test_the_first_chunk_decides(small):
    X = table()
    model = small("WAEEstimator").partial_fit(X)
    scale = model.data_scale_.copy()
    model.partial_fit(100 * X)
    np.testing.assert_array_equal(model.data_scale_, scale)
    with pytest.raises(ValueError, match=r"scale='global' \(was 'auto'\) cannot change"):
        model.set_params(scale="global").partial_fit(X)


def test_a_column_that_varies_later_is_no_longer_constant(small):
    X = table()
    model = small("WAEEstimator").partial_fit(np.column_stack([X[:, :2], np.ones(len(X))]))
    assert (model.reconstruct(X[:, :3])[:, 2] == 1).all()
    model.partial_fit(X[:, :3])
    assert np.ptp(model.reconstruct(X[:, :3])[:, 2]) > 0


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("scale", ["auto", "columns"])
def test_files_hold_the_units(tmp_path, scale, far, small, digest):
    X = one_unit(300)
    X[5, 1] = 1e7 if far else 0
    model = small("WAEEstimator", scale=scale).fit(X)
    model.save(tmp_path / "model.safetensors")
    again = skotae.load(tmp_path / "model.safetensors")
    assert type(again.data_scale_) is type(model.data_scale_)
    np.testing.assert_array_equal(again.data_limits_, model.data_limits_)
    assert digest(again, X) == digest(model, X)


def test_states_from_before_the_parameter(tmp_path, small, monkeypatch):
    """They have one scale, and no limits."""
    X = one_unit()
    model = small("WAEEstimator", scale="global").fit(X)
    state = model.__getstate__()
    del state["scale"], state["data_limits_"]
    again = small("WAEEstimator")
    again.__setstate__(dict(state))
    monkeypatch.setattr(type(model), "__getstate__", lambda self: state)
    monkeypatch.setattr("skotae.persistence._models._state", lambda estimator: state)
    model.save(tmp_path / "old.safetensors")
    monkeypatch.undo()
    for old in (again, skotae.load(tmp_path / "old.safetensors")):
        assert old.scale == "global" and old.data_limits_ is None
        np.testing.assert_array_equal(old.transform(X), model.transform(X))


def test_units_there_and_back():
    X = table()
    for units in (
        Units(X.mean(axis=0), X.std(axis=0)),
        Units(X.mean(axis=0), 3.0),
        Units(np.zeros(4), 1.0),
    ):
        back = units.restored(units.standardised(X), X.dtype)
        np.testing.assert_allclose(back, X, rtol=1e-12)
    assert Units(np.zeros(4), 1.0).is_identity
