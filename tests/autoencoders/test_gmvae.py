"""What GMVAE claims: eq. 2 of the paper, and that it loses components where GMWAE does not."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from torch.distributions import Categorical, Independent, Normal

from skotae import GMVAE, GMWAE
from skotae.costs import GaussianCost
from skotae.networks import MLP
from skotae.testing import make_data

from .mixtures import small as small_mixture

X = make_data(48)
# The paper's regime: the likelihood is worth far more than log K.
NARROW = GaussianCost(variance=1e-3)

small = partial(small_mixture, GMVAE)


def test_terms():
    assert list(small().fit(X).history_) == ["reconstruction", "kl_z", "kl_k", "loss"]


def log_ratios(model, x, n_draws):
    """log p(x|z) p(z|k) p(k) - log q(z|k,x) q(k|x) with k and z drawn from the posterior.

    Of shape (n_draws, n), in data units, from densities of torch.distributions.
    """
    rows = torch.from_numpy((x - model.data_mean_) / model.data_scale_).float()
    with torch.no_grad():
        logits, means, log_scales = model.encoder_.moments(rows)
        posterior = Categorical(logits=logits)
        generator = torch.Generator().manual_seed(1)
        k = torch.multinomial(posterior.probs, n_draws, replacement=True, generator=generator).T
        index = torch.arange(len(x))
        mean, scale = means[index, k], log_scales[index, k].exp()
        z = mean + scale * torch.randn(mean.shape, generator=generator)
        noise = model.decoder_.cost.scale
        log_p_x = Independent(Normal(model.decoder_(z), noise), 1).log_prob(rows)
        log_p_z = Independent(Normal(model.encoder_.prior_means[k], 1.0), 1).log_prob(z)
        log_q_z = Independent(Normal(mean, scale), 1).log_prob(z)
        ratio = log_p_x + log_p_z - log_q_z - posterior.log_prob(k) - np.log(model.n_mixtures_)
    return ratio.double().numpy() - x.shape[1] * np.log(model.data_scale_)


@pytest.fixture(scope="module")
def model():
    return small(max_iter=30).fit(X)


def test_elbo_is_the_mean_of_the_log_ratio(model):
    """Sampling k too gives the expectation over k that elbo sums exactly."""
    some = X[:8]
    ratios = log_ratios(model, some, 4000)
    bounds = np.stack([model.elbo(some, 20, random_state=seed) for seed in range(20)])
    error = ratios.std(axis=0) / np.sqrt(4000) + bounds.std(axis=0) / np.sqrt(20)
    assert np.all(np.abs(bounds.mean(axis=0) - ratios.mean(axis=0)) < 5 * error + 1e-4)


def test_elbo_is_a_bound(model):
    """Below the log-likelihood, which importance sampling estimates."""
    some = X[:8]
    ratios = log_ratios(model, some, 4000)
    evidence = np.log(np.exp(ratios - ratios.max(axis=0)).mean(axis=0)) + ratios.max(axis=0)
    assert np.all(model.elbo(some, 400, random_state=0) < evidence)


def test_objective_is_minus_the_mean_bound(model):
    """The terms of a step add up to the bound, in units of cost_scale_ nats."""
    rows = torch.from_numpy((X - model.data_mean_) / model.data_scale_).float()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        draws = [sum(part.mean() for part in model.model_.bound_terms(rows, generator))]
        draws += [model.model_.negative_bound(rows, generator).mean() for _ in range(200)]
    in_data_units = -np.mean(draws) - X.shape[1] * np.log(model.data_scale_)
    bound = model.elbo(X, 200, random_state=1).mean()
    assert abs(in_data_units - bound) < 5 * np.std(draws) * np.sqrt(2 / 200)


def test_one_component_has_no_discrete_divergence():
    model = small(n_mixtures=1).fit(X)
    assert model.history_["kl_k"] == [0.0, 0.0]
    np.testing.assert_array_equal(model.weights_, [1.0])


def test_beta_weighs_both_divergences():
    """Before the first step they differ by the factor beta alone."""
    terms = {}
    for beta in (1.0, 0.25):
        model = small(beta=beta, max_iter=1, learning_rate_init=1e-12, batch_size=48).fit(X)
        terms[beta] = [model.history_[name][0] for name in ("kl_z", "kl_k")]
    np.testing.assert_allclose(terms[0.25], np.multiply(0.25, terms[1.0]), rtol=1e-5)


def test_certain_posterior_has_finite_gradients():
    """q(k|x) is 0 in float32 here; x log x has an infinite slope there."""
    model = small().fit(X)
    with torch.no_grad():
        model.encoder_.net.net[-1].bias[0] = 1e4
    rows = torch.from_numpy(X).float()
    cost, kl_z, kl_k = model.model_.bound_terms(rows, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(kl_k.detach(), np.log(3), rtol=1e-6)
    (cost + kl_z + kl_k).mean().backward()
    assert all(part.grad.isfinite().all() for part in model.encoder_.parameters())


# --- what becomes of the components -------------------------------------------------------


def in_use(model):
    """Components with a tenth of the share that the prior gives them, or more."""
    return model.weights_ > 0.1 / model.n_mixtures_


def settings(seed, start="random"):
    networks = dict.fromkeys(("encoder", "decoder"), MLP((64,), start=start))
    return {
        "n_components": 10,
        "n_mixtures": 10,
        "max_iter": 10,
        "random_state": seed,
        **networks,
    }


@pytest.fixture(scope="module")
def few_digits():
    return load_digits().data[:600] / 16


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_components_are_shut_off(few_digits, seed):
    """Figure 1 of the paper, and figure 5a: the same networks with either objective."""
    variational = GMVAE(cost=NARROW, **settings(seed)).fit(few_digits)
    transport = GMWAE(discrepancy="joint", **settings(seed)).fit(few_digits)
    assert in_use(transport).all() and len({*transport.labels_}) == 10
    assert in_use(variational).sum() <= 6 and len({*variational.labels_}) <= 6


@pytest.mark.parametrize("seed", range(3))
def test_none_is_shut_off_from_principal_components(few_digits, seed):
    """Rows are told apart from the first step on, by where the components are."""
    model = GMVAE(cost=NARROW, **settings(seed, start="pca")).fit(few_digits)
    assert in_use(model).all() and len({*model.labels_}) == 10
    assert model.predict_proba(few_digits).max(axis=1).mean() > 0.5


def test_components_do_not_come_back(few_digits):
    model = GMVAE(cost=NARROW, warm_start=True, **settings(0)).fit(few_digits)
    off = ~in_use(model)
    assert off.any()
    model.set_params(max_iter=20).fit(few_digits)
    assert not in_use(model)[off].any()


def test_learned_variance_keeps_components(few_digits):
    """It is large while the reconstruction is poor, so that log K counts at the start."""
    learned = GMVAE(**settings(0)).fit(few_digits)
    narrow = GMVAE(cost=NARROW, **settings(0)).fit(few_digits)
    assert in_use(learned).sum() > in_use(narrow).sum() + 2


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.3, stratify=y, random_state=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_components_are_shut_off_on_digits(digits, seed):
    networks = dict.fromkeys(("encoder", "decoder"), MLP(start="random"))
    params = {"n_mixtures": 10, "n_components": 8, "max_iter": 30, "random_state": seed, **networks}
    variational = GMVAE(cost=NARROW, **params).fit(digits[0])
    transport = GMWAE(discrepancy="joint", **params).fit(digits[0])
    print(f"in use: {in_use(variational).sum()} and {in_use(transport).sum()} of 10")
    assert in_use(transport).all()
    assert in_use(variational).sum() <= 5


@pytest.mark.slow
def test_codes_of_digits(digits):
    X_train, X_test, y_train, y_test = digits
    model = GMVAE(n_components=8, random_state=0).fit(X_train)
    neighbours = KNeighborsClassifier(5).fit(model.transform(X_train), y_train)
    assert neighbours.score(model.transform(X_test), y_test) >= 0.93
