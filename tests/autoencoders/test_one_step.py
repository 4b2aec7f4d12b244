"""Fits of one or two steps, at any learning rate and scale: finite results or a named error."""

import warnings

import numpy as np
import pytest

import skotae
from skotae.exceptions import NonFiniteLossError
from skotae.networks import MLP
from skotae.testing import make_data
from skotae.testing.base import results_of

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
CASES = {
    **{name: (name, {}) for name in NAMES},
    "GMWAE clusters": ("GMWAE", {"init": "clusters"}),
    "CoupledVAE network": ("CoupledVAE", {"potential": "network"}),
    "CoupledVAE amortised": ("CoupledVAE", {"posterior": "amortised"}),
    "GAN penalty": ("WAEEstimator", {"penalty": "gan"}),
    "Gaussian penalty": ("WAEEstimator", {"penalty": "gaussian", "posterior": "gaussian"}),
    "sphere": ("WAEEstimator", {"prior": "sphere"}),
    "euclidean": ("WAEEstimator", {"cost": "euclidean"}),
    "bernoulli": ("WAEEstimator", {"cost": "bernoulli"}),
    "VAE bernoulli": ("VAE", {"cost": "bernoulli"}),
    "dirichlet": ("SinkhornAE", {"prior": "dirichlet"}),
}
SCALES = [1.0, 1e-30, 1e-12, 1e-6, 1e6, 1e12, 1e18, 1e30]
N_FITS = 1700
MADE = ("labels_", "weights_", "scale_", "pseudo_inputs_")


def numbers_of(model, X):
    """All that a fitted estimator has numbers for."""
    numbers = {**results_of(model, X), **model.history_, "score": model.score(X)}
    if hasattr(model, "wasserstein"):
        numbers["wasserstein"] = model.wasserstein(X, random_state=0)
    if hasattr(model, "effective_sample_size"):
        numbers["effective_sample_size"] = model.effective_sample_size(X)
    return numbers | {name: getattr(model, name) for name in MADE if hasattr(model, name)}


def fit_of(case, i, small):
    """The i-th fit of a case: an estimator, rows, and a function that fits it to them."""
    rng = np.random.RandomState(1000 * sorted(CASES).index(case) + i)
    name, params = CASES[case]
    params = {**params, "random_state": i, "learning_rate_init": float(10 ** rng.uniform(-3, 9))}
    parameters = small(name).get_params(deep=False)
    networks = ["decoder"] if "decoder" in parameters else []
    if "encoder" in parameters and (name != "CoupledVAE" or case.endswith("amortised")):
        networks.append("encoder")
    kind = rng.randint(4)
    if kind == 1:
        params.update(dict.fromkeys(networks, MLP((8,), batch_norm=True)))
    elif kind == 2:
        params["hidden_layer_sizes"] = (8, 8, 8)
    # One epoch of one step or two, two epochs of one step.
    n_epochs, batch_size = [(1, 30), (1, 15), (2, 30)][rng.randint(3)]
    model = small(name, **params, max_iter=n_epochs, batch_size=batch_size)
    scale = 1.0 if "bernoulli" in case else SCALES[rng.randint(len(SCALES))]
    X = (make_data(30, seed=i) * scale).astype([np.float32, np.float64][rng.randint(2)])
    return model, X, model.partial_fit if n_epochs == 1 and rng.randint(2) else model.fit


def check_fit(case, i, small):
    model, X, fit = fit_of(case, i, small)
    where = f"fit {i} of {case}, {model}, X of {X.dtype} up to {X.max():.0e}"
    with warnings.catch_warnings():
        # Of numbers near the ends of their range, and of plans that they leave unfinished.
        warnings.simplefilter("ignore")
        try:
            fit(X)
        except NonFiniteLossError:
            # Of two epochs, the first may have gone well.
            if not hasattr(model, "n_iter_"):
                return
        for name, values in numbers_of(model, X).items():
            assert np.isfinite(values).all(), f"{where}: {name} is not finite"


@pytest.mark.parametrize("case", CASES)
def test_some_fits(case, small):
    for i in range(3):
        check_fit(case, i, small)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_many_fits(case, small):
    for i in range(-(-N_FITS // len(CASES))):
        check_fit(case, i, small)
