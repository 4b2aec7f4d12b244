"""Small divergences in machine code are those of the usual way, or are left to it."""

import importlib.util
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from skotae.divergences import SinkhornDivergence
from skotae.exceptions import ConvergenceWarning
from skotae.transport import sinkhorn_divergence
from skotae.transport.entropic import debiased

VARIABLE = "SKOTAE_COMPILED"


def clouds(n, m, d, *, seed=0, dtype=torch.float32):
    x, y = torch.randn(2, max(n, m), d, generator=torch.Generator().manual_seed(seed))
    return x[:n].to(dtype), (0.8 * y[:m] + 0.3).to(dtype)


def outcome(x, y, **options):
    """Value, report, and the gradients of both clouds."""
    x, y = x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
    value, info = sinkhorn_divergence(x, y, return_info=True, **options)
    value.backward()
    return value.detach(), info, x.grad, y.grad


class Counted:
    """The machine code, and how many problems it has solved."""

    def __init__(self, solve):
        self.solve, self.solved, self.left = solve, 0, 0

    def __call__(self, *arguments):
        found = self.solve(*arguments)
        self.solved += found[3] > 0
        self.left += found[3] == 0
        return found


def in_place_of_numba(monkeypatch, solve):
    counted = Counted(solve)
    monkeypatch.setattr(debiased, "machine_code", lambda: counted)
    return counted


@pytest.fixture
def compiled(monkeypatch):
    pytest.importorskip("numba")
    solve = debiased.machine_code()
    assert solve is not None
    return in_place_of_numba(monkeypatch, solve)


@pytest.fixture
def interpreted(monkeypatch):
    """The same loops without numba, for problems that are tiny."""
    monkeypatch.setitem(sys.modules, "numba", None)
    name = "skotae.transport.entropic.compiled"
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.njit is None
    return in_place_of_numba(monkeypatch, module.solve)


def both(monkeypatch, x, y, **options):
    monkeypatch.delenv(VARIABLE, raising=False)
    usual = outcome(x, y, **options)
    monkeypatch.setenv(VARIABLE, "1")
    return usual, outcome(x, y, **options)


def assert_same(usual, found, *, rtol=1e-5):
    (value, info, *gradients), (other, other_info, *others) = usual, found
    # A debiased value is a difference of costs, as large as gradients times distances.
    scale = max(gradient.abs().sum().item() for gradient in gradients)
    torch.testing.assert_close(other, value, rtol=1e-5, atol=1e-6 * scale)
    # Each extrapolation makes what rounding does larger.
    assert abs(other_info.n_iter - info.n_iter) <= (0 if info.n_iter <= 10 else 5)
    assert other_info.converged == info.converged
    assert abs(other_info.marginal_violation - info.marginal_violation) <= max(
        0.5 * info.marginal_violation, 1e-6
    )
    for gradient, another in zip(gradients, others, strict=True):
        assert another.dtype == gradient.dtype
        assert (another - gradient).norm() <= rtol * gradient.norm()


@pytest.mark.parametrize("debias", ["paired", "independent", "none"])
@pytest.mark.parametrize("d", [1, 8, 64])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (17, 17), (64, 64), (100, 64), (300, 20)])
def test_same_as_the_usual_way(compiled, monkeypatch, n, m, d, debias):
    x, y = clouds(n, m, d)
    for epsilon in (0.1, 1.0):
        usual, found = both(monkeypatch, x, y, epsilon=epsilon, debias=debias)
        assert_same(usual, found, rtol=1e-5 if usual[1].n_iter <= 5 else 3e-3)
    assert compiled.solved == 2


@pytest.mark.parametrize("epsilon", [0.01, 0.02, 0.05])
def test_small_epsilon_to_the_same_tolerance(compiled, monkeypatch, epsilon):
    """Potentials leave the range of float32 and are absorbed; extrapolation goes wrong at times."""
    for d in (2, 8, 64):
        usual, found = both(monkeypatch, *clouds(64, 64, d), epsilon=epsilon)
        assert usual[1].converged and found[1].converged
        assert abs(found[1].n_iter - usual[1].n_iter) <= 0.5 * usual[1].n_iter
        torch.testing.assert_close(found[0], usual[0], rtol=2e-5, atol=0)
        for gradient, other in zip(usual[2:], found[2:], strict=True):
            assert (other - gradient).norm() <= 5e-3 * gradient.norm()
    assert compiled.solved == 3


