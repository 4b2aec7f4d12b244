"""What is handed over for rows and is none: files, queries, datasets of torch."""

from __future__ import annotations

import io
import os
from pathlib import PurePath
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset

from skotae.utils.base import brief, is_real

# What reads a file, by the end of its name.
READERS = {
    ".csv": "pandas.read_csv({})",
    ".parquet": "pyarrow.dataset.dataset({})",
    ".npy": "numpy.load({}, mmap_mode='r')",
    ".npz": "one of the arrays of numpy.load({})",
    **dict.fromkeys((".h5", ".hdf5"), "a data set of h5py.File({})"),
    ".zarr": "an array of zarr.open({})",
}
# Methods that make a table of a query, or of what is read step by step.
METHODS = ("toPandas", "to_pandas", "to_df", "collect", "to_table", "read_all", "read")
# How many of the things in a container are named.
MOST = 5


def check_container(X: Any, name: str) -> None:
    """Raise an error over what NumPy makes numbers of that are not rows, or fails over.

    Raises
    ------
    ValueError
        If it is of an HDF5 file that is closed.
    TypeError
        If it is a dataset of torch, whose items are rows with something beside them.
    """
    if type(X).__module__.partition(".")[0] == "h5py" and not X:
        raise ValueError(f"{name} is of an HDF5 file that is closed; expected it open.")
    if not isinstance(X, Dataset) or isinstance(X, IterableDataset) or not hasattr(X, "__len__"):
        return
    item = X[0] if len(X) else ()
    if isinstance(item, (tuple, list)) and not all(map(is_real, item)):
        each = f"torch.stack([item[0] for item in {name}])"
        rows = f"{name}.tensors[0]" if hasattr(X, "tensors") else each
    elif isinstance(item, dict) and item:
        rows = f"torch.stack([item[{brief(next(iter(item)))}] for item in {name}])"
    else:
        return
    raise TypeError(
        f"{name} is a {type(X).__name__}, whose items are of type {type(item).__name__}; expected "
        f"an array of two dimensions or a data frame, such as {rows}."
    )


def rows_in(X: Any, name: str) -> str:
    """What to hand over in the place of a container; "" for anything else.

    Parameters
    ----------
    X : object
        What is no table of numbers.
    name : str
        What messages call it.

    Returns
    -------
    rows : str
        The end of a sentence that expects an array or a data frame.
    """
    if isinstance(X, type):
        return ""
    if isinstance(X, (str, bytes, os.PathLike, io.IOBase)):
        path = getattr(X, "name", X) if isinstance(X, io.IOBase) else X
        end = PurePath(path).suffix.lower() if isinstance(path, (str, os.PathLike)) else ""
        reader = READERS.get(end, "pandas.read_csv({}) or numpy.load({})")
        return f", such as {reader.replace('{}', name)}"
    if isinstance(X, dict) or _has_fields(X):
        return f", such as pandas.DataFrame({name})"
    if hasattr(X, "keys") and hasattr(X, "__getitem__"):
        keys = list(map(brief, X.keys()))
        more = ", ..." * (len(keys) > MOST)
        listed = f"of what it holds ({', '.join(keys[:MOST])}{more})"
        return f", such as {name}[{keys[0]}], {listed}" if keys else "; it is empty"
    for method in METHODS:
        if callable(getattr(X, method, None)):
            return f", such as {name}.{method}()"
    if isinstance(X, DataLoader):
        return (
            ", such as a tensor of the rows of all its batches; partial_fit of an estimator takes "
            "one batch after the other"
        )
    if hasattr(X, "__iter__") and not hasattr(X, "__len__"):
        return f", such as numpy.array(list({name}))"
    return ""


def _has_fields(X: Any) -> bool:
    """Whether it is an array of records, or a list of dictionaries."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(isinstance(row, dict) for row in X)
    return isinstance(getattr(X, "dtype", None), np.dtype) and X.dtype.names is not None
