"""What VAE and its base claim beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from skotae import VAE
from skotae.autoencoders.bases.variational import gaussian_divergence, reference_scale
from skotae.costs import GaussianCost
from skotae.networks import MLP
from skotae.priors import DistributionPrior, GaussianMixturePrior, NormalPrior
from skotae.testing import linear_gaussian, make_data

WEIGHTS = np.array([[2.0, 0.3], [1.0, -1.0], [-1.5, 0.5], [0.5, 1.2], [1.0, 0.8], [0.2, -0.6]])
X = linear_gaussian(1000, WEIGHTS, noise=0.5, random_state=0)[0]


def linear(**params):
    defaults = {"hidden_layer_sizes": (), "learning_rate_init": 0.01, "random_state": 0}
    return VAE(2, **{**defaults, **params})


def small(**params):
    return VAE(2, hidden_layer_sizes=(16,), random_state=0, **params)


@pytest.fixture(scope="module")
def model():
    return linear(max_iter=100).fit(X)


def gaussian_model(model):
    """Mean, weights and noise of the linear decoder, in the units of the data."""
    with torch.no_grad():
        bias, *ends = model.decoder_.net(torch.eye(3)[:, 1:]).double().numpy()
    scale = model.data_scale_
    mean = model.data_mean_ + scale * bias
    weights = scale * (np.stack(ends, axis=1) - bias[:, None])
    return mean, weights, scale * model.decoder_.cost.scale.item()


def log_likelihood(model, X, offsets=((0.0, 0.0),)):
    """Exact, for a prior of standard normals about equally likely offsets."""
    mean, weights, noise = gaussian_model(model)
    covariance = weights @ weights.T + noise**2 * np.eye(len(mean))
    logs = [multivariate_normal(mean + weights @ mu, covariance).logpdf(X) for mu in offsets]
    return logsumexp(logs, axis=0) - np.log(len(offsets))


def mean_and_error(model, X, n=100):
    """Mean of n draws of the bound of each row, and its standard error."""
    draws = np.stack([model.elbo(X, random_state=seed) for seed in range(n)])
    return draws.mean(axis=0), draws.std(axis=0) / np.sqrt(n)


# --- the bound ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 100])
def test_elbo_is_below_the_likelihood_of_every_row(max_iter):
    model = linear(max_iter=max_iter).fit(X)
    bound, error = mean_and_error(model, X[:100])
    exact = log_likelihood(model, X[:100])
    assert np.all(bound < exact + 5 * error)
    if max_iter == 1:
        assert bound.mean() < exact.mean() - 0.1


def test_elbo_is_tight_where_the_posterior_is_exact(model):
    """The principal axes as decoder: the posterior has independent coordinates."""
    mean, weights, noise = gaussian_model(model)
    axes, lengths, _ = np.linalg.svd(weights / model.data_scale_, full_matrices=False)
    noise /= model.data_scale_
    scale = noise / np.sqrt(lengths**2 + noise**2)
    network = MLP((), start="random")
    turned = linear(encoder=network, decoder=network, max_iter=1).fit(X)
    encoder, decoder = turned.encoder_.net[0], turned.decoder_.net[0]
    with torch.no_grad():
        decoder.weight.copy_(torch.from_numpy(axes * lengths))
        decoder.bias.zero_()
        turned.decoder_.cost.set_scale(noise)
        encoder.weight.zero_()
        encoder.weight[:2] = torch.from_numpy((axes * lengths).T / (lengths**2 + noise**2)[:, None])
        encoder.bias.zero_()
        encoder.bias[2:] = torch.from_numpy(np.log(scale))
    bound, error = mean_and_error(turned, X[:100])
    np.testing.assert_array_less(np.abs(bound - log_likelihood(turned, X[:100])), 5 * error)


def test_elbo_is_tight_after_training(model):
    bound = model.elbo(X, 100, random_state=0).mean()
    assert -0.02 < bound - log_likelihood(model, X).mean() < 0.005


def test_elbo_is_below_the_likelihood_of_a_mixture():
    prior = GaussianMixturePrior(n_mixtures=3)
    model = linear(prior=prior, max_iter=20).fit(X)
    bound, error = mean_and_error(model, X[:100])
    exact = log_likelihood(model, X[:100], prior.component_means(2).numpy())
    assert np.all(bound < exact + 5 * error)
    assert bound.mean() > exact.mean() - 1.0


@pytest.mark.parametrize("scale", [4.0, 1e-3])
def test_elbo_is_in_the_units_of_the_data(scale):
    cost = GaussianCost(variance=0.3), GaussianCost(variance=0.3 * scale**2)
    for first, second in [("gaussian", "gaussian"), cost]:
        one = small(cost=first, max_iter=3).fit(X)
        other = small(cost=second, max_iter=3).fit(scale * X)
        shift = other.elbo(scale * X, random_state=0) - one.elbo(X, random_state=0)
        np.testing.assert_allclose(shift, -X.shape[1] * np.log(scale), atol=2e-2)


def test_elbo_averages_its_draws():
    model = small(max_iter=3).fit(X)
    spread = [
        np.std([model.elbo(X, n, random_state=seed) for seed in range(30)], axis=0).mean()
        for n in (1, 16)
    ]
    np.testing.assert_allclose(spread[0] / spread[1], 4.0, rtol=0.15)


# --- principal components ------------------------------------------------------------------


def test_probabilistic_pca(model):
    pca = PCA(2).fit(X)
    _, weights, noise = gaussian_model(model)
    assert np.rad2deg(subspace_angles(weights, pca.components_.T)).max() < 2.0
    np.testing.assert_allclose(noise**2, pca.noise_variance_, rtol=0.03)
    np.testing.assert_allclose(log_likelihood(model, X).mean(), pca.score(X), atol=0.03)
    codes = pca.transform(X)
    explained = np.linalg.lstsq(codes, model.transform(X) - model.transform(X).mean(0))[1]
    assert np.all(explained < 0.01 * model.transform(X).var(axis=0) * len(X))


# --- likelihoods ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cost",
    ["gaussian", "bernoulli", GaussianCost(variance=0.01), GaussianCost(per_feature=True)],
    ids=["learned", "bernoulli", "fixed", "per feature"],
)
def test_likelihoods_train(cost):
    data = make_data(200)
    first, last = (small(cost=cost, max_iter=n).fit(data) for n in (1, 40))
    gain = last.elbo(data, 10, random_state=0) - first.elbo(data, 10, random_state=0)
    assert gain.mean() > 0.1
    fixed = isinstance(cost, GaussianCost) and cost.variance != "learned"
    if fixed:
        np.testing.assert_allclose(last.data_scale_ * last.decoder_.cost.scale.item(), 0.1)


@pytest.mark.parametrize("beta", [0.0, 1e-4, 1e4, 1e8])
def test_extreme_beta(beta):
    model = small(beta=beta, max_iter=30, learning_rate_init=0.01).fit(X)
    assert np.isfinite(model.elbo(X, random_state=0)).all()
    mean, log_scale = (
        part.detach() for part in model.encoder_.moments(torch.tensor(X, dtype=torch.float32))
    )
    divergence = float(gaussian_divergence(mean, log_scale).mean())
    assert divergence < 0.05 if beta > 1 else divergence > 2.0


# --- priors --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_one_component_is_the_normal_prior(scale):
    """The reference is the prior itself, and the Monte Carlo part next to nothing."""
    prior = GaussianMixturePrior(n_mixtures=1, scale=scale)
    fits = [small(prior=p, max_iter=3).fit(X) for p in (prior, NormalPrior(scale))]
    x, generator = torch.tensor(X, dtype=torch.float32), torch.Generator()
    values = [fit.model_.draw(x, generator.manual_seed(0))[1].detach() for fit in fits]
    np.testing.assert_allclose(values[0].mean(), values[1].mean(), rtol=0.1)


OTHER_PRIORS = [
    pytest.param(GaussianMixturePrior(3), id="mixture"),
    pytest.param(DistributionPrior(torch.distributions.Laplace(0.0, 0.5)), id="laplace"),
]


@pytest.mark.parametrize("prior", OTHER_PRIORS)
def test_divergence_has_the_expectation_of_its_definition(prior):
    model = small(prior=prior, max_iter=2).fit(X)
    with torch.no_grad():
        mean, log_scale = model.encoder_.moments(torch.tensor(X[:1], dtype=torch.float32))
        rows = torch.tensor(X[:1], dtype=torch.float32).expand(20000, -1)
        z, divergence = model.model_.draw(rows, torch.Generator().manual_seed(0))
        posterior = torch.distributions.Normal(mean, log_scale.exp())
        plain = posterior.log_prob(z).sum(1) - model.prior_.log_prob(z)
    gap = divergence - plain
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(20000)


@pytest.mark.parametrize("prior", OTHER_PRIORS)
def test_slopes_of_the_divergence_have_little_noise(prior):
    """Those for the mean, at a mode of the prior and about as wide as it."""
    model = small(prior=prior, max_iter=1).fit(X)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20000, 2, generator=generator)
    means = prior.component_means(2) if hasattr(prior, "component_means") else torch.zeros(1, 2)
    mean = means[:1].float().repeat(20000, 1).requires_grad_()
    log_scale = torch.full_like(noise, np.log(model.model_._reference.scale))
    z = mean + log_scale.exp() * noise
    logs = model.prior_.log_prob(z)
    plain = torch.distributions.Normal(mean, log_scale.exp()).log_prob(z).sum(1) - logs
    ours = model.model_.divergence(mean, log_scale, z, logs)
    (one,) = torch.autograd.grad(ours.sum(), mean, retain_graph=True)
    (other,) = torch.autograd.grad(plain.sum(), mean)
    assert one.std(dim=0).max() < 0.8 * other.std(dim=0).max()


def test_reference_scale():
    assert reference_scale(NormalPrior(0.3), 4) == 0.3
    wide = reference_scale(GaussianMixturePrior(1, scale=2.0), 4)
    np.testing.assert_allclose(wide, 2.0, rtol=0.05)
    laplace = DistributionPrior(torch.distributions.Laplace(0.0, 0.5))
    np.testing.assert_allclose(reference_scale(laplace, 4), 0.5, rtol=1e-5)


def test_mixture_prior_is_filled():
    """Codes of three groups spread over the components, and samples are like the data."""
    rng = np.random.RandomState(0)
    data = 4 * np.eye(3)[np.arange(300) % 3] + 0.5 * rng.normal(size=(300, 3))
    model = small(prior="mixture", max_iter=100, learning_rate_init=0.01).fit(data)
    samples = model.sample(1000, random_state=0)
    np.testing.assert_allclose(samples.mean(axis=0), data.mean(axis=0), atol=0.5)
    assert np.all(samples.std(axis=0) > 0.6 * data.std(axis=0))
