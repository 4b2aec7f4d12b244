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
# Each with the methods that an estimator must have for the check to apply.
CHECKS: list[tuple[Check, tuple[str, ...]]] = []
NETWORKS = ("encoder", "decoder")


def estimator_check(*needs: str) -> Callable[[Check], Check]:
    """Register a check of an unfitted estimator that has the methods `needs`."""

    def register(check: Check) -> Check:
        CHECKS.append((check, needs))
        return check

    return register


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


def with_dense_networks(estimator: Any, network: Any = None, **params: Any) -> Any:
    """A copy with small multilayer perceptrons, for data of another width."""
    network = MLP((8,)) if network is None else network
    networks = {name: network for name in NETWORKS if name in estimator.get_params(deep=False)}
    return fresh(estimator, **{**networks, **params})


def results_of(model: Any, X: Any) -> dict[str, Any]:
    """What each method that a fitted estimator has gives for X."""
    calls: dict[str, Callable[[], Any]] = {
        "transform": lambda: model.transform(X),
        "sample": lambda: model.sample(7, random_state=0),
        "inverse_transform": lambda: model.inverse_transform(model.transform(X)),
        "reconstruct": lambda: model.reconstruct(X),
        "sample_posterior": lambda: model.sample_posterior(X, 2, random_state=0),
        "interpolate": lambda: model.interpolate(X[:2], X[2:4], 3),
        "score_samples": lambda: model.score_samples(X),
        "elbo": lambda: model.elbo(X, random_state=0),
        "predict_proba": lambda: model.predict_proba(X),
    }
    return {name: call() for name, call in calls.items() if hasattr(model, name)}


def main_result(model: Any, X: Any) -> np.ndarray:
    """The codes of X; samples, of a model without an encoder."""
    if hasattr(model, "transform"):
        return model.transform(X)
    return model.sample(len(X), random_state=0)


def assert_same_fit(first: Any, second: Any, X: np.ndarray, message: str) -> None:
    """Two fitted estimators agree to the last bit."""
    one, other = results_of(first, X), results_of(second, X)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=f"{message}: {name}")
    assert first.history_ == second.history_, f"{message}: history_ differs"


def assert_usable(model: Any, X: Any) -> None:
    """A fitted estimator gives finite numbers everywhere."""
    for name, values in {**model.history_, **results_of(model, X)}.items():
        assert np.isfinite(values).all(), f"{name} is not finite: {values}"
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
