"""Memory and speed of a fit on a file that is larger than memory.

    python benchmarks/out_of_core.py [FOLDER] [--gigabytes 12] [--formats] [--quick]

Makes a float32 file of rows in FOLDER, and takes it away again. Then, each in a process of its
own, with one epoch of ``WAEEstimator``:

- `fit` and `transform` on a ``numpy.memmap`` of all rows, whose pages are not in the system's cache
  when it begins;
- the same on the first rows of it in memory and, with ``--formats``, on these rows in files of
  HDF5, Zarr and Parquet, as far as h5py, zarr and pyarrow are installed.

Peak resident memory is what the system counts (``ru_maxrss``): Python and torch with all their
libraries, and pages of the file that are mapped at that time. What of it was memory of the
process's own, and what pages of files (libraries among them), is looked at every 20 ms, each by
itself. Pages of files that are no longer mapped stay in the system's cache as long as nobody needs
the room; no process is charged with them. Targets: a peak below 1.2 GB, and at least 0.7 of the
rows per second in memory, with all that a fit reads before and after its epoch.

Rows per second are of wall time and of the processor's. Where other processes take turns with this
one, the first says little; then the second is the one to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _common import print_table, write_json

WIDTH, SEED = 3072, 0  # images of 32 x 32 x 3
FILE_ROWS = 5_000  # made at a time
# A small network, beside which reading counts.
PARAMETERS = {
    "max_iter": 1,
    "hidden_layer_sizes": (64,),
    "batch_size": 256,
    "random_state": SEED,
}
MOST_BYTES, LEAST_SPEED = 1.2e9, 0.7
NEEDS = {"hdf5": "h5py", "zarr": "zarr", "parquet": "pyarrow"}
CHUNK = 1_000  # rows, of HDF5 and Zarr, and of a row group of Parquet


def make_rows(path: Path, n: int) -> None:
    """Rows near a plane of eight dimensions; those of one half of the file beside the others."""
    rng = np.random.default_rng(SEED)
    plane = rng.standard_normal((8, WIDTH), dtype=np.float32)
    noise = 0.5 * rng.standard_normal((FILE_ROWS, WIDTH), dtype=np.float32)
    with path.open("wb") as file:
        for start in range(0, n, FILE_ROWS):
            size = min(FILE_ROWS, n - start)
            codes = rng.standard_normal((size, 8), dtype=np.float32) + (2 * start > n)
            rows = codes @ plane
            rows += noise[:size]
            rows.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    """Let the system's cache have none of the file, where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def mapped(folder: Path, n: int) -> np.ndarray:
    return np.memmap(folder / "rows.f32", np.float32, "r", shape=(n, WIDTH))


def blocks(folder: Path, n: int) -> Iterator[np.ndarray]:
    X = mapped(folder, n)
    for start in range(0, n, CHUNK):
        yield X[start : start + CHUNK]


def write(kind: str, folder: Path, n: int) -> None:
    """The first n rows in a file of another kind."""
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [f"x{j}" for j in range(WIDTH)]
        schema = pa.schema([(name, pa.float32()) for name in names])
        with pq.ParquetWriter(folder / "rows.parquet", schema) as writer:
            for rows in blocks(folder, n):
                columns = [pa.array(column) for column in np.ascontiguousarray(rows.T)]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=CHUNK)
        return
    if kind == "hdf5":
        import h5py

        file: Any = h5py.File(folder / "rows.h5", "w")
        X = file.create_dataset("X", (n, WIDTH), "f4", chunks=(CHUNK, WIDTH))
    else:
        import zarr

        path, chunks = str(folder / "rows.zarr"), (CHUNK, WIDTH)
        file, X = None, zarr.create_array(path, shape=(n, WIDTH), dtype="f4", chunks=chunks)
    for i, rows in enumerate(blocks(folder, n)):
        X[i * CHUNK : i * CHUNK + len(rows)] = rows
    if file is not None:
        file.close()


def opened(kind: str, folder: Path, n: int) -> Any:
    """What is given to `fit`."""
    if kind == "memmap":
        return mapped(folder, n)
    if kind == "memory":
        return np.fromfile(folder / "rows.f32", np.float32, n * WIDTH).reshape(n, WIDTH)
    if kind == "hdf5":
        import h5py

        return h5py.File(folder / "rows.h5")["X"]
    if kind == "zarr":
        import zarr

        return zarr.open_array(str(folder / "rows.zarr"), mode="r")
    import pyarrow.dataset as ds

    return ds.dataset(folder / "rows.parquet")


