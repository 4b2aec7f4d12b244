"""What WGAN claims beyond what all generating estimators do."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.datasets import make_moons
from torch import nn

from skotae import WGAN, WAEEstimator
from skotae.metrics import transport_r2_score
from skotae.networks import MLP
from skotae.testing import Case, check_case, make_data

X = make_data(48)


def small(**params):
    defaults = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0}
    return WGAN(**{**defaults, **params})


def exact_distance(x, y):
    """The 1-Wasserstein distance of two samples of one size."""
    cost = cdist(x, y)
    return cost[linear_sum_assignment(cost)].mean()


class Fixed(nn.Module):
    """A generator that does not learn: a Gaussian of its own."""

    def __init__(self, shift, scale):
        super().__init__()
        self.shift, self.scale = shift, scale
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return self.shift + self.scale * z + 0 * self.idle


@pytest.mark.parametrize(
    "n_features, shift, scale",
    [
        pytest.param(1, 2.0, 1.0, marks=pytest.mark.slow),
        pytest.param(1, 0.0, 2.0, marks=pytest.mark.slow),
        (2, 0.5, 0.5),
    ],
)
def test_critic_finds_the_distance(n_features, shift, scale):
    """Eq. 2 of the VEGAN cookbook, between data and a generator that stays what it is."""
    data = 3 * np.random.RandomState(0).normal(size=(600, n_features)) + 5
    model = WGAN(
        n_features,
        decoder=Fixed(shift, scale),
        clip=False,
        hidden_layer_sizes=(64, 64),
        max_iter=30,
        random_state=0,
    ).fit(data)
    expected = exact_distance(data, model.sample(600, random_state=1))
    assert model.wasserstein(data, random_state=1) == pytest.approx(expected, rel=0.1)


def test_primal_and_dual_agree():
    """Section 4.2: both approach the least distance of data in a plane from a model on a line.

    For normal data with standard deviations 2 and 1/2 that is the mean distance from the
    long axis, sqrt(2 / pi) / 2.
    """
    rng = np.random.RandomState(0)
    data = rng.normal(size=(1000, 2)) * [2.0, 0.5]
    known = np.sqrt(2 / np.pi) / 2
    options = {
        "decoder": MLP((), start="random"),
        "hidden_layer_sizes": (64, 64),
        "clip": False,
        "batch_size": 128,
        "learning_rate_init": 0.01,
        "max_iter": 40,
        "random_state": 0,
    }
    dual = WGAN(1, **options).fit(data)
    # A large lam holds the codes to the prior, as the primal problem asks.
    options |= {"weight_decay": 0, "latent": "prior", "prior": "normal"}
    primal = WAEEstimator(1, cost="euclidean", lam=2.0, **options).fit(data)
    values = {
        "dual": dual.wasserstein(data, random_state=1),
        "primal": -primal.score_samples(data, reconstruction_only=True).mean(),
        "dual, exact": exact_distance(data, dual.sample(1000, random_state=1)),
        "primal, exact": exact_distance(data, primal.sample(1000, random_state=1)),
    }
    for name, value in values.items():
        assert value == pytest.approx(known, rel=0.1), name
    assert values["dual"] == pytest.approx(values["primal"], rel=0.1)


def test_distance_has_the_units_of_the_data():
    value = small(max_iter=20).fit(X).wasserstein(X, random_state=0)
    scaled = small(max_iter=20).fit(1000 * X).wasserstein(1000 * X, random_state=0)
    assert value > 0
    assert scaled == pytest.approx(1000 * value, rel=0.05)


def test_history_is_of_the_distance():
    data = make_data(200)
    options = {"hidden_layer_sizes": (64,), "batch_size": 50, "learning_rate_init": 0.01}
    model = small(max_iter=60, **options).fit(data)
    assert set(model.history_) == {"wasserstein", "loss"}
    assert model.history_["loss"][-1] < 0.5 * max(model.history_["loss"])


def test_score_takes_the_nearest_samples_for_reconstructions():
    model = small(max_iter=20).fit(X)
    near = model._reconstruct(X)
    some = model.sample(500, random_state=1)
    assert (np.linalg.norm(X - near, axis=1) <= cdist(X, some).min(axis=1) + 0.05).all()
    # Of few rows the distance is noise in part: means over draws have less.
    scores, expected = [], []
    for seed in range(8):
        model = small(max_iter=20).set_params(random_state=seed).fit(X)
        parts = X, model._reconstruct(X), model.sample(384, random_state=seed)
        scores.append(model.score(X))
        expected.append(transport_r2_score(*parts, random_state=seed))
    assert np.mean(scores) == pytest.approx(np.mean(expected), abs=0.05)


def test_score_is_that_of_an_encoder_that_finds_the_best_codes():
    """On a line, where the nearest sample is as good as the nearest point."""
    rows = np.random.default_rng(0).normal(size=(400, 1)) @ [[3.0, 4.0]]
    samples = np.random.default_rng(1).normal(size=(400, 1)) @ [[3.0, 4.0]]
    model = small().fit(rows)
    model._generate = lambda n, seed, dtype: (
        np.random.default_rng(seed).normal(size=(n, 1)) @ [[3.0, 4.0]]
    )
    expected = transport_r2_score(rows, rows, samples, random_state=0)
    assert model.score(rows) == pytest.approx(expected, abs=0.03) and expected > 0.95


def test_slope_of_the_critic():
    model = small(critic=MLP(())).fit(X)
    x = torch.from_numpy(X).float()
    slope = model.model_.slope(x, -x, torch.Generator().manual_seed(0))
    expected = model.critic_[0].weight.detach().norm()
    torch.testing.assert_close(slope, expected.expand(48))


def test_penalty_holds_the_slope_near_1():
    data = 100 * np.random.RandomState(0).normal(size=(200, 2))
    slopes = []
    for weight in (0.01, 10.0):
        model = small(gradient_penalty=weight, decoder=Fixed(3.0, 1.0), max_iter=20).fit(data)
        x = model._inference(np.float32).tensor(data)
        slopes.append(float(model.model_.slope(x, x + 3, torch.Generator().manual_seed(0)).mean()))
    assert abs(slopes[1] - 1) < 0.3 < abs(slopes[0] - 1)


@pytest.mark.parametrize(
    "name", ["transform", "inverse_transform", "reconstruct", "score_samples", "encoder_", "elbo"]
)
def test_there_is_no_encoder(name):
    assert not hasattr(small().fit(X), name)


@pytest.mark.parametrize("name", ["tol", "early_stopping", "validation_fraction", "cost"])
def test_there_is_nothing_to_stop_by(name):
    assert name not in small().get_params()


def test_weights_of_the_critic_stay_within_their_bound():
    """In the place of the penalty, also where training goes on."""
    model = small(weight_clip=0.02, warm_start=True, gradient_penalty=1e9).fit(X)
    assert {"wasserstein", "loss"} <= set(model.history_)
    assert "adversary_slope" not in model.history_
    for _ in range(2):
        largest = max(float(weight.abs().max()) for weight in model.critic_.parameters())
        assert largest == pytest.approx(0.02)
        model.fit(X)


def test_clipped_critic_tells_which_way_to_go():
    rows = np.random.RandomState(0).normal(size=(256, 2)) + 5.0
    params = {"weight_clip": 0.1, "learning_rate_init": 0.003, "scale": "global"}
    model = small(hidden_layer_sizes=(32,), max_iter=60, **params).fit(rows)
    np.testing.assert_allclose(model.sample(2000, random_state=0).mean(axis=0), 5.0, atol=0.5)
    assert model.wasserstein(rows, random_state=0) < 1.0


@pytest.mark.slow
def test_few_rows_do_not_collapse():
    rows, _ = make_moons(200, noise=0.05, random_state=0)
    test, _ = make_moons(1000, noise=0.05, random_state=1)
    assert WGAN(2, random_state=1).fit(rows).score(test) > 0.95


def test_samples_beyond_float32_are_at_its_end():
    params = {"clip": False, "activation": "logistic", "batch_size": 5, "n_critic": 3}
    rows = {"n": 12, "d": 2, "kind": "normal", "scale": 1e38, "dtype": "float32"}
    case = Case(WGAN, params, **rows, container="array", calls=("far score", "sample"))
    assert check_case(case) == "answered"
