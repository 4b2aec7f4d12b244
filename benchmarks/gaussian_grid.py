"""Does ``CoupledVAE`` find separate modes?

    python benchmarks/gaussian_grid.py [--quick] [--only NAME ...]

Two components, three seeds, with the defaults and with the algorithm of the paper (Algorithm 2: a
constant scale, that of the data; gradient ascent on the table; the decoder's own plan). Points:
``make_gaussian_grid`` (7,500 in 25 modes), a ring of eight modes (4,000, two units from the centre)
and two moons (3,000), all with a standard deviation of 0.05. Of 10,000 samples: the number of modes
that are hit, the share within four standard deviations of a mode (of the moons: of a noiseless
point), and the standard deviation within modes of decoded draws, and of these with the likelihood's
noise. ``--quick`` trains for few epochs.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from _common import RESULTS, print_table, write_json
from sklearn.datasets import make_moons

from skotae import CoupledVAE
from skotae.costs import GaussianCost
from skotae.datasets import make_gaussian_grid
from skotae.metrics import high_density_ratio

SEEDS = (0, 1, 2)
N_SAMPLES = 10_000
SCALE = 0.05
SYSTEMS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "paper": {
        "cost": GaussianCost(variance=SCALE**2),
        "init": "random",
        "cooling": False,
        "plan_decay": 0.0,
        "dual_rate": 1.0,
    },
}


def ring(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    angles = np.arange(8) * np.pi / 4
    means = 2.0 * np.column_stack([np.cos(angles), np.sin(angles)])
    return means[rng.randint(8, size=n)] + SCALE * rng.normal(size=(n, 2)), means


def clouds() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Points and the middles of their modes."""
    grid, _, means = make_gaussian_grid(7500, scale=SCALE, random_state=0, return_means=True)
    moons = make_moons(3000, noise=SCALE, random_state=0)[0]
    return {
        "25 Gaussians": (grid, means),
        "ring of 8": ring(4000),
        "two moons": (moons, make_moons(2000, noise=0.0)[0]),
    }


def measure(
    X: np.ndarray, means: np.ndarray, params: dict[str, Any], seed: int, quick: bool
) -> dict[str, Any]:
    # The transport to the prior is what is looked at.
    model = CoupledVAE(n_components=2, latent="prior", random_state=seed, **params)
    if quick:
        model.set_params(max_iter=10)
    start = time.process_time()
    model.fit(X)
    found: dict[str, Any] = {"seed": seed, "cpu_seconds": round(time.process_time() - start, 1)}
    for suffix, noise in {"": False, "_with_noise": True}.items():
        samples = model.sample(N_SAMPLES, noise=noise, random_state=seed)
        ratio, n_modes, within = high_density_ratio(samples, means, SCALE)
        found[f"high_density_ratio{suffix}"] = round(ratio, 4)
        found[f"n_modes{suffix}"] = int(n_modes)
        found[f"std_within_modes{suffix}"] = round(within, 4) if np.isfinite(within) else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="CoupledVAE on separate modes.")
    parser.add_argument("--quick", action="store_true", help="few epochs, nothing is written")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="points or systems; keep others")
    options = parser.parse_args()
    path = RESULTS / "gaussian_grid.json"
    kept = json.loads(path.read_text()) if options.only and path.exists() else {}
    results: dict[str, list[dict[str, Any]]] = kept.get("results", {})
    for points, (X, means) in clouds().items():
        for system, params in SYSTEMS.items():
            if options.only and not {points, system} & {*options.only}:
                continue
            rows = results[f"{points}, {system}"] = []
            for seed in SEEDS[:1] if options.quick else SEEDS:
                rows.append(measure(X, means, params, seed, options.quick))
                if not options.quick:
                    found = {"n_samples": N_SAMPLES, "scale": SCALE, "results": results}
                    write_json("gaussian_grid", found)
    print_table(
        ["points", *next(iter(results.values()))[0]],
        [[name, *found.values()] for name, runs in results.items() for found in runs],
    )


if __name__ == "__main__":
    main()
