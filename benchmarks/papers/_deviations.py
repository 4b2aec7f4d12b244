"""Where the defaults are not what the papers have: why, and what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from _recipes import call_of
from _rows import RESULTS, Row

NOT_RUN = "not run"


class Figure(NamedTuple):
    """What was measured, from results that are kept.

    Parameters
    ----------
    text : str
        With a format for each number.
    file : str
        Name of a file of results.
    paths : tuple of tuple of str
        Keys of each number; ``"*"`` is the mean over all keys.
    """

    text: str
    file: str
    paths: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        try:
            results = json.loads((RESULTS / f"{self.file}.json").read_text())
            return self.text.format(*(_value(results, path) for path in self.paths))
        except (FileNotFoundError, KeyError):
            return NOT_RUN


class Why(NamedTuple):
    """The reason for a default, and figures where there are some."""

    reason: str
    figure: Figure | None = None


def _value(results: Any, path: Sequence[str]) -> float:
    for i, key in enumerate(path):
        if key == "*":
            return fmean(_value(each, path[i + 1 :]) for each in results.values())
        results = results[key]
    return float(results)


def _of_rows(script: str, table: str, measure: str, text: str, *rows: str) -> Figure:
    paths = tuple(("tables", table, row, "seeds", "*", measure) for row in rows)
    return Figure(text, f"papers/{script}", paths)


# What a system is, not how its default differs: one default cannot be all of them.
WHICH = {
    *("n_components", "n_mixtures", "penalty", "cost", "posterior"),
    *(("VAE", "beta"), ("SymmetricWAE", "beta"), ("SinkhornEncoder", "prior")),
    *(("SinkhornEncoder", "hidden_layer_sizes"), ("CoupledVAE", "decoder")),
}

_PENALTY = _of_rows(
    "sinkhorn_ae",
    "Table 1",
    "frechet_distance",
    "debias, sharp and relative at once, one weight, on the sphere: Frechet distance {:.0f} with "
    "the defaults, {:.0f} with the paper's",
    "SinkhornAE of mini-batches, sphere",
    "SinkhornAE, sharp penalty, sphere",
)
_SWAE = _of_rows(
    "symmetric_wae",
    "40 components",
    "reconstruction_error",
    "alpha, units and learning rate at once, 40 components: reconstruction error {:.2f} with "
    "those of the benchmark, {:.2f} with the paper's",
    "SymmetricWAE(beta=0.5)",
    "SymmetricWAE, the paper's weights",
)
_CLUSTERS = Figure(
    "accuracy on MNIST with the defaults, 20,000 training rows: {:.2f}; with the paper's terms: "
    "not run",
    "mixtures",
    (("sets", "mnist", "*", "greedy"),),
)
_WEIGHT = (
    "Beside a cost in units of the mean row; see `cost_scale`. With samples from a mixture of the "
    "codes it is lower, in proportion to what principal components leave."
)
_PERCEPTRON = "A perceptron that begins with principal components, for rows of any kind."

REASONS: dict[tuple[str, str], Why] = {
    ("", "cost_scale"): Why(
        "A reconstruction cost of 1 is that of the mean row, so that one weight does for data of "
        "any unit and any number of features."
    ),
    ("", "weight_decay"): Why(
        "Networks begin with principal components; decay draws them back to these where rows are "
        "few."
    ),
    ("", "latent"): Why(
        "Codes never follow the prior to the letter; samples come from a mixture fitted to them."
    ),
    ("", "prior"): Why(
        "The default follows the widths of the principal components, so that codes need not be "
        "bent into a ball."
    ),
    ("", "learning_rate"): Why("A rate that falls ends in a minimum, not about one."),
    ("", "learning_rate_init"): Why("A rate that falls may begin higher."),
    ("", "refit_decoder"): Why(
        "A decoder takes more epochs than codes and components: its last layer is solved for."
    ),
    ("", "encoder"): Why(_PERCEPTRON),
    ("", "decoder"): Why(_PERCEPTRON),
    ("", "n_pseudo_inputs"): Why(
        "Half as many as rows, and 500 at most, so that small data can be fitted and large data "
        "take no longer."
    ),
    ("", "lam"): Why(_WEIGHT),
    ("", "gradient_penalty"): Why("It damps the oscillation of the game."),
    ("AdversarialVB", "adaptive_contrast"): Why(
        "Against the prior, the discriminator underestimates the ratio for narrow posteriors."
    ),
    ("WGAN", "weight_clip"): Why("A penalty on the slope leaves the critic its capacity."),
    ("SinkhornAE", "beta"): Why(_WEIGHT),
    ("SinkhornAE", "epsilon"): Why("A share of the mean cost holds in any unit.", _PENALTY),
    ("SinkhornAE", "relative"): Why("An absolute epsilon holds for one unit.", _PENALTY),
    ("SinkhornAE", "sharp"): Why(
        "The gradient of the value with the entropy needs no derivative of the plan.", _PENALTY
    ),
    ("SinkhornAE", "debias"): Why(
        "On one pair of mini-batches the loss is least for codes that are too narrow.",
        Figure(
            "standard deviation of the codes, 64 dimensions, normal prior: {:.2f} with "
            "'independent', {:.2f} with 'paired', where the prior has 1",
            "latent_scale",
            (
                ("debias", "independent", "mean_latent_std"),
                ("debias", "paired", "mean_latent_std"),
            ),
        ),
    ),
    ("SinkhornEncoder", "contraction"): Why(
        "The paper counts on a smooth network; alone, the divergence is content with a folded roll."
    ),
    ("SinkhornEncoder", "debias"): Why("Without it narrow codes cost less than the prior's."),
    ("SinkhornEncoder", "epsilon"): Why("A share of the mean cost holds in any unit."),
    ("SinkhornEncoder", "relative"): Why("An absolute epsilon holds for one unit."),
    ("SinkhornEncoder", "sharp"): Why(
        "The gradient of the value with the entropy needs no derivative of the plan."
    ),
    ("HypersphericalVAE", "warm_up"): Why("Posteriors collapse less often."),
    ("SymmetricWAE", "alpha"): Why(_WEIGHT, _SWAE),
    ("SymmetricWAE", "cost_scale"): Why("One weight does for data of any unit.", _SWAE),
    ("SymmetricWAE", "learning_rate"): Why(
        "A rate that falls ends in a minimum, not about one.", _SWAE
    ),
    ("SymmetricWAE", "n_pseudo_inputs"): Why(
        "Half as many as rows, and 500 at most, so that small data can be fitted and large data "
        "take no longer.",
        _of_rows(
            "symmetric_wae",
            "40 components",
            "nn_5",
            "5-NN accuracy {:.4f} with 500 from k-means++, {:.4f} with 4,000 rows at random",
            "SymmetricWAE, 500 pseudo-inputs",
            "SymmetricWAE(beta=0.5)",
        ),
    ),
    ("GMWAE", "discrepancy"): Why("Of z alone, nothing keeps all components in use.", _CLUSTERS),
    ("GMWAE", "information"): Why("A term that the paper has not: balanced shares.", _CLUSTERS),
    ("GMWAE", "smoothness"): Why(
        "A term that the paper has not: borders far from rows.", _CLUSTERS
    ),
    ("GMWAE", "warm_up"): Why("At first k has to carry what is known of a row.", _CLUSTERS),
    ("GMVAE", "moments"): Why("The shared network begins with principal components."),
    ("InfoVAE", "lam"): Why("The default is the paper's for the 25 Gaussians."),
    ("CoupledVAE", "cooling"): Why(
        "A decoder finds the modes while the plan still spreads over them; at a small constant "
        "scale the nearest draws take them."
    ),
    ("CoupledVAE", "init"): Why(
        "No objective unfolds a decoder that starts with folds.",
        _of_rows(
            "coupled_vae",
            "25 Gaussians",
            "high_density_ratio",
            "samples near a mode, 25 Gaussians: {:.3f} from an isometry, {:.3f} without",
            "CoupledVAE, init='isometry'",
            "CoupledVAE, init='random'",
        ),
    ),
    ("CoupledVAE", "plan_decay"): Why(
        "Between a decoder and its own plan there is feedback, in which modes drop.",
        _of_rows(
            "coupled_vae",
            "25 Gaussians",
            "n_modes",
            "modes of 25 with a table of potentials: {:.0f} with the average, {:.0f} without",
            "CoupledVAE",
            "CoupledVAE, plan_decay=0",
        ),
    ),
}


def reason(cls: str, parameter: str) -> Why | None:
    """Why the default is not the paper's; None where the parameter is what a system is."""
    if parameter in WHICH or (cls, parameter) in WHICH:
        return None
    return REASONS.get((cls, parameter)) or REASONS[("", parameter)]


def deviations(rows: Sequence[Row]) -> list[list[str]]:
    """Classes, parameter, what recipes have, the default, its reason and figures."""
    found: dict[tuple[str, str], tuple[list[str], str]] = {}
    for row in rows:
        if row.recipe is None:
            continue
        model = row.estimator(None)
        defaults = type(model)().get_params(deep=False)
        for name, value in model.get_params(deep=False).items():
            ours, theirs = (text_of(each) for each in (defaults[name], value))
            if ours != theirs and name not in row.recipe.open:
                values, _ = found.setdefault((name, type(model).__name__), ([], ours))
                values += [theirs] if theirs not in values else []
    classes: dict[tuple[str, ...], list[str]] = {}
    for (name, cls), (values, ours) in sorted(found.items()):
        why = reason(cls, name)
        if why is not None:
            figure = NOT_RUN if why.figure is None else str(why.figure)
            line = name, ", ".join(values), ours, why.reason, figure
            classes.setdefault(line, []).append(cls)
    return [[", ".join(names), *line] for line, names in classes.items()]


def text_of(value: Any) -> str:
    """In one line."""
    return " ".join(call_of(value).split()) if hasattr(value, "get_params") else repr(value)
