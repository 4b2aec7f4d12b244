"""
==================
A cost of your own
==================

Transport needs nothing of a pair of points but what it costs to move one to the other. Here
that is an angle, and the same idea goes into an autoencoder by a function.
"""

# %%
# Two clouds in the plane, of which only the direction matters: lengths differ by a factor of ten.

import math

import numpy as np
import torch

from skotae.transport import debias_paired, exact_plan, sinkhorn_cost

rng = np.random.default_rng(0)


def cloud(n, turned, length):
    """Points in the directions of a sector of 90 degrees."""
    angle = np.sort(turned + rng.uniform(0, math.pi / 2, n))
    return torch.tensor(length * np.stack([np.cos(angle), np.sin(angle)], axis=1))


x, y = cloud(40, 0.0, 1.0), cloud(40, 0.5, rng.uniform(1, 10, (40, 1)))


def angles(x, y):
    """Squares of the angles between all pairs."""
    across = x[:, :1] * y[:, 1] - x[:, 1:] * y[:, 0]
    # Unlike the arc cosine, smooth where the angle is zero.
    return torch.atan2(across, x @ y.T).square()


# %%
# An exact plan of that cost: the first direction goes to the first, since order is kept on a line.
# The plan of squared distances does something else, as lengths matter to it.

plan, f, g = exact_plan(cost=angles(x, y), return_potentials=True)
assert torch.allclose(plan.diagonal() * 40, torch.ones(40, dtype=plan.dtype))
assert (exact_plan(x, y).diagonal() * 40).mean() < 0.5

# %%
# The dual potentials prove that it is the best one: their sum is nowhere above the cost, and
# its mean is the value.

value = (plan * angles(x, y)).sum()
assert (f[:, None] + g <= angles(x, y) + 1e-9).all()
assert torch.isclose(f.mean() + g.mean(), value)
print(f"root mean square angle {math.degrees(value.sqrt()):.1f} degrees")

# %%
# A divergence of it, debiased, with a gradient:


def divergence(x, y):
    """Entropic cost of the angles, zero between a cloud and itself."""

    def entropic(x, y):
        return sinkhorn_cost(angles(x, y), epsilon=0.01, relative=False)

    return debias_paired(entropic, x, y)


assert abs(divergence(x, x)) < 1e-6 < divergence(x, y)
z = x.clone().requires_grad_()
(gradient,) = torch.autograd.grad(divergence(z, y), z)
# Nothing of it is along the radius: lengths do not matter.
assert (gradient * x).sum(1).abs().max() < 1e-3 * gradient.norm(dim=1).max()

# %%
# The plans, of angles and of squared distances. Points are in the order of their angles.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.24, 3.2), layout="constrained")
shown = {"angles": plan, "squared distances": exact_plan(x, y)}
for ax, (name, mass) in zip(axes, shown.items(), strict=True):
    ax.imshow(mass, cmap="gray_r", interpolation="nearest")
    ax.set_title(name, fontsize=10, loc="left")
    ax.set(xlabel="to", ylabel="from")
plt.show()

# %%
# In an autoencoder
# -----------------
# The `cost` of an estimator compares a row with its reconstruction, and may be a function too: here
# the Huber loss, which grows linearly for large errors.

from sklearn.datasets import load_iris

from skotae import WAEEstimator


def huber(x, y):
    """Squared near zero, linear from 1 on."""
    gap = (x - y).abs()
    return gap.square().where(gap < 1, 2 * gap - 1).sum(-1)


X = load_iris().data
model = WAEEstimator(2, cost=huber, random_state=0).fit(X)
assert model.history_["reconstruction"][-1] < 0.5  # in units of what the constant costs
