"""
===================================================
Codes as features of a nearest-neighbour classifier
===================================================

Nearest neighbours suffer from many features. An autoencoder gives them few, and it takes the
place in a pipeline where PCA would stand. Here both reduce digits of 64 pixels to a number of
components that grows from two to eight.
"""

# %%
# The data
# --------
# 1,797 images of 8 x 8 pixels from 0 to 16. The autoencoders standardise their input by one
# number for all features, as PCA centres it, so that scaling to [0, 1] is for our convenience
# only. Features in different units get a scale each (see :ref:`units`).

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=700, stratify=y, random_state=0
)

# %%
# A pipeline for each number of components
# ----------------------------------------
# Few epochs are enough to see the difference; the default is more.

from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skotae import SymmetricWAE, WAEEstimator

n_components = [2, 8]
reducers = {
    "PCA": PCA(random_state=0),
    "WAEEstimator": WAEEstimator(max_iter=15, random_state=0),
    "SymmetricWAE": SymmetricWAE(max_iter=15, random_state=0),
}
accuracy = {name: [] for name in reducers}
for name, reducer in reducers.items():
    for d in n_components:
        pipeline = make_pipeline(reducer.set_params(n_components=d), KNeighborsClassifier())
        pipeline.fit(X_train, y_train)
        accuracy[name].append(pipeline.score(X_test, y_test))

pixels = KNeighborsClassifier().fit(X_train, y_train).score(X_test, y_test)

# %%
# Accuracy
# --------
# A linear map loses most with few components: two principal components separate few of the
# ten classes, and both autoencoders are ahead there. The dashed line is the accuracy on all pixels.

assert all(values[0] > accuracy["PCA"][0] + 0.1 for values in list(accuracy.values())[1:])
gap = {name: pixels - values[-1] for name, values in accuracy.items()}
assert max(gap.values()) < 0.1

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 3.8), layout="constrained")
colours = "#000000", "#0072B2", "#E69F00"
for (name, values), colour, marker in zip(accuracy.items(), colours, "sod", strict=True):
    ax.plot(n_components, values, color=colour, marker=marker, label=name)
ax.axhline(pixels, color="0.5", linestyle="--", label="64 pixels")
ax.set(xlabel="number of components", ylabel="test accuracy of 5-NN", xticks=n_components)
ax.spines[["top", "right"]].set_visible(False)
ax.legend()
plt.show()

# %%
# A fitted pipeline is a classifier like any other:

print(pipeline)
print(f"accuracy with {n_components[-1]} components: {accuracy['SymmetricWAE'][-1]:.3f}")
