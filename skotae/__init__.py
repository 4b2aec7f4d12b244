"""Optimal-transport autoencoders as scikit-learn estimators, on PyTorch."""

from importlib.metadata import version

from skotae._show_versions import show_versions
from skotae.autoencoders import (
    GMVAE,
    GMWAE,
    MIM,
    VAE,
    WGAN,
    AdversarialAE,
    AdversarialVB,
    CoupledVAE,
    HypersphericalVAE,
    InfoVAE,
    PlanarFlowVAE,
    SinkhornAE,
    SinkhornEncoder,
    SymmetricWAE,
    VampPriorVAE,
    VampPriorWAE,
    WAEEstimator,
)
from skotae.displays import report
from skotae.persistence import load
from skotae.training import data_parallel

__version__ = version("skotae")

__all__ = [
    "GMVAE",
    "GMWAE",
    "MIM",
    "VAE",
    "WGAN",
    "AdversarialAE",
    "AdversarialVB",
    "CoupledVAE",
    "HypersphericalVAE",
    "InfoVAE",
    "PlanarFlowVAE",
    "SinkhornAE",
    "SinkhornEncoder",
    "SymmetricWAE",
    "VampPriorVAE",
    "VampPriorWAE",
    "WAEEstimator",
    "__version__",
    "data_parallel",
    "load",
    "report",
    "show_versions",
]
