"""
=================
Codes on a sphere
=================

Two estimators with a uniform prior on the sphere: :class:`~skotae.HypersphericalVAE` with a cloud
for each row, :class:`~skotae.SinkhornAE` with a point.
"""

# %%
# Three coordinates, of which two are free.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import HypersphericalVAE, SinkhornAE

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=0)

settings = {"n_components": 3, "max_iter": "auto", "random_state": 0}
models = {
    "HypersphericalVAE": HypersphericalVAE(**settings).fit(X),
    "SinkhornAE": SinkhornAE(prior="sphere", **settings).fit(X),
}
for name, model in models.items():
    assert np.allclose(np.linalg.norm(model.transform(X_test), axis=1), 1, atol=1e-5)
    print(f"{name:17} score {model.score(X_test):.3f}")

# %%
# A map of the sphere that keeps areas: codes that follow the prior are spread evenly over it.

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(2, 1, figsize=(6.24, 6), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(name, fontsize=9, loc="left")
plt.show()

# %%
# Paths between rows follow great circles:

first, last = X_test[y_test == 0][:1], X_test[y_test == 4][:1]
steps = models["SinkhornAE"].interpolate(first, last, n_steps=10)[0]
figure, axes = plt.subplots(1, 10, figsize=(6.24, 0.9), layout="constrained")
for ax, image in zip(axes, steps, strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
    ax.set(xticks=[], yticks=[])
plt.show()
