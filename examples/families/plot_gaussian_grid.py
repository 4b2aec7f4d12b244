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
# Above, data and samples; below, the codes (posterior means), coloured by mode, and
# draws from the posterior of the Gaussian in the centre, against the prior. The coupling gives
# each mode its share of the prior, 1/25, and neighbouring modes neighbouring shares.

import matplotlib.pyplot as plt
import numpy as np

prior = np.random.default_rng(0).normal(size=(1500, 2))
figure, axes = plt.subplots(2, 2, figsize=(6.24, 6.2), layout="constrained")
top, beside, left, right = axes.flat
beside.set_axis_off()
top.scatter(*X.T, s=3, color="0.7", label="data")
top.scatter(*samples.T, s=2, color="#0072B2", label="samples")
top.set_title("Data and samples", fontsize=9, loc="left")
beside.legend(*top.get_legend_handles_labels(), loc="center left", markerscale=3, frameon=False)
left.scatter(*codes.T, s=4, c=(7 * y) % 25, cmap="viridis")
left.set_title("Codes, coloured by mode", fontsize=9, loc="left")
right.scatter(*prior.T, s=3, color="0.8", label="prior")
right.scatter(*posterior.T, s=5, color="#D55E00", marker="s", label="posterior")
right.set_title("Posterior of the central mode", fontsize=9, loc="left")
right.legend(loc="upper right", markerscale=3, fontsize=8)
for ax in (top, left, right):
    ax.set_aspect("equal")
    ax.tick_params(labelsize=8)
for ax in (left, right):
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
plt.show()
