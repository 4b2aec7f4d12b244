"""Rows that stand for all."""

import numpy as np
import pytest

from skotae.utils._blocks import scattered


@pytest.mark.parametrize("n, step", [(10, 3), (9, 3), (1000, 7), (5, 100)])
def test_one_row_of_each_stretch(n, step):
    some = scattered(n, step)
    np.testing.assert_array_equal(some // step, np.arange(-(-n // step)))
    assert some[-1] < n
    np.testing.assert_array_equal(some, scattered(n, step))


def test_no_period_is_met():
    places = scattered(24_000, 24) % 24
    assert np.bincount(places, minlength=24).min() > 15


def test_few_rows_are_all_there():
    for step in (0, 1):
        np.testing.assert_array_equal(np.arange(7)[scattered(7, step)], np.arange(7))
