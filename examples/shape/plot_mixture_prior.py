"""
=====================
A prior with clusters
=====================

Where data lie in clusters, a normal prior asks codes to fill the gaps between them, and samples lie
in gaps. A prior of as many clusters does not.
"""

# %%
# A grid of 25 narrow clusters, and two priors. Samples are decoded draws from the prior itself
# (``latent="prior"``).

from skotae import SinkhornAE
from skotae.datasets import make_gaussian_grid
from skotae.metrics import high_density_ratio
from skotae.priors import GaussianMixturePrior

X, _, means = make_gaussian_grid(1500, random_state=0, return_means=True)
grid = GaussianMixturePrior(25, means=means, scale=0.1)
models = {
    name: SinkhornAE(2, prior=prior, latent="prior", max_iter=40, random_state=0).fit(X)
    for name, prior in {"mixture": grid, "normal": "normal"}.items()
}

# %%
# How many of the clusters have samples, and how many samples are within four standard deviations
# of one?

share = {}
for name, model in models.items():
    samples = model.sample(1500, random_state=0)
    share[name], n_modes, _ = high_density_ratio(samples, means, scale=0.05)
    print(f"{name}: {n_modes} of 25 clusters, {share[name]:.0%} of the samples in one")
assert share["mixture"] > share["normal"]

# %%
# Samples, and below the codes over the prior:

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(2, 2, figsize=(6.24, 6), layout="constrained")
for (top, bottom), (name, model) in zip(axes.T, models.items(), strict=True):
    top.scatter(*X.T, s=4, color="0.75", label="data")
    top.scatter(*model.sample(1500, random_state=0).T, s=2, color="#0072B2", label="samples")
    top.set_title(f"{name} prior: {share[name]:.0%} within", fontsize=9, loc="left")
    top.set_aspect("equal")
    CodesDisplay.from_estimator(model, X, ax=bottom)
    bottom.set_title("codes", fontsize=9, loc="left")
axes[0, 0].legend(fontsize=8, markerscale=3, loc="upper right")
plt.show()

# %%
# Usually one does not know the clusters. Then samples from a mixture that is fitted to the codes
# afterwards, the default, are the first thing to try:

free = SinkhornAE(2, prior="normal", max_iter=40, random_state=0).fit(X)
ratio = high_density_ratio(free.sample(1500, random_state=0), means, scale=0.05)[0]
print(f"normal prior, samples from a mixture of its codes: {ratio:.0%}")
assert ratio > share["normal"]
