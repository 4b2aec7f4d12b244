"""
Quickstart
==========

A Wasserstein autoencoder on the handwritten digits of scikit-learn: codes that a classifier
can use, new digits, and a picture of both.

    python examples/quickstart.py

prints the accuracy of five nearest neighbours on the codes, beside PCA with as many
components, and the score, and writes ``quickstart.png`` into the working directory.
"""

import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skotae import WAEEstimator

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)

# The autoencoder is a transformer: it takes the place of PCA in a pipeline.
start = time.perf_counter()
pipeline = make_pipeline(WAEEstimator(n_components=8, random_state=0), KNeighborsClassifier())
pipeline.fit(X_train, y_train)
seconds = time.perf_counter() - start
wae = pipeline["waeestimator"]

baseline = make_pipeline(PCA(n_components=8, random_state=0), KNeighborsClassifier())
baseline.fit(X_train, y_train)

print(f"fitted on {len(X_train)} digits in {seconds:.1f} s")
print("accuracy of 5-NN on 8 components of the test digits:")
print(f"    WAEEstimator  {pipeline.score(X_test, y_test):.3f}")
print(f"    PCA           {baseline.score(X_test, y_test):.3f}")
print(f"score (1 is perfect, 0 is the constant): {wae.score(X_test):.3f}")

# Eight components cannot be drawn; a second fit has two.
plane = WAEEstimator(n_components=2, max_iter=100, random_state=0).fit(X_train)
codes = plane.transform(X_test)


def tiles(rows, n_columns):
    """One image of many digits, row by row, with thin lines between them."""
    images = np.pad(
        rows.reshape(-1, n_columns, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.12
    )
    return images.transpose(0, 2, 1, 3).reshape(-1, n_columns * 10)


# Three test digits of each class, above what the autoencoder makes of them.
order = np.argsort(y_test, kind="stable")
first = np.searchsorted(y_test[order], np.arange(10))
shown = np.concatenate([order[first + i] for i in range(3)])
pairs = np.stack([X_test[shown], np.clip(wae.reconstruct(X_test[shown]), 0, 1)])
pairs = pairs.reshape(2, 3, 10, 64).transpose(1, 0, 2, 3).reshape(-1, 64)

figure, axes = plt.subplots(
    1, 3, figsize=(14, 4), width_ratios=[1.6, 1.0, 1.2], layout="constrained"
)
panels = {
    "Test digits, and their reconstructions below": tiles(pairs, 10),
    "New digits": tiles(wae.sample(36, random_state=0), 6),
}
for ax, (title, image) in zip(axes, panels.items(), strict=False):
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()
ax = axes[2]
dots = ax.scatter(*codes.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=14, linewidths=0)
ax.set(title="Codes of test digits, two components", xlabel="$z_1$", ylabel="$z_2$")
ax.spines[["top", "right"]].set_visible(False)
figure.colorbar(dots, ax=ax, ticks=range(10), label="digit")
figure.savefig("quickstart.png", dpi=120)
print("written: quickstart.png")
