"""Stands for a module of a user's own: loaded under the name ``user_code`` by conftest.py."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from skotae.networks.base import BaseNetwork
from skotae.priors.base import BasePrior
from skotae.utils._random import draw_seed


class Scaled(nn.Module):
    """A class of modules, (n_in, n_out) -> Module."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x):
        return 2 * self.linear(x)

    class Inner(nn.Module):
        pass


class Spec(BaseNetwork):
    def __init__(self, width=3, seed=123456789):
        self.width = width
        self.seed = seed

    def build(self, n_in, n_out):
        return nn.Linear(n_in, n_out)


class Prior(BasePrior):
    def __init__(self, means=None):
        self.means = means

    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return torch.zeros(n, d, dtype=dtype)


class Bare:
    """No parameters that anyone could ask for."""

    def __call__(self, x, y):
        return (x - y).sum(-1)


def cost(x, y):
    return (x - y).abs().sum(-1)


renamed = lambda x, y: cost(x, y)  # noqa: E731


class Careless(Spec):
    def __init__(self, width=3, seed=1):
        pass


class Estimator(BaseEstimator):
    """An autoencoder as this room sees one: numbers and weights in its state."""

    def __init__(
        self,
        n_components=2,
        encoder=None,
        hidden_layer_sizes=(8,),
        prior=None,
        cost="sqeuclidean",
        n_bank=4,
        lam=1.0,
        max_iter=200,
        device="auto",
        random_state=None,
    ):
        self.n_components = n_components
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.prior = prior
        self.cost = cost
        self.n_bank = n_bank
        self.lam = lam
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.array([f"x{i}" for i in range(X.shape[1])], dtype=object)
        self.n_components_ = self.n_components
        self.data_mean_ = X.mean(0)
        self.data_scale_ = float(X.std())
        self.history_ = {"loss": [0.5, 0.25], "cost": np.linspace(0, 1, 50).tolist()}
        self.best_loss_ = np.inf
        self.device_ = torch.device("cpu")
        self._dtype = X.dtype
        self._optimiser_state = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self.random_state))
            self.model_ = self._build()
        return self

    def _build(self):
        widths = (self.n_features_in_, *self.hidden_layer_sizes)
        layers = [nn.Linear(*pair) for pair in zip(widths, widths[1:], strict=False)]
        model = nn.Sequential(*layers, nn.Linear(widths[-1], self.n_components_))
        model.register_buffer("bank", torch.zeros(self.n_bank, self.n_components_))
        model.register_buffer("used", torch.zeros(self.n_bank, dtype=torch.bool))
        model.register_buffer("seen", torch.tensor(7))
        return model

    def transform(self, X):
        with torch.no_grad():
            return self.model_(torch.tensor(X, dtype=torch.float32)).numpy()

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = dict(state["model_"].state_dict())
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights = state.pop("model_", None)
        super().__setstate__(state)
        if weights is not None:
            with torch.random.fork_rng(devices=[]):
                self.model_ = self._build()
            self.model_.load_state_dict(weights)
