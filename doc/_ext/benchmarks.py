"""Tables of ``benchmarks/results/*.json``, made when the pages are built.

The directive ``.. transport-benchmark::`` becomes two tables, of whatever rows the file has:
each peer over all rows, and time ratios by number of points and epsilon;
``.. compiled-benchmark::`` the same of machine code. The directive
``.. defaults-benchmark::`` becomes the table of all estimators on digits, ``.. score-study::``
those of the candidates for the score, ``.. papers-benchmark:: NAME`` those of the script of
that name in ``benchmarks/papers``, ``.. tables-benchmark::`` what
``benchmarks/tables.py --summary`` prints, and ``.. held-out-benchmark::`` the first of these
tables, of the sets that were held out. ``.. grid-search-benchmark::``,
``.. overhead-benchmark::``, ``.. growth-benchmark::`` and ``.. counterparts-benchmark::`` are the
tables of the scripts of these names, and ``.. euclidean-benchmark::`` that of Euclidean distances
beside geomloss.
"""

import json
from pathlib import Path
from statistics import median, stdev

import paper_rows
from _summary import against_targets, data_sets, headline, list_table, part
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def number(value, digits=2):
    return "none" if value is None else f"{value:.{digits}g}"


def by_peer(rows, bounds):
    """One line for skotae and for each peer, over all rows."""
    ours = [(row, {**row["ours"], "ratio": 1.0}) for row in rows]
    found = {"skotae": ours}
    for row in rows:
        for name, peer in row["peers"].items():
            found.setdefault(name, []).append((row, peer))
    for name, pairs in found.items():
        ratios = [peer["ratio"] for _, peer in pairs if peer.get("ratio") is not None]
        errors = [peer["error"] for _, peer in pairs if peer["error"] is not None]
        missed = sum((p["error"] or 0.0) > bounds[row["family"]] for row, p in pairs)
        unknown = [peer for _, peer in pairs if peer["error"] is None]
        extrapolated = sum(peer.get("extrapolated", False) for peer in unknown)
        failed = len(unknown) - extrapolated
        remarks = {"failed": failed, "extrapolated": extrapolated}
        yield [
            name,
            number(median(ratios) if ratios else None, 3),
            number(min(ratios, default=None), 3),
            number(max(errors, default=None)),
            f"{missed} of {len(pairs)}",
            ", ".join(f"{count} {word}" for word, count in remarks.items() if count),
        ]


def by_size(rows, names):
    """Milliseconds of skotae, and the median ratio of each peer, for one size and epsilon."""
    groups = {}
    for row in rows:
        groups.setdefault((row["n_points"], row["epsilon"]), []).append(row)
    for (n, epsilon), group in sorted(groups.items()):
        cells = [f"{n:,}", epsilon, number(1e3 * median(r["ours"]["seconds"] for r in group), 3)]
        for name in names:
            peers = [row["peers"].get(name, {}) for row in group]
            ratios = [peer["ratio"] for peer in peers if peer.get("ratio") is not None]
            cells.append(number(median(ratios) if ratios else None, 3))
        yield cells


def transport(results):
    """Text of both tables."""
    rows, environment = list(results["rows"].values()), results["environment"]
    names = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    versions = ", ".join(
        f"{name} {environment['versions'][name]}" for name in ("torch", "POT", "geomloss")
    )
    bounds = results["settings"]["bounds"]
    limits = " and ".join(f"{bound:g} ({family})" for family, bound in bounds.items())
    header = ["Solver", "Median ratio", "Smallest ratio", "Largest error", "Missed", "Remarks"]
    intro = (
        f"{len(rows)} rows, {environment['system']} {environment['machine']}, one thread; "
        f"{versions}. A row is missed where the error is above {limits}."
    )
    return [
        intro,
        "",
        *list_table(
            "Time over that of skotae, and relative error of the gradient",
            header,
            by_peer(rows, bounds),
        ),
        *list_table(
            "Median time ratio by number of points and epsilon",
            ["Points", "Epsilon", "skotae, ms", *names],
            by_size(rows, names),
        ),
    ]


