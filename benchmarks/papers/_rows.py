"""What the papers' tables share: data, rows that are run once each, and the printed tables."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, print_table, save_json
from _recipes import Recipe, as_papers_have_it, call_of

from skotae.autoencoders.bases.variational import VariationalAutoencoder
from skotae.costs import SquaredEuclideanCost
from skotae.datasets import fetch_mnist
from skotae.metrics import triangle_bound

FOLDER = "papers"
LONG_SECONDS = 600.0
QUICK_ROWS = 1000
FEW_EPOCHS = 5
MNIST_ROWS = 60_000
MAX_GROWTH = 4
PIXELS = SquaredEuclideanCost(bounds=(0, 1))
Measures = dict[str, Any]


class Data(NamedTuple):
    """Training and test rows, float32, with integer labels.

    Images, where `image_shape` is not None, are flat rows with pixels in [0, 1], channels
    first; tables are standardised.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    image_shape: tuple[int, ...] | None

    @property
    def n_classes(self) -> int:
        return len(np.unique(self.y_train))

    def epochs(self, on_mnist: int) -> int:
        """As many as have the steps of so many on MNIST, up to `MAX_GROWTH` times the number."""
        same = on_mnist * MNIST_ROWS // len(self.X_train)
        return max(on_mnist, min(MAX_GROWTH * on_mnist, same))

    def cost_for(self, cls: type[BaseEstimator]) -> dict[str, Any]:
        """The parameter `cost` of an estimator: for images a likelihood or squared errors."""
        if self.image_shape is None:
            return {}
        return {"cost": "bernoulli" if issubclass(cls, VariationalAutoencoder) else PIXELS}

    def subset(self, n_train: int, n_test: int | None = None, seed: int = 0) -> Data:
        """That many rows drawn without replacement, or all where there are fewer."""
        rng = np.random.default_rng(seed)
        train, test = (
            np.sort(rng.permutation(len(y))[:n])
            for y, n in ((self.y_train, n_train), (self.y_test, n_test))
        )
        rows = self.X_train[train], self.y_train[train], self.X_test[test], self.y_test[test]
        return Data(self.name, *rows, self.image_shape)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Parameters
    ----------
    make : callable
        Takes a seed and returns what is fitted.
    measure : callable
        Takes that and the seed, fits it and returns the measures.
    paper : mapping
        The paper's figures, by measure; shown beside MNIST only.
    draw : callable, default=None
        Takes what `measure` returned as "images", which are not kept with the measures.
    recipe : Recipe, default=None
        Of a row that is as its paper has it: the page of the paper has its call.
    may_warn : bool, default=False
        Whether warnings are no errors, but told beside the measures; always so for a recipe.
    """

    make: Callable[[int], Any]
    measure: Callable[[Any, int], Measures]
    paper: Mapping[str, float] = field(default_factory=dict)
    draw: Callable[[np.ndarray], None] | None = None
    recipe: Recipe | None = None
    may_warn: bool = False

    def estimator(self, seed: int | None) -> Any:
        """What is fitted, as papers have it: from random weights."""
        model = self.make(seed)
        as_papers_have_it(model)
        return model

    def run(self, seed: int) -> Measures:
        """The measures; and the warnings, if it may do what it warns of."""
        model = self.estimator(seed)
        model.may_warn = self.may_warn or self.recipe is not None
        measures = self.measure(model, seed)
        return measures | ({"warnings": model.told} if model.told else {})


@dataclass(frozen=True)
class Table:
    """Rows by name, and the measures that are printed, with their number of decimals."""

    title: str
    rows: Mapping[str, Row]
    decimals: Mapping[str, int]


def minus_bound(model: Any, X: np.ndarray, seed: int = 0) -> float:
    """Minus the triangle bound on the Wasserstein distance, in the units of the data."""
    samples = model.sample(min(len(X), 2048), random_state=seed)
    return -triangle_bound(X, model.reconstruct(X), samples, random_state=seed)


def arguments(description: str | None) -> argparse.Namespace:
    """Options of every script; `description` is its docstring."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test; nothing is written")
    parser.add_argument("--data", metavar="FILE.npz", type=Path, help="other data than MNIST")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of a row under ten minutes")
    parser.add_argument(
        "--jobs", type=int, default=1, help="rows beside each other; they share the cores"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="TEXT",
        help="the row of that name, or those whose 'table: row' contains it",
    )
    parser.add_argument("--redo", action="store_true", help="run again what is there")
    return parser.parse_args()


