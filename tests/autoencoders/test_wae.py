"""What WAEEstimator claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import nn

from skotae import WAEEstimator
from skotae.costs import COSTS, CallableCost, GaussianCost, SquaredEuclideanCost
from skotae.divergences import DIVERGENCES, MMD, SinkhornDivergence
from skotae.networks import MLP, ConvNet
from skotae.priors import PRIORS, AtomsPrior, DistributionPrior, NormalPrior
from skotae.testing import gaussian_in_subspace, make_data

X = make_data(48)


def small(**params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return WAEEstimator(**{**defaults, **params})


def largest_difference(x, y):
    return (x - y).abs().amax(-1)


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("penalty", DIVERGENCES)
def test_penalties(penalty, posterior):
    model = small(penalty=penalty, posterior=posterior).fit(X)
    assert set(model.history_) == {"reconstruction", "penalty", "loss"}
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("cost", [*COSTS, CallableCost(largest_difference), largest_difference])
def test_costs(cost, posterior, as_frame):
    data = X
    if as_frame:
        data = pytest.importorskip("pandas").DataFrame(X).add_prefix("pixel ")
    model = small(cost=cost, posterior=posterior).fit(data)
    samples = model.sample(20, random_state=0)
    assert type(samples) is type(data) and samples.shape == (20, 6)
    if as_frame:
        assert list(samples.columns) == list(data.columns)
    if cost == "bernoulli":
        assert np.all((np.asarray(samples) > 0) & (np.asarray(samples) < 1))
    assert np.isfinite(model.score_samples(data)).all()


PRIOR_INSTANCES = [
    *PRIORS,
    NormalPrior(scale=0.5),
    AtomsPrior(np.eye(3)),
    DistributionPrior(stats.t(df=5)),
    DistributionPrior(torch.distributions.Laplace(0.0, 1.0)),
]


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("prior", PRIOR_INSTANCES, ids=lambda prior: str(prior).split("(")[0])
def test_priors(prior, posterior):
    model = small(prior=prior, posterior=posterior).fit(X)
    for Z in (model.transform(X), model.sample_posterior(X, 2, random_state=0).reshape(-1, 3)):
        if prior == "sphere":
            np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1.0)
        elif prior == "dirichlet":
            assert (Z >= 0).all()
            np.testing.assert_allclose(Z.sum(axis=1), 1.0)
        elif prior == "uniform":
            assert (abs(Z) <= 1).all()


@pytest.mark.parametrize("penalty", [*DIVERGENCES])
@pytest.mark.parametrize("prior", PRIORS)
def test_every_penalty_takes_every_named_prior(penalty, prior):
    model = small(penalty=penalty, prior=prior, max_iter=1).fit(X)
    assert np.isfinite(model.history_["loss"]).all()


def test_posterior_draws():
    draws = small().fit(X).sample_posterior(X, 4, random_state=0)
    np.testing.assert_array_equal(draws, draws[:, :1].repeat(4, axis=1))
    model = small(posterior="gaussian").fit(X)
    draws = model.sample_posterior(X, 400, random_state=0)
    assert draws.std(axis=1).min() > 1e-3
    # The normal prior's head is the identity, so that transform is the mean of the draws.
    error = np.abs(draws.mean(axis=1) - model.transform(X))
    assert np.all(error < 5 * draws.std(axis=1) / 20)


def test_linear_networks_find_the_subspace():
    """Without a penalty a linear autoencoder is principal component analysis."""
    data, least = gaussian_in_subspace(200, 6, 2, random_state=0)
    model = WAEEstimator(
        2,
        lam=0.0,
        encoder=MLP((), start="random"),
        decoder=MLP((), start="random"),
        learning_rate_init=0.02,
        max_iter=40,
        random_state=0,
    ).fit(data)
    error = np.square(data - model.reconstruct(data)).sum(axis=1).mean()
    assert error < least + 1e-3
    assert set(model.history_["penalty"]) == {0.0}


@pytest.mark.parametrize("penalty", ["gaussian", "sliced", "sinkhorn", "exact", "mmd"])
def test_codes_follow_the_prior(penalty):
    data, _ = gaussian_in_subspace(400, 4, 2, random_state=0)
    model = WAEEstimator(
        2,
        penalty=penalty,
        lam=10.0,
        prior=NormalPrior(scale=3.0) if penalty != "mmd" else MMD_PRIOR,
        hidden_layer_sizes=(32,),
        learning_rate_init=0.01,
        max_iter=40,
        random_state=0,
    ).fit(data)
    Z = model.transform(data)
    scale = 1.0 if penalty == "mmd" else 3.0
    np.testing.assert_allclose(Z.mean(axis=0), 0.0, atol=0.2 * scale)
    np.testing.assert_allclose(Z.std(axis=0), scale, rtol=0.2)


MMD_PRIOR = NormalPrior()


def test_cost_scale():
    """ "auto" makes the terms independent of units; 1.0 leaves the paper's sums."""
    auto, scaled = (small().fit(data).history_["reconstruction"] for data in (X, 1000 * X))
    np.testing.assert_allclose(auto, scaled, rtol=1e-3)
    model = small(cost_scale=1.0, learning_rate_init=1e-12, max_iter=1).fit(X)
    mean_cost = np.square(X - model.reconstruct(X)).sum(axis=1).mean()
    np.testing.assert_allclose(model.history_["reconstruction"], [mean_cost], rtol=1e-4)


