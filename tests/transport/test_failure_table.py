"""Clouds on which Sinkhorn solvers fail, each against a converged float64 solution.

``TABLE`` records what POT and geomloss do on the same float32 clouds with the same epsilon. A
test recomputes it, and another holds the page of the user guide to it.
"""

import itertools
import math
import re
import warnings
from functools import partial
from pathlib import Path

import ot
import pytest
import torch
from geomloss import SamplesLoss
from sklearn.exceptions import ConvergenceWarning

from skotae.transport import sinkhorn_divergence

PAGE = Path(__file__).parents[2] / "doc" / "user_guide" / "transport_failures.rst"


def _normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def _pair(d):
    return _normal(40, d, 0), 0.7 * _normal(33, d, 1) + 0.4


X, Y = _pair(3)
OUTLIER = torch.cat([100 * X[:1], X[1:]])
OUTLIERS = torch.cat([OUTLIER[:1] + 1, Y])
GRID = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
EQUAL = torch.full((8, 3), 0.1), torch.full((5, 3), 0.1)
DUPLICATES = X[:5].repeat(8, 1), Y[:4].repeat(10, 1)
ABSOLUTE = {"epsilon": 0.3, "relative": False}

# name: x, y, options of the divergence, then the labels of POT and geomloss.
TABLE = {
    "scale 1e-6": (1e-6 * X, 1e-6 * Y, {}, "right", "wrong"),
    "scale 1e6": (1e6 * X, 1e6 * Y, {}, "right", "wrong"),
    "epsilon 0.1": (X, Y, {"epsilon": 0.1}, "right", "wrong"),
    "epsilon 0.01": (X, Y, {"epsilon": 0.01}, "right", "wrong"),
    "epsilon 1e-3": (X, Y, {"epsilon": 1e-3, "max_iter": 3000}, "right", "wrong"),
    "epsilon 1e-4": (X, Y, {"epsilon": 1e-4, "max_iter": 6000}, "wrong", "wrong"),
    "identical clouds": (X, X.clone(), {}, "right", "right"),
    "all points equal": (*EQUAL, {"relative": False}, "right", "raises"),
    "one point each": (X[:1], Y[:1], {}, "right", "right"),
    "one point against many": (X[:1], Y, {}, "right", "right"),
    "duplicates": (*DUPLICATES, {}, "right", "wrong"),
    "clouds 1e4 apart": (X, Y + 1e4, {}, "right", "right"),
    "clouds 1e4 apart, small epsilon": (X, Y + 1e4, ABSOLUTE, "wrong", "wrong"),
    "both clouds 1e4 from the origin": (X + 1e4, Y + 1e4, {}, "wrong", "wrong"),
    "one outlier 100 times out": (OUTLIER, Y, {}, "right", "wrong"),
    "one outlier, small epsilon": (OUTLIER, Y, ABSOLUTE, "right", "wrong"),
    # Little mass goes a long way: at the default tolerance the gradient is some 5% off.
    "outlier in both clouds": (OUTLIER, OUTLIERS, {"epsilon": 0.01, "tol": 1e-4}, "wrong", "wrong"),
    "ties on a grid, epsilon 1e-3": (GRID, GRID + 0.5, {"epsilon": 1e-3}, "right", "right"),
    "d = 1": (*_pair(1), {}, "right", "wrong"),
    "d = 512": (*_pair(512), {}, "right", "right"),
}
# Of no use to compare with others, or without a converged solution: finite is enough.
EXTREMES = {
    "all points equal, relative": (*EQUAL, {}),
    "two and three points": (X[:2], Y[:3], {}),
    "epsilon 1e-9": (X, Y, {"epsilon": 1e-9}),
    "epsilon 1e6": (X, Y, {"epsilon": 1e6}),
    "p = 1": (X, Y, {"p": 1}),
    "p = 4": (X, Y, {"p": 4}),
}


@pytest.fixture(scope="module")
def solution(reference):
    """Solutions of the cases, each computed once."""
    known = {}

    def solve(case, debias="paired"):
        if (case, debias) not in known:
            x, y, options, *_ = TABLE[case]
            options = {"epsilon": 0.05, **options, "debias": debias}
            for name in ("tol", "max_iter"):
                options.pop(name, None)
            known[case, debias] = reference(x, y, **options)
        return known[case, debias]

    return solve


def _error(gradients, expected):
    """Larger of the relative errors of two gradients.

    A gradient that is zero, or nearly, is compared in units of what it would be if each point
    were as far from its target as the mean cost says.
    """
    worst = 0.0
    for got, want in zip(gradients, (expected.grad_x, expected.grad_y), strict=True):
        unit = max(2 * math.sqrt(expected.mean / len(want)), 1e-5)
        size = want.norm().item()
        error = (got.double() - want).norm().item() / (size if size > 1e-3 * unit else unit)
        worst = error if math.isnan(error) else max(worst, error)
    return worst


