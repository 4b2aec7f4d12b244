"""Measures of autoencoders and samples: arrays in, floats out."""

from skotae.metrics._distances import (
    exact_wasserstein,
    gaussian_wasserstein,
    max_sliced_wasserstein,
    mmd,
    sinkhorn_divergence,
    sliced_wasserstein,
)
from skotae.metrics._grid import high_density_ratio
from skotae.metrics._score import triangle_bound

__all__ = [
    "exact_wasserstein",
    "gaussian_wasserstein",
    "high_density_ratio",
    "max_sliced_wasserstein",
    "mmd",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "triangle_bound",
]
