"""Fits of any estimator in which training matters little."""

import inspect
import warnings

import skotae

FEWER = {"n_mixtures": 3, "n_bank": 32}


def quick_fit(name, X, n_components, **params):
    """A fit of an estimator, by its name, of which no warning is shown."""
    cls = getattr(skotae, name)
    known = inspect.signature(cls).parameters
    fewer = {key: value for key, value in FEWER.items() if key in known}
    params = {"hidden_layer_sizes": (8,), "random_state": 0, **fewer, **params}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(n_components, **params).fit(X)