def on_digits(results):
    """Text of the table of all estimators."""
    rows = [
        [
            name,
            *(
                "" if row.get(key) is None else f"{row[key]:.{digits}f}"
                for key, digits in (
                    ("accuracy", 3),
                    ("reconstruction_error", 3),
                    ("transport_r2", 2),
                    ("fit_seconds", 0),
                )
            ),
        ]
        for name, row in results["digits"].items()
    ]
    header = ["Estimator", "Accuracy", "Reconstruction error", "Score", "Fit, seconds"]
    return list_table("Digits, eight components", header, rows)


def score_study(results):
    """Text of the tables of candidates, and of seeds."""
    columns = {
        f"{title}, {truth}": f"{key}, {truth}"
        for truth in ("known", "exact", "debiased")
        for title, key in (("Rank", "rank"), ("regret", "regret"))
    }
    columns |= {"Error": "error, known", "Codes": "codes"}
    rows = [
        [name, *(f"{row[key]:.2f}" for key in columns.values())]
        for name, row in results["summary"].items()
    ]
    seeds = [
        [data, f"{min(values):.3f} to {max(values):.3f}", f"{stdev(values):.3f}"]
        for data, values in results["seeds"].items()
    ]
    return [
        *list_table("Candidates, means over data sets", ["Candidate", *columns], rows),
        *list_table(
            f"The score of one setting over {len(next(iter(results['seeds'].values())))} seeds",
            ["Data", "From, to", "Standard deviation"],
            seeds,
        ),
    ]


def euclidean(results):
    """Text of the table of Euclidean distances, a line for each number of points and epsilon."""
    groups = {}
    for row in results["rows"]:
        groups.setdefault((row["n"], row["epsilon"]), []).append(row)
    names = [key.removeprefix("error ") for key in results["rows"][0] if key.startswith("error ")]
    peers = [name for name in names if name != "skotae"]
    header = ["Points", "epsilon", "skotae, ms"]
    header += [f"{name}, time ratio" for name in peers] + [f"{name}, error" for name in names]
    lines = []
    for (n, epsilon), group in sorted(groups.items()):
        line = [f"{n:,}", epsilon, number(1e3 * median(row["seconds"] for row in group), 3)]
        line += [number(median(row[f"ratio {name}"] for row in group), 3) for name in peers]
        lines.append(line + [number(max(row[f"error {name}"] for row in group)) for name in names])
    title = "Medians of times over 2, 8 and 64 features, and largest errors of a gradient"
    return list_table(title, header, lines)


def on_tables(results):
    """Text of the comparison on public data sets: those looked at, then those held out."""
    path = RESULTS / "tables_before.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    lines = []
    for held_out in (False, True):
        found = part(results, held_out)
        if found:
            lines += [".. rubric:: " + ("Sets held out" if held_out else "Sets looked at"), ""]
            tables = (headline(found, before), *against_targets(found, before), data_sets(found))
            for table in tables:
                lines += list_table(*table)
    return lines


def on_held_out_tables(results):
    """Text of the first table of the sets that were held out, without the times of other code."""
    title, header, rows = headline(part(results, True), {})
    # A word less wide, so that the table fits into its column.
    header = [name.replace("IsolationForest", "Isolation Forest") for name in header]
    # Without those that have not run there.
    return list_table(title, header[:-1], [row[:-1] for row in rows if any(row[1:])])


def grid_search(results):
    """Text of the table of regrets."""
    rows = [
        [
            grid,
            row["n"],
            f"{row['median']:.1%}",
            f"{row['worst']:.1%} ({row['worst_on']})",
            f"{row['beyond_rows_median']:.1%}",
            f"{row['beyond_rows_worst']:.1%}",
            f"{row['noise_median']:.1%}",
            f"{row['noise_worst']:.1%}",
        ]
        for grid, row in results["summary"].items()
    ]
    header = ["Grid", "Sets", "Regret, median", "worst", "Beyond rows, median", "worst"]
    header += ["By the truth anew, median", "worst"]
    return list_table("Regret of a grid search by the score", header, rows)


def overhead(results):
    """Text of the tables of steps, one for each kind of network."""
    lines = []
    for network, title in (("mlp", "784-512-8"), ("conv", "ConvNet, 28 x 28")):
        rows = [
            [name, f"{row['milliseconds']:.1f}", f"{row['ratio']:.2f}", row["most"] or ""]
            for name, row in results["steps"].get(network, {}).items()
        ]
        if rows:
            header = ["Estimator", "A step, ms", "over the bare one", "aim"]
            lines += list_table(f"A step, {title}", header, rows)
    return lines


