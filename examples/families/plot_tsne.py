"""
=======================================
What codes of many dimensions look like
=======================================

Papers show codes of ten or eighty dimensions through t-SNE, and count the neighbours that share a
class (Patrini et al., 2019, Figure 1; Sun and Guo, 2021, Table 1 and Figure 3). Here both are shown
of digits, whose labels no model sees.
"""

# %%
# The first model has no decoder: an encoder that fills a sphere evenly and keeps neighbours.
# The second has one. The last two have 40 dimensions for 64 pixels; the likelihood of the
# variational autoencoder is given a wide variance, of 100 for pixels from 0 to 16.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import VAE, SinkhornAE, SinkhornEncoder, SymmetricWAE
from skotae.costs import GaussianCost
from skotae.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=900, stratify=y, random_state=0)

models = {
    "SinkhornEncoder, sphere": SinkhornEncoder(10, prior="sphere", random_state=0),
    "SinkhornAE, sphere": SinkhornAE(10, prior="sphere", random_state=0),
    "SymmetricWAE": SymmetricWAE(40, random_state=0),
    "VAE, wide": VAE(40, cost=GaussianCost(variance=100.0), max_iter=50, random_state=0),
}
codes, accuracy = {}, {}
for name, model in models.items():
    codes[name] = model.fit(X).transform(X_test)
    accuracy[name] = knn_accuracy(model.transform(X), y, codes[name], y_test)
    print(f"{name:24} accuracy of neighbours {accuracy[name]:.3f}")
pixels = knn_accuracy(X, y, X_test, y_test)
print(f"{'pixels':24} accuracy of neighbours {pixels:.3f}")
assert accuracy["SinkhornEncoder, sphere"] > 0.9
assert min(accuracy["SinkhornAE, sphere"], accuracy["SymmetricWAE"]) > pixels - 0.03
assert accuracy["VAE, wide"] < min(accuracy[name] for name in models if name != "VAE, wide") - 0.05

# %%
# Neighbours among codes are nearly as good as among pixels, of which there are more. The
# divergence of each row's posterior from the prior makes the last one's codes alike where its
# likelihood does not ask for more; with the variance that it learns by default it does:

learned = VAE(40, max_iter=50, random_state=0).fit(X)
with_default = knn_accuracy(learned.transform(X), y, learned.transform(X_test), y_test)
print(f"VAE with the default likelihood: {with_default:.3f}")
assert with_default > pixels - 0.03

# %%
# The same codes by t-SNE, which keeps neighbours and little else: distances between groups, and
# their sizes, mean nothing.

import matplotlib.pyplot as plt
from sklearn.manifold import TSNE

figure, axes = plt.subplots(2, 2, figsize=(6.24, 5.6), layout="constrained")
for ax, (name, Z) in zip(axes.flat, codes.items(), strict=True):
    flat = TSNE(init="pca", random_state=0).fit_transform(Z)
    dots = ax.scatter(*flat.T, c=y_test, cmap="tab10", s=4)
    ax.set_title(f"{name}: {accuracy[name]:.3f}", fontsize=9, loc="left")
    ax.set(xticks=[], yticks=[])
figure.colorbar(dots, ax=axes, ticks=range(10), shrink=0.6, label="digit")
plt.show()
