"""Small fits of every estimator, made once, and figures that are closed."""

from functools import cache

import pytest
from sklearn.datasets import load_iris

import skotae
from skotae import autoencoders

plt = pytest.importorskip("matplotlib.pyplot")
X, y = load_iris(return_X_y=True)
X_TRAIN, X_TEST, Y_TEST = X[::2], X[1::2], y[1::2]
NAMES = autoencoders.__all__


@cache
def fitted(name, max_iter=2, **params):
    options = {"n_components": 2, "hidden_layer_sizes": (8,), "random_state": 0, **params}
    if name in ("GMWAE", "GMVAE"):
        options.setdefault("n_mixtures", 3)
    return getattr(skotae, name)(max_iter=max_iter, **options).fit(X_TRAIN)


@pytest.fixture
def fit():
    return fitted


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")
