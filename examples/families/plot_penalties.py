"""
=======================================
Wasserstein autoencoders, six penalties
=======================================

:class:`~skotae.WAEEstimator` compares codes and prior by any divergence. Six of them, on the
same digits, with the same prior and each with its own default weight.
"""

# %%
# A standard normal prior in the plane. ``"sinkhorn"`` is what :class:`~skotae.SinkhornAE` has.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator
from skotae.metrics import prior_gap

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=0)

settings = {"n_components": 2, "prior": "normal", "random_state": 0}
penalties = ("mmd", "sinkhorn", "exact", "sliced", "gaussian", "gan")
models = {name: WAEEstimator(penalty=name, **settings).fit(X) for name in penalties}
free = WAEEstimator(lam=0, **settings).fit(X)

# %%
# The squared maximum mean discrepancy between codes of held-out digits and the prior; with no
# penalty at all it is larger than with any:

gap = {
    name: prior_gap(model.transform(X_test), "normal", random_state=0)
    for name, model in {**models, "none": free}.items()
}
for name, value in gap.items():
    print(f"{name:9} prior gap {value:.4f}")
assert all(gap[name] < gap["none"] for name in penalties)

# %%
# Codes over the prior:

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(2, 3, figsize=(6.24, 4.6), layout="constrained")
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(name, fontsize=9, loc="left")
plt.show()
