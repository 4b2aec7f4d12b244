"""What VampPriorVAE and MIM share: pseudo-inputs, and their posteriors as a prior."""

import numpy as np
import pytest
import torch
from torch import distributions, nn

from skotae import MIM, VAE, SymmetricWAE, VampPriorVAE, VampPriorWAE
from skotae.autoencoders.bases import pseudo_inputs
from skotae.autoencoders.bases.pseudo_inputs import mixture_log_density
from skotae.costs import GaussianCost
from skotae.priors import DistributionPrior
from skotae.testing import make_data

X = make_data(48)
BOTH = pytest.mark.parametrize("cls", [VampPriorVAE, MIM])
UNTRAINED = {"learning_rate_init": 1e-12, "max_iter": 1, "random_state": 0}


def small(cls, **params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return cls(**{**defaults, **params})


def identity(d, log_scale=None):
    """A network that returns its input, followed by constant log-scales if there are any."""
    net = nn.utils.skip_init(nn.Linear, d, d if log_scale is None else 2 * d)
    with torch.no_grad():
        net.weight.zero_()[:d] = torch.eye(d)
        net.bias.zero_()[d:] = 0.0 if log_scale is None else log_scale
    return net


def plain(cls, X, scale, variance=0.5, **params):
    """Untrained, with q(z|x) = N(x, scale² I) and p(x|z) = N(z, variance I)."""
    d = X.shape[1]
    return cls(
        n_components=d,
        encoder=identity(d, np.log(scale)),
        decoder=identity(d),
        cost=GaussianCost(variance=variance),
        cost_scale=1.0,
        clip=False,
        **{**UNTRAINED, **params},
    ).fit(X)


def standard_rows(n=2000, d=3):
    """Rows that are what standardising makes of them."""
    rows = np.random.RandomState(0).normal(size=(n, d))
    rows -= rows.mean(axis=0)
    return rows / rows.std()


# --- density ---------------------------------------------------------------------------


@pytest.mark.parametrize("spread, least", [(1, -2), (30, -6)])
@pytest.mark.parametrize("k, d", [(1, 1), (7, 3), (50, 64)])
def test_density_and_its_gradient(k, d, spread, least):
    dtype = torch.float64
    generator = torch.Generator().manual_seed(0)
    mean = 100 + spread * torch.randn(k, d, generator=generator, dtype=dtype)
    log_scale = least + torch.rand(k, d, generator=generator, dtype=dtype)
    # Near the components, where the parts of a squared distance cancel.
    index = torch.randint(k, (20,), generator=generator)
    noise = torch.randn(20, d, generator=generator, dtype=dtype)
    z = mean[index] + log_scale[index].exp() * noise
    inputs = [part.requires_grad_() for part in (z, mean, log_scale)]
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(torch.ones(k, dtype=dtype)),
        distributions.Independent(distributions.Normal(mean, log_scale.exp()), 1),
    )
    value, expected = mixture_log_density(z, mean, log_scale), mixture.log_prob(z)
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-7)
    for got, wanted in zip(
        torch.autograd.grad(value.sum(), inputs),
        torch.autograd.grad(expected.sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


def test_density_of_narrow_components_in_float32():
    """As exact as its inputs, although the squares that cancel are 1e9 times larger."""
    generator = torch.Generator().manual_seed(0)
    mean = 30 * torch.randn(40, 8, generator=generator)
    log_scale = torch.full((40, 8), -6.0)
    z = mean + log_scale.exp() * torch.randn(40, 8, generator=generator)
    wide = mixture_log_density(z.double(), mean.double(), log_scale.double())
    torch.testing.assert_close(mixture_log_density(z, mean, log_scale), wide.float())


def test_density_in_blocks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    z, mean, log_scale = (torch.randn(9, 2, generator=generator) for _ in range(3))
    whole = mixture_log_density(z, mean, log_scale)
    monkeypatch.setattr(pseudo_inputs, "BLOCK_ELEMENTS", 20)
    torch.testing.assert_close(mixture_log_density(z, mean, log_scale), whole)


# --- one pseudo-input: the prior is the Gaussian posterior there --------------------------


def test_divergence_from_one_posterior():
    """The mean of the estimates is the divergence of two Gaussians in closed form."""
    model = small(VampPriorVAE, beta=0.0, n_pseudo_inputs=1, max_iter=30).fit(X)
    generator = torch.Generator().manual_seed(0)
    x = model._inference(np.float32).tensor(X)
    with torch.no_grad():
        mean, log_scale = model.encoder_.moments(x)
        there = model.encoder_.moments(model.encoder_.pseudo_inputs)
        draws = model.model_.draw(x.repeat(4000, 1), generator)[1].reshape(4000, len(x))
    posterior = distributions.Normal(mean, log_scale.exp())
    exact = distributions.kl_divergence(posterior, distributions.Normal(there[0], there[1].exp()))
    error = draws.std(0) / np.sqrt(len(draws))
    assert ((draws.mean(0) - exact.sum(1)).abs() < 5 * error + 1e-5).all()
    assert exact.sum(1).max() > 20 * error.max()


def test_one_pseudo_input_is_a_gaussian_prior():
    """Reconstruction and bound are those of a VAE with that prior."""
    rows, scale = standard_rows(48), 0.7
    vamp = plain(VampPriorVAE, rows, scale, n_pseudo_inputs=1)
    centre = torch.from_numpy(vamp.pseudo_inputs_[0])
    prior = distributions.MultivariateNormal(centre, scale**2 * torch.eye(3, dtype=torch.float64))
    vae = plain(VAE, rows, scale, prior=DistributionPrior(prior))
    terms = (model.history_["reconstruction"] for model in (vamp, vae))
    np.testing.assert_allclose(*terms, rtol=1e-4)
    # From other draws: the VAE takes a closed form off the estimate of its divergence.
    bounds = (model.elbo(rows, 1000, random_state=0).mean() for model in (vamp, vae))
    np.testing.assert_allclose(*bounds, atol=0.1)


@BOTH
def test_elbo_is_a_bound(cls):
    """Below the likelihood, which linear maps and a Gaussian prior give in closed form."""
    rows, scale, variance = standard_rows(20), 0.7, 0.5
    params = {"min_scale": scale} if cls is MIM else {}
    model = plain(cls, rows, scale, variance, n_pseudo_inputs=1, **params)
    spread = np.sqrt(scale**2 + variance)
    normal = distributions.Normal(torch.from_numpy(model.pseudo_inputs_), spread)
    evidence = normal.log_prob(torch.from_numpy(rows)).sum(1).numpy()
    # q(z|x) is wider than p(z|x), and off its mean: the gap is their divergence.
    exact_scale = scale * np.sqrt(variance) / spread
    posterior_mean = (variance * model.pseudo_inputs_ + scale**2 * rows) / spread**2
    gap = distributions.kl_divergence(
        distributions.Normal(torch.from_numpy(rows), scale),
        distributions.Normal(torch.from_numpy(posterior_mean), exact_scale),
    )
    bound = model.elbo(rows, 800, random_state=0)
    assert (bound < evidence).all()
    np.testing.assert_allclose(evidence - bound, gap.sum(1), atol=0.25, rtol=0.1)


# --- draws and pseudo-inputs ----------------------------------------------------------------


@BOTH
def test_samples_come_from_the_posteriors_of_pseudo_inputs(cls):
    """All with the same chance, however many rows are near each."""
    rows = np.repeat([[-3.0, 0.0], [3.0, 0.0]], [45, 15], axis=0)
    rows = rows + 0.01 * np.random.RandomState(0).normal(size=rows.shape)
    params = {"min_scale": 0.2} if cls is MIM else {}
    model = plain(cls, rows, 0.2, n_pseudo_inputs=2, init="k-means++", **params)
    left, right = model.pseudo_inputs_[np.argsort(model.pseudo_inputs_[:, 0])]
    samples = model.set_params(latent="prior").sample(4000, random_state=0)
    is_left = samples[:, 0] < 0
    assert abs(is_left.mean() - 0.5) < 0.04
    for centre, some in ((left, samples[is_left]), (right, samples[~is_left])):
        np.testing.assert_allclose(some.mean(axis=0), centre, atol=0.05)
        np.testing.assert_allclose(some.std(axis=0), 0.2 * model.data_scale_, rtol=0.06)


@BOTH
@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e6, -3e6), (1e-6, 0.0)])
def test_pseudo_inputs_start_at_rows(cls, init, scale, shift):
    rows = scale * X + shift
    model = small(cls, init=init, n_pseudo_inputs=7, **UNTRAINED).fit(rows)
    gap = np.abs(model.pseudo_inputs_[:, None] - rows).max(axis=2)
    assert gap.min(axis=1).max() < 1e-5 * scale
    assert len(set(gap.argmin(axis=1))) == 7


