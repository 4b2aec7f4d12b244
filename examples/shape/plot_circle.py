"""
=================
Codes on a circle
=================

Where data come round to where they began, codes in the plane form a ring around a hole, and a prior
that has no hole decodes to rows that are none. On a circle the prior is where the codes are.
"""

# %%
# Twenty-four readings of a day, with a peak at any hour: after 24 hours comes 0.

import numpy as np

rng = np.random.default_rng(0)
peak = rng.uniform(0, 24, 600)
hours = np.arange(24)
X = np.exp(3 * np.cos((hours - peak[:, None]) * np.pi / 12) - 3)
X += rng.normal(scale=0.05, size=X.shape)
X, X_test, peak, peak_test = X[:400], X[400:], peak[:400], peak[400:]

# %%
# ``prior="sphere"`` in two dimensions is the circle. Beside it the same estimator with a normal
# prior. Samples of both are decoded draws from the prior (``latent="prior"``).

from skotae import SinkhornAE

models = {
    prior: SinkhornAE(2, prior=prior, latent="prior", random_state=0).fit(X)
    for prior in ("sphere", "normal")
}
codes = {prior: model.transform(X_test) for prior, model in models.items()}
assert np.allclose(np.linalg.norm(codes["sphere"], axis=1), 1)

# %%
# Codes of days that were not trained on, coloured by the hour of the peak:

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3), layout="constrained")
for ax, (prior, points) in zip(axes, codes.items(), strict=True):
    dots = ax.scatter(*points.T, c=peak_test, cmap="twilight", s=14, vmin=0, vmax=24)
    ax.set_title(f"prior={prior!r}", fontsize=10, loc="left")
    ax.set_aspect("equal", adjustable="datalim")
figure.colorbar(dots, ax=axes, label="hour of the peak", ticks=[0, 6, 12, 18, 24])
plt.show()

# %%
# The angle of a code on the circle is the hour, up to a shift and the direction: it goes round
# once while the hour does.

angle = np.exp(1j * np.arctan2(*codes["sphere"].T[::-1]))
hour = np.exp(1j * peak_test * np.pi / 12)
agreement = max(abs((angle * hour).mean()), abs((angle * hour.conj()).mean()))
print(f"agreement of angle and hour {agreement:.3f} (1 is perfect)")
assert agreement > 0.9

# %%
# Samples, and the distance of each to the nearest day of the data:

from sklearn.neighbors import NearestNeighbors

nearest = NearestNeighbors(n_neighbors=1).fit(X)
figure, axes = plt.subplots(1, 2, figsize=(6.24, 2.8), layout="constrained", sharey=True)
off = {}
for ax, (prior, model) in zip(axes, models.items(), strict=True):
    samples = model.sample(200, random_state=0)
    off[prior] = nearest.kneighbors(samples)[0].mean()
    ax.plot(hours, samples[:15].T, color="#0072B2", lw=1)
    ax.set_title(f"prior={prior!r}: distance {off[prior]:.2f}", fontsize=10, loc="left")
    ax.set(xlabel="hour", xticks=[0, 6, 12, 18])
assert off["sphere"] < off["normal"]
plt.show()

# %%
# In the middle of the ring the normal prior has draws and the data have no days. Where the shape is
# not known, samples from the codes that there are (``latent="auto"``, the default) avoid
# the hole too:

model = SinkhornAE(2, prior="normal", random_state=0).fit(X)
default = nearest.kneighbors(model.sample(200, random_state=0))[0].mean()
print(f"distance of such samples {default:.2f}")
assert default < off["normal"]
