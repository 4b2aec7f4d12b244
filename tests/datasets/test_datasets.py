"""Made data have the shapes and moments they promise; files are read as they are."""

import numpy as np
import pytest

from skotae.datasets import fetch_mnist, make_gaussian_grid, make_swiss_roll


def test_grid_is_balanced_and_reproducible():
    X, y, means = make_gaussian_grid(7500, random_state=0, return_means=True)
    assert X.shape == (7500, 2) and y.shape == (7500,) and means.shape == (25, 2)
    assert (np.bincount(y) == 300).all()
    assert {tuple(m) for m in means} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    assert (X - means[y]).std() == pytest.approx(0.05, rel=0.03)
    np.testing.assert_array_equal(X, make_gaussian_grid(7500, random_state=0)[0])
    assert not np.array_equal(X, make_gaussian_grid(7500, random_state=1)[0])
    assert len(set(y[:100])) > 10  # in random order


@pytest.mark.parametrize("n", [1, 24, 26, 99])
def test_grid_counts_differ_by_one_at_most(n):
    _, y = make_gaussian_grid(n, random_state=0)
    counts = np.bincount(y, minlength=25)
    assert counts.sum() == n and counts.max() - counts.min() <= 1


def test_grid_leaves_numpy_state_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    make_gaussian_grid(10, random_state=0)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("bad", [{"n_samples": 0}, {"scale": -1.0}])
def test_grid_names_bad_parameters(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        make_gaussian_grid(**bad)


def test_unrolling_keeps_short_distances():
    X, flat = make_swiss_roll(20_000, random_state=0)
    assert X.shape == (20_000, 3) and flat.shape == (20_000, 2)
    assert flat.min() >= 0
    # Neighbours along the roll: the chord is as long as the arc.
    order = np.lexsort((flat[:, 0],))
    a, b = order[:-1], order[1:]
    chord = np.linalg.norm(X[a][:, [0, 2]] - X[b][:, [0, 2]], axis=1)
    np.testing.assert_allclose(chord, flat[b, 0] - flat[a, 0], atol=1e-5)
    np.testing.assert_array_equal(X[:, 1], flat[:, 1])


def _write(folder, dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    if dtype != np.uint8:
        images = (images / 255).astype(dtype)
    labels = np.arange(6, dtype=np.uint8)
    path = folder / "mnist.npz"
    np.savez(path, X_train=images[:4], y_train=labels[:4], X_test=images[4:], y_test=labels[4:])
    return images


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_mnist_from_folder_or_environment(tmp_path, monkeypatch, dtype):
    images = _write(tmp_path, dtype)
    monkeypatch.setenv("SKOTAE_DATA", str(tmp_path))
    for mnist in (fetch_mnist(tmp_path), fetch_mnist()):
        assert mnist.X_train.shape == (4, 784) and mnist.X_test.shape == (2, 784)
        assert mnist.X_train.dtype == np.float32 and mnist.y_train.dtype == np.int64
        assert 0 <= mnist.X_train.min() and mnist.X_train.max() <= 1
        assert mnist.image_shape == (28, 28)
        scale = 255.0 if dtype == np.uint8 else 1.0
        np.testing.assert_allclose(mnist.X_test[0], images[4].ravel() / scale, rtol=1e-6)
        assert mnist.y_test.tolist() == [4, 5]


def test_mnist_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("SKOTAE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SKOTAE_DATA"):
        fetch_mnist()
    with pytest.raises(FileNotFoundError, match="data_home.*SKOTAE_DATA"):
        fetch_mnist(tmp_path)
