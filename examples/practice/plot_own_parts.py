"""
================================
Network, prior, cost, divergence
================================

Each part of an autoencoder may be your own: a function or a few lines of a class. Together they are
an estimator like any other.
"""

# %%
# Networks: a function from widths to a ``torch.nn.Module``.

import numpy as np
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from torch import nn

from skotae import WAEEstimator
from skotae.base import BaseDivergence, refuse_weights
from skotae.displays import CodesDisplay
from skotae.priors import DistributionPrior


def residual(n_in, n_out):
    """A linear map, and what bends it."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(n_in, n_out)
            self.bend = nn.Sequential(nn.Linear(n_in, 64), nn.SiLU(), nn.Linear(64, n_out))

        def forward(self, x):
            return self.line(x) + self.bend(x)

    return Residual()


# %%
# A cost: a function of two tensors that sums over the last axis. A prior: any distribution of SciPy
# or PyTorch; here it has heavy tails. A divergence: a class with one method.


def huber(x, y):
    """Squared near zero, linear from 1 on."""
    gap = (x - y).abs()
    return gap.square().where(gap < 1, 2 * gap - 1).sum(-1)


class EnergyDistance(BaseDivergence):
    """Twice the mean distance across, less those within."""

    def __call__(self, z, prior_draws, *, generator=None, weights=None):
        """The distance of two clouds of points."""
        refuse_weights(self, weights)
        across = torch.cdist(z, prior_draws).mean()
        return 2 * across - self.within(z) - self.within(prior_draws)

    def within(self, x):
        """Mean distance of pairs."""
        return torch.pdist(x).mean()


# %%
# All of them in one estimator, fitted to a table of three species:

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
model = WAEEstimator(
    2,
    encoder=residual,
    decoder=residual,
    cost=huber,
    prior=DistributionPrior(stats.t(df=5)),
    penalty=EnergyDistance(),
    max_iter=100,
    random_state=0,
)
codes = model.fit_transform(X)
assert model.score(X) > 0.5
assert model.history_["penalty"][-1] < 0.5 * model.history_["penalty"][0]
print(f"score {model.score(X):.2f}")

# %%
# Codes over draws from the prior, with its tails:

import matplotlib.pyplot as plt

display = CodesDisplay.from_estimator(model, X, y)
display.axes_[0, 0].axis((-8, 8, -5.5, 5.5))
plt.show()

# %%
# It is cloned and searched over as others are, and what it does is repeatable:

again = clone(model).fit_transform(X)
assert np.array_equal(again, codes)
