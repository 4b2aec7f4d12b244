"""Samples, weights and labels of any kind that scikit-learn, torch or the array API know."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose

from skotae import metrics


class Foreign:
    """An array of the array API that NumPy cannot read but by DLPack, as on a GPU."""

    def __init__(self, array, device="elsewhere"):
        self._tensor, self.device = torch.as_tensor(array), device

    def __array_namespace__(self):
        return SimpleNamespace(asarray=lambda array, device: Foreign(array, device))

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __dlpack__(self, **options):
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._tensor.__dlpack_device__()


def strict(array):
    xp = pytest.importorskip("array_api_strict")
    return xp.asarray(array, device=xp.Device("device1"))


def frame(library):
    def of(array):
        data = {f"x{k}": column for k, column in enumerate(array.T)} if array.ndim == 2 else array
        return (library.DataFrame if array.ndim == 2 else library.Series)(data)

    return of


KINDS = {
    "list": np.ndarray.tolist,
    "tensor": torch.tensor,
    "gradient": lambda array: torch.tensor(array, requires_grad=array.dtype.kind == "f"),
    "pandas": frame(pd),
    "polars": frame(pl),
    "foreign": Foreign,
    "strict": strict,
}


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)), rng.normal(size=(15, 3)), rng.uniform(1, 2, 20)


WEIGHTED = ("exact_wasserstein", "sinkhorn_divergence", "gaussian_wasserstein")
SEEDED = ("sliced_wasserstein", "max_sliced_wasserstein")
PLAIN = ("frechet_distance", "mmd", "density_coverage", "precision_recall")


def values(make, X, Y, weight):
    X, Y, weight = make(X), make(Y), make(weight)
    clusters, y, y_test = (make(np.arange(n) % k) for n, k in ((20, 3), (20, 2), (15, 2)))
    yield from (getattr(metrics, name)(X, Y) for name in PLAIN)
    yield from (getattr(metrics, name)(X, Y, X_weight=weight) for name in WEIGHTED)
    yield from (getattr(metrics, name)(X, Y, X_weight=weight, random_state=0) for name in SEEDED)
    yield metrics.clustering_accuracy(y, clusters)
    yield metrics.knn_accuracy(X, y, Y, y_test)
    yield metrics.high_density_ratio(X, Y, 0.3)
    yield metrics.prior_gap(X, random_state=0)
    yield metrics.reconstruction_error(X, X, sample_weight=weight)
    yield metrics.transport_r2_score(X, X, Y, sample_weight=weight, random_state=0)
    yield metrics.triangle_bound(X, X, Y, sample_weight=weight, random_state=0)
    yield metrics.confidence_interval(metrics.mmd, X, Y, n_resamples=20, random_state=0)


@pytest.fixture(scope="module")
def expected(samples):
    return [*values(np.asarray, *samples)]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_arrays(kind, samples, expected):
    assert [*values(KINDS[kind], *samples)] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_is_of_the_library_of_its_rows(kind, samples):
    (X, Y, weight), make = samples, KINDS[kind]
    expected = metrics.exact_plan(X, Y, X_weight=weight)
    rows = make(X)
    plan = metrics.exact_plan(rows, make(Y), X_weight=make(weight))
    if kind in ("list", "pandas", "polars"):
        assert isinstance(plan, np.ndarray)
    else:
        assert type(plan) is type(rows) and plan.device == rows.device
        assert not getattr(plan, "requires_grad", False)
        plan = torch.from_dlpack(plan).numpy()
    assert_allclose(plan, expected, rtol=1e-12)


def test_half_precision_weights(samples):
    X, Y, _ = samples
    half = torch.linspace(1, 2, 20).bfloat16()
    value = metrics.exact_wasserstein(X, Y, X_weight=half)
    assert value == metrics.exact_wasserstein(X, Y, X_weight=half.double().numpy())


def test_masked_weights_are_refused_by_name(samples):
    X, Y, weight = samples
    with pytest.raises(ValueError, match="X_weight is an array with 1 masked values"):
        metrics.exact_wasserstein(X, Y, X_weight=np.ma.masked_greater(weight, np.sort(weight)[-2]))