def load(options: argparse.Namespace) -> Data:
    """The data that the options ask for; a thousand rows with ``--quick``.

    A file has X_train, y_train, X_test and y_test. Rows that are matrices are grey images,
    rows of three axes colour images with channels first or last; integers are divided by 255.
    """
    if options.data is not None:
        data = _from_file(options.data)
    elif options.quick and not os.environ.get("SKOTAE_DATA"):
        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split(
            (X / 16).astype(np.float32), y, test_size=0.3, stratify=y, random_state=0
        )
        data = Data("digits", X, y, X_test, y_test, (8, 8))
    else:
        data = Data("mnist", **fetch_mnist())
    return data.subset(QUICK_ROWS, QUICK_ROWS // 2) if options.quick else data


def like_mnist(script: str) -> Data:
    """Data of the size of a script's MNIST, without the images: enough to make estimators."""
    n, n_test = (2560, 2560) if script == "coupled_vae" else (MNIST_ROWS, 10_000)
    X, y = np.broadcast_to(np.float32(0), (n, 784)), np.arange(n) % 10
    return Data("mnist", X, y, X[:n_test], y[:n_test], (28, 28))


# Of the other data of the guide: rows for training and for testing, shape of images or number of
# features, and classes.
OTHER_DATA: dict[str, tuple[int, int, tuple[int, ...] | int, int]] = {
    "segments": (1617, 693, 18, 7),
    "patches": (5720, 2392, (3, 16, 16), 4),
}


def like(script: str, data: str) -> Data:
    """Data of the size of those that a script's results are of, without the values."""
    if data == "mnist":
        return like_mnist(script)
    n, n_test, shape, n_classes = OTHER_DATA[data]
    X, y = np.broadcast_to(np.float32(0), (n, int(np.prod(shape)))), np.arange(n) % n_classes
    found = Data(data, X, y, X[:n_test], y[:n_test], None if isinstance(shape, int) else shape)
    return found.subset(len(like_mnist(script).X_train))


def _from_file(path: Path) -> Data:
    if not path.is_file():
        raise SystemExit(f"--data {path}: there is no such file.")
    with np.load(path, allow_pickle=False) as file:
        missing = {"X_train", "y_train", "X_test", "y_test"} - {*file}
        if missing:
            raise SystemExit(f"{path} has no {', '.join(sorted(missing))}.")
        parts = [file["X_train"], file["X_test"]]
        labels = [file["y_train"], file["y_test"]]
    classes, joined = np.unique(np.concatenate(labels), return_inverse=True)
    y_train, y_test = np.split(joined, [len(labels[0])])
    if parts[0].ndim == 2:
        scaler = StandardScaler().fit(parts[0])
        X_train, X_test = (scaler.transform(part).astype(np.float32) for part in parts)
        return Data(path.stem, X_train, y_train, X_test, y_test, None)
    if parts[0].ndim == 4 and parts[0].shape[-1] in (1, 3, 4):
        parts = [np.moveaxis(part, -1, 1) for part in parts]
    unit = 255.0 if np.issubdtype(parts[0].dtype, np.integer) else 1.0
    X_train, X_test = (part.reshape(len(part), -1).astype(np.float32) / unit for part in parts)
    return Data(path.stem, X_train, y_train, X_test, y_test, parts[0].shape[1:])


def timed_fit(estimator: Any, X: np.ndarray) -> float:
    """Fit; seconds. Warnings are errors, but for recipes: no row of a table hides one."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always" if estimator.may_warn else "error")
        if getattr(estimator, "max_iter", FEW_EPOCHS + 1) <= FEW_EPOCHS:  # --quick
            warnings.filterwarnings("ignore", message="Reconstructions of the training rows")
        start = time.perf_counter()
        estimator.fit(X)
        seconds = round(time.perf_counter() - start, 1)
    estimator.told = [str(each.message) for each in told]
    return seconds


def reported(report: Mapping[str, Any]) -> Measures:
    """The values of a `GenerationReport`, and its intervals beside them."""
    intervals = {name: [e.low, e.high] for name, e in report.items()}
    finite = {name: ends for name, ends in intervals.items() if np.isfinite(ends).all()}
    return {**{name: e.value for name, e in report.items()}, "intervals": finite}


def result_path(script: str, data: str, suffix: str) -> Path:
    """Where a script keeps what it finds, such as figures."""
    path = RESULTS / FOLDER / f"{_stem(script, data)}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def tiled(images: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """One RGB picture of images, of shape (lines, columns, features), with pixels in [0, 1]."""
    shape = image_shape if len(image_shape) == 3 else (1, *image_shape)
    tiles = images.reshape(*images.shape[:2], *shape).transpose(0, 3, 1, 4, 2)
    picture = tiles.reshape(len(images) * shape[1], -1, shape[0]).clip(0.0, 1.0)
    return np.repeat(picture, 3, axis=2) if shape[0] == 1 else picture[..., :3]


def _stem(script: str, data: str) -> str:
    name = Path(script).stem
    return name if data == "mnist" else f"{name}-{data}"


def run(
    script: str,
    data: str,
    tables: Sequence[Table],
    options: argparse.Namespace,
    settings: Mapping[str, Any],
    *packages: str,
) -> None:
    """Run the rows that are not in the results yet, and print the tables.

    The first seed of every row comes before the second of any. A row whose first seed took
    more than ten minutes has no others.

    Parameters
    ----------
    script, data : str
        ``__file__`` of the script and name of the data, which name the file of results.
    tables : list of Table
    options : Namespace
        From `arguments`.
    settings : mapping
        What all rows share, for the record.
    *packages : str
        Peers whose versions are recorded.
    """
    name = f"{FOLDER}/{_stem(script, data)}"
    path = RESULTS / f"{name}.json"
    results: dict[str, Any] = {"tables": {}}
    if path.exists() and not options.quick:
        results = json.loads(path.read_text())
    command = f"python benchmarks/papers/{Path(script).name}"
    if options.data is not None:
        command += f" --data {options.data.name}"
    results |= {"command": command, "data": data, "settings": dict(settings)}
    results["decimals"] = {table.title: dict(table.decimals) for table in tables}
    found = results["tables"]
    chosen = _chosen(tables, options.only)
    # Arrays that workers share are mapped; copied where one is written to.
    parallel = Parallel(options.jobs, return_as="generator_unordered", mmap_mode="c")
    for seed in range(1 if options.quick else options.seeds):
        waiting = [
            (title, row_name, row)
            for title, row_name, row in chosen
            if _is_due(found.get(title, {}).get(row_name), seed, options.redo)
        ]
        for i, measures in parallel(
            delayed(_measured)(i, row, seed) for i, (_, _, row) in enumerate(waiting)
        ):
            title, row_name, row = waiting[i]
            images = measures.pop("images", None)
            if row.draw is not None and images is not None:
                row.draw(images)
            entry = found.setdefault(title, {}).setdefault(row_name, {"seeds": {}})
            entry["paper"] = dict(row.paper) if data == "mnist" else {}
            if row.recipe is not None:
                entry["call"] = call_of(row.estimator(None))
            entry["seeds"][str(seed)] = measures
            print(f"{row_name}, seed {seed}: {measures}", flush=True)
            if not options.quick:
                save_json(name, results, *packages)
    for table in tables:
        entries = found.get(table.title, {})
        # In the table's order, which is not the one that they were run in.
        entries = {name: entries[name] for name in table.rows if name in entries} | entries
        if entries:
            found[table.title] = entries
            brackets = " (the paper's figures in brackets)" if data == "mnist" else ""
            print(f"\n{table.title}{brackets}")
            print_table(*as_table(entries, table.decimals))
    if not options.quick:
        save_json(name, results, *packages)
        print(f"results: benchmarks/results/{name}.json")


def _chosen(tables: Sequence[Table], only: Sequence[str] | None) -> list[tuple[str, str, Row]]:
    """Title of the table, name and row of those that ``--only`` asks for."""
    rows = [(table.title, name, row) for table in tables for name, row in table.rows.items()]
    if not only:
        return rows
    known = {text for title, name, _ in rows for text in (name, f"{title}: {name}")}
    return [
        (title, name, row)
        for title, name, row in rows
        if any(
            text in (name, f"{title}: {name}") if text in known else text in f"{title}: {name}"
            for text in only
        )
    ]


def _is_due(entry: Mapping[str, Any] | None, seed: int, redo: bool) -> bool:
    seeds = {} if entry is None else entry["seeds"]
    if str(seed) in seeds and not redo:
        return False
    return seed == 0 or seeds["0"].get("seconds", 0.0) <= LONG_SECONDS


def _measured(i: int, row: Row, seed: int) -> tuple[int, Measures]:
    start = time.perf_counter()
    measures = row.run(seed)
    return i, {**measures, "seconds": round(time.perf_counter() - start, 1)}


def as_table(
    entries: Mapping[str, Any], decimals: Mapping[str, int]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: means over seeds and their standard deviations, the paper's in brackets."""
    shown = {**decimals, "seconds": 0}
    rows = []
    for name, entry in entries.items():
        cells = [_cell(entry, measure, d) for measure, d in shown.items()]
        rows.append([name, *cells, str(len(entry["seeds"]))])
    return ["row", *(measure.replace("_", " ") for measure in shown), "seeds"], rows


def _cell(entry: Mapping[str, Any], measure: str, decimals: int) -> str:
    values = [run[measure] for run in entry["seeds"].values() if run.get(measure) is not None]
    if not values:
        return ""
    text = f"{statistics.fmean(values):.{decimals}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{decimals}f}"
    paper = entry["paper"].get(measure)
    return text if paper is None else f"{text} [{paper:g}]"
