"""
=======================
Convolutions for images
=======================

Where rows are images, encoder and decoder may be convolutional:
:class:`~skotae.networks.ConvNet`. They share weights between places, and so have fewer. On small
pictures that does not make them better.
"""

# %%
# Digits of 8 by 8 pixels, put at a random place in a picture of 12 by 12.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

images = load_digits().images
rng = np.random.default_rng(0)
pictures = np.zeros((len(images), 12, 12), dtype=np.float32)
for picture, image, (top, left) in zip(
    pictures, images, rng.integers(5, size=(len(images), 2)), strict=True
):
    picture[top : top + 8, left : left + 8] = image
X, X_test = train_test_split(pictures.reshape(-1, 144), train_size=800, random_state=0)

# %%
# A spec says how the networks are to be; `fit` builds them.

from skotae import WAEEstimator
from skotae.networks import ConvNet

spec = ConvNet(image_shape=(12, 12), channels=(16, 32), hidden=64)
models = {
    "MLP (default)": WAEEstimator(16, random_state=0),
    "ConvNet": WAEEstimator(16, encoder=spec, decoder=spec, random_state=0),
}
error, size = {}, {}
for name, model in models.items():
    model.fit(X)
    error[name] = np.square(model.reconstruct(X_test) - X_test).sum(1).mean()
    size[name] = sum(weights.numel() for weights in model.model_.parameters())
    print(f"{name:13} squared error {error[name]:.0f} with {size[name]:,} weights")

# %%
# With less than a third of the weights the convolutions lose little more, if they do. On pictures
# as small as these the default is as good a start.

assert size["ConvNet"] < size["MLP (default)"] / 3
assert error["ConvNet"] < 1.3 * error["MLP (default)"]

# %%
# What comes back of pictures that were not trained on:

import matplotlib.pyplot as plt

from skotae.displays import ReconstructionDisplay

for name, model in models.items():
    display = ReconstructionDisplay.from_estimator(model, X_test, image_shape=(12, 12))
    display.figure_.suptitle(name, fontsize=9, x=0.01, ha="left")
plt.show()
