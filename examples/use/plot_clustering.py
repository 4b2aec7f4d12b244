"""
=====================
Groups without labels
=====================

:class:`~skotae.GMWAE` has a mixture as its prior: each row gets a component, and each component
a decoder's picture of its middle. Beside it k-means, on the same digits.
"""

# %%
# Nothing is set but the number of components, which both methods are told. Labels are only used
# to judge.

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import GMWAE
from skotae.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)

mixture = GMWAE(n_mixtures=10, random_state=0).fit(X)
kmeans = KMeans(10, n_init=10, random_state=0).fit(X)

# %%
# The share of held-out rows whose group stands for their class:

accuracy = {
    "GMWAE": clustering_accuracy(y_test, mixture.predict(X_test)),
    "k-means": clustering_accuracy(y_test, kmeans.predict(X_test)),
}
print({name: round(value, 2) for name, value in accuracy.items()})
assert accuracy["GMWAE"] > accuracy["k-means"]

# %%
# How much each component is used, the decoded mean of each, and which classes are in it:

import matplotlib.pyplot as plt

from skotae.displays import ComponentDisplay

display = ComponentDisplay.from_estimator(mixture, X_test, y_test, image_shape=(8, 8))
assert not display.dead
plt.show()

# %%
# `predict_proba` is soft. Rows whose largest probability is small are those between groups, where
# mistakes are more frequent:

largest = mixture.predict_proba(X_test).max(axis=1)
names = np.array([np.bincount(y[mixture.labels_ == k]).argmax() for k in range(10)])
wrong = names[mixture.predict(X_test)] != y_test
unsure = largest < np.quantile(largest, 0.1)
print(f"wrong among unsure rows {wrong[unsure].mean():.2f}, else {wrong[~unsure].mean():.2f}")
assert wrong[unsure].mean() > wrong[~unsure].mean()

# %%
# Each component is a generator too:

figure, axes = plt.subplots(10, 10, figsize=(6.24, 6.24), layout="constrained")
for k, line in enumerate(axes):
    for ax, image in zip(line, mixture.sample(10, component=k, random_state=0), strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(f"{k}", fontsize=9)
figure.suptitle("Samples of each component", fontsize=9, x=0.01, ha="left")
plt.show()
