"""
===============================================
Wrong gradients in the dual, blur in the primal
===============================================

A Wasserstein distance can be minimised by its dual, with a critic as in :class:`~skotae.WGAN`,
or by its primal, with an encoder as in :class:`~skotae.WAEEstimator`. At the optimum both have the
same gradients. Before it each errs in a way of its own (Bousquet et al., 2017, From optimal
transport to generative modeling: the VEGAN cookbook, section 4).
"""

# %%
# The dual: a critic that has not converged
# -----------------------------------------
# Data on 25 narrow modes, and samples of a generator that has found them but is too wide. The
# exact plan tells where the distance wants each sample to go.

import numpy as np

from skotae.metrics import exact_plan, exact_wasserstein

rng = np.random.default_rng(0)
modes = np.array([[i, j] for i in range(-2, 3) for j in range(-2, 3)], dtype=float)
X = np.repeat(modes, 20, axis=0) + 0.05 * rng.normal(size=(500, 2))
samples = np.repeat(modes, 20, axis=0) + 0.25 * rng.normal(size=(500, 2))

distance = exact_wasserstein(X, samples, p=1, metric="euclidean")
plan = exact_plan(X, samples, p=1, metric="euclidean")
wanted = X[plan.argmax(axis=0)] - samples
wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)

# %%
# A critic is trained on these rows, with a penalty on slopes above 1. After some steps: the
# distance that it sees, and the angle between its slope at a sample and the direction wanted.

import torch

from skotae.networks import MLP

torch.manual_seed(0)
critic = MLP((64, 64), start="random").build(2, 1)
adam = torch.optim.Adam(critic.parameters(), lr=0.002)
x, y = (torch.tensor(rows, dtype=torch.float32) for rows in (X, samples))


def slopes(rows, **options):
    rows = rows.clone().requires_grad_()
    return torch.autograd.grad(critic(rows).sum(), rows, **options)[0]


seen, cosine = {}, {}
for step in range(1, 1001):
    between = torch.lerp(x[torch.randperm(500)], y, torch.rand(500, 1))
    steep = slopes(between, create_graph=True).norm(dim=1) - 1
    gap = critic(x).mean() - critic(y).mean()
    adam.zero_grad()
    (10 * steep.clamp_min(0).square().mean() - gap).backward()
    adam.step()
    if step in (100, 300, 1000):
        seen[step] = float(gap) / distance
        slope = slopes(y).double().numpy()
        cosine[step] = (slope * wanted).sum(axis=1) / np.linalg.norm(slope, axis=1)
        away = (cosine[step] < 0).mean()
        print(f"step {step:4}: {seen[step]:.0%} of the distance, {away:.1%} of slopes point away")
assert 0.6 < seen[300] < 0.9 and (cosine[300] < 0).mean() > 0.05
assert (cosine[1000] < 0).mean() < (cosine[300] < 0).mean() < (cosine[100] < 0).mean()

# %%
# When the critic sees three quarters of the distance, one slope in twelve still points away from
# where its sample is to go. :class:`~skotae.WGAN` makes five steps of its critic, which goes on
# from where it was, for each of the generator's. What the paper proves is that there are
# distributions for which slopes are wrong however close the value is.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 2.9), layout="constrained")
for step, colour in zip(cosine, ("#D55E00", "#E69F00", "#0072B2"), strict=True):
    axes[0].plot(np.sort(cosine[step]), np.linspace(0, 1, 500), color=colour, label=f"step {step}")
axes[0].set(xlabel="cosine of slope and wanted direction", ylabel="share of the samples")
axes[0].axvline(0, color="0.5", ls="--")
axes[0].legend(frameon=False, fontsize=8)
wrong = cosine[300] < 0
axes[1].scatter(*X.T, s=3, color="0.75")
axes[1].quiver(*samples[~wrong].T, *wanted[~wrong].T, color="#0072B2", width=0.004, scale=30)
axes[1].quiver(*samples[wrong].T, *wanted[wrong].T, color="#D55E00", width=0.006, scale=30)
axes[1].set_title("wanted; red: step 300 points away", fontsize=9, loc="left")
axes[1].set(xticks=[], yticks=[], aspect="equal")
plt.show()

# %%
# The primal: codes that overlap
# ------------------------------
# Where several rows have the same code, the best that a decoder can give for it, by squared error,
# is their mean: :math:`G(z) = \mathbb{E}[x | z]`. A Gaussian posterior has every code
# for every row, so that a :class:`~skotae.VAE` must blur, the more so the wider its likelihood.
# A Wasserstein autoencoder compares all codes together with the prior, and can keep rows apart.

from skotae import VAE, WAEEstimator
from skotae.costs import GaussianCost
from skotae.metrics import high_density_ratio

settings = {"n_components": 2, "prior": "normal", "latent": "prior", "random_state": 0}
models = {
    "VAE, variance 0.25": VAE(cost=GaussianCost(variance=0.25), **settings),
    "VAE, variance 0.01": VAE(cost=GaussianCost(variance=0.01), **settings),
    "WAEEstimator": WAEEstimator(**settings),
}
codes, decoded, blurred = {}, {}, {}
for name, model in models.items():
    codes[name] = model.fit(X).sample_posterior(X, 40, random_state=0)
    decoded[name] = model.inverse_transform(codes[name][:, 0])
    blurred[name] = 1 - high_density_ratio(decoded[name], modes, 0.05)[0]
    print(f"{name:19} {blurred[name]:.2f} of reconstructions are of no mode")
assert blurred["VAE, variance 0.25"] > 0.5 > blurred["VAE, variance 0.01"] > 0.05
assert blurred["WAEEstimator"] < 0.02

# %%
# The mean of the rows whose codes are near a code, over draws from all posteriors, is what the
# decoder gives there:

from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor

name = "VAE, variance 0.25"
near = KNeighborsRegressor(200).fit(codes[name].reshape(-1, 2), np.repeat(X, 40, axis=0))
agreement = r2_score(near.predict(codes[name][:, 0]), decoded[name])
print(f"share of the decoder's variance that the mean explains: {agreement:.3f}")
assert agreement > 0.98

figure, axes = plt.subplots(1, 3, figsize=(6.24, 2.4), layout="constrained", sharey=True)
for ax, (name, rows) in zip(axes, decoded.items(), strict=True):
    ax.scatter(*X.T, s=3, color="0.75")
    ax.scatter(*rows.T, s=2, color="#0072B2")
    ax.set_title(f"{name}: {blurred[name]:.2f}", fontsize=8, loc="left")
    ax.set(xticks=[], yticks=[], aspect="equal")
plt.show()

# %%
# The other error of the primal is that the decoder is trained on the codes of rows alone. Where
# these leave parts of the prior empty, draws are decoded between modes, of all three:

draws = {name: model.sample(1000, random_state=0) for name, model in models.items()}
missed = {name: 1 - high_density_ratio(rows, modes, 0.05)[0] for name, rows in draws.items()}
print({name: round(float(value), 2) for name, value in missed.items()})
assert min(missed.values()) > 0.5

# %%
# :class:`~skotae.CoupledVAE` couples data and prior to avoid that, see
# :doc:`/auto_examples/families/plot_gaussian_grid`.
