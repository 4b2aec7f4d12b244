"""Random clouds, weights, options and starts: finite values, or an error that names an argument."""

import inspect
import math
import re
import warnings

import numpy as np
import pytest
import torch

from skotae import transport

NAMES = (
    *("sinkhorn_divergence", "sinkhorn_cost", "sinkhorn_plan", "sinkhorn_potentials"),
    *("unbalanced_sinkhorn_divergence", "unbalanced_sinkhorn_cost", "unbalanced_sinkhorn_plan"),
    *("unbalanced_sinkhorn_potentials", "exact_cost", "exact_plan"),
    *("partial_cost", "partial_plan"),
)
REALS = (1e-300, 1e-30, 1e-4, 0.05, 1.0, 30.0, 1e4, 1e30, 1e300)
OPTIONS = {
    "epsilon": REALS,
    # Of total variation it may be what the value is.
    "rho": (1e-300, 1e-30, 0.05, 1.0, 1e4, 1e20, (1.0, math.inf), (1e-30, 1e20)),
    "unbalanced_type": ("kl", "tv"),
    "relative": (False, True),
    "tol": (1e-12, 1e-3, 1e30),
    "p": (1, 1.5, 2, 3),
    "metric": ("minkowski", "euclidean"),
    "debias": ("paired", "independent"),
    "sharp": (False, True),
}
SCALES = {torch.float32: (1e-8, 1e-3, 1.0, 1e3), torch.float64: (1e-80, 1e-3, 1.0, 1e3, 1e50)}


def check(i):
    rng = np.random.RandomState(i)

    def of(values):
        return values[rng.randint(len(values))]

    name, dtype = of(NAMES), of([*SCALES])
    function, shape = getattr(transport, name), of([(), (), (3,)])
    known = inspect.signature(function).parameters
    if name.startswith(("exact", "partial")):
        shape = ()
    n, m, d = of([1, 2, 3, 20]), of([1, 2, 3, 20]), of([1, 3])
    x, y = (of(SCALES[dtype]) * rng.normal(size=(*shape, points, d)) for points in (n, m))
    if of([0, 0, 1]):
        x[..., 0, :] *= 1e6
    if of([0, 0, 1]):
        y[..., :-1, :] = y[..., :1, :]
    x, y = (torch.tensor(cloud, dtype=dtype) for cloud in (x, y))
    options = {k: of(v) for k, v in OPTIONS.items() if k in known and rng.randint(2)}
    options |= {"max_iter": of([1, 50])} if "max_iter" in known else {}
    for weights, points in (("a", n), ("b", m)):
        if rng.randint(2):
            values = of([1e-6, 1.0, 1e6]) * rng.uniform(size=(*shape, points))
            values[..., 0] *= of([0.0, 1.0, 1e6])
            options[weights] = torch.tensor(values, dtype=dtype)
    given = (x, y)
    if "x" not in known:
        given = (torch.cdist(x, y),)
    if "potentials_init" in known and rng.randint(2):
        start = (of([0.0, 1.0, 1e30]) * rng.normal(size=(*shape, k)) for k in (n, m))
        options["potentials_init"] = tuple(torch.tensor(each, dtype=dtype) for each in start)
    told = False
    if "return_info" in known:
        options["return_info"] = True
    where = f"case {i}: {name} of {n} and {m} points of {dtype}, {options}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = function(*given, **options)
        except ValueError as error:
            arguments = "|".join({*known, "x", "y", "cost"})
            assert re.search(rf"\b({arguments})\b", str(error)), f"{where}: {error}"
            return
    *values, info = found if isinstance(found, tuple) else (found, None)
    told = bool(caught) or (info is not None and not info.converged)
    ends = {"plan": (n, m), "potentials": (n,)}.get(name.split("_")[-1], ())
    assert values[0].shape == (*shape, *ends), where
    for value in values:
        assert value.dtype == dtype, where
        assert told or value.isfinite().all(), f"{where}: {value}"


def test_cases():
    for i in range(60):
        check(i)


@pytest.mark.slow
def test_many_cases():
    for i in range(60, 5000):
        check(i)
