"""Tables 1 and 2 of the paper on the coupled VAE: 25 Gaussians, and a subset of MNIST.

    python benchmarks/papers/coupled_vae.py [--quick] [--data FILE.npz] [--only TEXT ...]

Within a table every row has the same networks, batches, epochs and learning rate, and two
components. The likelihood is Gaussian on the 25 Gaussians, with the standard deviation of the data
in every row but one, and on tables; on images it is Bernoulli.

25 Gaussians (7,500 training points; left out with ``--data``), of 10,000 samples:

- ``high_density_ratio``: share within four standard deviations of the nearest mean;
- ``std_within_modes``: standard deviation about that mean, 0.05 in the data;
- ``n_modes``: modes with such a sample.

Samples are draws from p(x|z). The two measures ``..._of_means`` are those of decoded draws
without the likelihood's noise; the Wasserstein autoencoder, which has no likelihood, has only
these, under both names.

Subset of MNIST (2,560 training rows, or what there is of other data):

- ``reconstruction_error``: squared, summed over features, of test rows;
- ``density``, ``coverage``: of decoded samples among test rows, in pixels.

In both ``mmd_x_1000`` is the squared MMD between the prior and one draw from the posterior of each
training row, with the kernel of `prior_gap`, which is not the paper's: its figures do not compare
with these. It is measured with as many draws from the prior. The posterior of `CoupledVAE` is drawn
from a bank of 8,192 prior draws.

The networks of the 25 Gaussians are the paper's, but for batch normalisation, with which no decoder
is sharp enough; those of images are not given in the paper. Rows "as in the paper" have batch
normalisation, and the weights of its footnotes beside plain sums. For images, samples (upper
half) and paths between the codes of test rows (lower half) are written to ``results/papers``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from _recipes import Recipe
from _rows import Data, Measures, Row, Table, arguments, load, result_path, run, tiled, timed_fit

import skotae
from skotae.costs import GaussianCost
from skotae.datasets import make_gaussian_grid
from skotae.metrics import (
    density_coverage,
    high_density_ratio,
    prior_gap,
    reconstruction_error,
)
from skotae.networks import MLP, ConvNet

SCALE = 0.05
N_POINTS = 7500
N_SAMPLES = 10_000
N_TRAIN = 2560
N_BANK = 8192
SHARED: dict[str, Any] = {"n_components": 2, "batch_size": 256}
GRID: dict[str, Any] = {
    **SHARED,
    "hidden_layer_sizes": (256, 256, 256, 256),
    "learning_rate_init": 0.002,
    "max_iter": 680,
}
QUICK: dict[str, Any] = {"max_iter": 5, "n_bank": 512}
SUBSET: dict[str, Any] = {**SHARED, "hidden_layer_sizes": (512, 512), "max_iter": 300}

OURS: dict[str, Any] = {"init": "principal", "plan_decay": 0.99, "n_bank": N_BANK}
COUPLED: dict[str, tuple[str, dict[str, Any]]] = {
    "CoupledVAE": ("CoupledVAE", OURS),
    "CoupledVAE, potential network": (
        "CoupledVAE",
        {"init": "random", "potential": "network", "plan_decay": 0.0, "n_bank": N_BANK},
    ),
}
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    f"CoupledVAE, {name}": ("CoupledVAE", {**OURS, **params})
    for name, params in {
        "plan_decay=0": {"plan_decay": 0.0},
        "init='random'": {"init": "random"},
        "init='isometry'": {"init": "isometry"},
        "n_bank_steps=0": {"n_bank_steps": 0},
        "learned variance": {"cost": "gaussian"},
    }.items()
}
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "VAE": ("VAE", {}),
    "PlanarFlowVAE": ("PlanarFlowVAE", {"n_flows": 10}),
    "WAE": ("WAEEstimator", {"posterior": "gaussian"}),
    "InfoVAE": ("InfoVAE", {"alpha": 0.0, "lam": 2.0}),
}
# High-density ratio and standard deviation within modes (Table 1).
PAPER = {
    "VAE": (0.715, 0.0778),
    "PlanarFlowVAE": (0.536, 0.0833),
    "WAE": (0.608, 0.0764),
    "InfoVAE": (0.860, 0.0673),
    "CoupledVAE": (0.985, 0.0478),
}

# Section 5: of each system the row with its figures, its class, its parameters on the 25
# Gaussians, and those that differ on MNIST.
WIDTHS = (256, 256, 256, 256)
DEEP: dict[str, Any] = {
    "encoder": MLP(WIDTHS, batch_norm=True),
    "decoder": MLP(WIDTHS, batch_norm=True),
}
PLAIN: dict[str, Any] = {"cost": "sqeuclidean", "cost_scale": 1.0}
RECIPES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "VAE": ("VAE", "VAE", {}, {}),
    "VAE-NF": ("PlanarFlowVAE", "PlanarFlowVAE", {"n_flows": 10}, {}),
    "WAE": ("WAE", "WAEEstimator", {"posterior": "gaussian", "lam": 1.0, **PLAIN}, {"lam": 2.0}),
    "InfoVAE": ("InfoVAE", "InfoVAE", {"alpha": 0.0, "lam": 2.0}, {"lam": 3.0}),
    "C-VAE": (
        "CoupledVAE",
        "CoupledVAE",
        {
            **{"strategy": "dual", "potential": "network"},
            **{"init": "random", "cooling": False, "plan_decay": 0.0},
        },
        {},
    ),
}
OPEN = ("batch_size", "hidden_layer_sizes", "learning_rate", "learning_rate_init", "max_iter")
GRID_OPEN = (*OPEN, "cost")
OPEN_TOO = {
    "WAE": ("cost",),
    "C-VAE": ("potential", "epsilon", "n_dual_steps", "n_bank"),
}
DIFFERS = {
    "C-VAE": (
        "The scale of the likelihood is lowered in training, or epsilon where it has none; the "
        "paper's are constant."
    )
}
VARIANCE = 0.0025  # that of the data

GRID_DECIMALS = {
    "high_density_ratio": 3,
    "std_within_modes": 4,
    "n_modes": 1,
    "high_density_ratio_of_means": 3,
    "std_within_modes_of_means": 4,
    "mmd_x_1000": 2,
    "fit_seconds": 0,
}
SUBSET_DECIMALS = {
    "mmd_x_1000": 2,
    "reconstruction_error": 2,
    "density": 3,
    "coverage": 3,
    "fit_seconds": 0,
}


def make(name: str, params: dict[str, Any], seed: int | None) -> Any:
    if name != "CoupledVAE":
        params = {key: value for key, value in params.items() if key != "n_bank"}
    # Samples as in the papers: from the prior.
    return getattr(skotae, name)(latent="prior", random_state=seed, **params)


def gap(model: Any, X: np.ndarray, seed: int) -> float:
    codes = model.sample_posterior(X, random_state=seed)[:, 0]
    return 1000.0 * prior_gap(codes, model.prior_, random_state=seed + 1)


def make_on_grid(name: str, params: dict[str, Any], quick: bool, seed: int | None) -> Any:
    params = {**GRID, **params, **(QUICK if quick else {})}
    if name != "WAEEstimator":
        params = {"cost": GaussianCost(variance=VARIANCE), **params}
    return make(name, params, seed)


def on_grid(quick: bool, model: Any, seed: int) -> Measures:
    n = 500 if quick else N_POINTS
    X, _, means = make_gaussian_grid(n, scale=SCALE, random_state=0, return_means=True)
    X = X.astype(np.float32)
    seconds = timed_fit(model, X)
    found: Measures = {}
    for suffix, noise in {"": model.cost_.likelihood, "_of_means": False}.items():
        samples = model.sample(N_SAMPLES, noise=noise, random_state=seed)
        ratio, n_modes, within = high_density_ratio(samples, means, SCALE)
        found[f"high_density_ratio{suffix}"] = ratio
        found[f"std_within_modes{suffix}"] = within if np.isfinite(within) else None
        found[f"n_modes{suffix}"] = int(n_modes)
    return {**found, "mmd_x_1000": gap(model, X, seed), "fit_seconds": seconds}


def draw_figure(model: Any, data: Data, label: str, seed: int) -> None:
    """Sixteen columns: four lines of samples, four paths between test rows."""
    from matplotlib import image

    samples = model.sample(64, random_state=seed)
    paths = model.interpolate(data.X_test[:4], data.X_test[4:8], n_steps=16)
    pictures = np.concatenate([samples, paths.reshape(64, -1)]).reshape(8, 16, -1)
    path = result_path(__file__, data.name, f"-{label}.png")
    image.imsave(path, tiled(pictures, data.image_shape))


def make_on_subset(
    name: str, params: dict[str, Any], data: Data, quick: bool, seed: int | None
) -> Any:
    params = {**SUBSET, "cost": "gaussian" if data.image_shape is None else "bernoulli", **params}
    if name == "WAEEstimator" and data.image_shape is None:
        params["cost"] = "sqeuclidean"
    return make(name, params | (QUICK if quick else {}), seed)


def on_subset(label: str, data: Data, quick: bool, model: Any, seed: int) -> Measures:
    seconds = timed_fit(model, data.X_train)
    if data.image_shape is not None and seed == 0 and not quick:
        draw_figure(model, data, label, seed)
    samples = model.sample(len(data.X_test), random_state=seed)
    density, coverage = density_coverage(data.X_test, samples)
    return {
        "mmd_x_1000": gap(model, data.X_train, seed),
        "reconstruction_error": reconstruction_error(data.X_test, model.reconstruct(data.X_test)),
        "density": density,
        "coverage": coverage,
        "fit_seconds": seconds,
    }


def tables(data: Data, quick: bool = False) -> list[Table]:
    """The 25 Gaussians, where the data are MNIST or digits, and those data."""

    def grid_row(
        label: str, name: str, params: dict[str, Any], recipe: Recipe | None = None
    ) -> Row:
        paper = dict(zip(GRID_DECIMALS, PAPER.get(label, ()), strict=False))
        made = partial(make_on_grid, name, params, quick)
        return Row(made, partial(on_grid, quick), paper, recipe=recipe)

    def subset_row(
        label: str, name: str, params: dict[str, Any], recipe: Recipe | None = None
    ) -> Row:
        if label == "InfoVAE":
            params = {**params, "lam": 3.0}
        file = "".join(c if c.isalnum() else "-" for c in label.lower())
        made = partial(make_on_subset, name, params, data, quick)
        return Row(made, partial(on_subset, file, data, quick), recipe=recipe)

    grid = {
        label: grid_row(label, *row) for label, row in {**PEERS, **COUPLED, **ABLATIONS}.items()
    }
    rows = {
        **PEERS,
        **COUPLED,
        "CoupledVAE, n_bank_steps=0": ABLATIONS["CoupledVAE, n_bank_steps=0"],
        "CoupledVAE, posterior='amortised'": (
            "CoupledVAE",
            {"posterior": "amortised", "plan_decay": 0.0},
        ),
    }
    subset = {label: subset_row(label, *row) for label, row in rows.items()}
    for system, (like, name, params, on_images) in RECIPES.items():
        label, differs = f"{system} as in the paper", DIFFERS.get(system, "")
        no_encoder = {"encoder": None} if name == "CoupledVAE" else {}
        open_ = GRID_OPEN + OPEN_TOO.get(system, ())
        made = grid_row(
            like, name, {**DEEP, **no_encoder, **params}, Recipe(system, open_, differs)
        )
        grid[label] = made
        if data.image_shape is not None:
            network = ConvNet(data.image_shape)
            networks = {"encoder": network, "decoder": network, **no_encoder}
            differs = (
                f"{differs} The paper's networks have convolutions; their sizes are not given."
            )
            open_ = (*OPEN, "encoder", "decoder", *OPEN_TOO.get(system, ()))
            subset[label] = subset_row(
                label,
                name,
                {**networks, **params, **on_images},
                Recipe(f"{system}, MNIST", open_, differs.strip()),
            )
    found = [Table(f"{len(data.y_train)} rows of {data.name}", subset, SUBSET_DECIMALS)]
    if data.name in ("mnist", "digits"):
        found.insert(0, Table("25 Gaussians", grid, GRID_DECIMALS))
    return found


def main() -> None:
    options = arguments(__doc__)
    data = load(options).subset(N_TRAIN, N_TRAIN)
    settings = {"25 Gaussians": {**GRID, "n_points": N_POINTS}, "rows": SUBSET, "ours": OURS}
    run(__file__, data.name, tables(data, options.quick), options, settings)


if __name__ == "__main__":
    main()
