"""Data sets of the papers."""

from skotae.datasets._gaussian_grid import make_gaussian_grid
from skotae.datasets._mnist import fetch_mnist

__all__ = ["fetch_mnist", "make_gaussian_grid"]
