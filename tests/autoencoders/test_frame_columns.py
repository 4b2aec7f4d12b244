"""Names of columns, and dtypes, of what comes back."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import skotae

X = np.random.default_rng(0).normal(size=(12, 4))
COLUMNS = {
    "integers": range(4),
    "floats": [0.5, 1.5, 2.5, 3.5],
    "levels": pd.MultiIndex.from_product([["a", "b"], [1, 2]]),
    "years": pd.to_datetime(["2001", "2002", "2003", "2004"]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_frames_come_back_with_their_columns(small, kind, tmp_path):
    frame = pd.DataFrame(X, columns=COLUMNS[kind])
    model = small("VAE").fit(frame)
    model.save(tmp_path / "model.safetensors")
    for each in (
        model,
        pickle.loads(pickle.dumps(model)),
        skotae.load(tmp_path / "model.safetensors"),
    ):
        codes = each.transform(frame)
        for result in each.reconstruct(frame), each.sample(3), each.inverse_transform(codes):
            # A date is nothing that a file without code holds.
            expected = [f"x{i}" for i in range(4)] if kind == "years" else list(frame.columns)
            assert list(result.columns) == expected
    if kind != "years":
        assert (frame - model.reconstruct(frame)).shape == frame.shape
    # The next fit knows nothing of them.
    assert isinstance(model.fit(X).sample(2), np.ndarray)


@pytest.mark.parametrize("kind", ["integers", "floats", "levels"])
def test_columns_in_another_order_are_refused(small, kind, tmp_path):
    """As scikit-learn has it for strings."""
    frame = pd.DataFrame(X, columns=COLUMNS[kind])
    model = small("VAE").fit(frame)
    model.save(tmp_path / "model.safetensors")
    turned = frame.iloc[:, [0, 2, 1, 3]]
    for each in (model, skotae.load(tmp_path / "model.safetensors")):
        for method in (each.transform, each.score, each.partial_fit):
            with pytest.raises(ValueError, match="columns of X are in another order.*to_numpy"):
                method(turned)
    # Others may be the same columns under other names, and a new fit has an order of its own.
    other = pd.DataFrame(X, columns=range(10, 14))
    np.testing.assert_array_equal(model.transform(other), model.transform(frame))
    assert list(model.fit(turned).sample(1).columns) == list(turned.columns)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_codes_in_another_order_are_refused(small, container):
    model = small("VAE").fit(X).set_output(transform=container)
    codes = model.transform(X)
    np.testing.assert_array_equal(
        model.inverse_transform(codes), model.inverse_transform(codes.to_numpy())
    )
    with pytest.raises(ValueError, match="'vae1' where 'vae0' was"):
        model.inverse_transform(codes[["vae1", "vae0"]])


def test_generators_without_an_encoder_too(small):
    assert list(small("WGAN").fit(pd.DataFrame(X)).sample(2).columns) == [0, 1, 2, 3]


def test_polars_has_names_where_pandas_has_numbers(small):
    model = small("VAE").fit(pd.DataFrame(X)).set_output(transform="polars")
    assert isinstance(model.sample(2), pl.DataFrame)
    assert model.sample(2).columns == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score", "reconstruct"])
def test_two_columns_of_one_name_are_refused(small, method):
    frame = pd.DataFrame(X, columns=["a", "b", "a", "c"])
    model = small("VAE")
    if "fit" not in method:
        model.fit(X)
    with pytest.raises(ValueError, match="more than one column with the name 'a'"):
        getattr(model, method)(frame)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "float32"])
def test_dtypes(small, dtype):
    rows = (4 * X).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small("VAE").fit(rows)
        results = [model.transform(rows), model.reconstruct(rows), model.sample(3)]
        results += [model.inverse_transform(results[0]), model.sample_posterior(rows, 2)]
        results += [model.score_samples(rows), model.interpolate(rows[:2], rows[2:4])]
    expected = "float32" if dtype == "float32" else "float64"
    assert [str(result.dtype) for result in results] == [expected] * 7
    # As of the same rows in float64.
    codes = model.transform(rows.astype(float))
    np.testing.assert_allclose(results[0], codes, rtol=1e-3, atol=1e-4)


def test_integer_codes_are_decoded_in_float64(small):
    model = small("VAE").fit(X)
    assert model.inverse_transform([[1, 0]]).dtype == np.float64


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "boolean"])
def test_frames_of_nullable_columns(small, dtype):
    values = pd.DataFrame(X > 0 if dtype == "boolean" else np.rint(X), columns=list("abcd"))
    rows = values.astype(dtype)
    model = small("VAE").fit(rows)
    assert np.array_equal(model.transform(rows), model.transform(values.astype(float)))


def test_columns_of_several_levels_have_them_again(small, tmp_path):
    frame = pd.DataFrame(X, columns=COLUMNS["levels"])
    model = small("VAE").fit(frame)
    model.save(tmp_path / "model.safetensors")
    for each in model, skotae.load(tmp_path / "model.safetensors"):
        samples = each.sample(3)
        assert samples.columns.nlevels == 2 and samples["a"].shape == (3, 2)
        assert pd.concat([frame, samples])["b"].notna().all(axis=None)


def test_a_column_may_be_named_nan(small, tmp_path):
    frame = pd.DataFrame(X, columns=[np.nan, 1.0, 2.0, 3.0])
    model = small("VAE").fit(frame)
    model.save(tmp_path / "model.safetensors")
    for each in model, skotae.load(tmp_path / "model.safetensors"):
        assert np.array_equal(each.transform(frame), model.transform(X))
        with pytest.raises(ValueError, match="in another order, 1.0 where nan was"):
            each.transform(frame[[1.0, np.nan, 2.0, 3.0]])


def test_pictures_are_rows(small):
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(X.astype(np.float32))
    model = small("VAE").fit(picture)
    assert model.n_features_in_ == 4
    assert np.array_equal(model.transform(picture), model.transform(X.astype(np.float32)))


def test_what_only_has_an_interface_of_arrays_are_rows(small):
    class Table:
        __array_interface__ = X.__array_interface__

    codes = small("VAE").fit(Table()).transform(Table())
    assert np.array_equal(codes, small("VAE").fit(X).transform(X))


def test_tensors_of_half_precision_are_taken_as_float64(small):
    for dtype in torch.float16, torch.bfloat16:
        rows = torch.tensor(X).to(dtype)
        model = small("VAE").fit(rows)
        assert model.transform(rows).dtype == model.sample(3).dtype == np.float64
        assert np.array_equal(model.transform(rows), model.transform(rows.double()))
