"""`latent`: samples from the prior, or from a mixture of the codes of training rows."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import nn

import skotae
from skotae import GMWAE, VAE, SymmetricWAE, WAEEstimator
from skotae.autoencoders.bases._ex_post import draw, fit_mixture
from skotae.autoencoders.bases.codes import SUPPORTS, Chart, middle
from skotae.callbacks import Checkpoint
from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)

X = np.random.RandomState(0).normal(size=(80, 5)) * [3, 2, 1, 0.5, 0.1] + 1
PRIORS = [
    NormalPrior(),
    SpherePrior(2.0),
    UniformPrior(-1.0, 3.0),
    DirichletPrior(0.5),
    DirichletPrior(0.5, learn=True),
]


def small(cls=WAEEstimator, **params):
    params = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, **params}
    return cls(params.pop("n_components", 3), **params)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def nearest(A, B):
    return np.median(NearestNeighbors(n_neighbors=1).fit(A).kneighbors(B)[0])


def codes_of(model, n=500, **options):
    return model._drawn_codes(n, generator(), np.dtype(np.float64), **options)


# --- coordinates -------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS[:4], ids=repr)
def test_coordinates_there_and_back(prior):
    chart = Chart(prior, 3)
    z = prior.sample(200, 3, generator(), dtype=torch.float64)
    inside = z
    if prior.support == "simplex":
        inside = z[(z > 1e-5).all(1)]
    back = chart.codes(chart.coordinates(inside))
    torch.testing.assert_close(back, inside, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("prior", PRIORS[:4], ids=repr)
def test_any_coordinates_are_of_a_code(prior):
    chart = Chart(prior, 3)
    width = 2 if prior.support == "simplex" else 3
    z = chart.codes(100 * torch.randn(200, width, generator=generator(), dtype=torch.float64))
    assert_on(prior, z)


def assert_on(prior, z):
    """Codes lie on the support."""
    if prior.support == "sphere":
        length = torch.full((len(z),), float(prior.radius), dtype=z.dtype)
        torch.testing.assert_close(z.norm(dim=1), length)
    elif prior.support == "cube":
        assert ((z >= prior.low) & (z <= prior.high)).all()
    elif prior.support == "simplex":
        assert (z >= 0).all()
        torch.testing.assert_close(z.sum(1), torch.ones(len(z), dtype=z.dtype))
    assert z.isfinite().all()


def test_every_prior_with_a_known_support_is_tried():
    assert {prior.support for prior in PRIORS} == set(SUPPORTS)


# --- estimators --------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_keep_to_the_support(prior, dtype):
    penalty = "mmd" if prior.support != "space" else "sliced"
    model = small(prior=prior, penalty=penalty, latent="mixture").fit(X.astype(dtype))
    assert_on(prior, codes_of(model))
    assert model.sample(7, random_state=0).dtype == dtype
    np.testing.assert_array_equal(
        model.sample(7, random_state=0), clone(model).fit(X.astype(dtype)).sample(7, random_state=0)
    )


def test_closer_to_codes_that_are_not_the_prior():
    """Two clusters, hardly any penalty: the prior fills the gap between their codes."""
    rng = np.random.RandomState(0)
    data = np.where(rng.uniform(size=(400, 1)) < 0.5, -4, 4) + 0.3 * rng.normal(size=(400, 4))
    model = small(lam=1e-4, max_iter=60, learning_rate_init=0.01, latent="mixture")
    model.fit(data[:300])
    gap = {}
    for latent in ("prior", "mixture"):
        samples = model.set_params(latent=latent).sample(500, random_state=0)
        gap[latent] = np.mean(np.abs(np.abs(samples.mean(axis=1)) - 4) > 1.5)
    assert gap["mixture"] < 0.02 < 0.1 < gap["prior"]
    scores = {lat: model.set_params(latent=lat).score(data[300:]) for lat in gap}
    assert scores["mixture"] > 0.8 * scores["prior"]


def test_never_memorises():
    """Samples are no nearer to the training rows than reconstructions of test rows are."""
    rows = StandardScaler().fit_transform(load_wine().data)
    rows = rows[np.random.RandomState(0).permutation(len(rows))]
    train, test = rows[:120], rows[120:]
    for cls in (WAEEstimator, VAE, SymmetricWAE):
        model = small(cls, n_components=8, max_iter=60, latent="mixture").fit(train)
        samples = model.sample(500, random_state=0)
        assert nearest(train, samples) > 0.8 * nearest(train, model.reconstruct(test))


def test_survives_everything(tmp_path):
    model = small(latent="mixture").fit(X)
    expected = model.sample(20, random_state=3), model.score(X), model.score_samples(X)
    model.save(tmp_path / "model.safetensors")
    for other in (
        skotae.load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(model)),
    ):
        assert other._codes_.keys() == model._codes_.keys()
        for name, value in model._codes_.items():
            np.testing.assert_array_equal(other._codes_[name], value)
        found = other.sample(20, random_state=3), other.score(X), other.score_samples(X)
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, two)


def test_goes_on_from_a_checkpoint(tmp_path):
    whole = small(latent="mixture").fit(X)
    small(latent="mixture").set_callbacks(Checkpoint(tmp_path)).fit(X)
    again = small(latent="mixture").set_callbacks(Checkpoint(tmp_path)).fit(X)
    np.testing.assert_array_equal(again.sample(9, random_state=0), whole.sample(9, random_state=0))


def test_follows_training():
    """Codes move while training goes on, and the mixture with them."""
    model = small(latent="mixture", warm_start=True).fit(X)
    before = model._codes_
    after = model.fit(X)._codes_
    assert not np.allclose(before["means"], after["means"])
    chunks = small(latent="mixture")
    for chunk in np.split(X, 4):
        chunks.partial_fit(chunk)
    codes = chunks.transform(X[-20:])
    np.testing.assert_allclose(
        np.average(chunks._codes_["means"], axis=0, weights=chunks._codes_["weights"]),
        codes.mean(axis=0),
        atol=1e-3,
    )
    two = small(latent="mixture").partial_fit(X[:2])
    assert np.isfinite(two.sample(5, random_state=0)).all()


def test_reads_a_part_of_a_memory_map(tmp_path, monkeypatch):
    """However many rows there are, 2,048 are encoded."""
    np.save(tmp_path / "X.npy", np.random.RandomState(0).normal(size=(5000, 3)))
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    seen = []
    original = WAEEstimator._inference

    def counted(self, dtype):
        inference = original(self, dtype)
        encode = inference.codes
        object.__setattr__(
            inference, "codes", lambda X, *args: seen.append(len(X)) or encode(X, *args)
        )
        return inference

    monkeypatch.setattr(WAEEstimator, "_inference", counted)
    small(latent="mixture", max_iter=1).fit(rows)
    assert max(seen) == 2048


def test_what_auto_is():
    assert codes_of(small().fit(X)).equal(codes_of(small(latent="mixture").fit(X)))
    prior = AtomsPrior(np.eye(3))
    model = small(prior=prior, penalty="mmd").fit(X)
    assert (codes_of(model).sort(dim=1).values == torch.tensor([0.0, 0.0, 1.0])).all()
    assert "weights" not in model._codes_


def test_the_prior_alone():
    """With latent="prior" nothing is fitted, and samples are decoded draws from the prior."""
    model = small(latent="prior").fit(X)
    assert "weights" not in model._codes_
    codes = model.prior_.sample(500, 3, generator(), dtype=torch.float64)
    assert codes_of(model).equal(codes)


@pytest.mark.parametrize("component, scale", [(1, 1.0), (1, 0.5), (None, 0.5)])
def test_components_are_those_of_the_codes(component, scale):
    """With latent="prior" they are the prior's."""
    model = small(GMWAE, n_mixtures=3, latent="mixture").fit(X)
    parts = {"component": component, "scale": scale}
    codes = codes_of(model, 3000, **parts)
    from_prior = codes_of(model.set_params(latent="prior"), 3000, **parts)
    kept = model._codes_
    if component is None:
        mean = kept["component_weights"] @ kept["component_means"]
        prior_mean = model.prior_.component_means(3).mean(0)
    else:
        mean, prior_mean = kept["component_means"][1], model.prior_.component_means(3)[1]
        factor = scale * kept["component_factors"][1]
        np.testing.assert_allclose(np.cov(codes.T), factor @ factor.T, atol=0.2 * scale**2)
    error = 6 * codes.std(0).numpy() / np.sqrt(len(codes))
    assert np.all(np.abs(codes.mean(0).numpy() - mean) < error)
    error = 6 * from_prior.std(0) / np.sqrt(len(from_prior))
    assert torch.all((from_prior.mean(0) - prior_mean).abs() < error)


