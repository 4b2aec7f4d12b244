"""What SinkhornAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn

from skotae import SinkhornAE, WAEEstimator
from skotae.divergences import SinkhornDivergence
from skotae.networks import MLP
from skotae.priors import DirichletPrior, SpherePrior
from skotae.testing import gaussian_in_subspace, make_data

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return SinkhornAE(**{**defaults, **params})


def test_codes_on_a_sphere():
    Z = small(prior="sphere").fit_transform(X)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1.0)
    Z = small(prior=SpherePrior(radius=3.0)).fit_transform(X)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 3.0)


def test_codes_on_a_simplex():
    Z = small(prior="dirichlet").fit_transform(X)
    assert (Z >= 0).all()
    np.testing.assert_allclose(Z.sum(axis=1), 1.0)


def test_codes_in_a_cube():
    Z = small(prior="uniform").fit_transform(X)
    assert np.abs(Z).max() <= 1.0


@pytest.mark.parametrize("debias", ["independent", "paired", "none"])
@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("p, root", [(2, False), (2, True), (1, False), (1, True), (3, True)])
def test_options(debias, sharp, p, root):
    model = small(debias=debias, sharp=sharp, p=p, root=root, relative=sharp).fit(X)
    assert set(model.history_) == {"reconstruction", "penalty", "loss"}
    assert np.isfinite(model.history_["loss"]).all()
    assert model.divergence_.get_params() == {
        "epsilon": 0.05,
        "relative": sharp,
        "p": p,
        "debias": debias,
        "sharp": sharp,
        "root": root,
        "tol": 0.001,
        "cost": None,
        "n_iter": None,
    }


def test_it_is_a_wasserstein_autoencoder():
    params = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    defaults = SinkhornAE()
    penalty = SinkhornDivergence(debias=defaults.debias, epsilon=0.1)
    expected = WAEEstimator(lam=2.0, penalty=penalty, **params).fit(X)
    model = SinkhornAE(beta=2.0, epsilon=0.1, **params).fit(X)
    np.testing.assert_array_equal(model.transform(X), expected.transform(X))


def test_no_weight_no_penalty():
    model = small(beta=0.0).fit(X)
    assert set(model.history_["penalty"]) == {0.0}


def test_independent_debiasing_keeps_the_spread():
    """ "paired" draws codes together in many dimensions, the default does not."""
    data, _ = gaussian_in_subspace(256, 16, 16, random_state=0)
    spread = {}
    for debias in ("independent", "paired"):
        model = SinkhornAE(
            16,
            debias=debias,
            beta=10.0,
            hidden_layer_sizes=(),
            learning_rate_init=0.01,
            batch_size=64,
            max_iter=40,
            random_state=0,
        )
        spread[debias] = float(model.fit_transform(data).std(axis=0).mean())
    assert 0.9 < spread["independent"] < 1.1
    assert spread["paired"] < spread["independent"] - 0.05


def identity(n_in, n_out):
    return nn.Identity()


@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_paths_on_a_sphere_are_great_circles(radius):
    """Codes on the sphere, in steps of equal angle, from reconstruction to reconstruction."""
    # With this decoder the decoded path is that of the codes, in other units.
    params = {"n_components": X.shape[1], "prior": SpherePrior(radius), "decoder": identity}
    model = small(**params).fit(X)
    paths = model.interpolate(X[:20], X[20:40], 7)
    ends = np.stack([model.reconstruct(X[:20]), model.reconstruct(X[20:40])], axis=1)
    np.testing.assert_allclose(paths[:, [0, -1]], ends, atol=1e-12)
    codes = (paths - model.data_mean_) / model.data_scale_ / radius
    np.testing.assert_allclose(np.linalg.norm(codes, axis=2), 1.0)
    angles = np.arccos(np.sum(codes[:, 1:] * codes[:, :-1], axis=2).clip(-1, 1))
    whole = np.arccos(np.sum(codes[:, 0] * codes[:, -1], axis=1))
    assert whole.max() > 0.5
    np.testing.assert_allclose(angles, np.repeat(whole[:, None] / 6, 6, axis=1), atol=1e-6)


def largest_coordinates(concentration):
    """Of the codes of digits that training has not seen, and of as many prior draws."""
    digits = load_digits().data / 16
    prior = DirichletPrior(concentration)
    network = MLP(start="random")
    model = SinkhornAE(
        16,
        prior=prior,
        beta=10.0,
        encoder=network,
        decoder=network,
        learning_rate_init=0.001,
        max_iter=40,
        random_state=1,
    ).fit(digits[:1200])
    Z = model.transform(digits[1200:])
    np.testing.assert_allclose(Z.sum(axis=1), 1.0)
    assert (Z >= 0).all()
    draws = np.random.default_rng(0).dirichlet(np.full(16, concentration), len(Z))
    return Z.max(axis=1), draws.max(axis=1)


def test_digits_at_the_corners_of_a_simplex():
    """Section 6.3, with a prior of which most draws are within 0.1 of a corner."""
    codes, draws = largest_coordinates(0.01)
    assert np.mean(draws >= 0.9) > 0.65
    assert np.mean(codes >= 0.9) >= 0.5


def test_digits_are_as_near_to_corners_as_the_prior():
    """Draws from Dir(1/5) in 16 dimensions are hardly ever within 0.1 of a corner."""
    codes, draws = largest_coordinates(0.2)
    assert np.mean(draws >= 0.9) < 0.02
    assert np.mean(codes >= 0.9) < 0.02
    np.testing.assert_allclose(codes.mean(), draws.mean(), atol=0.05)
    np.testing.assert_allclose(codes.std(), draws.std(), atol=0.05)
