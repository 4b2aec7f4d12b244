"""Optimal-transport autoencoders as scikit-learn estimators, on PyTorch."""

from importlib.metadata import version

from skotae._show_versions import show_versions
from skotae.autoencoders import (
    GMWAE,
    VAE,
    CoupledVAE,
    InfoVAE,
    PlanarFlowVAE,
    SinkhornAE,
    SymmetricWAE,
    WAEEstimator,
)

__version__ = version("skotae")

__all__ = [
    "GMWAE",
    "VAE",
    "CoupledVAE",
    "InfoVAE",
    "PlanarFlowVAE",
    "SinkhornAE",
    "SymmetricWAE",
    "WAEEstimator",
    "__version__",
    "show_versions",
]
