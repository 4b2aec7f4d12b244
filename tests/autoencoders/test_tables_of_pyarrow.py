"""Names of the columns of tables, and of batches of records, of PyArrow."""

import re

import numpy as np
import pytest

from skotae.metrics import mmd

pa = pytest.importorskip("pyarrow")
X = np.random.default_rng(0).normal(size=(30, 3))
TABLE = pa.table(dict(zip("abc", X.T, strict=True)))
OTHER = TABLE.select(["b", "a", "c"])


def batch(table):
    return table.to_batches()[0]


def test_batches_of_records_have_names(small):
    model = small("WAEEstimator").fit(batch(TABLE))
    assert list(model.feature_names_in_) == list("abc")
    np.testing.assert_array_equal(model.transform(TABLE), model.transform(batch(TABLE)))
    codes = pa.table(dict(zip(model.get_feature_names_out(), X[:, :2].T, strict=True)))
    np.testing.assert_array_equal(model.inverse_transform(codes).shape, X.shape)
    for rows in (OTHER, batch(OTHER)):
        with pytest.raises(ValueError, match="must be in the same order"):
            model.transform(rows)
    with pytest.raises(ValueError, match="'waeestimator1' where 'waeestimator0' was"):
        model.inverse_transform(codes.select(codes.column_names[::-1]))


def test_measures_look_at_the_order_of_columns():
    assert mmd(TABLE, batch(TABLE)) == mmd(X, X)
    words = re.escape("same order, got ['a', 'b', 'c'] and ['b', 'a', 'c']")
    for rows in (OTHER, batch(OTHER)):
        with pytest.raises(ValueError, match=words):
            mmd(TABLE, rows)


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_two_columns_of_one_name_are_refused(small, method):
    model = small("WAEEstimator")
    if method == "transform":
        model.fit(X)
    twice = pa.table([*X.T], names=["a", "b", "a"])

    class Taking:
        def __len__(self):
            return len(X)

        def take(self, indices):
            return twice.take(pa.array(indices))

    words = r"more than one column with the name 'a'; .* or numpy\.asarray\(X\)\."
    for rows in (twice, batch(twice), Taking()):
        with pytest.raises(ValueError, match=words):
            getattr(model, method)(rows)
