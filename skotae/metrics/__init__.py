"""Measures of autoencoders and samples: arrays in, floats out."""

from skotae.metrics._distances import exact_wasserstein, mmd
from skotae.metrics._grid import high_density_ratio
from skotae.metrics._score import triangle_bound

__all__ = ["exact_wasserstein", "high_density_ratio", "mmd", "triangle_bound"]
