"""
=======================
From PCA to autoencoder
=======================

An autoencoder has the interface of :class:`~sklearn.decomposition.PCA`: `fit`, `transform` to a few
numbers, `inverse_transform` back. Two things are new: both maps may bend, and codes
have a distribution that one can draw from, so that there is `sample`.
"""

# %%
# Handwritten digits, 64 pixels each, and two numbers for each digit. The data are those of
# scikit-learn, the parameters are the defaults.

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)

pca = PCA(n_components=2).fit(X)
wae = WAEEstimator(n_components=2, random_state=0).fit(X)

# %%
# Two numbers that come back as 64: how much is lost, on digits that were not trained on? And
# are the nearest neighbours among codes of the same class?

from skotae.metrics import knn_accuracy, reconstruction_error

error, accuracy = {}, {}
for name, model in {"PCA": pca, "WAEEstimator": wae}.items():
    codes = model.transform(X_test)
    error[name] = reconstruction_error(X_test, model.inverse_transform(codes))
    accuracy[name] = knn_accuracy(model.transform(X), y, codes, y_test)
    print(f"{name:13} squared error {error[name]:.0f}, accuracy of neighbours {accuracy[name]:.2f}")

assert error["WAEEstimator"] < error["PCA"]
assert accuracy["WAEEstimator"] > accuracy["PCA"]

# %%
# With as many numbers a digit the autoencoder loses less and keeps classes better apart:

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.3), layout="constrained")
axes[0].scatter(*pca.transform(X_test).T, s=7, c=y_test, cmap="viridis", lw=0)
for digit in range(10):
    middle = pca.transform(X_test[y_test == digit]).mean(axis=0)
    axes[0].text(
        *middle, digit, fontsize=8, bbox={"fc": "w", "ec": "none", "pad": 1, "alpha": 0.75}
    )
axes[0].set_title("Principal components", fontsize=9, loc="left")
axes[0].tick_params(labelsize=8)
CodesDisplay.from_estimator(wae, X_test, y_test, ax=axes[1])
plt.show()

# %%
# What comes back of ten digits: the digits, PCA, and the autoencoder.

rows = {"digits": X_test, "PCA": pca.inverse_transform(pca.transform(X_test))}
rows["autoencoder"] = wae.reconstruct(X_test)
figure, axes = plt.subplots(3, 10, figsize=(6.24, 2.2), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, digit in zip(line, range(10), strict=True):
        image = images[y_test == digit][0]
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, fontsize=8)
plt.show()

# %%
# And what PCA does not have: new digits. Each is beside the training digit that is nearest to it.

from skotae.displays import SamplesDisplay

samples = SamplesDisplay.from_estimator(wae, X, image_shape=(8, 8))
assert samples.verdict.name == "does not memorise"
plt.show()