def test_reconstruction_scores_are_minus_the_cost():
    model = small().fit(X)
    expected = -np.square(X - model.reconstruct(X)).sum(axis=1)
    scores = model.score_samples(X, reconstruction_only=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-10)
    model = small(cost="cityblock").fit(X)
    expected = -np.abs(X - model.reconstruct(X)).sum(axis=1)
    scores = model.score_samples(X, reconstruction_only=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-10)


def test_reconstruction_scores_of_a_density():
    """With a given variance they are logarithms of the likelihood in the data's units."""
    model = small(cost=GaussianCost(variance=0.04)).fit(X)
    expected = stats.norm(model.reconstruct(X), 0.2).logpdf(X).sum(axis=1)
    scores = model.score_samples(X, reconstruction_only=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


# --- parts -------------------------------------------------------------------------------


def test_parameters_of_parts():
    model = small(penalty=MMD(), encoder=MLP(), prior=NormalPrior())
    model.set_params(
        penalty__bandwidth=2.0,
        penalty__scales=(1.0, 2.0),
        encoder__hidden_layer_sizes=(5, 7),
        encoder__dropout=0.1,
        prior__scale=2.0,
    ).fit(X)
    assert model.divergence_.bandwidth == 2.0 and model.divergence_.scales == (1.0, 2.0)
    layers = [layer for layer in model.encoder_.modules() if isinstance(layer, nn.Linear)]
    widths = [layer.out_features for layer in layers]
    assert widths == [5, 7, 3]
    assert model.prior_.scale == 2.0 and model.prior_ is not model.prior


def test_parts_are_copied():
    penalty, prior = SinkhornDivergence(), NormalPrior()
    model = small(penalty=penalty, prior=prior).fit(X)
    assert model.divergence_ is not penalty and model.prior_ is not prior


def seeded(factory):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return factory()


def test_a_live_module_is_copied():
    network = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = small(encoder=network, max_iter=3).fit(X)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), f"fit trained the user's module: {name}"
    trained = dict(model.encoder_.net.state_dict())
    assert any(not torch.equal(trained[name], before[name]) for name in before)


