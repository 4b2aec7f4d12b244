"""Debiasing and the width of the codes of ``SinkhornAE`` in many dimensions.

    python benchmarks/latent_scale.py [--quick]

5,000 x 100 standard normal data, 64 components, a normal prior: the standard deviation of
the codes, mean over dimensions, which should be 1. The mini-batch estimate of the paper
(``debias="paired"``) is smallest for codes that are too narrow; independent halves, the
default, are free of that bias and are to give 0.9 to 1.1. ``--quick`` trains for few epochs
on fewer rows.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _common import print_table, write_json

from skotae import SinkhornAE

SEED = 0
N_FEATURES = 100
N_COMPONENTS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description="Latent scale of SinkhornAE.")
    parser.add_argument("--quick", action="store_true", help="few epochs, nothing is written")
    options = parser.parse_args()
    n_rows = 1000 if options.quick else 5000
    X = np.random.default_rng(SEED).normal(size=(n_rows, N_FEATURES)).astype(np.float32)

    results = {}
    for debias in ("independent", "paired"):
        model = SinkhornAE(
            N_COMPONENTS, debias=debias, prior="normal", latent="prior", random_state=SEED
        )
        if options.quick:
            model.set_params(max_iter=20)
        start = time.perf_counter()
        codes = model.fit_transform(X)
        results[debias] = {
            "mean_latent_std": float(codes.std(axis=0).mean()),
            "smallest_latent_std": float(codes.std(axis=0).min()),
            "largest_latent_std": float(codes.std(axis=0).max()),
            "fit_seconds": round(time.perf_counter() - start, 2),
        }
    columns = ["mean_latent_std", "smallest_latent_std", "largest_latent_std", "fit_seconds"]
    print_table(["debias", *columns], [[k, *(v[c] for c in columns)] for k, v in results.items()])
    if not options.quick:
        met = 0.9 <= results["independent"]["mean_latent_std"] <= 1.1
        print(f"default debiasing within 0.9 to 1.1: {'yes' if met else 'no'}")
        parameters = {"n_rows": n_rows, "n_features": N_FEATURES, "n_components": N_COMPONENTS}
        write_json("latent_scale", {**parameters, "seed": SEED, "debias": results})


if __name__ == "__main__":
    main()
