"""POT's own tests, with functions of skotae in the place of POT's.

    pip download --no-deps --no-binary POT POT==VERSION
    python benchmarks/peers/pot.py pot-0.9.7.post1.tar.gz pot-0.9.6.post1.tar.gz POT-0.9.3.tar.gz

The tests come with POT's source distributions, but for what they share, of which a stand-in has the
backends of NumPy and torch. Files that the first has not are taken from the others: the newer ones
lack those of sliced and unbalanced transport, which moved to folders that are left out. Thin shims
take the place of the public functions that skotae has an equivalent of; a call that asks for what
has none counts as missing. ``results/peers_pot.json`` has, for each function, how many of the tests
that call its shim passed, failed or asked for what is missing, where a test that calls several
counts for each; and for each file the tests that passed, and the reasons of the others.
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

import _pot_entropic
import _pot_others
import _pot_shims
import ot
import pytest
from _common import print_table, save_json
from _pot_shims import Missing

CONFTEST = """
import functools

import pytest
from ot.backend import NumpyBackend, TorchBackend

@pytest.fixture(params=[NumpyBackend(), TorchBackend()], ids=["numpy", "torch"])
def nx(request):
    return request.param

def listed(value):
    return value if isinstance(value, (tuple, list)) else (value,)

def skip_arg(arg, value, reason=None, getter=lambda x: x):
    names, values = listed(arg), listed(value)
    getters = getter if isinstance(getter, (tuple, list)) else [getter] * len(names)
    def decorator(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            triples = zip(names, values, getters)
            if all(name in kwargs and get(kwargs[name]) == value for name, value, get in triples):
                pytest.skip(reason or "of another backend")
            return function(*args, **kwargs)
        return wrapped
    return decorator

def skip_backend(backend, reason=None):
    return skip_arg("nx", backend, reason, lambda nx: nx.__name__)

pytest.skip_arg, pytest.skip_backend = skip_arg, skip_backend
"""
FILES = (
    *("test_ot.py", "test_1d_solver.py", "test_bregman.py", "test_gaussian.py", "test_partial.py"),
    *("test_solvers.py", "test_sliced.py", "test_unbalanced.py"),
)


SHIMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "emd": (_pot_shims.emd, (ot, ot.lp)),
    "emd2": (_pot_shims.emd2, (ot, ot.lp)),
    "emd_1d": (_pot_shims.emd_1d, (ot, ot.lp)),
    "emd2_1d": (_pot_shims.emd2_1d, (ot, ot.lp)),
    "wasserstein_1d": (_pot_shims.wasserstein_1d, (ot, ot.lp)),
    "sinkhorn": (_pot_entropic.sinkhorn, (ot, ot.bregman)),
    "sinkhorn2": (_pot_entropic.sinkhorn2, (ot, ot.bregman)),
    "empirical_sinkhorn": (_pot_entropic.empirical_sinkhorn, (ot.bregman,)),
    "empirical_sinkhorn2": (_pot_entropic.empirical_sinkhorn2, (ot.bregman,)),
    "empirical_sinkhorn_divergence": (_pot_entropic.empirical_sinkhorn_divergence, (ot.bregman,)),
    "barycenter": (_pot_entropic.barycenter, (ot, ot.bregman)),
    "barycenter_debiased": (_pot_entropic.barycenter_debiased, (ot.bregman,)),
    "convolutional_barycenter2d": (_pot_entropic.convolutional_barycenter2d, (ot.bregman,)),
    "convolutional_barycenter2d_debiased": (
        _pot_entropic.convolutional_barycenter2d_debiased,
        (ot.bregman,),
    ),
    "free_support_barycenter": (_pot_entropic.free_support_barycenter, (ot.lp,)),
    "free_support_sinkhorn_barycenter": (
        _pot_entropic.free_support_sinkhorn_barycenter,
        (ot.bregman,),
    ),
    "sinkhorn_unbalanced": (_pot_others.sinkhorn_unbalanced, (ot, ot.unbalanced)),
    "sinkhorn_unbalanced2": (_pot_others.sinkhorn_unbalanced2, (ot, ot.unbalanced)),
    "partial_wasserstein": (_pot_others.partial_wasserstein, (ot.partial,)),
    "partial_wasserstein2": (_pot_others.partial_wasserstein2, (ot.partial,)),
    "bures_wasserstein_mapping": (_pot_others.bures_wasserstein_mapping, (ot.gaussian,)),
    "bures_wasserstein_distance": (_pot_others.bures_wasserstein_distance, (ot.gaussian,)),
    "bures_distance": (_pot_others.bures_distance, (ot.gaussian,)),
    "empirical_bures_wasserstein_mapping": (
        _pot_others.empirical_bures_wasserstein_mapping,
        (ot.gaussian,),
    ),
    "empirical_bures_wasserstein_distance": (
        _pot_others.empirical_bures_wasserstein_distance,
        (ot.gaussian,),
    ),
    "sliced_wasserstein_distance": (
        _pot_others.sliced_wasserstein_distance,
        (ot, ot.sliced),
    ),
    "max_sliced_wasserstein_distance": (
        _pot_others.max_sliced_wasserstein_distance,
        (ot, ot.sliced),
    ),
    "solve": (_pot_others.solve, (ot,)),
    "solve_sample": (_pot_others.solve_sample, (ot,)),
}


class Counting:
    """A plugin of pytest that puts the shims in and counts what becomes of the tests."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)  # by function
        self.files: dict[str, dict[str, Any]] = {}
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
        file, _, test = report.nodeid.split("/")[-1].partition("::")
        found = self.files.setdefault(
            file, {"passed": 0, "failed": {}, "missing": {}, "calls no shim": 0}
        )
        if not self._called:
            found["calls no shim"] += 1
            return
        outcome = "missing" if self._missing else report.outcome
        for name in self._called:
            self.counts[name][outcome] += 1
        if outcome == "passed":
            found["passed"] += 1
        else:
            lines = str(report.longrepr).strip().splitlines()
            reason = self._missing or next(
                (line for line in lines if line.startswith("E ")), lines[-1]
            )
            found[outcome][test] = reason[:160].removeprefix("E").strip()


def main() -> None:
    counting = Counting()
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:]:
            with tarfile.open(name) as archive:
                archive.extractall(folder, filter="data")
        # The first archive that has a file has it.
        roots = [next(Path(folder).glob(f"{Path(name).name[:-7]}/test")) for name in sys.argv[1:]]
        tests = roots[0]
        (tests / "conftest.py").write_text(CONFTEST)
        for root in roots[1:]:
            for file in FILES:
                if not (tests / file).exists() and (root / file).exists():
                    (tests / file).write_text((root / file).read_text())
        files = [str(tests / name) for name in FILES if (tests / name).exists()]
        quiet = ["-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-n", "0"]
        pytest.main([*quiet, "-c", "/dev/null", f"--rootdir={tests}", *files], plugins=[counting])
    outcomes = ("passed", "failed", "missing")
    rows = {name: {each: counting.counts[name][each] for each in outcomes} for name in SHIMS}
    print_table(["Function", *outcomes], [[name, *row.values()] for name, row in rows.items()])
    counted = [
        [name, *(len(each) if isinstance(each, dict) else each for each in found.values())]
        for name, found in counting.files.items()
    ]
    print_table(["File", *outcomes, "calls no shim"], counted)
    archives = [Path(name).name for name in sys.argv[1:]]
    save_json("peers_pot", {"archives": archives, "functions": rows, "files": counting.files})


if __name__ == "__main__":
    main()
