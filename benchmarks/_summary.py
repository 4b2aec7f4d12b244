"""What the results of ``tables.py`` say, from the JSON alone: for the terminal and the guide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Any

HEADLINE = ("WAEEstimator", "SinkhornAE", "SymmetricWAE", "GMWAE", "CoupledVAE")
N_COMPONENTS = (2, 8, 16)
TIMED = ("digits", "satellite", "mnist_5000", "flights")
# Of the error of the mean.
ROUNDING = 1e-9
Row = dict[str, Any]
Pairs = dict[str, float]
TableOf = tuple[str, list[str], list[list[Any]]]


def key(model: str, n_components: int) -> str:
    return f"{model}, {n_components}" if n_components else model


def compared(
    results: Row, model: str, other: str, figure: str, compare: Callable[[float, float], float]
) -> Pairs:
    """`compare` of the model's figure and the other's, by set and number of components."""
    found = {}
    for name, entry in results.get("tables", {}).items():
        for size in N_COMPONENTS:
            rows = entry["rows"]
            if key("PCA + Gaussian", size) not in rows:  # the set does not allow so many
                continue
            # Without a number of components: those that have none.
            ours, beside = (
                (rows.get(key(m, size)) or rows.get(m) or {}).get(figure) for m in (model, other)
            )
            if figure == "reconstruction" and beside is not None:
                # What is left of rows that components hold whole is rounding.
                of_mean = rows.get("mean", {}).get(figure, 0.0)
                beside = None if beside < ROUNDING * of_mean else beside
            if ours is not None and beside is not None:
                found[f"{name}, {size}"] = compare(ours, beside)
    return found


def ratio(a: float, b: float) -> float:
    return a / b if b else (1.0 if a == b else float("inf"))


def difference(a: float, b: float) -> float:
    return a - b


def worst(pairs: Pairs, lower_is_better: bool, digits: int = 2) -> str:
    if not pairs:
        return ""
    name = (max if lower_is_better else min)(pairs, key=lambda n: pairs[n])
    return f"{pairs[name]:.{digits}f} ({name})"


def middle(pairs: Pairs, digits: int = 2) -> str:
    return f"{median(pairs.values()):.{digits}f}" if pairs else ""


def share(pairs: Pairs, limit: float = 0.0) -> str:
    return f"{sum(v > limit for v in pairs.values())} of {len(pairs)}" if pairs else ""


def fits(results: Row, model: str) -> Iterator[Row]:
    """All rows of a model, those of outliers twice: once for each fit."""
    for kind in ("tables", "outliers"):
        for entry in results.get(kind, {}).values():
            for label, row in entry["rows"].items():
                if label.split(",")[0] == model:
                    parts = [row[part] for part in ("clean", "contaminated") if part in row]
                    yield from parts or [row]


def failures(results: Row, model: str) -> int:
    return sum("error" in row for row in fits(results, model))


def warned(results: Row, model: str) -> str:
    """How many fits gave a warning."""
    given = [bool(row["warnings"]) for row in fits(results, model) if "warnings" in row]
    return f"{sum(given)} of {len(given)}" if given else ""


def codes(results: Row) -> TableOf:
    """Reconstruction and codes beside PCA."""
    rows = []
    for model in (*HEADLINE, "KernelPCA", "UMAP"):
        errors = compared(results, model, "PCA + Gaussian", "reconstruction", ratio)
        near = compared(results, model, "PCA + Gaussian", "neighbours", difference)
        figures = [middle(errors), worst(errors, True), middle(near, 3), worst(near, False, 3)]
        rows.append([model, *figures, warned(results, model), failures(results, model)])
    header = ["Model", "Error over PCA's", "worst", "5-NN less PCA's", "worst"]
    header += ["With warnings", "Failed"]
    return "Reconstruction and codes, test rows, beside PCA: medians and worst cases", header, rows


def samples(results: Row) -> TableOf:
    """Score and samples beside PCA and a mixture."""
    rows = []
    for model in (*HEADLINE, "PCA + Gaussian", "GaussianMixture"):
        beside = "PCA + mixture"
        higher = compared(results, model, beside, "score", difference)
        constant = compared(results, model, "mean", "score", difference)
        pca = compared(results, "PCA + Gaussian", "mean", "score", difference)
        # Of a set where PCA is better than the constant.
        above = {name: value for name, value in constant.items() if pca.get(name, -1.0) > 0}
        frechet = compared(results, model, beside, "frechet", ratio)
        coverage = compared(results, model, beside, "coverage", difference)
        nearest = compared(results, model, "mean", "nearest_ratio", lambda a, b: a)
        figures = [share(higher), share(above), middle(frechet), middle(coverage, 3)]
        rows.append([model, *figures, worst(nearest, False)])
    header = ["Model", "Score above PCA + mixture", "above the mean where PCA is"]
    header += ["Frechet over PCA + mixture's", "Coverage less its", "Smallest nearest ratio"]
    return "Score and samples beside PCA and a mixture", header, rows


def detection(results: Row, model: str, trained: str) -> tuple[list[float], Pairs]:
    """Areas under the ROC curve, and their differences from IsolationForest's."""
    areas, gaps = [], {}
    for name, entry in results.get("outliers", {}).items():
        beside = entry["rows"].get("IsolationForest", {}).get(trained)
        for label, row in entry["rows"].items():
            if beside and label.split(",")[0] == model and trained in row:
                areas.append(row[trained]["auc"])
                gaps[label.replace(model, name)] = row[trained]["auc"] - beside["auc"]
    return areas, gaps


