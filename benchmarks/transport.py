"""Speed and accuracy of the Sinkhorn divergence and of other transport costs, on one thread.

    python benchmarks/transport.py [--quick | --redo | --batches]

Forward and backward of ``skotae.transport.sinkhorn_divergence`` beside geomloss, POT and
unrolled iterations (see ``_peers.py``), in turn with each: for clouds of 64 to 2,048 points in
8 and 64 dimensions and three values of epsilon, the ratio of times and the relative error of
the gradient, against plans in float64 whose marginals are checked (see ``_clouds.py``). Then
the precision at a small tolerance, the exact cost, the sliced distance, a training step and
the memory that large clouds need.

``results/transport.json`` is written after every row and every section; what it has is not
measured again, so that a run that was stopped goes on where it was. ``--redo`` starts anew.
``--quick`` runs eight rows, writes nothing, and fails if a gradient of skotae is wrong.
With ``SKOTAE_COMPILED=1`` in the environment rows alone, to ``results/transport_compiled.json``.
``--batches`` compares batches of small problems, balanced and not, with loops over them, and writes
``results/transport_batches.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any

# Read by the libraries behind NumPy and torch when they are loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import _peers
import numpy as np
import torch
from _clouds import FAMILIES, Reference, certified_reference, make_clouds, run_plain
from _common import RESULTS, environment, in_turn, median_ratio, print_table, save_json, write_json
from _transport_sections import SECTIONS, batches
from torch import Tensor

COMPILED = os.environ.get("SKOTAE_COMPILED") == "1"
NAME, PACKAGES = ("transport_compiled", ["numba"]) if COMPILED else ("transport", [])
SIZES = (64, 128, 256, 512, 1024, 2048)
DIMENSIONS = (8, 64)
EPSILONS = (0.01, 0.05, 0.1)
TOL = 1e-3  # L1 marginal violation of all that can be told one
MAX_ITER = 3000
BOUNDS = {"clusters": 5e-3, "matched": 2e-2}  # relative error of a gradient
FIXED = (0.5, 0.9)  # scalings of geomloss, whatever their accuracy
SCALINGS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
SECONDS = 0.5  # of each peer in a row, at least three rounds
ONCE_FROM = 5.0  # a call that takes longer is made twice, and the faster one counts,
ONLY_FROM = 20.0  # or once
LIMIT = 60.0  # no call is to take longer, by estimate
MAX_GRAPH = 6e9  # bytes that unrolled iterations may hold
SETTINGS = {
    "sizes": SIZES,
    "dimensions": DIMENSIONS,
    "epsilons": EPSILONS,
    "families": FAMILIES,
    "tol": TOL,
    "max_iter": MAX_ITER,
    "bounds": BOUNDS,
    "scalings": SCALINGS,
    "seconds": SECONDS,
    "limit": LIMIT,
}
Call = Callable[..., Tensor]
Row = dict[str, Any]


def rounded(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None


class Cell:
    """Two clouds, the reference, and calls that are timed on them."""

    def __init__(self, family: str, n: int, d: int, epsilon: float, seconds: float):
        self.n, self.seconds = n, seconds
        x, self.y = make_clouds(family, n, d)
        self.x = x.requires_grad_()
        self.reference: Reference = certified_reference(x, self.y, epsilon)
        self.ours: Call = partial(_peers.ours, self.x, self.y, epsilon)

    def gradient(self, call: Call) -> Tensor:
        self.x.grad = None
        call().backward()
        return self.x.grad

    def try_out(self, call: Call) -> tuple[Row, float]:
        """Error, messages and report of a call, and its seconds."""
        row: Row = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                start = time.perf_counter()
                gradient = self.gradient(partial(call, report=row))
                seconds = time.perf_counter() - start
            except Exception as error:  # a peer that fails is a result
                return {"error": None, "message": f"{type(error).__name__}: {error}"}, math.inf
        target = self.reference.gradient
        error = ((gradient.double() - target).norm() / target.norm()).item()
        row["error"] = rounded(error)
        messages = {str(warning.message).strip() for warning in caught}
        if not math.isfinite(error):
            messages.add("the gradient is not finite")
        if messages:
            row["message"] = "; ".join(sorted(messages))
        if "violation" in row:
            row["violation"] = rounded(row["violation"])
        return row, seconds

    def take_time(self, call: Call, first: float, factor: float = 1.0) -> Row:
        """Rounds in turn with ours; `factor` makes up for iterations that were left out."""
        rounds = min(max(3, math.ceil(self.seconds / first)), 50)
        if first > ONCE_FROM:
            own = in_turn({"ours": partial(self.gradient, self.ours)}, 3)["ours"]
            again = first
            if first <= ONLY_FROM:
                (again,) = in_turn({"peer": partial(self.gradient, call)}, 1)["peer"]
            own, seconds = [statistics.median(own)], [min(first, again)]
        else:
            calls = {"ours": self.ours, "peer": call}
            measured = in_turn({k: partial(self.gradient, v) for k, v in calls.items()}, rounds)
            own, seconds = measured["ours"], measured["peer"]
        seconds = [factor * value for value in seconds]
        return {
            "seconds": rounded(statistics.median(seconds)),
            "ratio": rounded(median_ratio(seconds, own)),
            "rounds": len(seconds),
        }

    def measure(self, call: Call, accept: Callable[[Row], bool] | None = None) -> Row:
        """One way to call a peer, unless it is to be accepted and is not."""
        row, first = self.try_out(call)
        if row["error"] is None or (accept is not None and not accept(row)):
            return {**row, "ratio": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {**row, **self.take_time(call, first)}


def measure_geomloss(cell: Cell, accepted: float, scalings: Sequence[float]) -> dict[str, Row]:
    """At two fixed scalings, and at the fastest whose gradient is accurate enough.

    The number of iterations, and the time, go as 1 / log(1 / scaling). The error falls more
    slowly than 1 - scaling, so that some scalings are without hope and not tried.
    """

    def at(scaling: float) -> Call:
        return partial(_peers.geomloss, cell.x, cell.y, cell.reference.epsilon, scaling)

    rows = {f"geomloss, scaling {scaling}": cell.measure(at(scaling)) for scaling in FIXED}
    known = FIXED[-1]
    error, seconds = (rows[f"geomloss, scaling {known}"].get(key) for key in ("error", "seconds"))
    if error is None or seconds is None:
        return rows
    able = [s for s in scalings if seconds * math.log(known) / math.log(s) <= LIMIT]
    hopeful = [s for s in able if error * min(1, (1 - s) / (1 - known)) <= accepted]
    for scaling in hopeful or able[-1:]:
        row, first = cell.try_out(at(scaling))
        reached = row["error"] is not None and row["error"] <= accepted
        if reached:
            break
    if scaling in FIXED:
        row = dict(rows[f"geomloss, scaling {scaling}"])
    elif row["error"] is not None:
        row.update(cell.take_time(at(scaling), first))
    row.update(scaling=scaling, reached=reached)
    return {**rows, "geomloss, tuned": row}


def measure_by_hand(cell: Cell, call: Call) -> Row:
    """In float32; where its kernel vanishes, of a reduced cost or in float64, whichever is faster.

    With a reduced cost the iterations start elsewhere, and may be more or fewer.
    """
    row = cell.measure(partial(call, dtype=np.float32), lambda row: "message" not in row)
    if row["ratio"] is not None:
        return {**row, "way": "float32"}
    rows = {
        "float32, reduced cost": cell.measure(partial(call, dtype=np.float32, reduce=True)),
        "float64": cell.measure(partial(call, dtype=np.float64)),
    }
    way = min(rows, key=lambda way: ("message" in rows[way], rows[way]["ratio"] or math.inf))
    return {**rows[way], "way": way, "float32": row["message"]}


def measure_unrolled(cell: Cell, n_iter: int) -> Row:
    """All iterations, or as many as time and memory allow, and the time of all from theirs.

    `n_iter` are those of x against y; the other two problems need few, which are not left out.
    """
    call = partial(_peers.unrolled, cell.x, cell.y, cell.reference.epsilon, TOL)
    start = time.perf_counter()
    cell.gradient(partial(call, 3))
    per_iteration = (time.perf_counter() - start) / 9
    most = min(LIMIT / per_iteration, MAX_GRAPH / (8 * cell.n**2))
    if n_iter + 20 <= most:
        return cell.measure(partial(call, MAX_ITER))
    shorter = partial(call, max(20, int(most / 4)))
    row, first = cell.try_out(shorter)
    if row["error"] is None:
        return row
    run = row["n_iter"]
    factor = (n_iter + run["xx"] + run["yy"]) / sum(run.values())
    return {**row, "error": None, "extrapolated": True, **cell.take_time(shorter, first, factor)}


def measure_cell(family: str, n: int, d: int, epsilon: float, quick: bool = False) -> Row:
    """Ours and all peers that are installed."""
    start = time.perf_counter()
    cell = Cell(family, n, d, epsilon, SECONDS / 5 if quick else SECONDS)
    eps = cell.reference.epsilon
    ours, _ = cell.try_out(cell.ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = in_turn({"ours": partial(cell.gradient, cell.ours)}, 5)["ours"]
    ours["seconds"] = rounded(statistics.median(own))
    peers: dict[str, Row] = {}
    if find_spec("geomloss") is not None:
        accepted = max(1.5 * (ours["error"] or 0), BOUNDS[family])
        peers = measure_geomloss(cell, accepted, SCALINGS[:6] if quick else SCALINGS)
    clouds = {"x": cell.x, "y": cell.y}
    plain = {p: run_plain(clouds[p[0]], clouds[p[1]], eps, TOL, MAX_ITER) for p in _peers.PAIRS}
    stops = {pair: run.l2 for pair, run in plain.items()}
    common = (cell.x, cell.y, eps)
    # One for all three; any does for a problem that is solved by the first iteration.
    one_stop = min([stops[pair] for pair, run in plain.items() if run.n_iter > 1], default=TOL)
    peers["POT, solve_sample"] = cell.measure(
        partial(_peers.pot_solve_sample, *common, one_stop, MAX_ITER)
    )
    peers["POT, log domain"] = cell.measure(partial(_peers.pot_log, *common, stops, MAX_ITER))
    peers["POT, by hand"] = measure_by_hand(
        cell, partial(_peers.pot_by_hand, *common, stops, MAX_ITER)
    )
    peers["unrolled"] = measure_unrolled(cell, plain["xy"].n_iter)
    return {
        "family": family,
        "n_points": n,
        "n_features": d,
        "epsilon": epsilon,
        "reference_violation": rounded(cell.reference.violation),
        "plain_iterations": {pair: run.n_iter for pair, run in plain.items()},
        "ours": ours,
        "peers": peers,
        "wall": round(time.perf_counter() - start, 1),
    }


def show(row: Row) -> None:
    print(
        f"\n{row['family']}, {row['n_points']} points, d = {row['n_features']}, "
        f"epsilon = {row['epsilon']}: {row['wall']} s, of which ours "
        f"{1e3 * row['ours']['seconds']:.3g} ms; marginals of the reference within "
        f"{row['reference_violation']:.1e}",
        flush=True,
    )
    lines = [["skotae", 1.0, row["ours"]["error"], notes(row["ours"])]]
    lines += [[k, p["ratio"], p["error"], notes(p)] for k, p in row["peers"].items()]
    lines = [[a, b, None if c is None else f"{c:.1e}", d] for a, b, c, d in lines]
    print_table(["", "time ratio", "gradient error", "notes"], lines)


def notes(row: Row) -> str:
    shown = ("violation", "scaling", "reached", "way", "extrapolated", "message")
    return ", ".join(f"{key} {row[key]}" for key in shown if key in row)


def accurate(row: Row) -> bool:
    error = row["ours"]["error"]
    return error is not None and error <= BOUNDS[row["family"]]


TARGETS = {
    "geomloss, scaling 0.5": 6.0,
    "geomloss, scaling 0.9": 15.0,
    "POT, solve_sample": 10.0,
    "POT, by hand": 5.0,
    "unrolled": 10.0,
}
LEAST = 2.5


def summarise(rows: list[Row]) -> Row:
    """Each peer over all rows, and the targets."""
    summary: Row = {"n_rows": len(rows), "peers": {}, "targets": []}

    def target(measure: str, value: float, bound: float, at_least: bool) -> None:
        met = value >= bound if at_least else value <= bound
        words = f"at {'least' if at_least else 'most'} {bound:g}"
        line = {"measure": measure, "value": value, "target": words, "met": met}
        summary["targets"].append(line)

    for name in dict.fromkeys(name for row in rows for name in row["peers"]):
        found = [(row, row["peers"][name]) for row in rows if name in row["peers"]]
        ratios = [peer["ratio"] for _, peer in found if peer.get("ratio") is not None]
        errors = [peer["error"] for _, peer in found if peer["error"] is not None]
        missed = [p for r, p in found if (p["error"] or 0) > BOUNDS[r["family"]]]
        failed = [p for _, p in found if p["error"] is None and not p.get("extrapolated")]
        summary["peers"][name] = {
            "median_ratio": rounded(statistics.median(ratios)) if ratios else None,
            "min_ratio": min(ratios, default=None),
            "max_error": max(errors, default=None),
            "n_missed": len(missed),
            "n_failed": len(failed),
        }
        if ratios and name in TARGETS:
            median = summary["peers"][name]["median_ratio"]
            target(f"{name}: median time ratio", median, TARGETS[name], True)
        if ratios:
            target(f"{name}: smallest time ratio", min(ratios), LEAST, True)
    for family in FAMILIES:
        errors = [r["ours"]["error"] for r in rows if r["family"] == family]
        worst = max((math.inf if error is None else error for error in errors), default=None)
        if worst is not None:
            target(f"{family}: largest gradient error", worst, BOUNDS[family], False)
    return summary


def print_targets(targets: list[Row]) -> None:
    keys = ("measure", "value", "target", "met")
    lines = [[t[k] if k != "value" else f"{t[k]:.3g}" for k in keys] for t in targets]
    print_table(keys, lines)


def load(redo: bool) -> Row:
    """What has been measured with these settings."""
    path = RESULTS / f"{NAME}.json"
    settings = json.loads(json.dumps(SETTINGS))
    if path.exists() and not redo:
        results = json.loads(path.read_text())
        versions = environment("geomloss", *PACKAGES)["versions"]
        if results["settings"] == settings and results["environment"]["versions"] == versions:
            return results
        print("The settings or the versions have changed: all is measured anew.")
    return {"settings": settings, "sections": {}, "rows": {}}


def save(results: Row) -> None:
    save_json(NAME, results, "geomloss", *PACKAGES)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and accuracy of transport costs.")
    parser.add_argument("--quick", action="store_true", help="eight rows, nothing is written")
    parser.add_argument("--redo", action="store_true", help="measure again what is there")
    parser.add_argument("--batches", action="store_true", help="batches of problems alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.batches:
        results = batches()
        print_targets(results["targets"])
        write_json("transport_batches", results)
        return
    measure_cell("matched", 64, 8, 0.1, quick=True)  # what is done once in a process
    if options.quick:
        cells = list(product(FAMILIES, (64, 256), (8,), (0.01, 0.05)))
        rows = []
        for cell in cells:
            rows.append(measure_cell(*cell, quick=True))
            show(rows[-1])
        print_targets(summarise(rows)["targets"])
        sys.exit(0 if all(map(accurate, rows)) else "The gradient of skotae is wrong.")

    results = load(options.redo)
    # The small ones first: they are soon there.
    for n, family, d, epsilon in product(SIZES, FAMILIES, DIMENSIONS, EPSILONS):
        key = f"{family}, {n} points, d = {d}, epsilon = {epsilon}"
        if key not in results["rows"]:
            results["rows"][key] = measure_cell(family, n, d, epsilon)
            save(results)
        show(results["rows"][key])
    for name, section in () if COMPILED else SECTIONS.items():
        if name not in results["sections"]:
            results["sections"][name] = section()
            save(results)
        shown = {k: v for k, v in results["sections"][name].items() if k != "targets"}
        print(f"\n{name}: {json.dumps(shown)}", flush=True)
    results["summary"] = summarise(list(results["rows"].values()))
    for section in results["sections"].values():
        results["summary"]["targets"] += section["targets"]
    save(results)
    print_targets(results["summary"]["targets"])


if __name__ == "__main__":
    main()
