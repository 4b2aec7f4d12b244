"""
=================
Codes on a circle
=================

A picture that is turned comes back after 360 degrees. Codes in the plane become a ring around a
hole, and a prior that has no hole decodes to pictures that are none. On a circle the prior is where
the codes are.
"""

# %%
# One handwritten digit, turned by random angles.

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits

rng = np.random.default_rng(0)
angle = rng.uniform(0, 360, 600)
image = load_digits().images[7]
X = np.array([rotate(image, a, reshape=False, order=1).ravel() for a in angle])
X, X_test, angle, angle_test = X[:400], X[400:], angle[:400], angle[400:]

# %%
# ``prior="sphere"`` in two dimensions is the circle. Beside it the same estimator with a normal
# prior.

from skotae import SinkhornAE

models = {
    prior: SinkhornAE(2, prior=prior, latent="prior", random_state=0).fit(X)
    for prior in ("sphere", "normal")
}
codes = {prior: model.transform(X_test) for prior, model in models.items()}
assert np.allclose(np.linalg.norm(codes["sphere"], axis=1), 1)

# %%
# Does the code know by how much the picture was turned? Nearest neighbours among the codes say, on
# pictures that were not trained on.

from sklearn.neighbors import KNeighborsRegressor


def error(model):
    """Median error of the angle, in degrees."""
    turned = np.exp(1j * np.deg2rad(angle))
    neighbours = KNeighborsRegressor().fit(model.transform(X), np.c_[turned.real, turned.imag])
    real, imaginary = neighbours.predict(model.transform(X_test)).T
    off = np.angle((real + 1j * imaginary) * np.exp(-1j * np.deg2rad(angle_test)), deg=True)
    return np.median(np.abs(off))


for prior, model in models.items():
    print(f"{prior}: {error(model):.1f} degrees, score {model.score(X_test):.2f}")
assert all(error(model) < 10 for model in models.values())

# %%
# Both codes do. The samples differ: how far is a sample from the nearest picture?

from sklearn.neighbors import NearestNeighbors

nearest = NearestNeighbors(n_neighbors=1).fit(X)
off = {
    prior: nearest.kneighbors(model.sample(400, random_state=0))[0].mean()
    for prior, model in models.items()
}
print({prior: round(float(value), 1) for prior, value in off.items()})
assert off["sphere"] < off["normal"]

# %%
# Codes, coloured by the angle:

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.2), layout="constrained")
for ax, (prior, points) in zip(axes, codes.items(), strict=True):
    dots = ax.scatter(*points.T, c=angle_test, cmap="twilight", s=14)
    ax.set_title(f"prior={prior!r}", fontsize=10, loc="left")
    ax.set_aspect("equal", adjustable="datalim")
figure.colorbar(dots, ax=axes, label="turned by (degrees)", ticks=[0, 90, 180, 270, 360])
plt.show()

# %%
# Once round the circle, decoded:

turns = np.linspace(0, 2 * np.pi, 11)[:-1]
pictures = models["sphere"].inverse_transform(np.c_[np.cos(turns), np.sin(turns)])
figure, axes = plt.subplots(1, 10, figsize=(6.24, 0.9), layout="constrained")
for ax, picture in zip(axes, pictures, strict=True):
    ax.imshow(picture.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
    ax.set(xticks=[], yticks=[])
plt.show()
