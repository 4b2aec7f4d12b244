"""
==========================================
Twenty-five Gaussians and one normal prior
==========================================

A continuous decoder takes a connected prior to connected samples, and most autoencoders
bridge modes that lie apart. :class:`~skotae.CoupledVAE` couples data and prior by entropic
optimal transport: each row of the data gets its own region of the prior, of any shape, and
the regions tile it.
"""

# %%
# The data
# --------
# A grid of 25 narrow Gaussians. Two components, so that the prior is a plane as well. This page
# has fewer points and steps than one would take elsewhere, to be quick.

from skotae import CoupledVAE
from skotae.datasets import make_gaussian_grid

X, y, means = make_gaussian_grid(2000, random_state=0, return_means=True)
model = CoupledVAE(n_components=2, batch_size=256, max_iter=150, random_state=0).fit(X)

# %%
# Samples
# -------
# How many modes are there among the samples, and how many samples lie within four standard
# deviations of one?

from skotae.metrics import high_density_ratio

samples = model.sample(2000, random_state=0)
ratio, n_modes, within = high_density_ratio(samples, means, scale=0.05)
print(f"{n_modes} of 25 modes, {ratio:.0%} of the samples in one of them")
assert n_modes == 25 and ratio > 0.5
print(f"standard deviation within modes: {within:.3f} (0.05 in the data)")

# %%
# The posterior of one point is a distribution over the plane, known by importance weights on a
# bank of prior draws:

point = means[[12]]
posterior = model.sample_posterior(point, 500, random_state=0)[0]
codes = model.transform(X)
size = model.effective_sample_size(point)[0]
print(f"{size:.0f} of {model.n_bank} draws of the bank stand behind that posterior")

# %%
# A peer: a variational autoencoder with the same number of epochs. More of its samples lie between
# modes.

from skotae import VAE

beside = VAE(2, batch_size=256, max_iter=150, latent="prior", random_state=0).fit(X)
beside = beside.sample(2000, random_state=0)
peer = high_density_ratio(beside, means, scale=0.05)[0]
print(f"VAE: {peer:.0%} of the samples in a mode")
assert peer < ratio

# %%
# Above data and samples of both; below the codes (posterior means), coloured by mode, and
# draws from the posterior of the Gaussian in the centre, against the prior. The coupling gives
# each mode its share of the prior, 1/25, and neighbouring modes neighbouring shares.

import matplotlib.pyplot as plt
import numpy as np

prior = np.random.default_rng(0).normal(size=(1500, 2))
figure, axes = plt.subplots(2, 2, figsize=(6.24, 6.2), layout="constrained")
for ax, drawn, title in zip(axes[0], (samples, beside), ("CoupledVAE", "VAE"), strict=True):
    ax.scatter(*X.T, s=3, color="0.75")
    ax.scatter(*drawn.T, s=2, color="#0072B2")
    ax.set_title(f"Data and samples, {title}", fontsize=9, loc="left")
axes[1, 0].scatter(*codes.T, s=3, c=(7 * y) % 25, cmap="viridis")
axes[1, 0].set_title("Codes, coloured by mode", fontsize=9, loc="left")
axes[1, 1].scatter(*prior.T, s=3, color="0.8", label="prior")
axes[1, 1].scatter(*posterior.T, s=5, color="#D55E00", marker="s", label="posterior")
axes[1, 1].set_title("Posterior of the central mode", fontsize=9, loc="left")
axes[1, 1].legend(loc="upper right", markerscale=3, fontsize=8)
for ax in axes.flat:
    ax.set_aspect("equal")
    ax.tick_params(labelsize=8)
for ax in axes[1]:
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
plt.show()
