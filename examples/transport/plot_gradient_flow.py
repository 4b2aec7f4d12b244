"""
===============
A gradient flow
===============

:func:`skotae.transport.sinkhorn_divergence` is a function that can be differentiated, and needs no
autoencoder. Here points follow its gradient until they are distributed like others.
"""

# %%
# From a disc to two moons. The gradient of a point is of the size of its weight, hence the factor.

import torch
from sklearn.datasets import make_moons

from skotae.transport import sinkhorn_divergence

generator = torch.Generator().manual_seed(0)
target = torch.tensor(make_moons(300, noise=0.05, random_state=0)[0])
x = 0.3 * torch.randn(300, 2, generator=generator).double() + target.mean(0)
x.requires_grad_()

stages, values = {}, []
for step in range(61):
    value = sinkhorn_divergence(x, target, epsilon=0.01)
    values.append(value.item())
    if step in (0, 3, 10, 60):
        stages[step] = x.detach().clone()
    (gradient,) = torch.autograd.grad(value, x)
    with torch.no_grad():
        x -= 0.25 * len(x) * gradient

print(f"divergence at the start {values[0]:.4f}, at the end {values[-1]:.6f}")
assert values[-1] < 0.01 * values[0]

# %%
# The divergence is debiased: it is zero where the clouds agree, so that points end on the moons and
# not inside of them, where the entropy alone would draw them. Most of them are as near to a point
# of the target as its points are to each other:

near = torch.cdist(stages[60], target).min(1).values
within = torch.cdist(target, target).fill_diagonal_(torch.inf).min(1).values
print(f"median distance to the target {near.median():.3f}, within it {within.median():.3f}")
assert near.median() < 2 * within.median()

import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 2, figsize=(6.24, 4.4), layout="constrained")
for ax, (step, cloud) in zip(axes.flat, stages.items(), strict=True):
    ax.scatter(*target.T, s=5, color="0.7", label="target")
    ax.scatter(*cloud.T, s=6, color="#0072B2", marker="s", label="points")
    ax.set_title(f"step {step}: {values[step]:.1e}", fontsize=9, loc="left")
    ax.set(aspect="equal", xticks=[], yticks=[])
axes[0, 0].legend(fontsize=8, markerscale=2, loc="lower left")
plt.show()
