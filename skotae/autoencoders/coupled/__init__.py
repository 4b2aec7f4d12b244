"""The coupled variational autoencoder."""

from skotae.autoencoders.coupled._estimator import CoupledVAE

__all__ = ["CoupledVAE"]
