"""Data sets: small ones that are made, and images that are read from a file."""

from skotae.datasets._grid import make_gaussian_grid
from skotae.datasets._mnist import fetch_mnist
from skotae.datasets._swiss_roll import make_swiss_roll

__all__ = ["fetch_mnist", "make_gaussian_grid", "make_swiss_roll"]