class Narrow(nn.Module):
    """A user's own network, which may be a class."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_in, 4), nn.ELU(), nn.Linear(4, n_out))

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("network", [Narrow, nn.Linear, lambda i, o: nn.Linear(i, o), "mlp"])
def test_networks_of_the_user(network):
    model = small(encoder=network, decoder=network).fit(X)
    assert model.transform(X).shape == (48, 3)
    again = small(encoder=network, decoder=network).fit(X)
    np.testing.assert_array_equal(model.transform(X), again.transform(X))


@pytest.mark.parametrize("shape", [(8, 8), (7, 5), (3, 6, 6)])
def test_images(shape):
    images = make_data(24, int(np.prod(shape)))
    network = ConvNet(image_shape=shape, channels=(4, 8), hidden=16)
    model = small(encoder=network, decoder=network, cost="bernoulli").fit(images)
    assert model.sample(3, random_state=0).shape == (3, images.shape[1])
    assert model.transform(images).dtype == np.float64


def test_adversary_learns_too():
    one, two = (small(penalty="gan", max_iter=n).fit(X).divergence_ for n in (1, 3))
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert any(not torch.equal(first, second) for first, second in pairs)


def test_default_dimension():
    assert WAEEstimator(max_iter=1).fit(X).n_components_ == 6
    assert WAEEstimator(max_iter=1).fit(make_data(20, 12)).n_components_ == 8
    model = WAEEstimator(max_iter=1, prior=AtomsPrior(np.eye(3)), penalty="sliced").fit(X)
    assert model.n_components_ == 3
    assert WAEEstimator(max_iter=1, prior="sphere").fit(X[:, :1]).n_components_ == 2


def test_bounded_cost_suits_pixels():
    """Reconstructions stay in [0, 1], and come nearer to pixels that are at its ends."""
    pixels = (load_digits().data / 16)[:600]

    def reconstructions(cost):
        model = small(cost=cost, hidden_layer_sizes=(128,), n_components=16, max_iter=30)
        return model.fit(pixels).reconstruct(pixels)

    bounded, free = (
        reconstructions(SquaredEuclideanCost(bounds=(0, 1))),
        reconstructions("sqeuclidean"),
    )
    assert free.min() < 0 <= bounded.min() <= bounded.max() <= 1 < free.max()
    assert np.square(bounded - pixels).sum() < 0.8 * np.square(free - pixels).sum()


@pytest.mark.parametrize("batch_size, expected", [("auto", 1), (7, 1), (47, 1), (1000, 1)])
def test_batch_sizes(batch_size, expected):
    """No batch is left with a single row, which BatchNorm would refuse."""
    network = MLP((8,), batch_norm=True)
    model = small(batch_size=batch_size, encoder=network, decoder=network, max_iter=expected)
    assert np.isfinite(model.fit(X).history_["loss"]).all()


def test_tol_stops():
    model = small(tol=1e6, n_iter_no_change=2, max_iter=20).fit(X)
    assert model.n_iter_ == 3
    assert small(tol=None, n_iter_no_change=2, max_iter=5).fit(X).n_iter_ == 5


def test_verbose(capsys):
    small(verbose=True).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[WAEEstimator] epoch 1/2") and "reconstruction" in lines[0]
    assert not any("left" in line for line in lines)
    small(verbose=2).fit(X)
    assert all(line.endswith("s left)") for line in capsys.readouterr().out.splitlines())
    small().fit(X)
    assert not capsys.readouterr().out


def test_geodesic():
    model = small(prior="sphere").fit(X)
    Z = torch.from_numpy(model.transform(X[:4]))
    middle = model.prior_.interpolate(Z[:2], Z[2:], 0.5).numpy()
    paths = model.interpolate(X[:2], X[2:4], 3)
    np.testing.assert_allclose(paths[:, 1], model.inverse_transform(middle), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=1), 1.0)


@pytest.mark.parametrize("prior", ["normal", "sphere"])
def test_paths_go_on_beyond_their_ends(prior):
    model = small(prior=prior, clip=False).fit(X)
    paths = model.interpolate(X[:2], X[2:4], 5, extrapolate=0.5)
    np.testing.assert_allclose(paths[:, [1, 3]], model.interpolate(X[:2], X[2:4], 2), rtol=1e-5)
    Z = torch.from_numpy(model.transform(X[:4]))
    ahead = model.prior_.interpolate(Z[:2], Z[2:], 1.5).numpy()
    np.testing.assert_allclose(paths[:, 4], model.inverse_transform(ahead), rtol=1e-5)


def test_paths_stay_on_a_simplex():
    model = small(prior="dirichlet").fit(X)
    with pytest.raises(ValueError, match="extrapolate=0.5 would leave the support of prior=Diri"):
        model.interpolate(X[:2], X[2:4], extrapolate=0.5)
