"""The means of the grid, and where its randomness comes from."""

import numpy as np

from skotae.datasets import make_gaussian_grid


def test_label_k_is_the_mean_the_documentation_says():
    X, y = make_gaussian_grid(100, scale=0.0, random_state=0)
    np.testing.assert_array_equal(X, np.column_stack([y // 5 - 2, y % 5 - 2]))


def test_scale_is_the_deviation_of_each_coordinate():
    X, y = make_gaussian_grid(20_000, scale=0.3, random_state=0)
    deviation = X - np.column_stack([y // 5 - 2, y % 5 - 2])
    np.testing.assert_allclose(deviation.std(axis=0), 0.3, rtol=0.03)


def test_a_random_state_moves_on():
    rng = np.random.RandomState(0)
    first, second = (make_gaussian_grid(10, random_state=rng)[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_dtypes():
    X, y = make_gaussian_grid(10, random_state=0)
    assert X.dtype == np.float64 and y.dtype == np.int64
