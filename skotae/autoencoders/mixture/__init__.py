"""The autoencoders whose prior is a mixture of Gaussians."""

from skotae.autoencoders.mixture._gmvae import GMVAE
from skotae.autoencoders.mixture._gmwae import GMWAE

__all__ = ["GMVAE", "GMWAE"]
