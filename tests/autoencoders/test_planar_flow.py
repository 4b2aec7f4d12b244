"""What PlanarFlowVAE claims beyond what all autoencoders do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import multivariate_normal
from torch import nn

from skotae import VAE, PlanarFlowVAE
from skotae.autoencoders._planar_flow import PlanarFlow
from skotae.costs import GaussianCost
from skotae.networks import MLP
from skotae.testing import linear_gaussian, make_data

X = make_data(48)


def random_flow(n, d, n_flows, size, seed=0):
    """Codes, and raw parameters of about `size`."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=generator, dtype=torch.float64)
    width = n_flows * (2 * d + 1)
    return z, size * torch.randn(n, width, generator=generator, dtype=torch.float64)


# --- the flow ------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(1, 5),
    n_flows=st.integers(1, 6),
    size=st.sampled_from([1e-3, 0.1, 1.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_log_determinant(d, n_flows, size, seed):
    """That of the Jacobian which torch makes."""
    z, parameters = random_flow(3, d, n_flows, size, seed)
    flow = PlanarFlow(d)
    _, log_det = flow(z, parameters)
    for row in range(3):
        one = parameters[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda x, one=one: flow(x[None], one)[0][0], z[row]
        )
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign == 1
        torch.testing.assert_close(log_det[row], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_every_parameter_gives_an_invertible_flow(size, dtype, sign):
    """w.û, read off a code where tanh is 1, is not below -1; nothing overflows."""
    d = 3
    generator = torch.Generator().manual_seed(0)
    w = size * torch.randn(200, d, generator=generator, dtype=dtype)
    u = sign * w  # the extreme: along w, or against it
    raw = torch.cat([u, w, torch.full((200, 1), 50.0, dtype=dtype)], dim=1).requires_grad_()
    z = torch.zeros(200, d, dtype=dtype)
    moved, log_det = PlanarFlow(d)(z, raw)
    assert (((w * moved).sum(1)) >= -1 - 8 * torch.finfo(dtype).eps).all()
    assert log_det.isfinite().all() and moved.isfinite().all()
    # Where tanh bends most the determinant is least: it stays above 0.
    centre = torch.cat([u, w, torch.zeros(200, 1, dtype=dtype)], dim=1)
    assert PlanarFlow(d)(z, centre)[1].isfinite().all()
    (moved.sum() + log_det.sum()).backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("size", [0.5, 3.0, 20.0])
def test_inverse(size):
    """Along w a flow rises, so that a line search finds where a code came from."""
    d = 3
    z, parameters = random_flow(20, d, 1, size)
    flow = PlanarFlow(d)
    image, _ = flow(z, parameters)
    for row in range(20):
        one, w = parameters[row : row + 1], parameters[row, d : 2 * d]
        # û from a code where tanh is 1 up to rounding.
        far = 40 * w / w.square().sum() + (-parameters[row, -1]) * w / w.square().sum()
        u = flow(far[None], one)[0][0] - far

        def gap(a, w=w, u=u, row=row):
            bend = np.tanh(a + float(parameters[row, -1]))
            return a + float(w @ u) * bend - float(w @ image[row])

        a = brentq(gap, -1e4, 1e4, xtol=1e-13)
        bend = np.tanh(a + float(parameters[row, -1]))
        torch.testing.assert_close(image[row] - u * bend, z[row], rtol=1e-6, atol=1e-6)


def test_zero_is_the_identity():
    z, parameters = random_flow(5, 3, 4, 0.0)
    image, log_det = PlanarFlow(3)(z, parameters)
    torch.testing.assert_close(image, z)
    torch.testing.assert_close(log_det, torch.zeros_like(log_det))


# --- the estimator -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return PlanarFlowVAE(
        2, n_flows=3, hidden_layer_sizes=(16,), max_iter=20, learning_rate_init=0.01, random_state=0
    ).fit(X)


def test_codes_and_draws_go_through_the_flows(model):
    x = model._inference(np.float32).tensor(X)
    with torch.no_grad():
        mean, log_scale = model.encoder_.moments(x)
        parameters = model.encoder_.net(x)[:, 4:]
        code, _ = model.encoder_.flow(mean, parameters)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        draw, _ = model.encoder_.flow(mean + log_scale.exp() * noise, parameters)
        sample = model.encoder_.sample(x, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(model.transform(X), code, atol=1e-4)
    torch.testing.assert_close(sample, draw)
    assert (code - mean).abs().max() > 1e-3
    posterior = model.sample_posterior(X, 500, random_state=0)
    assert np.abs(np.median(posterior, axis=1) - model.transform(X)).max() < 0.5


def test_divergence_is_that_of_the_flowed_density(model):
    """From the change of variables, with the density before the flows."""
    x = model._inference(np.float32).tensor(X[:1]).expand(20000, -1)
    with torch.no_grad():
        start, mean, log_scale, z, log_det = model.encoder_.draw(
            x, torch.Generator().manual_seed(0)
        )
        density = torch.distributions.Normal(mean, log_scale.exp()).log_prob(start).sum(1) - log_det
        plain = density - model.prior_.log_prob(z)
        _, divergence = model.model_.draw(x, torch.Generator().manual_seed(0))
    gap = divergence - plain
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(20000) + 1e-5


class Fixed(nn.Module):
    """A decoder that does not learn."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def forward(self, z):
        return z @ self.weights.T


def test_elbo_of_a_correlated_posterior():
    """Flows close most of the gap that independent coordinates leave.

    With precision P of the exact posterior, the best independent Gaussian is
    (sum log P_ii - log det P) / 2 from it.
    """
    weights = np.array([[1.0, 0.95], [1.0, 1.05], [1.0, 1.0]])
    noise = 0.3
    data, *_ = linear_gaussian(400, weights, noise=noise, random_state=0)
    data -= data.mean(axis=0)
    scale = np.sqrt(np.square(data).mean())
    precision = np.eye(2) + weights.T @ weights / noise**2
    loss = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
    assert loss > 1.0
    marginal = multivariate_normal(np.zeros(3), weights @ weights.T + noise**2 * np.eye(3))
    params = {
        "decoder": Fixed(weights / scale),
        "cost": GaussianCost(variance=noise**2),
        "encoder": MLP((32,), start="random"),
        "learning_rate_init": 0.005,
        "max_iter": 80,
        "random_state": 0,
    }
    gaps = {}
    for cls in (VAE, PlanarFlowVAE):
        bound = cls(2, **params).fit(data).elbo(data, 50, random_state=0)
        gaps[cls] = (marginal.logpdf(data) - bound).mean()
    np.testing.assert_allclose(gaps[VAE], loss, atol=0.1)
    assert -0.02 < gaps[PlanarFlowVAE] < 0.5 * loss, gaps
