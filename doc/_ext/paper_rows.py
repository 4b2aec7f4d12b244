"""Tables of ``benchmarks/results/papers`` as a chart each, and rows that open.

A table of eight measures is wider than any column. The chart has a panel for each measure, with
an arrow where one direction is better; a row opens to four columns, with the paper's figures
beside the measured, and to the call that makes its estimator.
"""

import html
import json
import statistics
from importlib import import_module

from _recipes import call_of
from _rows import RESULTS, like
from _summary import list_table
from sklearn.base import BaseEstimator

# Where less is better, and where more is. The rest, such as a number of components in use, have
# no better direction.
BETTER = {
    "↓": (
        "reconstruction_error",
        "denoising_error",
        "frechet_distance",
        "mmd_x_100",
        "mmd_x_1000",
        "fit_seconds",
        "seconds",
    ),
    "↑": (
        "coverage",
        "density",
        "knn_accuracy",
        "trustworthiness",
        "nn_3",
        "nn_5",
        "nn_10",
        "score",
        "greedy",
        "hungarian",
        "majority",
        "high_density_ratio",
        "high_density_ratio_of_means",
        "n_modes",
    ),
}
ARROWS = {measure: arrow for arrow, measures in BETTER.items() for measure in measures}
PANELS_IN_LINE = 3
# Times the median: one row that far off would leave the others on one spot.
LOG_FROM = 5


def results_of(name):
    return json.loads((RESULTS / "papers" / f"{name}.json").read_text())


def titled(measure):
    return f"{measure.replace('_', ' ')} {ARROWS.get(measure, '')}".rstrip()


def values_of(entry, measure):
    return [run[measure] for run in entry["seeds"].values() if run.get(measure) is not None]


def dots(name, title):
    """Chart of one table: means, their standard deviations over seeds, and the paper's figures."""
    import matplotlib.pyplot as plt

    results = results_of(name)
    entries = results["tables"][title]
    measures = [
        measure
        for measure in results["decimals"][title]
        if any(values_of(entry, measure) for entry in entries.values())
    ]
    lines = -(-len(measures) // PANELS_IN_LINE)
    height = lines * (0.2 * len(entries) + 0.5) + 0.3
    figure, axes = plt.subplots(
        lines,
        PANELS_IN_LINE,
        figsize=(8.4, height),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    theirs = False
    for ax, measure in zip(axes.flat, measures, strict=False):
        ax.set_title(titled(measure), fontsize=9)
        for i, entry in enumerate(entries.values()):
            found = values_of(entry, measure)
            if found:
                spread = statistics.stdev(found) if len(found) > 1 else None
                ax.errorbar(statistics.fmean(found), i, xerr=spread, fmt="o", color="C0", ms=5)
            if measure in entry["paper"]:
                theirs = True
                paper = entry["paper"][measure]
                ax.plot(paper, i, "D", color="C1", markerfacecolor="none", markersize=6)
        means = [
            statistics.fmean(found) for e in entries.values() if (found := values_of(e, measure))
        ]
        if min(means) > 0 and max(means) > LOG_FROM * statistics.median(means):
            ax.set_xscale("log")
        else:
            ax.locator_params(axis="x", nbins=4)
        ax.grid(alpha=0.3)
        ax.tick_params(labelsize=8)
    for ax in axes.flat[len(measures) :]:
        ax.set_axis_off()
    axes[0, 0].set_yticks(range(len(entries)), entries)
    axes[0, 0].set_ylim(len(entries) - 0.4, -0.6)
    handles = [plt.Line2D([], [], marker="o", ls="", color="C0", label="measured")]
    if theirs:
        paper = {"marker": "D", "ls": "", "color": "C1", "markerfacecolor": "none"}
        handles.append(plt.Line2D([], [], **paper, label="the paper's"))
    figure.legend(handles=handles, loc="outside lower right", ncols=2, fontsize=8)
    return figure


def calls_of(name, data):
    """Text of the call of each row of the script that is an estimator, by table and row."""
    script = name.removesuffix(f"-{data}")
    models = {
        (table.title, label): row.estimator(None)
        for table in import_module(script).tables(like(script, data))
        for label, row in table.rows.items()
    }
    return {at: call_of(model) for at, model in models.items() if isinstance(model, BaseEstimator)}


def opened(entry, decimals, call):
    """What a row shows when it is opened."""
    rows = []
    for measure, digits in {**decimals, "seconds": 0}.items():
        found, paper = values_of(entry, measure), entry["paper"].get(measure)
        if not found and paper is None:
            continue
        mean = f"{statistics.fmean(found):.{digits}f}" if found else ""
        spread = f"{statistics.stdev(found):.{digits}f}" if len(found) > 1 else ""
        rows.append([titled(measure), mean, spread, "" if paper is None else f"{paper:g}"])
    lines = list_table("", ["Measure", "Measured", "±", "Paper"], rows)
    if call is not None:
        lines += [".. code-block:: python", "", *(f"   {line}" for line in call.splitlines()), ""]
    return lines


def raw(text):
    return [".. raw:: html", "", f"   {text}", ""]


def text(name, results):
    """All tables of one script and data."""
    lines = [f"``{results['command']}``", ""]
    calls = calls_of(name, results["data"])
    for title, entries in results["tables"].items():
        lines += [f".. rubric:: {title}", ""]
        lines += [".. plot::", f"   :alt: {title}: the figures of each row as dots", ""]
        lines += ["   from paper_rows import dots", "", f"   dots({name!r}, {title!r})", ""]
        for label, entry in entries.items():
            # What was run, where that is kept; else what the script has.
            call = entry.get("call", calls.get((title, label)))
            n = len(entry["seeds"])
            seeds = f"{n} seed{'' if n == 1 else 's'}"
            summary = f"<summary>{html.escape(label)} <small>{seeds}</small></summary>"
            lines += raw(f'<details class="paper-row">{summary}')
            lines += opened(entry, results["decimals"][title], call)
            lines += raw("</details>")
    return lines
