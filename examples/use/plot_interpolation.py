"""
===================
From one to another
===================

The middle between two digits, pixel by pixel, is two digits laid over each other. The middle
between their codes decodes to a row that looks more like data.
"""

# %%
# A model with default parameters, and five pairs of held-out digits.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from skotae import WAEEstimator

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = WAEEstimator(random_state=0).fit(X)

starts = np.array([X_test[y_test == k][0] for k in (0, 1, 2, 3, 4)])
stops = np.array([X_test[y_test == k][0] for k in (6, 7, 8, 9, 5)])

# %%
# ``interpolate`` has a path for each pair of rows; the display draws them.

import matplotlib.pyplot as plt

from skotae.displays import ManifoldDisplay

paths = model.interpolate(starts, stops, n_steps=9)
print(paths.shape)
ManifoldDisplay.from_paths(model, starts, stops, n_steps=9, image_shape=(8, 8))
plt.show()

# %%
# Straight lines in the space of pixels, for comparison:

t = np.linspace(0, 1, 9)[:, None]
lines = np.stack([(1 - t) * a + t * b for a, b in zip(starts, stops, strict=True)])
figure, axes = plt.subplots(5, 9, figsize=(6.24, 3.6), layout="constrained")
for ax, image in zip(axes.flat, lines.reshape(-1, 8, 8), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=16)
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# Are the rows on the way like data? The distance to the nearest training digit, over many pairs:

rng = np.random.default_rng(0)
left, right = X_test[rng.permutation(len(X_test))], X_test[rng.permutation(len(X_test))]
nearest = NearestNeighbors(n_neighbors=1).fit(X)
steps = model.interpolate(left, right, n_steps=9)
straight = left[:, None] * (1 - t) + right[:, None] * t
distance = {
    name: nearest.kneighbors(rows.reshape(-1, 64))[0].reshape(-1, 9).mean(axis=0)
    for name, rows in {"through codes": steps, "pixel by pixel": straight}.items()
}
rise = {name: values[4] - values[0] for name, values in distance.items()}
assert distance["through codes"][4] < distance["pixel by pixel"][4]
assert rise["through codes"] < rise["pixel by pixel"]

figure, ax = plt.subplots(figsize=(6.24, 3), layout="constrained")
for (name, values), style in zip(distance.items(), ("o-", "s--"), strict=True):
    ax.plot(t, values, style, label=name)
ax.set(xlabel="share of the way", ylabel="distance to the nearest digit", ylim=(0, None))
ax.legend(fontsize=9)
plt.show()

# %%
# A part of the gap is there at the ends: the straight line begins at a held-out digit, the other at
# its reconstruction, which is smoother. In the middle the gap is wider.
