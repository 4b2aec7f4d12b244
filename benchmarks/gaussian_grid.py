"""Does ``CoupledVAE`` find 25 separate modes?

    python benchmarks/gaussian_grid.py [--quick]

``make_gaussian_grid``, 7,500 points, two components, otherwise defaults. Of 10,000 samples:
the number of modes that are hit (of 25), the share within four standard deviations of a mode
(to be at least 0.90) and the standard deviation within modes (0.05 in the data). ``--quick``
trains for few epochs.
"""

from __future__ import annotations

import argparse
import time

from _common import print_table, write_json

from skotae import CoupledVAE
from skotae.datasets import make_gaussian_grid
from skotae.metrics import high_density_ratio

SEED = 0
N_POINTS = 7500
N_SAMPLES = 10_000
SCALE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description="CoupledVAE on 25 Gaussians.")
    parser.add_argument("--quick", action="store_true", help="few epochs, nothing is written")
    options = parser.parse_args()
    X, _, means = make_gaussian_grid(N_POINTS, scale=SCALE, random_state=SEED, return_means=True)
    # The transport to the prior is what is looked at.
    model = CoupledVAE(n_components=2, latent="prior", random_state=SEED)
    if options.quick:
        model.set_params(max_iter=10)
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    samples = model.sample(N_SAMPLES, random_state=SEED)
    ratio, n_modes, within = high_density_ratio(samples, means, SCALE)
    print_table(
        ["measure", "value", "target"],
        [
            ["modes", n_modes, "25"],
            ["high-density ratio", ratio, "at least 0.90"],
            ["standard deviation within modes", within, f"{SCALE} in the data"],
            ["seconds", seconds, "under 360"],
        ],
    )
    if not options.quick:
        write_json(
            "gaussian_grid",
            {
                "n_points": N_POINTS,
                "n_samples": N_SAMPLES,
                "seed": SEED,
                "n_epochs": model.n_iter_,
                "n_modes": n_modes,
                "high_density_ratio": ratio,
                "std_within_modes": within,
                "fit_seconds": round(seconds, 2),
            },
        )


if __name__ == "__main__":
    main()
