"""Small estimators, and what tells one fit from another."""

import hashlib

import numpy as np
import pytest
import torch

import skotae
from skotae.testing.base import results_of

FEWER = {
    "GMWAE": {"n_mixtures": 3},
    "GMVAE": {"n_mixtures": 3},
    "CoupledVAE": {"n_bank": 64},
}
# What a fit makes beside the model and the counts.
MADE = ("labels_", "weights_", "scale_", "data_min_", "data_max_", "best_loss_", "lam_")


@pytest.fixture(scope="session")
def small():
    """An estimator by its name, small enough to be fitted in some milliseconds."""

    def make(name, **params):
        defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
        return getattr(skotae, name)(**{**defaults, **FEWER.get(name, {}), **params})

    return make


@pytest.fixture(scope="session")
def digest():
    """A short string for all that an estimator gives for rows, and is; None if not fitted."""

    def make(model, X):
        if not hasattr(model, "n_iter_"):
            return None
        content = hashlib.sha256()
        for name, values in results_of(model, X).items():
            content.update(name.encode() + np.ascontiguousarray(values).tobytes())
        for name in MADE:
            content.update(np.asarray(getattr(model, name, ())).tobytes())
        for name, value in model.model_.state_dict().items():
            tensor = isinstance(value, torch.Tensor)
            content.update(f"{name} {'' if tensor else value}".encode())
            content.update(value.numpy().tobytes() if tensor else b"")
        content.update(repr([model.n_iter_, sorted(model.history_.items())]).encode())
        return content.hexdigest()[:16]

    return make
