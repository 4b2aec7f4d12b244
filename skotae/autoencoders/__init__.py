"""The estimators."""

from skotae.autoencoders._coupled import CoupledVAE
from skotae.autoencoders._gaussian_mixture import GMWAE
from skotae.autoencoders._info_vae import InfoVAE
from skotae.autoencoders._planar_flow import PlanarFlowVAE
from skotae.autoencoders._sinkhorn import SinkhornAE
from skotae.autoencoders._symmetric import SymmetricWAE
from skotae.autoencoders._vae import VAE
from skotae.autoencoders._wae import WAEEstimator

__all__ = [
    "GMWAE",
    "VAE",
    "CoupledVAE",
    "InfoVAE",
    "PlanarFlowVAE",
    "SinkhornAE",
    "SymmetricWAE",
    "WAEEstimator",
]
