"""Measures of autoencoders and samples: arrays in, floats out."""

from skotae.metrics._baselines import Baselines, baselines
from skotae.metrics._clustering import clustering_accuracy
from skotae.metrics._codes import knn_accuracy, prior_gap, reconstruction_error
from skotae.metrics._distances import (
    exact_wasserstein,
    gaussian_wasserstein,
    mmd,
    sinkhorn_divergence,
)
from skotae.metrics._frechet import frechet_distance
from skotae.metrics._grid import high_density_ratio
from skotae.metrics._intervals import Estimate, confidence_interval
from skotae.metrics._lipschitz import lipschitz_factor
from skotae.metrics._neighbours import density_coverage, precision_recall
from skotae.metrics._plans import exact_plan
from skotae.metrics._report import GenerationReport, generation_report
from skotae.metrics._score import transport_r2_score, triangle_bound
from skotae.metrics._scorers import Scorer, get_scorer
from skotae.metrics._sliced import max_sliced_wasserstein, sliced_wasserstein

__all__ = [
    "Baselines",
    "Estimate",
    "GenerationReport",
    "Scorer",
    "baselines",
    "clustering_accuracy",
    "confidence_interval",
    "density_coverage",
    "exact_plan",
    "exact_wasserstein",
    "frechet_distance",
    "gaussian_wasserstein",
    "generation_report",
    "get_scorer",
    "high_density_ratio",
    "knn_accuracy",
    "lipschitz_factor",
    "max_sliced_wasserstein",
    "mmd",
    "precision_recall",
    "prior_gap",
    "reconstruction_error",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "transport_r2_score",
    "triangle_bound",
]