def growth(results):
    """Text of the table of exponents."""
    rows = [
        [
            name,
            f"{row['sizes'][0]:,} to {row['sizes'][-1]:,}",
            f"{row['seconds'][0]:.2f} to {row['seconds'][-1]:.2f}",
            f"{row['exponent']:.2f}",
        ]
        for name, row in results["series"].items()
    ]
    return list_table("Growth of a fit", ["What grows", "Sizes", "CPU seconds", "Exponent"], rows)


def counterparts(results):
    """Text of the tables of fits beside another library's, and of passes beside a network's."""
    rows = [
        [
            name,
            row["counterpart"],
            *(f"{row['seconds'][each]['median']:.2f}" for each in ("skotae", "pythae")),
            f"{row['ratio']:.2f}",
        ]
        for name, row in results["fits"].items()
    ]
    header = ["Estimator", "in pythae", "A fit, s", "theirs, s", "ratio"]
    lines = list_table("A fit beside its counterpart", header, rows)
    rows = [
        [f"`{name}`", f"{row['ratio']:.2f}", results["least_pass"]]
        for name, row in results["passes"].items()
    ]
    return lines + list_table("Rows per second over the network's", ["", "ratio", "aim"], rows)


class BenchmarkDirective(SphinxDirective):
    """The tables of a benchmark; a subclass names it and has a function that makes them."""

    def run(self):
        path = RESULTS / f"{self.benchmark}.json"
        if path.exists():
            self.env.note_dependency(str(path))
            lines = self.render(json.loads(path.read_text()))
        else:
            lines = [f"No results yet: run ``python benchmarks/{self.benchmark}.py``."]
        return self.parse_text_to_nodes("\n".join(lines))


class TransportBenchmark(BenchmarkDirective):
    benchmark, render = "transport", staticmethod(transport)


class CompiledBenchmark(BenchmarkDirective):
    benchmark, render = "transport_compiled", staticmethod(transport)


class DefaultsBenchmark(BenchmarkDirective):
    benchmark, render = "defaults", staticmethod(on_digits)


class EuclideanBenchmark(BenchmarkDirective):
    benchmark, render = "euclidean", staticmethod(euclidean)


class ScoreStudy(BenchmarkDirective):
    benchmark, render = "score_study", staticmethod(score_study)


class TablesBenchmark(BenchmarkDirective):
    benchmark, render = "tables", staticmethod(on_tables)


class HeldOutBenchmark(BenchmarkDirective):
    benchmark, render = "tables", staticmethod(on_held_out_tables)


class GridSearchBenchmark(BenchmarkDirective):
    benchmark, render = "grid_search", staticmethod(grid_search)


class OverheadBenchmark(BenchmarkDirective):
    benchmark, render = "overhead", staticmethod(overhead)


class GrowthBenchmark(BenchmarkDirective):
    benchmark, render = "growth", staticmethod(growth)


class CounterpartsBenchmark(BenchmarkDirective):
    benchmark, render = "counterparts", staticmethod(counterparts)


class PapersBenchmark(BenchmarkDirective):
    required_arguments = 1

    @property
    def benchmark(self):
        return f"papers/{self.arguments[0]}"

    def render(self, results):
        return paper_rows.text(self.arguments[0], results)


def setup(app):
    app.add_directive("papers-benchmark", PapersBenchmark)
    app.add_directive("transport-benchmark", TransportBenchmark)
    app.add_directive("compiled-benchmark", CompiledBenchmark)
    app.add_directive("euclidean-benchmark", EuclideanBenchmark)
    app.add_directive("score-study", ScoreStudy)
    app.add_directive("grid-search-benchmark", GridSearchBenchmark)
    app.add_directive("overhead-benchmark", OverheadBenchmark)
    app.add_directive("growth-benchmark", GrowthBenchmark)
    app.add_directive("counterparts-benchmark", CounterpartsBenchmark)
    app.add_directive("defaults-benchmark", DefaultsBenchmark)
    app.add_directive("tables-benchmark", TablesBenchmark)
    app.add_directive("held-out-benchmark", HeldOutBenchmark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
