"""MNIST from a local file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch


def fetch_mnist(data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """MNIST digits as rows of 784 pixels in [0, 1], from a file ``mnist.npz``.

    Parameters
    ----------
    data_home : path, default=None
        Folder of the file, which holds arrays X_train, y_train, X_test and y_test; None
        stands for the folder in the environment variable ``SKOTAE_DATA``.

    Returns
    -------
    mnist : Bunch
        With X_train (60000, 784) and X_test (10000, 784), float32, and y_train and
        y_test, int64.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    """
    folder = data_home or os.environ.get("SKOTAE_DATA")
    path = Path(folder or ".") / "mnist.npz"
    if folder is None or not path.is_file():
        raise FileNotFoundError(
            f"{'No folder was given' if folder is None else f'{path} is not there'}; pass "
            "data_home= or set the environment variable SKOTAE_DATA to the folder of mnist.npz."
        )
    with np.load(path) as file:
        parts = {}
        for part in ("train", "test"):
            images = file[f"X_{part}"]
            parts[f"X_{part}"] = images.reshape(len(images), -1).astype(np.float32) / 255
            parts[f"y_{part}"] = file[f"y_{part}"].astype(np.int64)
    return Bunch(**parts)
