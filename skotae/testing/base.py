"""What the estimator checks share: their register, their data, their comparisons."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from skotae.networks import MLP

N_FEATURES = 6
Check = Callable[[Any], None]
CHECKS: list[Check] = []


def estimator_check(check: Check) -> Check:
    """Register a check of an unfitted estimator."""
    CHECKS.append(check)
    return check


def make_data(
    n: int = 40, n_features: int = N_FEATURES, *, seed: int = 0, dtype: Any = np.float64
) -> np.ndarray:
    """Two groups of rows in [0, 1], which every cost accepts.

    Parameters
    ----------
    n : int, default=40
        Number of rows.
    n_features : int, default=6
        Number of columns.
    seed : int, default=0
        Seed.
    dtype : dtype, default=float64
        Of the result.

    Returns
    -------
    X : ndarray of shape (n, n_features)

    Examples
    --------
    >>> from skotae.testing import make_data
    >>> make_data(30).shape
    (30, 6)
    """
    rng = np.random.RandomState(seed)
    centre = np.where(np.arange(n)[:, None] % 2 == 0, 0.3, 0.7)
    return np.clip(centre + 0.08 * rng.normal(size=(n, n_features)), 0.0, 1.0).astype(dtype)


def fresh(estimator: Any, **params: Any) -> Any:
    """An unfitted copy with a fixed seed and `params`."""
    estimator = clone(estimator)
    estimator.set_params(**{"random_state": 0, **params})
    return estimator


def with_dense_networks(estimator: Any, **params: Any) -> Any:
    """A copy with small multilayer perceptrons, for data of another width."""
    return fresh(estimator, **{"encoder": MLP((8,)), "decoder": MLP((8,)), **params})


def assert_same_fit(first: Any, second: Any, X: np.ndarray, message: str) -> None:
    """Two fitted estimators agree to the last bit."""
    np.testing.assert_array_equal(first.transform(X), second.transform(X), err_msg=message)
    np.testing.assert_array_equal(first.reconstruct(X), second.reconstruct(X), err_msg=message)
    assert first.history_ == second.history_, f"{message}: history_ differs"


def assert_usable(model: Any, X: Any) -> None:
    """A fitted estimator gives finite numbers everywhere."""
    for name, values in model.history_.items():
        assert np.isfinite(values).all(), f"history_[{name!r}] is not finite: {values}"
    assert np.isfinite(model.transform(X)).all(), "transform gives values that are not finite"
    assert np.isfinite(model.reconstruct(X)).all(), "reconstruct gives values that are not finite"
    assert np.isfinite(model.sample(7, random_state=0)).all(), "sample is not finite"
    assert np.isfinite(model.score_samples(X)).all(), "score_samples is not finite"
    assert np.isfinite(model.score(X)), "score is not finite"


@contextlib.contextmanager
def unchanged_globals(what: str) -> Iterator[None]:
    """Fail if the block moves a global of torch, NumPy or Python."""
    before = _globals()
    yield
    for name, value in _globals().items():
        assert value == before[name], f"{what} changed {name}"


def _globals() -> dict[str, Any]:
    kind, keys, *position = np.random.get_state()  # noqa: NPY002
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "NumPy's random state": (kind, np.asarray(keys).tobytes(), *position),
        "Python's random state": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }
