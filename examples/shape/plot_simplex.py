"""
=================
Shares: a simplex
=================

With a Dirichlet prior the numbers of a code are shares: none is negative, and they sum to one.
Small concentrations put most of the prior near the corners, and codes that follow it are soft
groups.
"""

# %%
# Three cultivars of wine, and three shares. Labels are only used to look at the result.

import numpy as np
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from skotae import SinkhornAE
from skotae.metrics import clustering_accuracy
from skotae.priors import DirichletPrior

X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)

models = {
    a: SinkhornAE(3, prior=DirichletPrior(a), beta=0.3, random_state=0).fit(X) for a in (0.2, 2.0)
}
for a, model in models.items():
    codes = model.transform(X)
    assert np.allclose(codes.sum(axis=1), 1) and (codes >= 0).all()
    groups = clustering_accuracy(y, codes.argmax(axis=1))
    print(f"a={a}: largest share {codes.max(1).mean():.2f} on average, groups {groups:.2f}")

largest = {a: model.transform(X).max(axis=1).mean() for a, model in models.items()}
assert largest[0.2] > largest[2.0]
assert clustering_accuracy(y, models[0.2].transform(X).argmax(axis=1)) > 0.8

# %%
# The smaller concentration has codes nearer to the corners. With it the largest share of a row
# names its cultivar, for most rows.

import matplotlib.pyplot as plt

from skotae.displays import CodesDisplay

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.2), layout="constrained")
for ax, (a, model) in zip(axes, models.items(), strict=True):
    CodesDisplay.from_estimator(model, X, y, ax=ax)
    ax.set_title(f"concentration {a}", fontsize=9, loc="left")
plt.show()

# %%
# What the corners stand for: the decoded pure codes, in standard deviations of each column.

corners = models[0.2].inverse_transform(np.eye(3))
figure, ax = plt.subplots(figsize=(6.24, 3.4), layout="constrained")
for k, (row, colour) in enumerate(zip(corners, ("#0072B2", "#E69F00", "#009E73"), strict=True)):
    ax.plot(row, "osD"[k] + "-", color=colour, label=f"corner {k}")
ax.axhline(0, color="0.6", lw=1)
ax.set_xticks(range(13), load_wine().feature_names, rotation=60, ha="right", fontsize=8)
ax.set_ylabel("standard deviations")
ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
plt.show()
