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
# has fewer points and fewer steps than would be best: with 7,500 points and the default
# settings more of the samples lie in a mode.

from skotae import CoupledVAE
from skotae.datasets import make_gaussian_grid

X, y, means = make_gaussian_grid(2500, random_state=0, return_means=True)
model = CoupledVAE(n_components=2, batch_size=256, max_iter=250, random_state=0).fit(X)

# %%
# Samples
# -------
# How many modes are there among the samples, and how many samples lie within four standard
# deviations of one?

from skotae.metrics import high_density_ratio

samples = model.sample(2500, random_state=0)
ratio, n_modes, within = high_density_ratio(samples, means, scale=0.05)
print(f"{n_modes} of 25 modes, {ratio:.0%} of the samples in one of them")
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
# Left, data and samples; in the middle the codes (posterior means), coloured by mode; right,
# draws from the posterior of the Gaussian in the centre, against the prior. The coupling gives
# each mode its share of the prior, 1/25, and neighbouring modes neighbouring shares.

import matplotlib.pyplot as plt
import numpy as np

prior = np.random.default_rng(0).normal(size=(1500, 2))
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
axes[0].scatter(*X.T, s=3, color="0.75", label="data")
axes[0].scatter(*samples.T, s=2, color="tab:blue", label="samples")
axes[0].set(title="Data and samples", xlim=(-2.6, 2.6), ylim=(-2.6, 3.0))
axes[0].legend(loc="upper right", ncols=2, markerscale=3, frameon=False)
axes[1].scatter(*codes.T, s=4, c=(7 * y) % 25, cmap="tab20")
axes[1].set(title="Codes, coloured by mode", xlabel="$z_1$", ylabel="$z_2$")
axes[2].scatter(*prior.T, s=3, color="0.8", label="prior")
axes[2].scatter(*posterior.T, s=5, color="tab:red", label="posterior")
axes[2].set(title="Posterior of the central mode", xlabel="$z_1$", ylabel="$z_2$")
axes[2].legend(loc="upper right", markerscale=3)
for ax in axes:
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[1:]:
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
plt.show()
