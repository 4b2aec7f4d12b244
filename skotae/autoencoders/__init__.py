"""The estimators."""

from skotae.autoencoders._adversarial import AdversarialAE
from skotae.autoencoders._adversarial_vb import AdversarialVB
from skotae.autoencoders._hyperspherical import HypersphericalVAE
from skotae.autoencoders._info_vae import InfoVAE
from skotae.autoencoders._mim import MIM
from skotae.autoencoders._planar_flow import PlanarFlowVAE
from skotae.autoencoders._sinkhorn import SinkhornAE
from skotae.autoencoders._sinkhorn_encoder import SinkhornEncoder
from skotae.autoencoders._symmetric import SymmetricWAE
from skotae.autoencoders._vae import VAE
from skotae.autoencoders._vamp_prior import VampPriorVAE
from skotae.autoencoders._vamp_prior_wae import VampPriorWAE
from skotae.autoencoders._wae import WAEEstimator
from skotae.autoencoders._wgan import WGAN
from skotae.autoencoders.coupled import CoupledVAE
from skotae.autoencoders.mixture import GMVAE, GMWAE

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
]
