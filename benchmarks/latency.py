"""One row at a time: ``python benchmarks/latency.py``.

A service encodes rows as they come. Microseconds a row of `transform` and of the ONNX file of
it, which are timed in turn, and a peer that needs no network, PCA. Needs
``pip install "skotae[onnx]"``; without it `transform` and PCA alone are timed.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import skotae


def microseconds(functions, n_rounds, n_calls):
    """Median over rounds, in each of which every function is called some times, in turn."""
    taken = {name: [] for name in functions}
    for _ in range(n_rounds):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(n_calls):
                function()
            taken[name].append((time.process_time() - start) / n_calls * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    X = load_digits().data.astype(np.float32)
    row = X[:1]
    model = skotae.WAEEstimator(8, max_iter=1, random_state=0).fit(X)
    pca = PCA(8).fit(X)
    functions = {"transform": lambda: model.transform(row), "PCA": lambda: pca.transform(row)}
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnxscript")):
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encode.onnx"
            model.to_onnx(path)
            threads = onnxruntime.SessionOptions()
            threads.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(path.read_bytes(), threads)
        (codes,) = session.run(None, {"X": row})
        assert np.abs(codes - model.transform(row)).max() < 1e-5
        functions["ONNX Runtime"] = lambda: session.run(None, {"X": row})
    times = microseconds(functions, *((2, 5) if options.quick else (15, 200)))
    print("CPU time of one row of 64 numbers, networks of 256, 256 units:")
    for name, time_ in times.items():
        print(f"    {name:13} {time_:6.0f} us")


if __name__ == "__main__":
    main()
