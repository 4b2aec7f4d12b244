"""Small estimators by name, rows with something wrong in them, and what a message says."""

import inspect

import numpy as np

import skotae

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
FEWER = {"n_mixtures": 3, "n_bank": 32}
N_ROWS, N_FEATURES = 24, 4


def data(n=N_ROWS, n_features=N_FEATURES):
    return np.random.RandomState(0).uniform(size=(n, n_features))


def parameters_of(name):
    return inspect.signature(getattr(skotae, name)).parameters


def small(name, **params):
    fewer = {key: value for key, value in FEWER.items() if key in parameters_of(name)}
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
    return getattr(skotae, name)(**{**defaults, **fewer, **params})


def with_value(value, row=3, column=2):
    X = data()
    X[row, column] = value
    return X


# The encoder's output is not n_components wide for all.
WIDTH = {
    "AdversarialVB": 18,
    "GMVAE": 15,
    "GMWAE": 3,
    "HypersphericalVAE": 3,
    "InfoVAE": 4,
    "MIM": 4,
    "PlanarFlowVAE": 54,
    "VAE": 4,
    "VampPriorVAE": 4,
    "VampPriorWAE": 4,
}


def check_message(error, words, name):
    for word in words:
        word = word.format(width=WIDTH.get(name, 2)) if "{" in word else word
        assert word in str(error), f"{word!r} is not in the message: {error}"
