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
# than the use of the components, and a network of its own for the moments of each component, as
# the other has. The decoder of the other stays as it was trained, for the sake of a comparison
# below.

from sklearn.datasets import load_digits

from skotae import GMVAE, GMWAE
from skotae.costs import GaussianCost

X, y = load_digits(return_X_y=True)
X = X[::2] / 16
y = y[::2]
models = {
    "GMWAE": GMWAE(2, n_mixtures=10, refit_decoder=False, random_state=0).fit(X),
    "GMVAE": GMVAE(
        2,
        n_mixtures=10,
        moments="separate",
        cost=GaussianCost(variance=0.001),
        max_iter="auto",
        random_state=0,
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

# %%
# The first steps
# ---------------
# When does that happen? Figure 1 of the paper of :class:`~skotae.GMWAE` (Gaujac et al., 2018) looks
# at the first steps of training. Here both models see the same 40 mini-batches, after one step on
# all rows, with a network for the moments of each component. The number of components in use is
# the exponential of the entropy of their shares.

import numpy as np


def n_effective(model):
    share = model.predict_proba(X).mean(axis=0)
    return np.exp(-(share * np.log(share)).sum())


settings = {"n_components": 2, "n_mixtures": 10, "moments": "separate", "random_state": 0}
one_step = {**settings, "max_iter": 1, "batch_size": len(X)}
young = {
    "GMWAE": GMWAE(**one_step),
    "GMVAE": GMVAE(**one_step, cost=GaussianCost(variance=0.001)),
}
curves = {}
for name, model in young.items():
    rng = np.random.default_rng(0)
    curves[name] = [n_effective(model.fit(X))]
    for _ in range(40):
        model.partial_fit(X[rng.choice(len(X), 128, replace=False)])
        curves[name].append(n_effective(model))
print(
    {
        name: [round(float(values[step]), 1) for step in (0, 5, 40)]
        for name, values in curves.items()
    }
)
assert curves["GMVAE"][10] < 3 and max(curves["GMVAE"][10:]) < 3
assert min(curves["GMWAE"]) > 9

# %%
# Within ten steps :class:`~skotae.GMVAE` is left with two components and does not get others back,
# as in the paper: the reconstruction gains more from leaving a component than the divergence
# of q(k|x), at most log 10, asks for it.
#
# From a mixture that is trained
# ------------------------------
# The paper then gives the bound the networks of a trained :class:`~skotae.GMWAE`, and finds that
# reconstructions deteriorate (section 3.1 there, Figure 4): a divergence that is orders of
# magnitude larger than the reconstruction has codes give up what they know. Which of the two is
# larger is the variance of the likelihood: here a wide one and a narrow one.


def error(model):
    return np.square(X - model.reconstruct(X)).sum(axis=1).mean()


trained = models["GMWAE"]
errors, kept = {}, {}
for variance in (0.5, 0.001):
    model = GMVAE(**settings, cost=GaussianCost(variance=variance), max_iter=1).fit(X)
    model.encoder_.load_state_dict(trained.encoder_.state_dict())
    model.decoder_.net.load_state_dict(trained.decoder_.net.state_dict())
    errors[variance] = [error(model)]
    assert np.isclose(errors[variance][0], error(trained))
    for _ in range(20):
        errors[variance].append(error(model.partial_fit(X)))
    kept[variance] = n_effective(model)
print(
    {variance: [round(float(v[epoch]), 2) for epoch in (0, -1)] for variance, v in errors.items()}
)
print({variance: round(float(value), 1) for variance, value in kept.items()})
assert errors[0.5][-1] > 1.1 * errors[0.5][0]
assert errors[0.001][-1] < 0.8 * errors[0.001][0]
assert min(kept.values()) > 9

figure, axes = plt.subplots(1, 2, figsize=(6.24, 2.8), layout="constrained")
for (name, values), colour in zip(curves.items(), ("#0072B2", "#D55E00"), strict=True):
    axes[0].plot(values, color=colour, label=name)
axes[0].set(xlabel="step", ylabel="components in use", ylim=(0, 10.5))
for (variance, values), colour in zip(errors.items(), ("#D55E00", "#009E73"), strict=True):
    axes[1].plot(values, color=colour, label=f"variance {variance}")
axes[1].axhline(errors[0.5][0], color="0.5", ls="--", label="GMWAE")
axes[1].set(xlabel="epoch of GMVAE", ylabel="squared error")
for ax in axes:
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# With the wide variance errors rise, as the paper reports: the divergence is bought with what codes
# know. With the narrow one they fall. All ten components stay in use either way: the bound loses
# them at the start, while the decoder makes the same of all of them, and has no reason to give up
# those that a trained decoder knows how to use.
