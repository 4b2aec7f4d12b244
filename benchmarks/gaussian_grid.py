"""Does ``CoupledVAE`` find separate modes?

    python benchmarks/gaussian_grid.py [--quick]

Two components, otherwise defaults, three seeds: ``make_gaussian_grid`` (7,500 points in 25 modes),
a ring of eight modes (4,000 points, as far from the centre as two units) and two moons (3,000
points), all with a standard deviation of 0.05. Of 10,000 samples: the number of modes that are
hit, the share within four standard deviations of a mode (of the moons: of a noiseless point), and
the standard deviation within modes of decoded draws, and of these with the likelihood's noise.
``--quick`` trains for few epochs.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from _common import print_table, write_json
from sklearn.datasets import make_moons

from skotae import CoupledVAE
from skotae.datasets import make_gaussian_grid
from skotae.metrics import high_density_ratio

SEEDS = (0, 1, 2)
N_SAMPLES = 10_000
SCALE = 0.05


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


def measure(X: np.ndarray, means: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    # The transport to the prior is what is looked at.
    model = CoupledVAE(n_components=2, latent="prior", random_state=seed)
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
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for name, (X, means) in clouds().items():
        for seed in SEEDS[:1] if options.quick else SEEDS:
            results.setdefault(name, []).append(measure(X, means, seed, options.quick))
            if not options.quick:
                write_json("gaussian_grid", {"n_samples": N_SAMPLES, "scale": SCALE, **results})
    rows = [[name, *found.values()] for name, runs in results.items() for found in runs]
    print_table(["points", *next(iter(results.values()))[0]], rows)


if __name__ == "__main__":
    main()
