"""What CoupledVAE claims beyond what all autoencoders do."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn

import skotae
from skotae import CoupledVAE
from skotae.autoencoders.coupled._potentials import DualTable
from skotae.costs import GaussianCost
from skotae.metrics import density_coverage
from skotae.networks import MLP
from skotae.priors import AtomsPrior
from skotae.testing import linear_gaussian, make_data

X = make_data(48)
ATOMS = AtomsPrior([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], weights=[0.5, 0.25, 0.25])


def small(**params):
    defaults = {
        "n_components": 2,
        "hidden_layer_sizes": (16,),
        "n_bank": 64,
        "max_iter": 2,
        "random_state": 0,
    }
    return CoupledVAE(**{**defaults, **params})


@pytest.fixture(scope="module")
def wine():
    return StandardScaler().fit_transform(load_wine().data)


COMBINATIONS = [("table", "semi"), ("network", "semi"), ("network", "full")]


@pytest.mark.parametrize("prior", [None, "uniform", "sphere", "atoms"])
@pytest.mark.parametrize("cost", ["gaussian", "bernoulli", "sqeuclidean", GaussianCost(0.1)])
@pytest.mark.parametrize("strategy", ["dual", "primal"])
@pytest.mark.parametrize("potential, dual", COMBINATIONS)
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_options(prior, cost, strategy, potential, dual):
    model = small(
        prior=ATOMS if prior == "atoms" else prior,
        cost=cost,
        strategy=strategy,
        potential=potential,
        dual=dual,
    ).fit(X)
    assert "transport" in model.history_
    assert np.isfinite(model.history_["loss"]).all()
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.score(X))
    assert model.sample(3, random_state=0).shape == (3, 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential, dual", COMBINATIONS)
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_effective_sample_size(potential, dual, dtype):
    model = small(potential=potential, dual=dual).fit(X)
    size = model.effective_sample_size(X.astype(dtype))
    assert size.shape == (48,) and size.dtype == dtype
    assert (size >= 1 - 1e-6).all() and (size <= 64 + 1e-3).all()


def test_few_effective_draws_warn():
    model = small(n_bank=2).fit(X)
    with pytest.warns(UserWarning, match="n_bank=2.*epsilon=1.0.*posterior='amortised'"):
        model.transform(X)


def test_amortised_posterior_does_not_warn():
    model = small(posterior="amortised", n_bank=2).fit(X)
    assert isinstance(model.encoder_, nn.Module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.transform(X)


@pytest.mark.parametrize("n_components, amortised", [(1, False), (2, False), (3, True)])
def test_automatic_posterior(n_components, amortised):
    model = small(n_components=n_components).fit(X)
    assert hasattr(model, "encoder_") == amortised


def test_atoms():
    """Codes are means of the atoms, draws are atoms, samples what the atoms decode to."""
    model = small(prior=ATOMS, max_iter=20).fit(X)
    atoms = np.asarray(ATOMS.atoms)
    Z = model.transform(X)
    assert (Z >= -1e-6).all() and (Z[:, 0] + Z[:, 1] / 2 <= 1 + 1e-6).all()
    draws = model.sample_posterior(X, 5, random_state=0).reshape(-1, 2)
    assert np.abs(draws[:, None] - atoms).max(axis=2).min(axis=1).max() < 1e-6
    samples = model.sample(200, random_state=0)
    decoded = model.inverse_transform(atoms)
    gap = np.abs(samples[:, None] - decoded).max(axis=2)
    assert gap.min(axis=1).max() < 1e-5
    share = np.bincount(gap.argmin(axis=1), minlength=3) / 200
    np.testing.assert_allclose(share, ATOMS.weights, atol=0.12)
    assert (model.effective_sample_size(X) <= 3 + 1e-6).all()


def test_given_variance():
    model = small(cost=GaussianCost(variance=0.25)).fit(10 * X)
    assert model.scale_ == pytest.approx(0.5, rel=1e-5)


def test_learned_scale_has_the_units_of_the_data():
    scales = [small(max_iter=5).fit(factor * X).scale_ for factor in (1.0, 1000.0)]
    assert scales[1] / scales[0] == pytest.approx(1000.0, rel=0.05)


def test_each_feature_has_its_own_scale(tmp_path):
    """In the units of the data: the noise of each column, about a curve they share."""
    rng = np.random.RandomState(0)
    noise = np.array([0.1, 0.8, 0.3])
    data = rng.normal(size=(800, 1)) * [1.0, -1.0, 1.0] + noise * rng.normal(size=(800, 3))
    params = {"n_components": 1, "max_iter": 150, "hidden_layer_sizes": (32,), "n_bank": 512}
    params |= {"learning_rate_init": 0.003, "scale": "global", "clip": False}
    model = small(**params, cost=GaussianCost(per_feature=True)).fit(data)
    assert model.scale_.shape == (3,)
    np.testing.assert_allclose(model.scale_[1:], noise[1:], rtol=0.15)
    assert model.scale_[0] < 0.3
    noisy, clean = (model.sample(20_000, noise=on, random_state=0) for on in (True, False))
    np.testing.assert_allclose((noisy - clean).std(axis=0), model.scale_, rtol=0.05)
    path, kept = tmp_path / "model.safetensors", model.scale_
    model.save(path)
    np.testing.assert_allclose(model.partial_fit(data).scale_, kept, rtol=0.1)
    np.testing.assert_array_equal(skotae.load(path).partial_fit(data).scale_, model.scale_)


@pytest.mark.parametrize(
    "first, second",
    [
        ({"potential": "network"}, {"potential": "table"}),
        ({"posterior": "amortised"}, {"posterior": "importance"}),
        ({"cost": "gaussian"}, {"cost": "bernoulli"}),
    ],
    ids=str,
)
def test_another_fit_forgets_the_options_before(first, second):
    model = small(**first).fit(X).set_params(**second).fit(X)
    expected = small(**{**first, **second}).fit(X)
    extra = set(vars(model)) ^ set(vars(expected))
    assert not extra, f"left of the fit before: {sorted(extra)}"
    np.testing.assert_array_equal(
        model.sample(5, random_state=0), expected.sample(5, random_state=0)
    )


# --- a posterior that is known ---------------------------------------------------------

WEIGHTS = np.array([[1.0], [-2.0], [0.5]])
NOISE = 0.7


class ExactDecoder(nn.Module):
    """x = W z, in the units of the standardised data."""

    def __init__(self, data):
        super().__init__()
        mean = data.mean(axis=0)
        scale = np.sqrt(np.mean((data - mean) ** 2))
        self.weight = nn.Parameter(torch.tensor(WEIGHTS / scale, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(-mean / scale, dtype=torch.float32))

    def forward(self, z):
        return z @ self.weight.T + self.bias


@pytest.mark.parametrize("potential, tolerance", [("table", 0.1), ("network", 0.2)])
def test_posterior_of_the_true_model(potential, tolerance):
    """With the decoder that made the data, mean and variance are the exact ones."""
    data, means, covariance = linear_gaussian(600, WEIGHTS, noise=NOISE, random_state=0)
    model = CoupledVAE(
        1,
        decoder=ExactDecoder(data),
        cost=GaussianCost(variance=NOISE**2),
        potential=potential,
        hidden_layer_sizes=(32,),
        # The decoder stays what it is; a table of potentials does not learn by gradients.
        learning_rate_init=1e-12 if potential == "table" else 1e-3,
        learning_rate="constant",
        max_iter=20 if potential == "table" else 60,
        n_bank=1024,
        random_state=0,
    ).fit(data)
    error = model.transform(data) - means
    assert np.sqrt(np.mean(error**2)) < tolerance
    draws = model.sample_posterior(data[:100], 50, random_state=0)
    np.testing.assert_allclose(np.mean(draws.var(axis=1)), covariance.item(), rtol=0.2)


def test_posterior_of_a_learned_model():
    """The code is the exact posterior mean up to its sign, the scale that of the noise."""
    data, means, _ = linear_gaussian(1000, WEIGHTS, noise=NOISE, random_state=0)
    model = CoupledVAE(1, hidden_layer_sizes=(32,), max_iter=120, random_state=3).fit(data)
    correlation = np.corrcoef(model.transform(data)[:, 0], means[:, 0])[0, 1]
    assert abs(correlation) > 0.95
    assert model.scale_ == pytest.approx(NOISE, rel=0.25)


class Known(nn.Module):
    """x = f(z), in the units of the standardised data."""

    def __init__(self, f, data):
        super().__init__()
        mean = data.mean()
        self.f = f
        self.scale = nn.Parameter(torch.tensor(1.0 / np.sqrt(np.mean((data - mean) ** 2))).float())
        self.mean = nn.Parameter(torch.tensor(mean).float())

    def forward(self, z):
        return (self.f(z) - self.mean) * self.scale


def test_posterior_with_two_modes():
    """Figure 1, column 5 of the paper: the plan has whatever modes the model gives it."""
    rng = np.random.RandomState(0)
    noise = 0.2
    data = np.abs(rng.normal(size=(600, 1))) + noise * rng.normal(size=(600, 1))
    model = CoupledVAE(
        1,
        decoder=Known(torch.abs, data),
        cost=GaussianCost(variance=noise**2),
        learning_rate_init=1e-12,
        learning_rate="constant",
        max_iter=20,
        n_bank=2048,
        random_state=0,
    ).fit(data)
    draws = model.sample_posterior(np.array([[1.0], [1.5]]), 2000, random_state=0)[:, :, 0]
    # The posterior of the model that made the data, on a grid.
    z = np.linspace(-6, 6, 4001)
    for x, drawn in zip((1.0, 1.5), draws, strict=True):
        weight = np.exp(-((x - np.abs(z)) ** 2) / (2 * noise**2) - z**2 / 2)
        weight /= weight.sum()
        assert abs((drawn > 0).mean() - 0.5) < 0.1
        assert (np.abs(drawn) < 0.3).mean() < 0.01
        assert np.abs(drawn).mean() == pytest.approx(weight @ np.abs(z), abs=0.05)
        assert np.abs(drawn).std() == pytest.approx(
            np.sqrt(weight @ z**2 - (weight @ np.abs(z)) ** 2), rel=0.2
        )


def square(z):
    return (z - 0.1) ** 2


def test_encoder_learns_the_mean():
    """Of a posterior with two modes: between them, where it has little density."""
    rng = np.random.RandomState(0)
    noise = 0.2
    data = square(rng.normal(size=(1000, 1))) + noise * rng.normal(size=(1000, 1))
    model = CoupledVAE(
        1,
        decoder=Known(square, data).requires_grad_(False),
        cost=GaussianCost(variance=noise**2),
        posterior="amortised",
        hidden_layer_sizes=(64,),
        learning_rate_init=0.003,
        batch_size=1000,
        max_iter=120,
        n_bank=2048,
        random_state=0,
    ).fit(data)
    z = np.linspace(-6, 6, 4001)
    x = np.array([[0.5], [1.0], [2.0]])
    weight = np.exp(-((x - square(z)) ** 2) / (2 * noise**2) - z**2 / 2)
    exact = (weight @ z) / weight.sum(axis=1)
    np.testing.assert_allclose(model.transform(x)[:, 0], exact, atol=0.25)


# --- start and steadiness --------------------------------------------------------------


@pytest.mark.parametrize("prior", [None, "uniform", "sphere", "atoms"])
@pytest.mark.parametrize("cost", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("potential", ["table", "network"])
@pytest.mark.filterwarnings("ignore:The median effective sample size:UserWarning")
def test_options_of_start_and_plan(prior, cost, potential):
    model = small(
        prior=ATOMS if prior == "atoms" else prior,
        cost=cost,
        potential=potential,
        init="principal",
        plan_decay=0.9,
        max_iter=4,
    ).fit(X)
    assert np.isfinite(model.history_["loss"]).all()
    assert model.sample(3, random_state=0).shape == (3, 6)
    model.partial_fit(X)


@pytest.mark.filterwarnings("ignore:scale='global':UserWarning")
def test_start_from_principal_components(monkeypatch):
    """Before the first plan the decoder learns the Gaussian of the first components."""
    monkeypatch.setattr("skotae.autoencoders.coupled._cooling.PRINCIPAL_SHARES", (1.0, 1.1))
    rng = np.random.RandomState(0)
    data = 5.0 + rng.normal(size=(500, 3)) * [3.0, 1.0, 0.1]
    model = small(
        init="principal",
        scale="global",
        clip=False,
        max_iter=150,
        learning_rate_init=0.01,
        batch_size=128,
    ).fit(data)
    samples = model.sample(5000, random_state=0)
    np.testing.assert_allclose(samples.mean(axis=0), 5.0, atol=0.15)
    expected = np.cov(data.T)
    expected[2, 2] = 0.0
    np.testing.assert_allclose(np.cov(samples.T), expected, atol=0.7)


@pytest.mark.parametrize("posterior, start", [("importance", "random"), ("amortised", "pca")])
def test_average_of_the_decoder(posterior, start):
    """Before each step it goes a share of the way to the decoder."""
    one, two = (
        small(
            posterior=posterior,
            decoder=MLP((16,), start=start),
            plan_decay=0.75,
            learning_rate="constant",
            batch_size=48,
            max_iter=n,
            cost=GaussianCost(variance=100.0),
        ).fit(X)
        # The first step from principal components has no slope but for the last layer.
        for n in (2, 3)
    )
    before = {name: weight for name, weight in one.average_.named_parameters()}
    for name, weight in one.decoder_.net.named_parameters():
        assert not torch.equal(weight, before[name])
        expected = torch.lerp(before[name], weight, 0.25)
        torch.testing.assert_close(two.average_.get_parameter(name), expected)


def test_plan_of_few_rows(wine):
    """With plans of the decoder itself it loses most of the data: coverage 0.03 to 0.25."""
    model = CoupledVAE(2, max_iter=100, random_state=0).fit(wine)
    samples = model.sample(len(wine), random_state=0)
    assert density_coverage(wine, samples)[1] > 0.7


def test_full_dual_does_not_overflow(wine):
    """A sharp likelihood puts the potential networks of many rows far from their solution."""
    model = CoupledVAE(
        2,
        potential="network",
        dual="full",
        hidden_layer_sizes=(64, 64),
        max_iter=100,
        random_state=0,
    ).fit(wine)
    assert np.isfinite(model.history_["loss"]).all()


def test_stored_potentials_come_to_rest():
    """They go half of the way, and a quarter with the second move after one of half."""
    log_kernel = -torch.arange(12.0).reshape(4, 3)
    log_b = torch.full((3,), 1 / 3).log()
    rows = torch.tensor([2, 0, 3, 1])
    moved = []
    for n_halving in (None, 1):
        table = DualTable()
        for _ in range(2):
            u = table.move(log_kernel, log_b, rows, 4, n_steps=2, unit=2.0, n_halving=n_halving)
            torch.testing.assert_close(table.values[rows], 2.0 * u)
            moved.append(u)
    first, half, same, quarter = moved
    assert first.std() > 0
    torch.testing.assert_close(same, first)
    torch.testing.assert_close(quarter, torch.lerp(first, half, 0.5))


def test_few_rows_far_off_do_not_take_the_draws_of_the_others():
    """One row of a hundred is sixty standard deviations away."""
    data = np.random.RandomState(0).normal(size=(400, 6))
    data[:4] = 60 + 0.1 * data[:4]
    params = {"n_components": 3, "batch_size": 100, "n_bank": 256, "max_iter": 200}
    model = small(hidden_layer_sizes=(32,), scale="global", **params).fit(data)
    samples = model.sample(2000, random_state=0)
    where = samples.mean(axis=1)
    assert np.mean((where > 4) & (where < 56)) < 0.03
    assert samples[where <= 4].std(axis=0).mean() == pytest.approx(1.0, abs=0.2)


def test_posteriors_average_to_the_prior():
    """Of training rows: more closely than with the potentials of training."""
    data = load_digits().data[:300] / 16
    distance = []
    for n_bank_steps in (0, 200):
        model = small(cost="bernoulli", n_bank_steps=n_bank_steps, n_bank=400, max_iter=30)
        rows = torch.tensor(data, dtype=torch.float32)
        weights = model.fit(data).model_.log_posterior(rows).detach().softmax(1)
        distance.append(float((400 * weights.mean(0) - 1).abs().mean()))
    assert distance[1] < 0.05 * distance[0]