@pytest.mark.parametrize("debias", ["paired", "independent"])
def test_weights_and_an_absolute_epsilon(compiled, monkeypatch, debias):
    x, y = clouds(40, 50, 3)
    generator = torch.Generator().manual_seed(1)
    options = {"epsilon": 2.0, "relative": False, "debias": debias}
    for dtype in (torch.float32, torch.float64):
        a, b = (torch.rand(k, generator=generator, dtype=dtype) + 1e-3 for k in (40, 50))
        assert_same(*both(monkeypatch, x, y, a=a, b=b, **options))
        assert_same(*both(monkeypatch, x, y, b=b, **options))
    assert compiled.solved == 4


@pytest.mark.parametrize("factor", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_any_scale_duplicates_and_clouds_far_apart(compiled, monkeypatch, factor, shift):
    x, y = clouds(30, 30, 4)
    x[10:] = x[0]
    usual, found = both(monkeypatch, factor * x, factor * (y + shift), epsilon=0.1)
    assert_same(usual, found)
    assert compiled.solved == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(compiled, monkeypatch, dtype):
    x, y = clouds(20, 20, 4, dtype=dtype)
    usual, found = both(monkeypatch, x, y, epsilon=0.5)
    assert_same(usual, found, rtol=1e-2)
    assert compiled.solved == 1


def test_views_and_gradients_that_are_not_wanted(compiled, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    x, y = clouds(32, 32, 6)
    strided = x.T.contiguous().T.requires_grad_()
    value = sinkhorn_divergence(strided, y)
    value.backward()
    _, _, expected, _ = outcome(x, y)
    torch.testing.assert_close(strided.grad, expected)
    assert sinkhorn_divergence(x, y).item() == value.item()
    assert compiled.solved == 3


def test_penalty_of_an_estimator(compiled, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    z, draws = clouds(64, 64, 4)
    found = SinkhornDivergence()(z, draws)
    assert compiled.solved == 1
    monkeypatch.delenv(VARIABLE)
    torch.testing.assert_close(found, SinkhornDivergence()(z, draws), rtol=1e-4, atol=1e-4)


def exactly_the_usual(monkeypatch, x, y, **options):
    usual, found = both(monkeypatch, x, y, **options)
    assert repr(found[1]) == repr(usual[1])  # of which a violation may be NaN
    for tensor, other in zip(usual, found, strict=True):
        if torch.is_tensor(tensor):
            torch.testing.assert_close(other, tensor, rtol=0, atol=0, equal_nan=True)


UNASKED = {
    "float64": {"dtype": torch.float64},
    "one point": {"n": 1},
    "many points": {"n": 513},
    "tolerance of float64": {"tol": 1e-6},
    "other cost": {"p": 1.5},
    "sharp": {"sharp": True},
    "zero weight": {"a": torch.arange(20.0)},
    "little memory": {"max_memory": 1e-2},
}


@pytest.mark.parametrize("case", UNASKED)
def test_what_is_not_for_machine_code(monkeypatch, case):
    in_place_of_numba(monkeypatch, Mock(side_effect=AssertionError))
    options = {"epsilon": 0.3} | UNASKED[case]
    x, y = clouds(options.pop("n", 20), 20, 2, dtype=options.pop("dtype", torch.float32))
    exactly_the_usual(monkeypatch, x, y, **options)


def test_several_threads_of_torch_are_faster_for_many_points(compiled, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    x, y = clouds(300, 300, 2)
    threads = torch.get_num_threads()
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        try:
            sinkhorn_divergence(x, y, epsilon=1.0)
        finally:
            torch.set_num_threads(threads)
        assert compiled.solved == 1


def test_gradients_of_weights_are_left_to_the_usual_way(monkeypatch):
    in_place_of_numba(monkeypatch, Mock(side_effect=AssertionError))
    monkeypatch.setenv(VARIABLE, "1")
    a = torch.rand(20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sinkhorn_divergence(*clouds(20, 20, 2), a=a).backward()
    assert a.grad.norm() > 0


def stuck():
    """Two clusters of unequal shares, that exchange next to nothing."""
    x, y = clouds(20, 20, 2)
    x[:9] += 10.0
    y[:11] += 10.0
    return x, y


LEFT = {
    "deep": (*clouds(20, 20, 2), {"epsilon": 1e-4}),
    "flat": (*clouds(20, 20, 2), {"epsilon": 1e3}),
    "slow": (*stuck(), {"epsilon": 0.01}),
    "equal points": (torch.ones(5, 2), torch.ones(5, 2), {}),
    "not finite": (torch.full((5, 2), torch.nan), torch.ones(5, 2), {}),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_machine_code_leaves(compiled, monkeypatch, case):
    x, y, options = LEFT[case]
    exactly_the_usual(monkeypatch, x, y, **options)
    assert (compiled.solved, compiled.left) == (0, 1)


def test_stopped_early_warns_as_ever(compiled, monkeypatch):
    x, y = clouds(20, 20, 2)
    with pytest.warns(ConvergenceWarning, match="after 3 iterations"):
        exactly_the_usual(monkeypatch, x, y, max_iter=3, epsilon=0.02)
    assert compiled.left == 1


@pytest.mark.parametrize("debias", ["paired", "independent"])
def test_the_loops_without_numba(interpreted, monkeypatch, debias):
    for epsilon, d in ((0.2, 1), (0.1, 3)):
        x, y = clouds(6, 7, d)
        usual, found = both(monkeypatch, x, y, epsilon=epsilon, debias=debias, tol=1e-4)
        assert_same(usual, found, rtol=1e-4)
    assert interpreted.solved == 2


@pytest.fixture
def imported_anew():
    name = "skotae.transport.entropic.compiled"
    before = sys.modules.pop(name, None)
    debiased.machine_code.cache_clear()
    yield
    sys.modules.pop(name, None)
    if before is not None:
        sys.modules[name] = before
    debiased.machine_code.cache_clear()


@pytest.mark.parametrize(
    ("numba", "reason"),
    [(None, "is not installed"), (Mock(njit=Mock(side_effect=OSError("full"))), "fails.*full")],
    ids=["missing", "broken"],
)
def test_without_numba_or_where_it_fails(imported_anew, monkeypatch, numba, reason):
    """What was asked for and cannot be had is said once, and all goes the usual way."""
    monkeypatch.setitem(sys.modules, "numba", numba)
    with pytest.warns(
        RuntimeWarning, match=f"SKOTAE_COMPILED=1 has no effect: numba {reason}"
    ) as w:
        exactly_the_usual(monkeypatch, *clouds(20, 20, 2))
    assert len(w) == 1
    assert debiased.machine_code() is None


@pytest.mark.parametrize("value", ["", "0"])
def test_only_where_it_is_asked_for(monkeypatch, value):
    in_place_of_numba(monkeypatch, Mock(side_effect=AssertionError))
    monkeypatch.setenv(VARIABLE, value)
    assert np.isfinite(sinkhorn_divergence(*clouds(20, 20, 2)).item())


# Whose digits show after some extrapolations in which order sums were taken.
COMPILED_IN_A_PROCESS = """
import torch
from skotae.transport import sinkhorn_divergence
from skotae.transport.entropic import debiased
assert debiased.machine_code() is not None
generator = torch.Generator().manual_seed(0)
for _ in range(20):
    x, y = torch.randn(2, 64, 8, generator=generator)
    print(sinkhorn_divergence(x.requires_grad_(), 2 * y + x[0], epsilon=0.01, return_info=True))
"""


@pytest.mark.slow
def test_compiled_now_or_before_is_the_same(monkeypatch, tmp_path):
    pytest.importorskip("numba")
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    command = [sys.executable, "-c", COMPILED_IN_A_PROCESS]
    now, before = (subprocess.check_output(command, timeout=120) for _ in range(2))
    assert any(tmp_path.iterdir())
    assert now == before