def _differentiate(function, x, y):
    x, y = (cloud.clone().requires_grad_() for cloud in (x, y))
    value = function(x, y)
    value.backward()
    return value, (x.grad, y.grad)


def _label(function, x, y, expected):
    try:
        value, gradients = _differentiate(function, x, y)
    except Exception:
        return "raises"
    if not all(tensor.isfinite().all() for tensor in (value, *gradients)):
        return "nan"
    return "right" if _error(gradients, expected) < 2e-2 else "wrong"


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paired_divergence(case, dtype, solution):
    x, y, options, *_ = TABLE[case]
    x, y = x.to(dtype), y.to(dtype)
    expected = solution(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradients = _differentiate(partial(sinkhorn_divergence, **options), x, y)
        own = [sinkhorn_divergence(cloud, cloud.clone(), **options) for cloud in (x, y)]
    assert value.dtype == gradients[0].dtype == gradients[1].dtype == dtype
    assert _error(gradients, expected) < 2e-2
    assert abs(value.item() - expected.value) <= 1e-4 * expected.mean
    assert value.item() >= -1e-4 * expected.mean
    for cloud, zero in zip((x, y), own, strict=True):
        spread = 2 * cloud.double().var(0, correction=0).sum().item()
        assert abs(zero.item()) <= 1e-4 * spread


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("debias", ["none", "independent"])
def test_other_debiasing(case, debias, solution):
    x, y, options, *_ = TABLE[case]
    expected = solution(case, debias)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function = partial(sinkhorn_divergence, debias=debias, **options)
        value, gradients = _differentiate(function, x, y)
    assert _error(gradients, expected) < 2e-2
    assert abs(value.item() - expected.value) <= 1e-4 * expected.mean


@pytest.mark.parametrize("case", [name for name in TABLE if "1e4 apart" in name])
def test_far_clouds_keep_their_shape(case, solution):
    # The shift dominates the gradient: without it, what is left must be right as well.
    x, y, options, *_ = TABLE[case]
    expected = solution(case)
    _, gradients = _differentiate(partial(sinkhorn_divergence, **options), x, y)
    for got, want in zip(gradients, (expected.grad_x, expected.grad_y), strict=True):
        got, want = (gradient.double() - gradient.double().mean(0) for gradient in (got, want))
        # float32 holds the gradient, of size 2e4 / n, to 6e-8 of itself.
        rounding = 2e4 * 6e-8 / math.sqrt(len(got))
        assert (got - want).norm() < 2e-2 * want.norm() + 2 * rounding


@pytest.mark.parametrize(
    ("case", "sharp"),
    [*((case, True) for case in TABLE), *itertools.product(EXTREMES, (False, True))],
)
def test_everything_stays_finite(case, sharp):
    x, y, options, *_ = {**TABLE, **EXTREMES}[case]
    options = {name: option for name, option in options.items() if name != "max_iter"}
    for debias in ("none", "paired", "independent"):
        function = partial(sinkhorn_divergence, debias=debias, sharp=sharp, **options)
        with warnings.catch_warnings():
            # What does not converge says so, and may only where epsilon is next to nothing.
            warnings.simplefilter("error")
            if options.get("epsilon", 1) <= 1e-3:
                warnings.simplefilter("ignore", ConvergenceWarning)
            value, gradients = _differentiate(function, x, y)
        assert value.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)
        if case.startswith("all points equal"):
            assert abs(value.item()) < 1e-12
            assert all(gradient.abs().max() < 1e-6 for gradient in gradients)


def _pot(epsilon, max_iter):
    def divergence(x, y):
        return ot.solve_sample(
            x,
            y,
            reg=epsilon,
            reg_type="KL",
            debias=True,
            grad="envelope",
            max_iter=max_iter,
        ).value

    return divergence


def _geomloss(epsilon, scaling):
    # Its cost is halved.
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(epsilon / 2), scaling=scaling, backend="tensorized"
    )
    return lambda x, y: 2 * loss(x, y)


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.filterwarnings("ignore")
def test_labels_of_pot_are_true(case, solution):
    x, y, options, label, _ = TABLE[case]
    expected = solution(case)
    function = _pot(expected.epsilon, options.get("max_iter", 1000))
    assert _label(function, x, y, expected) == label


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("scaling", [0.5, 0.9])
@pytest.mark.filterwarnings("ignore")
def test_labels_of_geomloss_are_true(case, scaling, solution):
    x, y, *_, label = TABLE[case]
    expected = solution(case)
    assert _label(_geomloss(expected.epsilon, scaling), x, y, expected) == label


def test_the_page_shows_the_table():
    rows = re.findall(r"^   \* - (.+)((?:\n     - .+){3})", PAGE.read_text(encoding="utf-8"), re.M)
    shown = [(name, *re.findall(r"- (.+)", cells)) for name, cells in rows]
    # Of skotae every case is right, or test_paired_divergence fails.
    labels = [(name, "right", pot, geomloss) for name, (*_, pot, geomloss) in TABLE.items()]
    assert shown == [("Case", "skotae", "POT", "geomloss"), *labels]
