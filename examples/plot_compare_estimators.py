"""
===============================
All the estimators side by side
===============================

Digits, two components, the same networks: what the codes look like, what the samples look
like, and two numbers. With two components the codes can be drawn as they are; for accuracy
one would take more.
"""

# %%
# Fits
# ----
# All estimators are trained for fewer epochs than by default, to keep this page quick. Codes on a
# sphere have three coordinates, of which two are free.

import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skotae import (
    GMVAE,
    GMWAE,
    MIM,
    VAE,
    WGAN,
    AdversarialAE,
    AdversarialVB,
    CoupledVAE,
    HypersphericalVAE,
    InfoVAE,
    PlanarFlowVAE,
    SinkhornAE,
    SinkhornEncoder,
    SymmetricWAE,
    VampPriorVAE,
    WAEEstimator,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)

settings = {"n_components": 2, "max_iter": 40, "random_state": 0}
sphere = {**settings, "n_components": 3}
models = [
    WAEEstimator(**settings),
    SinkhornAE(**sphere, prior="sphere"),
    SinkhornEncoder(**settings, prior="uniform"),
    SymmetricWAE(**settings),
    GMWAE(**settings),
    CoupledVAE(**settings, posterior="amortised"),
    AdversarialAE(**settings),
    WGAN(**settings),
    VAE(**settings),
    InfoVAE(**settings),
    PlanarFlowVAE(**settings),
    HypersphericalVAE(**sphere),
    VampPriorVAE(**settings),
    MIM(**settings),
    GMVAE(**settings),
    AdversarialVB(**settings),
]
print(f"{'':17}  accuracy   score  seconds")
results = []
for model in models:
    start = time.perf_counter()
    model.fit(X_train)
    seconds = time.perf_counter() - start
    codes, accuracy = None, float("nan")
    if hasattr(model, "transform"):
        codes = model.transform(X_test)
        neighbours = KNeighborsClassifier().fit(model.transform(X_train), y_train)
        accuracy = neighbours.score(codes, y_test)
    score = model.score(X_test)
    results.append((codes, accuracy, score))
    print(f"{type(model).__name__:17}  {accuracy:8.3f}  {score:6.3f}  {seconds:7.1f}")

# %%
# *Accuracy* is that of five nearest neighbours on the codes; :class:`~skotae.WGAN` has none.
# *Score* is minus an upper bound on the Wasserstein distance between digits and samples; higher
# is better. That of :class:`~skotae.SinkhornEncoder`, which has no decoder, is about codes and
# prior, and is not to be compared with the others.
#
# Codes
# -----
# Each estimator has its own idea of what codes should be like: a round cloud, a sphere (seen here
# from one side), a square (:class:`~skotae.SinkhornEncoder`), one cloud for each of ten
# components (:class:`~skotae.GMWAE`), or whatever keeps neighbours together
# (:class:`~skotae.SymmetricWAE`).

import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots(4, 4, figsize=(13, 13), layout="constrained")
for axis, model, (codes, accuracy, score) in zip(axes.flat, models, results, strict=True):
    axis.set_title(f"{type(model).__name__}\naccuracy {accuracy:.3f}, score {score:.2f}")
    if codes is None:
        axis.set_title(f"{type(model).__name__}\nno codes, score {score:.2f}")
        axis.set_axis_off()
        continue
    axis.scatter(*codes.T[:2], c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=8, linewidths=0)
    axis.set_aspect("equal", adjustable="datalim")
plt.show()

# %%
# Samples
# -------
# Decoded draws from the prior, or from the prior that an estimator has learned.


def tiles(images, n_columns):
    """One image of many digits, with a margin between them."""
    images = np.pad(images.reshape(-1, n_columns, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return images.transpose(0, 2, 1, 3).reshape(-1, n_columns * 10)


figure, axes = plt.subplots(4, 4, figsize=(13, 14), layout="constrained")
for axis, model in zip(axes.flat, models, strict=True):
    axis.set_axis_off()
    axis.set_title(type(model).__name__)
    if hasattr(model, "sample"):
        axis.imshow(tiles(model.sample(36, random_state=0), 6), cmap="gray_r", vmin=0, vmax=1)
plt.show()
