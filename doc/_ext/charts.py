"""Charts of ``benchmarks/results/*.json``, drawn when the pages are built."""

import json

import matplotlib.pyplot as plt

from benchmarks import RESULTS

BASELINE = "PCA"
PANELS = (
    ("transport_r2", "Score", "linear"),
    ("accuracy", "Accuracy of 5-NN", "linear"),
    ("fit_seconds", "Fit, seconds", "log"),
)


def estimators_on_digits():
    """Score, accuracy of neighbours and seconds of each estimator on digits, sorted by score."""
    rows = json.loads((RESULTS / "defaults.json").read_text())["digits"]
    names = [name for name in rows if name != BASELINE and "," not in name]
    # None, of what has no score, comes last.
    names.sort(key=lambda name: rows[name]["transport_r2"] or 0.0)
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 4.6), sharey=True, layout="constrained")
    for ax, (key, title, scale) in zip(axes, PANELS, strict=True):
        found = [(rows[name][key], i) for i, name in enumerate(names)]
        ax.plot(*zip(*[pair for pair in found if pair[0] is not None], strict=True), "o")
        if scale == "linear":
            ax.axvline(rows[BASELINE][key], color="black", linestyle=":")
        ax.set(title=title, xscale=scale)
        ax.grid(axis="y", alpha=0.3)
    axes[-1].set_xticks((3, 10, 30, 100), ("3", "10", "30", "100"))
    axes[-1].set_xticks((), minor=True)
    axes[0].set_yticks(range(len(names)), names)
    return figure
