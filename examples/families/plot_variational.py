"""
========================
Variational autoencoders
========================

A Wasserstein autoencoder compares all codes together with the prior, a variational one compares the
posterior of each row: its codes are clouds, and overlap. Here both families are side by side.
"""

# %%
# Digits with codes in the plane, and a normal prior in all.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import VAE, PlanarFlowVAE, WAEEstimator

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=0)

settings = {"n_components": 2, "max_iter": "auto", "random_state": 0}
models = {
    "WAEEstimator": WAEEstimator(prior="normal", **settings).fit(X),
    "VAE": VAE(**settings).fit(X),
    "PlanarFlowVAE": PlanarFlowVAE(**settings).fit(X),
}

# %%
# How wide is the posterior of a row? That of the Wasserstein autoencoder is a point by default. The
# bound on the likelihood is what the others maximise.

import numpy as np

width = {}
for name, model in models.items():
    draws = model.sample_posterior(X_test, 50, random_state=0)
    width[name] = np.sqrt(draws.var(axis=1).mean())
    bound = f", bound {model.elbo(X_test).mean():.1f}" if hasattr(model, "elbo") else ""
    print(f"{name:13} posterior width {width[name]:.3f}{bound}")
assert width["WAEEstimator"] < 1e-6
assert width["VAE"] > 0.01 and width["PlanarFlowVAE"] > 0.01

# %%
# Codes of held-out digits over the prior, and draws from the posteriors of four of them:

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(2, 3, figsize=(6.24, 4.6), layout="constrained")
for (top, bottom), (name, model) in zip(axes.T, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X_test, y_test, ax=top)
    top.set_title(name, fontsize=9, loc="left")
    clouds = model.sample_posterior(X_test[:4], 200, random_state=0)
    for cloud, colour, marker in zip(
        clouds, ("#0072B2", "#E69F00", "#009E73", "#D55E00"), "osD^", strict=True
    ):
        bottom.scatter(*cloud.T, s=6, color=colour, marker=marker)
    bottom.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
axes[1, 0].set_title("four posteriors", fontsize=9, loc="left")
plt.show()
