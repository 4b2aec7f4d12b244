"""Parameters that single estimators refuse, and the words of the messages."""

import numpy as np
from scipy import stats
from torch import nn

from skotae.divergences import (
    MMD,
    AdversarialDivergence,
    ExactDivergence,
    SinkhornDivergence,
    SlicedDivergence,
)
from skotae.priors import (
    AtomsPrior,
    DistributionPrior,
)

PSEUDO_INPUTS = {
    "n_pseudo_inputs": (
        {"n_pseudo_inputs": 0},
        None,
        ValueError,
        ["'n_pseudo_inputs'", "[1, inf)"],
    ),
    "too many pseudo-inputs": (
        {"n_pseudo_inputs": 25},
        None,
        ValueError,
        ["n_pseudo_inputs=25", "24 rows"],
    ),
    "init": ({"init": "kmeans"}, None, ValueError, ["'init'", "k-means++"]),
}
FIT_SINKHORN = {
    "epsilon": ({"epsilon": 0.0}, None, ValueError, ["'epsilon'", "(0.0, inf)"]),
    "debias": ({"debias": "pared"}, None, ValueError, ["'debias'", "paired"]),
    "sharp": ({"sharp": "yes"}, None, ValueError, ["'sharp'", "bool"]),
    "p": ({"p": 0.5}, None, ValueError, ["'p'", "[1.0, inf)"]),
    "sinkhorn_tol": ({"sinkhorn_tol": 0.0}, None, ValueError, ["'sinkhorn_tol'"]),
    "relative": ({"relative": "yes"}, None, ValueError, ["'relative'", "bool"]),
}
FIT_ONE = {
    "WAEEstimator": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "posterior": ({"posterior": "gausian"}, None, ValueError, ["'posterior'", "gaussian"]),
        "unknown penalty": ({"penalty": "mdm"}, None, ValueError, ["penalty='mdm'", "'mmd'"]),
        "class of a penalty": ({"penalty": MMD}, None, TypeError, ["penalty=MMD", "an instance"]),
        "prior without moments": (
            {"penalty": "gaussian", "prior": DistributionPrior(stats.cauchy())},
            None,
            ValueError,
            ["prior=", "moments()", "GaussianDivergence", "'normal'"],
        ),
        "cost_scale": ({"cost_scale": 0.0}, None, ValueError, ["'cost_scale'", "(0.0, inf)"]),
        "bandwidth": (
            {"penalty": MMD(bandwidth=0)},
            None,
            ValueError,
            ["bandwidth must be", "> 0"],
        ),
        "epsilon of the penalty": (
            {"penalty": SinkhornDivergence(epsilon=0.0)},
            None,
            ValueError,
            ["epsilon", "0"],
        ),
        "debias of the penalty": (
            {"penalty": ExactDivergence(debias="pared")},
            None,
            ValueError,
            ["debias='pared'", "'paired'"],
        ),
        "n_projections": (
            {"penalty": SlicedDivergence(n_projections=0)},
            None,
            ValueError,
            ["n_projections"],
        ),
        "layers of the adversary": (
            {"penalty": AdversarialDivergence(hidden_layer_sizes=(0,))},
            None,
            ValueError,
            ["hidden_layer_sizes"],
        ),
    },
    "SinkhornAE": {
        **FIT_SINKHORN,
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "root": ({"root": "yes"}, None, ValueError, ["'root'", "bool"]),
    },
    "SinkhornEncoder": {
        **FIT_SINKHORN,
        "contraction": ({"contraction": -1.0}, None, ValueError, ["'contraction'", "[0.0, inf)"]),
        "annealing": ({"annealing": 0.5}, None, ValueError, ["'annealing'", "[1.0, inf)"]),
        "n_neighbors": ({"n_neighbors": 0}, None, ValueError, ["'n_neighbors'", "[1, inf)"]),
    },
    "SymmetricWAE": {
        "beta": ({"beta": 1.5}, None, ValueError, ["'beta'", "[0.0, 1.0]"]),
        "alpha": ({"alpha": -1.0}, None, ValueError, ["'alpha'", "[0.0, inf)"]),
        **PSEUDO_INPUTS,
        "metric": ({"metric": "l1"}, None, ValueError, ["'metric'", "cosine"]),
        "search": ({"search": "code"}, None, ValueError, ["'search'", "latent"]),
        "p": ({"p": 3}, None, ValueError, ["'p'", "[1, 2]"]),
    },
    "GMWAE": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "n_mixtures": ({"n_mixtures": 0}, None, ValueError, ["'n_mixtures'", "[1, inf)"]),
        "too many mixtures": ({"n_mixtures": 25}, None, ValueError, ["n_mixtures=25", "24 rows"]),
        "separation": ({"separation": 0.0}, None, ValueError, ["'separation'", "(0.0, inf)"]),
        "moments": ({"moments": "none"}, None, ValueError, ["moments='none'", "'separate'"]),
        "warm_up": ({"warm_up": 1.5}, None, ValueError, ["'warm_up'", "[0.0, 1.0]"]),
        "information": ({"information": -1.0}, None, ValueError, ["'information'", "[0.0, inf)"]),
        "balance": ({"balance": -1.0}, None, ValueError, ["'balance'", "[0.0, inf)"]),
        "smoothness": ({"smoothness": -1.0}, None, ValueError, ["'smoothness'", "[0.0, inf)"]),
        "radius": ({"radius": 0.0}, None, ValueError, ["'radius'", "(0.0, inf)"]),
        "discrepancy": ({"discrepancy": "z"}, None, ValueError, ["'discrepancy'", "joint"]),
        "init": ({"init": "k-means++"}, None, ValueError, ["'init'", "clusters"]),
    },
    "GMVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "n_mixtures": ({"n_mixtures": 0}, None, ValueError, ["'n_mixtures'", "[1, inf)"]),
        "too many mixtures": ({"n_mixtures": 25}, None, ValueError, ["n_mixtures=25", "24 rows"]),
        "separation": ({"separation": 0.0}, None, ValueError, ["'separation'", "(0.0, inf)"]),
    },
    "HypersphericalVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "warm_up": ({"warm_up": 1.5}, None, ValueError, ["'warm_up'", "[0.0, 1.0]"]),
        "no component": ({"n_components": 0}, None, ValueError, ["'n_components'", "[1, inf)"]),
    },
    "AdversarialAE": {
        "sigma": ({"sigma": -1.0}, None, ValueError, ["'sigma'", "[0.0, inf)"]),
        "posterior": ({"posterior": "gausian"}, None, ValueError, ["'posterior'", "gaussian"]),
        "gradient_penalty": ({"gradient_penalty": -1.0}, None, ValueError, ["'gradient_penalty'"]),
        "log_density": ({"log_density": "yes"}, None, ValueError, ["'log_density'", "bool"]),
        "log_density without one": (
            {"log_density": True, "prior": AtomsPrior(np.eye(2))},
            None,
            ValueError,
            ["prior=", "log_prob()", "'normal'"],
        ),
        "log_density on a support": (
            {"log_density": True, "prior": "sphere"},
            None,
            ValueError,
            ["prior=SpherePrior()", "log_density=True", "'normal'"],
        ),
    },
    "AdversarialVB": {
        "n_noise": ({"n_noise": 0}, None, ValueError, ["'n_noise'", "[1, inf)"]),
        "n_discriminator": ({"n_discriminator": 0}, None, ValueError, ["'n_discriminator'"]),
        "temperature": ({"temperature": 0.5}, None, ValueError, ["'temperature'", "[1.0, inf)"]),
        "width of the discriminator": (
            {"discriminator": nn.Linear(4, 1)},
            None,
            ValueError,
            ["discriminator", "(2, 6)", "width 6 to width 1"],
        ),
    },
    "WGAN": {
        "gradient_penalty": (
            {"gradient_penalty": 0.0},
            None,
            ValueError,
            ["'gradient_penalty'", "(0.0, inf)"],
        ),
        "n_critic": ({"n_critic": 0}, None, ValueError, ["'n_critic'", "[1, inf)"]),
        "width of the critic": (
            {"critic": nn.Linear(4, 2)},
            None,
            ValueError,
            ["critic", "(2, 2)", "expected shape (2, 1)"],
        ),
    },
    "VAE": {"beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"])},
    "VampPriorVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        **PSEUDO_INPUTS,
    },
    "VampPriorWAE": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "posterior": ({"posterior": "normal"}, None, ValueError, ["'posterior'", "'gaussian'"]),
        "penalty": ({"penalty": "gan"}, None, ValueError, ["penalty='gan'", "'sinkhorn'"]),
        **PSEUDO_INPUTS,
    },
    "MIM": {
        "no min_scale": ({"min_scale": 0.0}, None, ValueError, ["'min_scale'", "(0.0, 1.0]"]),
        "min_scale": ({"min_scale": 2.0}, None, ValueError, ["'min_scale'", "(0.0, 1.0]"]),
        **PSEUDO_INPUTS,
    },
    "InfoVAE": {
        "alpha": ({"alpha": 1.5}, None, ValueError, ["'alpha'", "(-inf, 1.0]"]),
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "alpha and lam": (
            {"alpha": 0.5, "lam": 0.001},
            None,
            ValueError,
            ["alpha=0.5", "lam=0.001", "alpha + lam >= 1"],
        ),
    },
    "PlanarFlowVAE": {"n_flows": ({"n_flows": 0}, None, ValueError, ["'n_flows'", "[1, inf)"])},
    "CoupledVAE": {
        "epsilon": ({"epsilon": 0.0}, None, ValueError, ["'epsilon'", "(0.0, inf)"]),
        "strategy": ({"strategy": "both"}, None, ValueError, ["'strategy'", "primal"]),
        "potential": ({"potential": "net"}, None, ValueError, ["'potential'", "network"]),
        "full dual of a table": (
            {"dual": "full"},
            None,
            ValueError,
            ["dual='full'", "potential='network'"],
        ),
        "plan_decay": ({"plan_decay": 1.0}, None, ValueError, ["'plan_decay'", "[0.0, 1.0)"]),
        "init": ({"init": "pca"}, None, ValueError, ["'init'", "principal"]),
        "n_bank_steps": ({"n_bank_steps": -1}, None, ValueError, ["'n_bank_steps'", "[0, inf)"]),
        "n_bank": ({"n_bank": 1}, None, ValueError, ["'n_bank'", "[2, inf)"]),
        "n_dual_steps": ({"n_dual_steps": 0}, None, ValueError, ["'n_dual_steps'", "[1, inf)"]),
        "posterior": ({"posterior": "exact"}, None, ValueError, ["'posterior'", "amortised"]),
    },
}
