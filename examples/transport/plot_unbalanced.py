"""
==================================
Outliers, and unbalanced transport
==================================

Transport moves all mass, also that of one outlier, however far. The unbalanced kind may leave mass
where it is, for a price `rho`.
"""

# %%
# Two clouds that are alike, and one with five points far away.

import numpy as np
import torch

from skotae.transport import (
    sinkhorn_divergence,
    sinkhorn_plan,
    unbalanced_sinkhorn_divergence,
    unbalanced_sinkhorn_plan,
)

rng = np.random.default_rng(0)
x = torch.tensor(rng.normal(size=(60, 2)))
y = torch.tensor(rng.normal(size=(60, 2)))
y[:5] = torch.tensor(rng.normal(scale=0.4, size=(5, 2)) + [9, 0])

# %%
# `epsilon` and `rho` in units of the cost: a mean relative to which they were taken would be that
# of outliers too.

options = {"epsilon": 0.05, "relative": False}
balanced = sinkhorn_plan(x, y, **options)
free = unbalanced_sinkhorn_plan(x, y, rho=2.0, **options)
print(
    f"mass that the outliers get: {balanced[:, :5].sum():.3f}, unbalanced {free[:, :5].sum():.4f}"
)
assert free[:, :5].sum() < 0.05 * balanced[:, :5].sum()

# %%
# What a divergence tells of the outliers: the balanced one grows with the square of their distance,
# the other is bounded by what it costs to leave them.

values = {"balanced": [], "unbalanced": []}
distances = [3, 6, 12, 24]
for distance in distances:
    y_far = y.clone()
    y_far[:5, 0] += distance - 9
    values["balanced"].append(float(sinkhorn_divergence(x, y_far, **options)))
    values["unbalanced"].append(float(unbalanced_sinkhorn_divergence(x, y_far, rho=2.0, **options)))
    print(f"distance {distance:2}: " + ", ".join(f"{k} {v[-1]:.2f}" for k, v in values.items()))
assert values["balanced"][-1] > 3 * values["balanced"][-2]
assert values["unbalanced"][-1] < 1.1 * values["unbalanced"][-2]

# %%
# The plans: no line leads to the outliers on the right.

import matplotlib.pyplot as plt

from skotae.displays import PlanDisplay

figure, axes = plt.subplots(2, 1, figsize=(6.24, 5.4), layout="constrained")
for ax, (name, plan) in zip(axes, {"balanced": balanced, "unbalanced": free}.items(), strict=True):
    PlanDisplay(x, y, plan).plot(ax=ax)
    ax.set_title(f"{name}. {ax.get_title(loc='left')}", fontsize=9, loc="left")
plt.show()
