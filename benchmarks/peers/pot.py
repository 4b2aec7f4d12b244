"""POT's own tests, with functions of skotae in the place of POT's.

    pip download --no-deps --no-binary POT POT==VERSION
    python benchmarks/peers/pot.py pot-VERSION.tar.gz

The tests come with POT's source distribution, of the version that is installed, but for what they
share, of which a stand-in has the backends of NumPy and torch. Thin shims take the place of the
public functions that skotae has an equivalent of; a call that asks for what has none counts as
missing. ``results/peers_pot.json`` has, for each function, how many of the tests that call its shim
passed, failed or asked for what is missing. A test that calls several counts for each.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import ot
import pytest
import torch
from _common import print_table, save_json

from skotae import transport

CONFTEST = """
import pytest
from ot.backend import NumpyBackend, TorchBackend

@pytest.fixture(params=[NumpyBackend(), TorchBackend()], ids=["numpy", "torch"])
def nx(request):
    return request.param

def not_skipped(*args, **options):
    return lambda function: function

pytest.skip_backend = pytest.skip_arg = not_skipped
"""
FILES = ("test_gaussian.py", "test_partial.py", "test_ot.py")


class Missing(Exception):
    """What a call asks for has no equivalent."""


def tensor(value: Any) -> torch.Tensor | None:
    """A tensor of float64, or None of nothing and of an empty list, which mean uniform weights."""
    if value is None or len(value) == 0:
        return None
    if isinstance(value, (np.ndarray, list, tuple)):
        return torch.as_tensor(np.asarray(value, dtype=float))
    if not isinstance(value, torch.Tensor):
        raise Missing(f"arrays of {type(value).__module__}")
    return value.double()


def back(result: torch.Tensor, like: Any) -> Any:
    """In the kind and dtype of an argument."""
    if isinstance(like, torch.Tensor):
        return result.to(like)
    return result.numpy().astype(np.asarray(like).dtype) if result.ndim else float(result)


def plain(options: dict[str, Any], *known: str) -> None:
    """Raise Missing if an option is given that has no equivalent; some change no result."""
    other = {name for name, value in options.items() if value is not None} - set(known)
    if other:
        raise Missing(f"options {sorted(other)}")


def emd(a: Any, b: Any, M: Any, *, log: bool = False, **options: Any) -> Any:
    plain(options, "numItermax", "numThreads", "center_dual", "check_marginals")
    weights = tensor(a)
    plan, f, g = transport.exact_plan(
        cost=tensor(M), a=weights, b=tensor(b), return_potentials=True
    )
    total = 1.0 if weights is None else weights.sum()
    found = back(total * plan, M)
    cost = float((total * plan * tensor(M)).sum())
    return (found, {"cost": cost, "u": back(f, M), "v": back(g, M)}) if log else found


def emd2(a: Any, b: Any, M: Any, *, log: bool = False, **options: Any) -> Any:
    plain(options, "numItermax", "numThreads", "center_dual", "check_marginals", "processes")
    if log or (b is not None and np.ndim(b) == 2):
        raise Missing("a log, or several histograms")
    weights = tensor(a)
    total = 1.0 if weights is None else weights.sum()
    return back(total * transport.exact_cost(cost=tensor(M), a=weights, b=tensor(b)), M)


def partial_wasserstein(
    a: Any, b: Any, M: Any, m: float | None = None, *, log: bool = False, **options: Any
) -> Any:
    plain(options, "nb_dummies")
    plan = transport.partial_plan(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    cost = float((plan * tensor(M)).sum())
    found = back(plan, M)
    return (found, {"cost": cost, "partial_w_dist": cost}) if log else found


def partial_wasserstein2(
    a: Any, b: Any, M: Any, m: float | None = None, *, log: bool = False, **options: Any
) -> Any:
    plain(options, "nb_dummies")
    value = transport.partial_cost(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    if not log:
        return back(value, M)
    plan = transport.partial_plan(cost=tensor(M), a=tensor(a), b=tensor(b), mass=m)
    return back(value, M), {"T": back(plan, M), "cost": float(value)}


def gaussians(ms: Any, mt: Any, Cs: Any, Ct: Any) -> list[torch.Tensor]:
    if np.ndim(Cs) != 2 or np.ndim(Ct) != 2:
        raise Missing("batches of Gaussians")
    first, cov1, second, cov2 = (tensor(each) for each in (ms, Cs, mt, Ct))
    return [first.flatten(), cov1, second.flatten(), cov2]


def bures_wasserstein_mapping(ms: Any, mt: Any, Cs: Any, Ct: Any, log: bool = False) -> Any:
    if log:
        raise Missing("a log")
    A, b = transport.gaussian_map(*gaussians(ms, mt, Cs, Ct))
    return back(A, Cs), back(b, Cs)


def bures_wasserstein_distance(
    ms: Any, mt: Any, Cs: Any, Ct: Any, log: bool = False, **options: Any
) -> Any:
    plain(options)
    if log:
        raise Missing("a log")
    return back(transport.gaussian_wasserstein(*gaussians(ms, mt, Cs, Ct)).sqrt(), Cs)


def free_support_barycenter(
    locations: Any, weights: Any, X_init: Any, b: Any = None, shares: Any = None, **options: Any
) -> Any:
    plain(options, "numItermax", "stopThr", "numThreads")
    found = transport.free_support_barycenter(
        [tensor(each) for each in locations],
        [tensor(each) for each in weights],
        tensor(X_init),
        tensor(b),
        tensor(shares),
        max_iter=options.get("numItermax", 100),
    )
    return back(found, X_init)


SHIMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "emd": (emd, (ot, ot.lp)),
    "emd2": (emd2, (ot, ot.lp)),
    "partial_wasserstein": (partial_wasserstein, (ot.partial,)),
    "partial_wasserstein2": (partial_wasserstein2, (ot.partial,)),
    "bures_wasserstein_mapping": (bures_wasserstein_mapping, (ot.gaussian,)),
    "bures_wasserstein_distance": (bures_wasserstein_distance, (ot.gaussian,)),
    "free_support_barycenter": (free_support_barycenter, (ot.lp,)),
}


class Counting:
    """A plugin of pytest that puts the shims in and counts what becomes of the tests."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.failures: dict[str, str] = {}
        self._called: set[str] = set()
        self._missing = ""
        self._inside = False
        for name, (shim, modules) in SHIMS.items():
            for module in modules:
                setattr(module, name, self._watched(name, shim, getattr(module, name)))

    def _watched(
        self, name: str, shim: Callable[..., Any], original: Callable[..., Any]
    ) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            # The network simplex that skotae calls is POT's own.
            if self._inside:
                return original(*args, **options)
            self._called.add(name)
            self._inside = True
            try:
                return shim(*args, **options)
            except Missing as missing:
                self._missing = f"{name}: {missing}"
                raise
            finally:
                self._inside = False

        return call

    def pytest_runtest_setup(self, item: Any) -> None:
        self._called, self._missing = set(), ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" or report.skipped:
            return
        outcome = "missing" if self._missing else report.outcome
        for name in self._called:
            self.counts[name][outcome] += 1
        if self._called and outcome == "failed":
            lines = str(report.longrepr).strip().splitlines()
            self.failures[report.nodeid.split("/")[-1]] = lines[-1][:160]


def main() -> None:
    counting = Counting()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sys.argv[1]) as archive:
            archive.extractall(folder, filter="data")
        (tests,) = Path(folder).glob("*/test")
        (tests / "conftest.py").write_text(CONFTEST)
        files = [str(tests / name) for name in FILES]
        quiet = ["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-n", "0"]
        pytest.main([*quiet, "-c", "/dev/null", f"--rootdir={tests}", *files], plugins=[counting])
    outcomes = ("passed", "failed", "missing")
    rows = {name: {each: counting.counts[name][each] for each in outcomes} for name in SHIMS}
    print_table(["Function", *outcomes], [[name, *row.values()] for name, row in rows.items()])
    save_json("peers_pot", {"files": FILES, "functions": rows, "failures": counting.failures})


if __name__ == "__main__":
    main()
