"""The models of the VEGAN cookbook (Bousquet et al. 2017), on MNIST.

    python benchmarks/papers/vegan_cookbook.py [--quick] [--data FILE.npz] [--only TEXT ...]

The paper is theory and has no experiments, so that there are no figures to reach. These are its
objectives, on one pair of networks, with the same epochs and number of components; measured as in
``sinkhorn_ae.py``. Decoders are Gaussian with the variance sigma², which the paper leaves open.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from _features import trained_features
from _recipes import Recipe
from _rows import Data, Measures, Row, Table, arguments, load, run, timed_fit
from sinkhorn_ae import DECIMALS, measured, settings_of

import skotae
from skotae.costs import GaussianCost
from skotae.divergences import AdversarialDivergence

# Standard deviation of a pixel, given its code.
SIGMA = 0.25
# Eq. 4, with the saturating loss; the paper has no gradient penalty.
GAN = AdversarialDivergence(loss="jensen-shannon", gradient_penalty=0.0)
SUMS: dict[str, Any] = {"cost_scale": 1.0, "prior": "normal"}
LIKELIHOOD: dict[str, Any] = {"cost": GaussianCost(variance=SIGMA**2), "cost_scale": 1.0}
# At that lambda POT for the squared distance is AAE (section 4.1).
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "POT, squared distance (eq. 13)": (
        "WAEEstimator",
        {"penalty": GAN, "lam": 2 * SIGMA**2, "cost": "sqeuclidean", **SUMS},
    ),
    "POT, distance (section 4.2)": (
        "WAEEstimator",
        {"penalty": GAN, "lam": 2 * SIGMA**2, "cost": "euclidean", **SUMS},
    ),
    "AAE (eq. 7)": ("AdversarialAE", {"sigma": SIGMA, "gradient_penalty": 0.0, **SUMS}),
    "AVB (eq. 6)": ("AdversarialVB", {"adaptive_contrast": False, **LIKELIHOOD}),
    "VAE (eq. 5)": ("VAE", LIKELIHOOD),
    "WGAN (section 2.1)": ("WGAN", {"weight_clip": 0.01}),
}
OPEN = (
    *("n_components", "hidden_layer_sizes", "activation", "encoder", "decoder", "max_iter"),
    *("batch_size", "learning_rate", "learning_rate_init"),
)
OPEN_TOO = {
    "WAEEstimator": ("lam",),
    "AdversarialAE": ("sigma",),
    "AdversarialVB": ("cost",),
    "VAE": ("cost",),
    "WGAN": ("weight_clip",),
}
DIFFERS = {
    "AAE (eq. 7)": "The penalty is the non-saturating one of Makhzani et al. (2016).",
    "WGAN (section 2.1)": "Weights are clipped as Arjovsky et al. (2017) have it.",
}


def tables(data: Data, quick: bool = False, features: Any = None) -> list[Table]:
    """The rows; without `features` they can be made, but not measured."""
    settings = settings_of(data, quick)

    def make(name: str, params: dict[str, Any], seed: int | None) -> Any:
        cls = getattr(skotae, name)
        shared = {**settings, "latent": "prior"}
        known = {key: value for key, value in shared.items() if key in cls().get_params()}
        return cls(**{**known, **params}, random_state=seed)

    def measure(model: Any, seed: int) -> Measures:
        seconds = timed_fit(model, data.X_train)
        return {"fit_seconds": seconds, **measured(model, data, features, seed)}

    rows = {
        system: Row(
            partial(make, name, params),
            measure,
            recipe=Recipe(system, OPEN + OPEN_TOO[name], DIFFERS.get(system, "")),
        )
        for system, (name, params) in RECIPES.items()
    }
    return [Table("Objectives", rows, DECIMALS)]


def main() -> None:
    options = arguments(__doc__)
    data = load(options)
    features, accuracy = trained_features(data, quick=options.quick)
    record = {**settings_of(data, options.quick), "classifier_accuracy": accuracy}
    run(__file__, data.name, tables(data, options.quick, features), options, record)


if __name__ == "__main__":
    main()
