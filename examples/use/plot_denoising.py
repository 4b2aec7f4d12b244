"""
=====================
Denoising, by a model
=====================

Noise has no place in a code of a few numbers: what comes back of a noisy row is nearer to the clean
one. Nobody has seen a clean digit here, the model is trained on noisy ones too.
"""

# %%
# Digits from 0 to 16 with noise of standard deviation 6 on each pixel.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skotae import VAE

clean, clean_test = train_test_split(load_digits().data, random_state=0)
rng = np.random.default_rng(0)
noisy, noisy_test = (rows + rng.normal(scale=6, size=rows.shape) for rows in (clean, clean_test))

# %%
# A variational autoencoder models the noise as such: its decoder has a variance that is learned,
# and a code costs what it says. PCA has a number of components that is chosen here with the clean
# rows, which flatters it.

from skotae.metrics import reconstruction_error

vae = VAE(16, max_iter=50, random_state=0).fit(noisy)
restored = {"VAE": vae.reconstruct(noisy_test)}
for n in (4, 8, 16):
    pca = PCA(n).fit(noisy)
    restored[f"PCA, {n}"] = pca.inverse_transform(pca.transform(noisy_test))

error = {"noisy": reconstruction_error(clean_test, noisy_test)}
error |= {name: reconstruction_error(clean_test, rows) for name, rows in restored.items()}
for name, value in error.items():
    print(f"{name:8} squared distance to the clean digit {value:6.0f}")
best = min((name for name in restored if name.startswith("PCA")), key=error.get)
assert error["VAE"] < error[best] < error["noisy"]

# %%
# From top to bottom: clean, noisy, the best PCA, the autoencoder.

import matplotlib.pyplot as plt

lines = {"clean": clean_test, "noisy": noisy_test, best: restored[best], "VAE": restored["VAE"]}
figure, axes = plt.subplots(4, 8, figsize=(6.24, 3.4), layout="constrained")
for line, (name, rows) in zip(axes, lines.items(), strict=True):
    for ax, row in zip(line, rows[:8], strict=True):
        ax.imshow(row.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, fontsize=9)
plt.show()
