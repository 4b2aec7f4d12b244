"""
====================
An adversarial model
====================

A discriminator takes the place of a distance: in :class:`~skotae.AdversarialAE` it compares codes
and prior. Beside it a Wasserstein autoencoder, which has a kernel for that.
"""

# %%
# Data on two moons. What the models are to learn can be seen.

from sklearn.datasets import make_moons

from skotae import AdversarialAE, WAEEstimator

X = make_moons(400, noise=0.05, random_state=0)[0]
X_test = make_moons(400, noise=0.05, random_state=1)[0]
models = {
    "AdversarialAE": AdversarialAE(2, random_state=0).fit(X),
    "WAEEstimator": WAEEstimator(2, random_state=0).fit(X),
}

# %%
# How far samples are from data, beside how far two sets of data are from each other:

from skotae.metrics import exact_wasserstein

print(f"{'data':13} {exact_wasserstein(X, X_test):.3f}")
samples, distance = {}, {}
for name, model in models.items():
    samples[name] = model.sample(400, random_state=0)
    distance[name] = exact_wasserstein(samples[name], X_test)
    print(f"{name:13} {distance[name]:.3f}")
constant = exact_wasserstein(X.mean(axis=0, keepdims=True), X_test)
assert all(value < constant / 2 for value in distance.values())

# %%
# Samples over data, and below the codes over the prior:

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(2, 2, figsize=(6.24, 4.6), layout="constrained")
for (top, bottom), (name, model) in zip(axes.T, models.items(), strict=True):
    top.scatter(*X.T, s=3, color="0.75")
    top.scatter(*samples[name].T, s=2, color="#0072B2")
    top.set_title(f"{name}: {distance[name]:.3f}", fontsize=9, loc="left")
    top.set(xticks=[], yticks=[], aspect="equal")
    CodesDisplay.from_estimator(model, X_test, ax=bottom)
    bottom.set_title("codes", fontsize=9, loc="left")
plt.show()