# --- errors ------------------------------------------------------------------------------


class Donut(NormalPrior):
    support = "donut"


@pytest.mark.parametrize("prior", [AtomsPrior(np.eye(3)), Donut()], ids=repr)
def test_supports_without_mixtures(prior):
    with pytest.raises(
        ValueError, match=rf"(?s)latent='mixture'.*'{prior.support}'.*latent='prior'"
    ):
        small(prior=prior, penalty="mmd", latent="mixture").fit(X)
    model = small(prior=prior, penalty="mmd").fit(X)
    assert np.isfinite(model.score_samples(X)).all()


def test_other_values():
    with pytest.raises(ValueError, match="latent"):
        small(latent="posterior").fit(X)


def test_set_after_the_fit():
    model = small(latent="prior").fit(X).set_params(latent="mixture")
    with pytest.raises(ValueError, match="latent='mixture' was set after the fit"):
        model.sample(2)


class Spread(nn.Module):
    """Codes of rows, some of them far out."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.net(x) * torch.where(x[:, :1] > 2, 1e6, 1.0)


def test_a_code_far_out_does_not_widen_the_mixture():
    data = np.random.RandomState(0).normal(size=(200, 4))
    data[0] = 50.0
    model = small(encoder=Spread, lam=0.0, max_iter=1, latent="mixture").fit(data)
    codes = model.transform(data)
    width = np.median(np.abs(codes), axis=0).max()
    assert np.abs(codes[0]).max() > 1000 * width > np.abs(codes_of(model)).max()


def test_a_small_group_far_out_has_its_share():
    """Empty rows among full ones, say: few, and much of the variance."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(1000, 3))
    u[:12] += 200.0
    mixture = fit_mixture(u, middle(u), seed=0)
    drawn = draw(mixture, 4000, torch.Generator().manual_seed(0)).numpy()
    far = (drawn > 100).all(axis=1).mean()
    assert 0.004 < far < 0.03