@BOTH
def test_pseudo_inputs_are_learned(cls):
    early, late = (
        small(cls, learning_rate_init=0.01, max_iter=n, n_pseudo_inputs=5).fit(X).pseudo_inputs_
        for n in (1, 10)
    )
    assert np.abs(early - late).max() > 1e-3


@BOTH
def test_number_of_pseudo_inputs(cls):
    assert small(cls).fit(X).pseudo_inputs_.shape == (24, 6)
    assert small(cls).fit(X[:2]).pseudo_inputs_.shape == (1, 6)
    assert small(cls, n_pseudo_inputs=48).fit(X).pseudo_inputs_.shape == (48, 6)


@BOTH
@pytest.mark.parametrize(
    "rows",
    [np.ones((12, 3)), np.repeat(X[:3], 8, axis=0), X[:5], X[:, :1], 1e8 * X, 1e-8 * X],
    ids=["constant", "duplicates", "five rows", "one feature", "large", "small"],
)
def test_awkward_data(cls, rows):
    model = small(cls, max_iter=20, learning_rate_init=0.01).fit(rows)
    assert np.isfinite(model.history_["loss"]).all()
    assert np.isfinite(model.sample(5, random_state=0)).all()
    assert np.isfinite(model.elbo(rows, random_state=0)).all()


