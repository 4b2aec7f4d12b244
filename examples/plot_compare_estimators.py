"""
================================
The five estimators side by side
================================

Digits, two components, the same networks: what the codes look like, what the samples look
like, and two numbers. With two components the codes can be drawn as they are; for accuracy
one would take more.
"""

# %%
# Fits
# ----
# All estimators are trained for fewer epochs than by default, to keep this page quick.

import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skotae import GMWAE, CoupledVAE, SinkhornAE, SymmetricWAE, WAEEstimator

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)

settings = {"n_components": 2, "max_iter": 50, "random_state": 0}
models = [
    WAEEstimator(**settings),
    SinkhornAE(**settings),
    SymmetricWAE(**settings),
    GMWAE(**settings),
    CoupledVAE(**settings, posterior="amortised"),
]
print(f"{'':14}  accuracy   score  seconds")
rows = []
for model in models:
    start = time.perf_counter()
    train_codes = model.fit_transform(X_train)
    seconds = time.perf_counter() - start
    codes = model.transform(X_test)
    accuracy = KNeighborsClassifier().fit(train_codes, y_train).score(codes, y_test)
    score = model.score(X_test)
    rows.append((codes, accuracy, score))
    print(f"{type(model).__name__:14}  {accuracy:8.3f}  {score:6.3f}  {seconds:7.1f}")

# %%
# Codes and samples
# -----------------
# Above, the codes of the test digits; below, decoded draws from the prior, or for
# :class:`~skotae.SymmetricWAE` from the prior that it has learned. *Accuracy* is that of five
# nearest neighbours on the codes. *Score* is minus an upper bound on the Wasserstein distance
# between digits and samples; higher is better. Each estimator has its own idea of what codes
# should be like: a round cloud (:class:`~skotae.WAEEstimator`, :class:`~skotae.SinkhornAE`,
# :class:`~skotae.CoupledVAE`), one cloud for each of ten components (:class:`~skotae.GMWAE`), or
# whatever keeps neighbours together (:class:`~skotae.SymmetricWAE`).

import matplotlib.pyplot as plt
import numpy as np


def tiles(images, n_columns):
    """One image of many digits, with a margin between them."""
    images = np.pad(images.reshape(-1, n_columns, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return images.transpose(0, 2, 1, 3).reshape(-1, n_columns * 10)


figure, axes = plt.subplots(2, len(models), figsize=(15, 6.4), layout="constrained")
for column, model, (codes, accuracy, score) in zip(axes.T, models, rows, strict=True):
    above, below = column
    dots = above.scatter(*codes.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=8, linewidths=0)
    above.set_title(f"{type(model).__name__}\naccuracy {accuracy:.3f}, score {score:.2f}")
    above.set_aspect("equal", adjustable="datalim")
    below.imshow(tiles(model.sample(36, random_state=0), 6), cmap="gray_r", vmin=0, vmax=1)
    below.set_axis_off()
axes[0, 0].set_ylabel("codes")
figure.colorbar(dots, ax=axes[0], ticks=range(10), label="digit", pad=0.01)
plt.show()
