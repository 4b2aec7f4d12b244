"""Tables with columns in one unit, or in units of their own."""

import numpy as np
from hypothesis import settings

import skotae
from skotae.columns import Columns, differ

NAMES = sorted(name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit"))
DECODING = [name for name in NAMES if hasattr(getattr(skotae, name), "sample")]
few = settings(deadline=None, derandomize=True, max_examples=10)


def columns_of(X):
    return Columns(X)


def have_different_units(X):
    return differ(columns_of(X), len(X))


def table(n=60, seed=0):
    """Three related columns in different units, and one that has two values."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 80, n)
    income = 20000 + 800 * age + 4000 * rng.normal(size=n)
    ratio = 1 / (1 + np.exp((50 - age) / 10)) + 0.02 * rng.normal(size=n)
    return np.column_stack([age, income, ratio, age > 50])


def one_unit(n=60, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.1 * rng.normal(size=(n, d))
