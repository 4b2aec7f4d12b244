"""
=============================
Mixtures that lose components
=============================

:class:`~skotae.GMWAE` and :class:`~skotae.GMVAE` have the same prior, a mixture. The bound on the
likelihood may shut components off; the transport objective compares components after averaging
over rows, and keeps them.
"""

# %%
# The variational mixture has a small fixed variance here, so that reconstruction weighs much more
# than the use of the components.

from sklearn.datasets import load_digits

from skotae import GMVAE, GMWAE
from skotae.costs import GaussianCost

X, y = load_digits(return_X_y=True)
X = X[::2] / 16
y = y[::2]
models = {
    "GMWAE": GMWAE(2, n_mixtures=10, random_state=0).fit(X),
    "GMVAE": GMVAE(
        2, n_mixtures=10, cost=GaussianCost(variance=0.001), max_iter="auto", random_state=0
    ).fit(X),
}

# %%
# Components with at least a tenth of an equal share of the rows:

in_use = {name: int((model.weights_ > 0.01).sum()) for name, model in models.items()}
print(in_use)
assert in_use["GMWAE"] == 10 > in_use["GMVAE"]

# %%
# With a learned variance, the default of :class:`~skotae.GMVAE`, there is less of this; see
# :doc:`the guide </user_guide/gaussian_mixture>`.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 2.8), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ax.bar(range(10), model.weights_, color="#0072B2")
    ax.axhline(0.1, color="#D55E00", ls="--")
    ax.set_title(name, fontsize=10, loc="left")
    ax.set(xlabel="component", xticks=range(10))
axes[0].set_ylabel("share of the rows")
plt.show()

# %%
# Codes of :class:`~skotae.GMWAE` over the components of the prior:

from skotae.displays import CodesDisplay

CodesDisplay.from_estimator(models["GMWAE"], X, y)
plt.show()
