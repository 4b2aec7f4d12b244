"""MNIST, from a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

FILE_NAME = "mnist.npz"


def fetch_mnist(data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the MNIST digits from ``mnist.npz``; nothing is downloaded.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder of the file. None stands for the folder named by the environment variable
        ``SKOTAE_DATA``.

    Returns
    -------
    mnist : Bunch
        With the attributes

        - ``X_train`` : ndarray of shape (60000, 784), float32, in [0, 1]
        - ``y_train`` : ndarray of shape (60000,), int64
        - ``X_test`` : ndarray of shape (10000, 784), float32, in [0, 1]
        - ``y_test`` : ndarray of shape (10000,), int64
        - ``image_shape`` : tuple, (28, 28); rows are in C order

    Raises
    ------
    FileNotFoundError
        If the file is not there, or no folder is given.

    Notes
    -----
    The file holds the arrays ``X_train``, ``y_train``, ``X_test`` and ``y_test``; pixels are
    integers from 0 to 255, or floats in [0, 1]. scikit-learn downloads what it is made of::

        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        X, y = X.astype("uint8"), y.astype(int)
        train, test = slice(60_000), slice(60_000, None)
        arrays = {"X_train": X[train], "y_train": y[train], "X_test": X[test], "y_test": y[test]}
        np.savez_compressed("my_data/mnist.npz", **arrays)

    Examples
    --------
    >>> from skotae.datasets import fetch_mnist
    >>> mnist = fetch_mnist("my_data")  # doctest: +SKIP
    >>> mnist.X_train.shape  # doctest: +SKIP
    (60000, 784)
    """
    folder = os.environ.get("SKOTAE_DATA") if data_home is None else data_home
    if not folder:
        raise FileNotFoundError(
            f"No folder to read {FILE_NAME} from: pass data_home, or set the environment variable "
            "SKOTAE_DATA to the folder that holds it."
        )
    path = Path(folder).expanduser() / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: pass as data_home, or set the environment variable "
            f"SKOTAE_DATA to, the folder that holds {FILE_NAME}."
        )
    with np.load(path, allow_pickle=False) as file:
        images = {part: file[f"X_{part}"] for part in ("train", "test")}
        labels = {part: file[f"y_{part}"].astype(np.int64) for part in ("train", "test")}
    return Bunch(
        X_train=_rows(images["train"]),
        y_train=labels["train"],
        X_test=_rows(images["test"]),
        y_test=labels["test"],
        image_shape=tuple(images["train"].shape[1:]) if images["train"].ndim == 3 else (28, 28),
    )


def _rows(images: np.ndarray) -> np.ndarray:
    """Flat float32 rows in [0, 1]."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    if np.issubdtype(images.dtype, np.integer):
        rows /= 255.0
    return rows
