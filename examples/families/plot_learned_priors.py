"""
=================
Priors that learn
=================

A prior need not be chosen: :class:`~skotae.VampPriorVAE` has the mixture of the posteriors of rows
that it learns, its pseudo-inputs. Beside it a :class:`~skotae.VAE` with a normal prior.
"""

# %%
# The same networks, the same number of epochs.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import VAE, VampPriorVAE

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=0)

settings = {"n_components": 2, "max_iter": "auto", "random_state": 0}
models = {
    "VampPriorVAE": VampPriorVAE(n_pseudo_inputs=50, **settings).fit(X),
    "VAE": VAE(**settings).fit(X),
}

# %%
# Grey: draws from the prior, learned or not. Colours: codes of held-out digits.

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.4), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(name, fontsize=9, loc="left")
plt.show()

# %%
# What both maximise is a bound on the log-likelihood of a row; and both have a score.

bound = {name: model.elbo(X_test, random_state=0).mean() for name, model in models.items()}
for name, model in models.items():
    print(f"{name:13} bound {bound[name]:.2f}, score {model.score(X_test):.3f}")
assert all(model.score(X_test) > 0.3 for model in models.values())

# %%
# Pseudo-inputs are rows in the units of the data, which no one has seen:

figure, axes = plt.subplots(2, 10, figsize=(6.24, 1.6), layout="constrained")
for ax, row in zip(axes.flat, models["VampPriorVAE"].pseudo_inputs_, strict=False):
    ax.imshow(row.reshape(8, 8), cmap="gray")
    ax.set(xticks=[], yticks=[])
assert models["VampPriorVAE"].pseudo_inputs_.shape == (50, 64)
plt.show()