@pytest.mark.parametrize("n_upper", [None, 1])
def test_many_columns_in_two_passes(n_upper, monkeypatch):
    """The same as in one, but that rows are asked for no slopes."""
    X = make_data(12, n_features=5)
    model = VampPriorVAE(3, n_pseudo_inputs=4, n_upper=n_upper, max_iter=1, random_state=0).fit(X)
    encoder, x = model.encoder_, torch.from_numpy(X).float()
    seen, results, moments = [], [], encoder.moments
    monkeypatch.setattr(encoder, "moments", lambda rows: seen.append(len(rows)) or moments(rows))
    for many in (6, 5):
        monkeypatch.setattr(pseudo_inputs, "MANY_COLUMNS", many)
        densities = encoder.densities(x, torch.Generator().manual_seed(0))
        encoder.zero_grad()
        sum(each.square().sum() for each in densities).backward()
        slopes = [p.grad for p in encoder.parameters() if p.grad is not None]
        results.append([*densities, *slopes])
    assert seen == [16, 12, 4]
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [SymmetricWAE(), VampPriorWAE(), VampPriorVAE(), MIM(n_upper=1)],
    ids=lambda model: type(model).__name__,
)
def test_draws_of_one_pseudo_input_read_it_once(model):
    model.set_params(n_components=3, hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    inner = model.fit(X).model_

    def drawn():
        inner.zero_grad()
        z = inner.draw_codes(300, torch.Generator().manual_seed(0), torch.float32)
        z.square().mean().backward()
        slopes = {name: part.grad for name, part in inner.named_parameters() if "pseudo" in name}
        return z, slopes

    once = drawn()
    # A network that is watched reads each row anew, as one that drops or normalises does.
    read = []
    for part in inner.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(lambda module, rows, out: read.append(len(out)))
    assert once[1]
    torch.testing.assert_close(once, drawn())
    assert max(read) == 300
