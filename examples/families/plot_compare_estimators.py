"""
===============================
All the estimators side by side
===============================

The same digits, two components, the same networks and a budget of epochs that goes with the data
(``"auto"``): what the codes look like, and what the samples look like. The page shows what each is
like. It does not rank them: one seed, one data set and two components do not suffice for that.
"""

# %%
# Fits
# ----
# Every class of the package that is an estimator. Codes on a sphere have three coordinates, of
# which two are free.

import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import skotae
from skotae.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    X / 16, y, train_size=400, test_size=300, stratify=y, random_state=0
)

classes = [getattr(skotae, name) for name in skotae.__all__]
classes = [cls for cls in classes if hasattr(cls, "fit")]
models, scores, seconds = {}, {}, {}
for cls in classes:
    name = cls.__name__
    n_components = 3 if name == "HypersphericalVAE" else 2
    model = cls(n_components, max_iter="auto", random_state=0)
    start = time.process_time()
    models[name] = model.fit(X)
    seconds[name] = time.process_time() - start
    scores[name] = model.score(X_test)

# %%
# *Accuracy* is that of five nearest neighbours among the codes. :class:`~skotae.WGAN` has no codes.
# The score of :class:`~skotae.SinkhornEncoder`, which has no decoder, is about codes and prior, and
# is not to be compared with the others.

codes = {
    name: model.transform(X_test) for name, model in models.items() if hasattr(model, "transform")
}
accuracy = {
    name: knn_accuracy(models[name].transform(X), y, found, y_test) for name, found in codes.items()
}
print(f"{'':17}  accuracy   score  seconds")
for name in models:
    found = f"{accuracy[name]:8.3f}" if name in accuracy else 8 * " "
    print(f"{name:17}  {found}  {scores[name]:6.3f}  {seconds[name]:7.1f}")

assert set(models) - set(codes) == {"WGAN"}
assert not hasattr(models["SinkhornEncoder"], "sample")

# %%
# Which are better than guessing? All codes say something of the digit: a guess is right once in
# ten.

assert min(accuracy.values()) > 0.2

# %%
# Codes
# -----
# Round clouds, clouds of components, a sphere that is seen from one side, or whatever shape a
# prior has that is learned.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(6, 3, figsize=(6.24, 12), layout="constrained")
for ax in axes.flat:
    ax.set_axis_off()
for ax, (name, found) in zip(axes.flat, codes.items(), strict=False):
    ax.set_axis_on()
    ax.scatter(*found.T[:2], c=y_test, cmap="viridis", s=7, linewidths=0)
    for digit in range(10):
        middle = found[y_test == digit, :2].mean(axis=0)
        ax.text(
            *middle, digit, fontsize=8, bbox={"fc": "w", "ec": "none", "pad": 0.5, "alpha": 0.7}
        )
    ax.set_title(name, fontsize=9, loc="left")
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
plt.show()

# %%
# Samples
# -------
# Decoded draws.

generators = {name: model for name, model in models.items() if hasattr(model, "sample")}
figure, axes = plt.subplots(len(generators), 12, figsize=(6.24, 9.2))
figure.subplots_adjust(left=0.26, right=1, top=1, bottom=0, wspace=0.05, hspace=0.1)
for line, (name, model) in zip(axes, generators.items(), strict=True):
    for ax, image in zip(line, model.sample(12, random_state=0), strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
plt.show()
