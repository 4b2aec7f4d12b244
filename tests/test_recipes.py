"""The calls on the pages of papers, which are made from the rows of ``benchmarks/papers``."""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import skotae
from skotae import costs, divergences, networks, priors

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "papers"))

from _deviations import NOT_RUN, REASONS, deviations
from _recipes import call_of
from _rows import Data, like_mnist

SCRIPTS = ("vegan_cookbook", "sinkhorn_ae", "symmetric_wae", "gm_wae", "coupled_vae")
NAMES = {
    name: value
    for part in (skotae, costs, divergences, networks, priors)
    for name, value in vars(part).items()
}


def digits():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return Data("digits", X[:96], y[:96], X[96:128], y[96:128], (8, 8))


def recipes(script, data, **options):
    """Rows that are as the paper has them, by name."""
    return {
        f"{script}, {table.title}: {name}": row
        for table in import_module(script).tables(data, **options)
        for name, row in table.rows.items()
        if row.recipe is not None
    }


SMALL = {name: row for s in SCRIPTS for name, row in recipes(s, digits(), quick=True).items()}


@pytest.mark.parametrize("name", SMALL)
def test_each_call_runs(name):
    model = SMALL[name].estimator(0).set_params(max_iter=1)
    X = digits().X_train
    with warnings.catch_warnings():
        # Of one epoch of few rows.
        warnings.simplefilter("ignore")
        model.fit(X)
        out = model.sample(5, random_state=0) if hasattr(model, "sample") else model.transform(X)
    assert out.shape == ((5, 64) if hasattr(model, "sample") else (96, model.n_components))
    assert np.isfinite(out).all()


@pytest.mark.parametrize("script", SCRIPTS)
def test_calls_make_what_the_rows_fit(script):
    found = recipes(script, like_mnist(script))
    assert found
    for name, row in found.items():
        model = row.estimator(None)
        made = eval(call_of(model), dict(NAMES))
        assert type(made) is type(model), name
        ours, theirs = (each.get_params(deep=False) for each in (made, model))
        assert {key: repr(value) for key, value in ours.items()} == {
            key: repr(value) for key, value in theirs.items()
        }, name
        # The paper's networks begin with random weights.
        specs = [theirs[key] for key in ("encoder", "decoder") if theirs.get(key) is not None]
        assert all(spec.start == "random" for spec in specs), name


@pytest.mark.parametrize("script", SCRIPTS)
def test_open_parameters_are_parameters(script):
    for name, row in recipes(script, like_mnist(script)).items():
        known = row.estimator(None).get_params(deep=False)
        assert set(row.recipe.open) & set(known), name


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_deviation_has_a_reason(script):
    # A parameter without a reason raises.
    lines = deviations([*recipes(script, like_mnist(script)).values()])
    assert lines
    assert all(reason for *_, reason, _ in lines)


def test_figures_are_in_the_results():
    figures = [why.figure for why in REASONS.values() if why.figure is not None]
    assert figures
    assert all(str(figure) != NOT_RUN for figure in figures)