class Watch(threading.Thread):
    """Looks at where the memory of this process comes from, every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"RssAnon": 0, "RssFile": 0}

    def run(self) -> None:
        while Path("/proc/self/status").exists():
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in self.most:
                    self.most[name] = max(self.most[name], 1024 * int(rest.split()[0]))
            time.sleep(0.02)


def peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(kind: str, folder: Path, n: int) -> dict[str, Any]:
    """Time and memory of what is done with rows of a kind, in this process."""
    import skotae

    results: dict[str, Any] = {"rows": n, "peak": {"import": peak()}}
    watch = Watch()
    watch.start()
    X = opened(kind, folder, n)
    model = skotae.WAEEstimator(**PARAMETERS)
    calls: dict[str, Callable[[], Any]] = {
        "fit": lambda: model.fit(X),
        "transform": lambda: model.transform(X),
    }
    for name, call in calls.items():
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        results[name] = {
            "seconds": round(time.perf_counter() - wall, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }
        results["peak"][name] = peak()
        results["peak"][f"{name}, own"] = watch.most["RssAnon"]
        results["peak"][f"{name}, of files"] = watch.most["RssFile"]
    results["loss"] = model.best_loss_
    return results


def child(kind: str, folder: Path, n: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--measure", kind, "--rows", str(n)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told = done.stdout.splitlines()[-1]
    print(kind, told, flush=True)
    return json.loads(told)


def main() -> None:
    parser = argparse.ArgumentParser(description="A fit on a file larger than memory.")
    parser.add_argument("folder", nargs="?", type=Path, help="by default that of the system")
    parser.add_argument("--gigabytes", type=float, default=None, help="size of the file")
    parser.add_argument("--formats", action="store_true", help="other files too")
    parser.add_argument("--quick", action="store_true", help="0.1 GB, nothing is written")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder, options.rows)))
        return
    n_bytes = 1e9 * (options.gigabytes or (0.1 if options.quick else 12))
    n = int(n_bytes / 4 / WIDTH)
    n_some = min(n, 50_000)
    folder = Path(tempfile.mkdtemp(prefix="rows-", dir=options.folder))
    try:
        make_rows(folder / "rows.f32", n)
        # Once before and once after: the machine may be busier at one time than at another.
        before = child("memory", folder, n_some)
        forget(folder / "rows.f32")
        results = {"memory": before, "memmap": child("memmap", folder, n)}
        after = results["memory, again"] = child("memory", folder, n_some)
        for kind, package in NEEDS.items() if options.formats else ():
            if find_spec(package) is None:
                print(f"{package} is not installed: rows in {kind} are left out.")
            else:
                write(kind, folder, n_some)
                results[kind] = child(kind, folder, n_some)
    finally:
        shutil.rmtree(folder)

    def speed(result: dict[str, Any], call: str, unit: str = "seconds") -> float:
        return result["rows"] / result[call][unit]

    def ratio_of(result: dict[str, Any], call: str, unit: str) -> float:
        """Of rows per second, to those in memory, whose time is the mean of both."""
        times = [1 / speed(each, call, unit) for each in (before, after)]
        return round(speed(result, call, unit) * sum(times) / 2, 3)

    ratios = {
        kind: {
            f"{call}, {unit}": ratio_of(result, call, unit)
            for call in ("fit", "transform")
            for unit in ("seconds", "cpu_seconds")
        }
        for kind, result in results.items()
    }
    print_table(
        ["rows in", "rows", "peak of fit, MB", "own", "of files", "rows/s", "ratio", "CPU"],
        [
            [
                kind,
                result["rows"],
                *(
                    round(result["peak"][f"fit{part}"] / 1e6)
                    for part in ("", ", own", ", of files")
                ),
                round(speed(result, "fit")),
                ratios[kind]["fit, seconds"],
                ratios[kind]["fit, cpu_seconds"],
            ]
            for kind, result in results.items()
        ],
    )
    most, ratio = results["memmap"]["peak"]["transform"], ratios["memmap"]["fit, seconds"]
    print_table(
        ["measure", "value", "target", "met"],
        [
            ["peak resident memory, GB", most / 1e9, "below 1.2", most < MOST_BYTES],
            ["rows per second of fit, ratio", ratio, "at least 0.7", ratio >= LEAST_SPEED],
        ],
    )
    if not options.quick:
        write_json(
            "out_of_core",
            {
                "bytes": n * WIDTH * 4,
                "width": WIDTH,
                "parameters": PARAMETERS,
                "ratios_to_memory": ratios,
                "results": results,
            },
        )


if __name__ == "__main__":
    main()
