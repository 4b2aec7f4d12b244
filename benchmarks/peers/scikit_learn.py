"""scikit-learn's own tests, with estimators of skotae in the place of scikit-learn's.

    python benchmarks/peers/scikit_learn.py

The tests come with scikit-learn's wheel. Three kinds are run:

- those of all estimators, of which ``sklearn.utils.all_estimators`` lists those of skotae alone;
- those of callbacks, whose estimators are invented ones: here they are VAEs that train for as many
  epochs as those have iterations, predict the same, and call their epochs iterations;
- those with ``PCA`` somewhere, which here is a VAE with the parameters of a ``PCA``.

``results/peers_sklearn.json`` has, for each file, what became of the tests in which one of these
was built, what failed why, and which of the failures scikit-learn's own estimators share.
"""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
import sklearn
import sklearn.utils.discovery
from _common import print_table, save_json
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext

import skotae

LISTED = ("tests/test_common.py", "tests/test_docstring_parameters.py")
BUILT = (
    *(f"callback/tests/test_{name}.py" for name in ("callback_context", "callback_support")),
    *(f"callback/tests/test_{name}.py" for name in ("pickle", "progressbar", "scoring_monitor")),
    *("tests/test_pipeline.py", "tests/test_base.py", "feature_selection/tests/test_from_model.py"),
    *("utils/_repr_html/tests/test_features.py", "utils/_repr_html/tests/test_estimator.py"),
)
FILES = (*LISTED, *BUILT)
ROWS = np.random.RandomState(0).normal(size=(12, 2))
FEW = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
FEWER = {"n_mixtures": 2, "n_bank": 64, "n_flows": 2}
OURS = tuple(filter(inspect.isclass, (getattr(skotae, name) for name in skotae.__all__)))


class _Iterations(CallbackContext):
    """Subcontexts under the names that the tests expect."""

    def subcontext(self, task_name: str = "", **options: Any) -> CallbackContext:
        name = f"iteration {len(self._children_map)}"
        return super().subcontext(task_name=name, **options)


class MaxIterEstimator(skotae.VAE):
    """Trains for `max_iter` epochs, on rows of its own if it gets none."""

    def __init__(self, max_iter: int = 20, computation_intensity: float = 0.001):
        super().__init__(n_components=1, hidden_layer_sizes=(2,), max_iter=max_iter, random_state=0)
        self.computation_intensity = computation_intensity

    def _init_callback_context(self, *args: Any, **options: Any) -> CallbackContext:
        context = super()._init_callback_context(*args, **options)
        context.__class__ = _Iterations
        return context

    def fit(self, X: Any = None, y: Any = None) -> MaxIterEstimator:
        return super().fit(ROWS if X is None else X, y)

    def predict(self, X: Any) -> np.ndarray:
        return np.mean(X, axis=1) * self.n_iter_


class ThirdPartyEstimator(MaxIterEstimator):
    """The same under another name."""


class ParentFitEstimator(MaxIterEstimator):
    """Uses the `fit` of its parent."""

    def __init__(self, max_iter: int = 20, computation_intensity: float = 0.001):
        super().__init__(max_iter, computation_intensity)

    def fit(self, X: Any = None, y: Any = None) -> ParentFitEstimator:
        return super().fit(X, y)


class PCA(skotae.VAE):
    """As many components as there are columns are too many for a few rows: two."""

    def __init__(
        self,
        n_components: int | str | None = None,
        *,
        copy: bool = True,
        whiten: bool = False,
        svd_solver: str = "auto",
        random_state: Any = None,
    ):
        n_components = n_components if isinstance(n_components, int) else 2
        super().__init__(**{**FEW, "n_components": n_components, "random_state": 0})
        self.copy, self.whiten, self.svd_solver = copy, whiten, svd_solver
        self.random_state = random_state


def listed(type_filter: str | None = None) -> list[tuple[str, type]]:
    """In the place of ``sklearn.utils.all_estimators``."""
    wanted = "transform" if type_filter == "transformer" else "fit"
    return [(each.__name__, each) for each in OURS if hasattr(each, wanted)]


def put_in() -> None:
    """Estimators of skotae in the place of scikit-learn's."""
    import sklearn.callback.tests._utils as invented
    import sklearn.decomposition

    for each in (MaxIterEstimator, ThirdPartyEstimator, ParentFitEstimator):
        setattr(invented, each.__name__, each)
    sklearn.decomposition.PCA = PCA
    sklearn.utils.all_estimators = sklearn.utils.discovery.all_estimators = listed
    from sklearn.utils._test_common.instance_generator import INIT_PARAMS

    for _, each in listed():
        known = inspect.signature(each).parameters
        INIT_PARAMS[each] = {k: v for k, v in {**FEW, **FEWER}.items() if k in known}


class Watching:
    """A plugin of pytest that keeps what became of the tests in which one of ours was built."""

    def __init__(self, ours: bool) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}
        self._ours, self._built = ours, False

        def new(cls: type, *args: Any, **options: Any) -> Any:
            self._built = self._built or issubclass(cls, OURS)
            return object.__new__(cls)

        BaseEstimator.__new__ = new  # type: ignore[method-assign, assignment]

    def pytest_runtest_setup(self) -> None:
        self._built = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and (self._built or not self._ours):
            lines = str(report.longrepr).strip().splitlines() if report.longrepr else [""]
            self.outcomes[report.nodeid] = report.outcome, lines[-1]


def run(tests: list[str], ours: bool, file: str) -> None:
    """Write to a file, by test, what became of it and why."""
    if ours:
        put_in()
    watching = Watching(ours)
    quiet = ["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
    root = Path(sklearn.__file__).parent
    os.chdir(root)
    pytest.main([*quiet, "-c", os.devnull, f"--rootdir={root}", *tests], plugins=[watching])
    Path(file).write_text(json.dumps(watching.outcomes))
    # Tests may leave threads and workers, for which an interpreter would wait.
    os._exit(0)


def apart(tests: list[str], ours: bool) -> dict[str, tuple[str, str]]:
    """By test, what became of it and why, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "outcomes.json")
        process = multiprocessing.get_context("spawn").Process(target=run, args=(tests, ours, file))
        process.start()
        process.join()
        return json.loads(Path(file).read_text())


def main() -> None:
    # Workers, and the interpreters that tests start, find the classes of this file.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], *([before] if before else [])])
    os.environ["SCIPY_ARRAY_API"] = "1"
    with ThreadPoolExecutor(2) as pool:
        found = dict(chain(*(pool.map(lambda file: apart([file], True).items(), FILES))))
    failed = {test: why for test, (outcome, why) in found.items() if outcome == "failed"}
    invented = [test for test in failed if test.split("::")[0] in BUILT]
    theirs = apart(invented, False) if invented else {}
    shared = sorted(test for test, (outcome, _) in theirs.items() if outcome == "failed")
    kinds = ("passed", "failed", "skipped")
    counts = Counter((test.split("::")[0], outcome) for test, (outcome, _) in found.items())
    rows = {file: {kind: counts[file, kind] for kind in kinds} for file in FILES}
    print_table(["File", *kinds], [[file, *row.values()] for file, row in rows.items()])
    save_json(
        "peers_sklearn",
        {"files": rows, "failures": {k: v[:200] for k, v in failed.items()}, "shared": shared},
    )


if __name__ == "__main__":
    # As a module, whose classes can be pickled.
    import scikit_learn

    scikit_learn.main()
