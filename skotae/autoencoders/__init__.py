"""The estimators."""

from skotae.autoencoders._adversarial import AdversarialAE
from skotae.autoencoders._adversarial_vb import AdversarialVB
from skotae.autoencoders._coupled import CoupledVAE
from skotae.autoencoders._gaussian_mixture import GMWAE
from skotae.autoencoders._sinkhorn import SinkhornAE
from skotae.autoencoders._symmetric import SymmetricWAE
from skotae.autoencoders._vae import VAE
from skotae.autoencoders._wae import WAEEstimator
from skotae.autoencoders._wgan import WGAN

__all__ = [
    "GMWAE",
    "VAE",
    "WGAN",
    "AdversarialAE",
    "AdversarialVB",
    "CoupledVAE",
    "SinkhornAE",
    "SymmetricWAE",
    "WAEEstimator",
]
