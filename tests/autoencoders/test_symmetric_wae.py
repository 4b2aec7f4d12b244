"""What SymmetricWAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import cosine_similarity

from skotae import SymmetricWAE
from skotae.networks import MLP
from skotae.testing import make_data

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return SymmetricWAE(**{**defaults, **params})


@pytest.mark.parametrize(
    "beta, terms",
    [
        (0.0, {"latent", "reconstruction"}),
        (0.5, {"latent", "reconstruction", "denoising"}),
        (1.0, {"latent", "denoising"}),
    ],
)
def test_ends_of_beta(beta, terms):
    model = small(beta=beta).fit(X)
    assert set(model.history_) == {*terms, "loss"}
    assert np.isfinite(model.score(X))
    assert np.isfinite(model.sample(5, random_state=0)).all()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("search", ["data", "latent"])
@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("p", [1, 2])
def test_options(metric, search, init, p):
    model = small(metric=metric, search=search, init=init, p=p, n_pseudo_inputs=5).fit(X)
    assert model.pseudo_inputs_.shape == (5, 6)
    assert np.isfinite(model.history_["loss"]).all()


@pytest.mark.parametrize("scale", ["global", "columns"])
def test_angles_are_those_of_the_data(scale):
    """Seen from zero, not from the mean of the rows."""
    digits = load_digits().data
    model = small(metric="cosine", scale=scale, n_pseudo_inputs=60).fit(digits)
    rows = torch.from_numpy(model._units.standardised(digits)).float()
    found = model.model_._nearest_inputs(rows, model.model_.encode(rows))
    unit = model.data_scale_
    angles = cosine_similarity(digits / unit, model.pseudo_inputs_ / unit)
    assert np.mean(angles.argmax(axis=1) == found.numpy()) > 0.999
    centre = digits.mean(axis=0)
    of_centred = cosine_similarity((digits - centre) / unit, (model.pseudo_inputs_ - centre) / unit)
    assert np.mean(of_centred.argmax(axis=1) == found.numpy()) < 0.9


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e6, -3e6), (1e-6, 0.0)])
def test_pseudo_inputs_start_at_rows(init, scale, shift):
    """In data space: as good as untrained they are rows of the training data, and distinct."""
    data = scale * X + shift
    model = small(init=init, learning_rate_init=1e-12, n_pseudo_inputs=7).fit(data)
    gap = np.abs(model.pseudo_inputs_[:, None] - data).max(axis=2)
    assert gap.min(axis=1).max() < 1e-5 * scale
    assert len(set(gap.argmin(axis=1))) == 7


def test_pseudo_inputs_are_learned():
    early, late = (
        small(learning_rate_init=0.01, max_iter=n, n_pseudo_inputs=5).fit(X).pseudo_inputs_
        for n in (1, 10)
    )
    assert np.abs(early - late).max() > 1e-3


def test_number_of_pseudo_inputs():
    assert small().fit(X).pseudo_inputs_.shape == (24, 6)
    assert small().fit(X[:2]).pseudo_inputs_.shape == (1, 6)
    assert small(n_pseudo_inputs=48).fit(X).pseudo_inputs_.shape == (48, 6)


def test_duplicates_allow_as_many_pseudo_inputs():
    """k-means++ finds no second distinct row, and takes one twice."""
    model = small(n_pseudo_inputs=10).fit(np.repeat(X[:3], 8, axis=0))
    assert model.pseudo_inputs_.shape == (10, 6)
    assert np.isfinite(model.pseudo_inputs_).all()


def test_alpha_draws_codes_to_the_prior():
    def gap(alpha, start):
        networks = dict.fromkeys(("encoder", "decoder"), MLP((16,), start=start))
        model = small(alpha=alpha, learning_rate_init=0.01, max_iter=30, **networks).fit(X)
        return model.history_["latent"][-1] / alpha

    assert gap(10.0, "random") < 0.2 * gap(1e-4, "random")
    # From principal components, where codes are as wide as the prior before they are drawn to it.
    assert gap(10.0, "pca") < 0.6 * gap(1e-4, "pca") < 0.3 * gap(1e-4, "random")


def test_decoders_are_solved_for_codes_up_to_half_of_denoising():
    """Above it for draws from the prior of the nearest pseudo-input, which are wider."""
    angle = np.sort(np.random.RandomState(0).uniform(0, 3, 200))
    curve = np.sin(np.outer(angle, np.arange(1, 21)) / 4)

    def error(beta):
        model = small(n_components=3, beta=beta, hidden_layer_sizes=(32,), max_iter=20)
        return np.square(model.fit(curve).reconstruct(curve) - curve).sum()

    assert error(0.5) < 0.2 * error(0.51)


def test_denoising():
    """Section 3.4 of the paper: what is decoded from noisy digits is nearer to the clean ones."""
    digits = load_digits().data / 16
    noise = np.random.RandomState(0).normal(scale=0.3, size=digits.shape)

    def squares(beta):
        """Error of decoded noisy digits, and what the noise changes in what is decoded."""
        model = SymmetricWAE(
            32, beta=beta, hidden_layer_sizes=(128,), max_iter=15, random_state=0
        ).fit(digits)
        noisy, clean = model.reconstruct(digits + noise), model.reconstruct(digits)
        gaps = (noisy - digits, noisy - clean)
        return [np.square(gap).sum(axis=1).mean() for gap in gaps]

    error, change = squares(1.0)
    assert error < 0.5 * np.square(noise).sum(axis=1).mean()
    assert change < 0.7 * squares(0.0)[1]