def outliers(results: Row) -> TableOf:
    """Areas under the ROC curve beside IsolationForest's."""
    rows = []
    for model in (*HEADLINE, "PCA + Gaussian", "LOF"):
        line: list[Any] = [model]
        for trained in ("clean", "contaminated"):
            areas, gaps = detection(results, model, trained)
            line += [
                f"{median(areas):.3f}" if areas else "",
                middle(gaps, 3),
                worst(gaps, False, 3),
            ]
        rows.append(line)
    header = ["Model"]
    for trained in ("Clean", "Contaminated"):
        header += [f"{trained}: AUC", "less IsolationForest's", "worst"]
    return "Outliers: area under the ROC curve", header, rows


def seconds_of(results: Row, name: str, model: str) -> float | None:
    """CPU seconds of a fit; from the epochs that were run to those of the default."""
    row = results.get("tables", {}).get(name, {}).get("rows", {}).get(key(model, 8), {})
    seconds = row.get("cpu_seconds")
    if seconds is None or not isinstance(row.get("default_iter"), int):
        return seconds
    return seconds * row["default_iter"] / row["n_iter"]


def times(results: Row, before: Row) -> TableOf:
    """CPU seconds of a fit with eight components, and before the change."""
    rows = []
    for model in HEADLINE:
        line: list[Any] = [model]
        for name in TIMED:
            pair = seconds_of(results, name, model), seconds_of(before, name, model)
            line.append(" / ".join("-" if value is None else f"{value:.1f}" for value in pair))
        rows.append(line)
    return "CPU seconds of a fit, eight components, now / before", ["Model", *TIMED], rows


def speed(results: Row, before: Row, model: str) -> Pairs:
    """CPU seconds over those of the code before."""
    found = {}
    for name in TIMED:
        now, then = (seconds_of(r, name, model) for r in (results, before))
        if now and then:
            found[name] = now / then
    return found


def headline(results: Row, before: Row) -> TableOf:
    """One line for each headline estimator: medians, and in brackets the worst case."""
    rows = []
    for model in HEADLINE:
        errors = compared(results, model, "PCA + Gaussian", "reconstruction", ratio)
        near = compared(results, model, "PCA + Gaussian", "neighbours", difference)
        higher = compared(results, model, "PCA + mixture", "score", difference)
        frechet = compared(results, model, "PCA + mixture", "frechet", ratio)
        gaps = detection(results, model, "contaminated")[1]
        failed = failures(results, model)
        rows.append(
            [
                f"``{model}``" + (f", {failed} failed" if failed else ""),
                bracketed(errors, True),
                bracketed(near, False, "+.3f"),
                share(higher),
                bracketed(frechet, True),
                bracketed(gaps, False, "+.3f"),
                bracketed(speed(results, before, model), True),
            ]
        )
    header = ["Estimator", "Error over PCA's", "5-NN less PCA's", "Score above PCA + mixture's"]
    header += ["Frechet over PCA + mixture's", "AUC less IsolationForest's", "Time over before"]
    sets = [entry for entry in results.get("tables", {}).values() if entry["rows"]]
    title = f"{len(sets)} data sets, 2, 8 and 16 components, defaults: medians (worst case)"
    return title, header, rows


def bracketed(pairs: Pairs, lower_is_better: bool, form: str = ".2f") -> str:
    if not pairs:
        return ""
    extreme = (max if lower_is_better else min)(pairs.values())
    return f"{median(pairs.values()):{form}} ({extreme:{form}})"


def list_table(title: str, header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of a list-table with one header row, in reStructuredText."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in (header, *rows):
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return [*lines, ""]


def part(results: Row, held_out: bool) -> Row:
    """The sets that were looked at, or those that were held out; nothing where there are none."""
    kinds = {
        kind: {n: e for n, e in results.get(kind, {}).items() if e["held_out"] == held_out}
        for kind in ("tables", "outliers")
    }
    return {kind: entries for kind, entries in kinds.items() if entries}


def data_sets(results: Row) -> TableOf:
    """What the sets are."""
    rows = [
        [
            name,
            entry["domain"],
            f"{entry['n_train']:,} + {entry['n_test']:,}",
            f"{entry['n_features']:,}",
            entry["preparation"],
            entry["package"],
        ]
        for name, entry in results.get("tables", {}).items()
        if "n_train" in entry
    ]
    header = ["Set", "Domain", "Rows: training + test", "Features", "Preparation", "Package"]
    return "The data sets", header, rows


def missing(results: Row) -> TableOf:
    """Sets that could not be measured."""
    rows = [
        [name, entry["missing"]]
        for kind in ("tables", "outliers")
        for name, entry in results.get(kind, {}).items()
        if "missing" in entry
    ]
    return "Not there", ["Set", "What is missing"], rows


def against_targets(results: Row, before: Row) -> Iterator[TableOf]:
    """Titles, headers and rows of the tables; those that have rows."""
    if results.get("tables"):
        yield codes(results)
        yield samples(results)
        yield times(results, before)
    if results.get("outliers"):
        yield outliers(results)
    if missing(results)[2]:
        yield missing(results)
