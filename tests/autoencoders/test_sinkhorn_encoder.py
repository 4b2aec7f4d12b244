"""What SinkhornEncoder claims beyond what all estimators with an encoder do."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import nn

from skotae import SinkhornAE, SinkhornEncoder
from skotae.autoencoders._sinkhorn_encoder import FALL, neighbour_cost
from skotae.datasets import make_swiss_roll
from skotae.priors import PRIORS, NormalPrior
from skotae.testing import make_data
from skotae.training import Step

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return SinkhornEncoder(**{**defaults, **params})


def energy_p_value(x, y, n_permutations=499):
    """Permutation test of equal distributions with the energy distance."""
    rng = np.random.default_rng(0)
    distances = cdist(*[np.vstack([x, y])] * 2)
    sign = np.repeat([1.0 / len(x), -1.0 / len(y)], [len(x), len(y)])
    signs = np.stack([sign, *(rng.permutation(sign) for _ in range(n_permutations))])
    energies = -np.einsum("bi,bi->b", signs @ distances, signs)
    return np.mean(energies >= energies[0])


def roll_to(prior, n_components, seed=0, **params):
    """Codes of 1,000 new rows of the Swiss roll, those rows, and as many prior draws."""
    data, _ = make_swiss_roll(2000, random_state=seed)
    new, _ = make_swiss_roll(1000, random_state=100 + seed)
    model = SinkhornEncoder(n_components, prior=prior, random_state=seed, **params).fit(data)
    generator = torch.Generator().manual_seed(200 + seed)
    draws = PRIORS[prior]().sample(1000, n_components, generator, dtype=torch.float64)
    return model.transform(new), new, draws.numpy()


TARGETS = {"uniform": 2, "sphere": 3}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
@pytest.mark.parametrize("prior", TARGETS)
def test_swiss_roll(prior, seed):
    """Section 6.1: neighbours stay neighbours, and the codes cover the square or sphere."""
    params = {} if seed else {"max_iter": 60}
    Z, new, draws = roll_to(prior, TARGETS[prior], seed, **params)
    assert trustworthiness(new, Z, n_neighbors=5) >= 0.95
    assert energy_p_value(Z, draws) > 0.01
    # The test is able to tell: it rejects the same codes, slightly narrower.
    narrower = 0.85 * Z if prior == "uniform" else _to_the_pole(Z, 0.2)
    assert energy_p_value(narrower, draws) < 0.01


def _to_the_pole(Z, step):
    shifted = Z + step * np.eye(3)[0]
    return shifted / np.linalg.norm(shifted, axis=1, keepdims=True)


@pytest.mark.slow
def test_the_divergence_alone_folds_the_roll():
    """Without the second term the codes cover the square, and neighbours do not stay."""
    Z, new, draws = roll_to("uniform", 2, contraction=0.0, max_iter=100)
    assert energy_p_value(Z, draws) > 0.01
    assert trustworthiness(new, Z, n_neighbors=5) < 0.9


@pytest.mark.parametrize("prior, max_iter", [("normal", 60), ("sphere", 30)])
def test_digits(prior, max_iter):
    """Neither labels nor a decoder, and yet digits of a kind are near each other."""
    data, labels = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        data / 16, labels, test_size=0.3, stratify=labels, random_state=0
    )
    model = SinkhornEncoder(8, prior=prior, max_iter=max_iter, random_state=0).fit(X_train)
    neighbours = KNeighborsClassifier(5).fit(model.transform(X_train), y_train)
    assert neighbours.score(model.transform(X_test), y_test) >= 0.93


class Half(nn.Module):
    """Half of it."""

    def forward(self, z):
        return z / 2


def test_weight_of_the_contraction():
    model = small(contraction=0.2, annealing=25.0).fit(X)
    batch = model._inference(np.float32).tensor(X)

    def weighted(progress):
        step = Step(torch.Generator(), torch.arange(len(X)), len(X), progress)
        return model.model_.terms(batch, step)["contraction"].item()

    weights = [weighted(progress) / weighted(1.0) for progress in (0.0, FALL / 2, FALL, 0.9)]
    np.testing.assert_allclose(weights, [25.0, 5.0, 1.0, 1.0], rtol=1e-4)
    # The scale of the codes does not matter, that of the prior does.
    before, model.encoder_.head = weighted(1.0), Half()
    np.testing.assert_allclose(weighted(1.0), before, rtol=1e-4)
    model.model_.prior = NormalPrior(scale=2.0)
    np.testing.assert_allclose(weighted(1.0), 4 * before, rtol=1e-4)
    codes, draws = model.encoder_(batch), model.prior_.sample(len(X), 3, torch.Generator())
    plain = neighbour_cost(batch, codes, 5, 2) * draws.var(0).sum() / codes.var(0).sum()
    np.testing.assert_allclose(weighted(1.0), 0.2 * plain.item(), rtol=1e-4)


@pytest.mark.parametrize("k, p", [(1, 2), (3, 1), (5, 2), (100, 3)])
def test_neighbour_cost(k, p):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    nearest = NearestNeighbors(n_neighbors=min(k, 29)).fit(x).kneighbors(return_distance=False)
    expected = np.mean(np.sum(np.abs(z[:, None] - z[nearest]) ** p, axis=2))
    value = neighbour_cost(torch.from_numpy(x), torch.from_numpy(z), k, p)
    np.testing.assert_allclose(float(value), expected)


def test_no_contraction():
    model = small(contraction=0.0).fit(X)
    assert set(model.history_) == {"divergence", "loss"}


def test_no_decoder():
    model = small().fit(X)
    for name in ("decoder_", "cost_", "inverse_transform", "reconstruct", "sample"):
        assert not hasattr(model, name)


def test_divergence_is_that_of_the_autoencoder():
    options = {"epsilon": 0.1, "relative": False, "debias": "paired", "sharp": True, "p": 1}
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "sinkhorn_tol": 1e-2, **options}
    expected = SinkhornAE(**params).fit(X).divergence_.get_params()
    assert SinkhornEncoder(**params).fit(X).divergence_.get_params() == expected
    others = {"root": False, "tol": 1e-2, "cost": None, "n_iter": None}
    assert expected == {**options, **others}


class Shift(nn.Module):
    """Rows, moved along the first axis."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.by = nn.Parameter(torch.tensor([5.0] + [0.0] * (n_out - 1)))

    def forward(self, x):
        return x + self.by


def test_score_is_the_distance_in_units_of_the_prior():
    data = np.random.default_rng(0).normal(size=(1500, 2))
    model = SinkhornEncoder(encoder=Shift, max_iter=1, learning_rate_init=1e-9)
    # The unit is the variance of draws: of one set of them it is a few hundredths off.
    scores = [model.set_params(random_state=seed).fit(data).score(data) for seed in range(6)]
    np.testing.assert_allclose(np.mean(scores), 1 - 25 / 2, rtol=0.05)
    narrow = model.set_params(prior=NormalPrior(scale=2.0)).fit(data)
    np.testing.assert_allclose(narrow.score(data), 1 - (25 + 2) / 8, atol=0.4)
