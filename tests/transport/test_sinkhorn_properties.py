"""What holds for the Sinkhorn divergence of any clouds, and its closed forms."""

import math

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skotae.transport import sinkhorn_divergence, sinkhorn_plan

TIGHT = {"tol": 1e-9, "max_iter": 5000}
CLOSE = {"rtol": 1e-6, "atol": 1e-7}

quick = settings(deadline=None, derandomize=True, max_examples=40)
sizes = st.integers(1, 12)
dimensions = st.integers(1, 5)
seeds = st.integers(0, 1000)
epsilons = st.sampled_from([0.02, 0.1, 1.0])
modes = st.sampled_from(["none", "paired", "independent"])
scales = st.sampled_from([1e-6, 1e-2, 1.0, 1e3, 1e6])


def clouds(n, m, d, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def random_weights(n, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    return weights / weights.sum()


def cost(x, y, p=2):
    return (x[:, None] - y).abs().pow(p).sum(2)


@quick
@given(sizes, sizes, dimensions, seeds, scales, modes)
def test_invariances(n, m, d, seed, scale, debias):
    x, y = clouds(n, m, d, seed)
    options = {"epsilon": 0.1, "debias": debias, **TIGHT}
    value = sinkhorn_divergence(x, y, **options)
    torch.testing.assert_close(sinkhorn_divergence(y, x, **options), value, **CLOSE)
    shift = torch.full((d,), 37.0, dtype=x.dtype)
    torch.testing.assert_close(sinkhorn_divergence(x + shift, y + shift, **options), value, **CLOSE)
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=x.dtype))[0]
    moved = sinkhorn_divergence(x @ rotation, y @ rotation, **options)
    torch.testing.assert_close(moved, value, **CLOSE)
    scaled = sinkhorn_divergence(x * scale, y * scale, **options)
    torch.testing.assert_close(scaled / scale**2, value, **CLOSE)


@quick
@given(sizes, sizes, dimensions, seeds, epsilons, st.sampled_from([1, 2, 3]))
def test_order_of_points_is_of_no_account(n, m, d, seed, epsilon, p):
    x, y = clouds(n, m, d, seed)
    a, b = random_weights(n, seed), random_weights(m, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(n, generator=generator), torch.randperm(m, generator=generator)
    x.requires_grad_()
    options = {"epsilon": epsilon, "p": p, **TIGHT}
    value = sinkhorn_divergence(x, y, a=a, b=b, **options)
    moved = sinkhorn_divergence(x[rows], y[columns], a=a[rows], b=b[columns], **options)
    torch.testing.assert_close(moved, value, **CLOSE)
    gradients = [torch.autograd.grad(total, x)[0] for total in (value, moved)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@quick
@given(sizes, sizes, dimensions, seeds, epsilons, st.sampled_from([1, 2, 3]))
def test_weights_are_counts(n, m, d, seed, epsilon, p):
    x, y = clouds(n, m, d, seed)
    times = torch.arange(n) % 3 + 1
    options = {"epsilon": epsilon, "p": p, **TIGHT}
    weighted = sinkhorn_divergence(x, y, a=times.double(), **options)
    repeated = sinkhorn_divergence(x.repeat_interleave(times, 0), y, **options)
    torch.testing.assert_close(weighted, repeated, **CLOSE)


@quick
@given(sizes, sizes, dimensions, seeds, epsilons, scales, st.sampled_from([1, 2]))
def test_paired_divergence_is_a_divergence(n, m, d, seed, epsilon, scale, p):
    # Non-negative since exp(-c / epsilon) is positive definite, which for p = 3 it is not.
    x, y = clouds(n, m, d, seed)
    x, y = x * scale, y * scale
    options = {"epsilon": epsilon, "p": p, **TIGHT}
    unit = cost(x, y, p).mean().item()
    assert sinkhorn_divergence(x, y, **options).item() >= -1e-8 * unit
    spread = cost(x, x, p).mean().item()
    assert abs(sinkhorn_divergence(x, x.clone(), **options).item()) <= 1e-8 * spread
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert abs(sinkhorn_divergence(x, x[order], **options).item()) <= 1e-8 * spread


@quick
@given(sizes, sizes, dimensions, seeds, epsilons, st.sampled_from([1, 2, 3]))
def test_plan_has_its_marginals(n, m, d, seed, epsilon, p):
    x, y = clouds(n, m, d, seed)
    a, b = random_weights(n, seed), random_weights(m, seed + 1)
    for dtype, tol, close in ((torch.float64, 1e-9, 1e-9), (torch.float32, 1e-3, 1e-6)):
        plan = sinkhorn_plan(
            x.to(dtype), y.to(dtype), a=a, b=b, epsilon=epsilon, p=p, tol=tol, max_iter=5000
        ).double()
        assert (plan >= 0).all()
        torch.testing.assert_close(plan.sum(1), a, rtol=close, atol=close)
        assert (plan.sum(0) - b).abs().sum() <= 1.01 * tol + 1e-6 * (dtype == torch.float32)


@quick
@given(
    st.integers(2, 12), st.integers(2, 12), dimensions, seeds, st.sampled_from([0.1, 0.01, 1e-3])
)
def test_between_the_exact_cost_and_its_bound(n, m, d, seed, epsilon):
    # The optimal plan P0 is admissible: OT_0 <= <P, C> <= OT_eps <= OT_0 + eps KL(P0 | a x b),
    # and a mutual information is at most the smaller of the entropies of a and b.
    x, y = clouds(n, m, d, seed)
    matrix = cost(x, y)
    exact = ot.emd2([], [], matrix.numpy())
    slack = epsilon * matrix.mean().item() * math.log(min(n, m))
    options = {"epsilon": epsilon, "debias": "none", "tol": 1e-8, "max_iter": 20_000}
    entropic = sinkhorn_divergence(x, y, **options).item()
    sharp = sinkhorn_divergence(x, y, sharp=True, **options).item()
    rounding = 1e-6 * matrix.max().item()
    assert exact - rounding <= sharp <= entropic + rounding
    assert entropic <= exact + slack + rounding


@pytest.mark.parametrize("d", [1, 2, 8])
def test_small_epsilon_is_the_exact_cost(d):
    x, y = clouds(50, 40, d, 4)
    exact = ot.emd2([], [], cost(x, y).numpy())
    errors = []
    for epsilon in (1e-2, 1e-3):
        value = sinkhorn_divergence(
            x, y, epsilon=epsilon, debias="none", sharp=True, tol=1e-6, max_iter=10_000
        )
        errors.append(abs(value.item() - exact) / exact)
    assert errors[1] < 5e-3 and errors[1] < errors[0] / 2


@pytest.mark.parametrize("debias", ["none", "paired"])
def test_small_epsilon_is_sorting_in_one_dimension(debias):
    x, y = clouds(30, 30, 1, 0)
    expected = (x.sort(0)[0] - y.sort(0)[0]).square().mean().item()
    value = sinkhorn_divergence(
        x, y, epsilon=1e-3, debias=debias, sharp=True, tol=1e-6, max_iter=10_000
    )
    assert value.item() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_large_epsilon_is_an_energy_distance(p, weighted):
    x, y = clouds(20, 15, 3, 0)
    a = random_weights(20, 0) if weighted else torch.full((20,), 1 / 20, dtype=x.dtype)
    b = random_weights(15, 1) if weighted else torch.full((15,), 1 / 15, dtype=x.dtype)
    between, own_x, own_y = a @ cost(x, y, p) @ b, a @ cost(x, x, p) @ a, b @ cost(y, y, p) @ b
    expected = between - own_x / 2 - own_y / 2
    for sharp in (False, True):
        options = {"epsilon": 1e6, "p": p, "sharp": sharp, **TIGHT}
        value = sinkhorn_divergence(x, y, a=a, b=b, **options)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
        alone = sinkhorn_divergence(x, y, a=a, b=b, debias="none", **options)
        torch.testing.assert_close(alone, between, rtol=1e-5, atol=0)


@pytest.mark.parametrize("debias", ["none", "paired", "independent"])
@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_two_diracs(debias, sharp, p):
    x, y = torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[3.0, 5.0]])
    value = sinkhorn_divergence(x, y, debias=debias, sharp=sharp, p=p)
    value.backward()
    assert value.item() == pytest.approx(3**p + 4**p, rel=1e-6)
    expected = torch.tensor([[-p * 3.0 ** (p - 1), -p * 4.0 ** (p - 1)]])
    torch.testing.assert_close(x.grad, expected)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def gaussian_cost(mean_x, cov_x, mean_y, cov_y, epsilon):
    """OT_eps of two Gaussians, theorem 1 of Janati et al. (2020), where epsilon is 2 sigma^2.

    With ``D = (4 A^(1/2) B A^(1/2) + sigma^4 I)^(1/2)``:
    ``|m - n|^2 + tr A + tr B - tr D + d sigma^2 (1 - log(2 sigma^2))
    + sigma^2 log det(D + sigma^2 I)``.
    """
    d, variance = len(cov_x), epsilon / 2
    identity = torch.eye(d, dtype=cov_x.dtype)
    half = root(cov_x)
    middle = root(4 * half @ cov_y @ half + variance**2 * identity)
    value = (mean_x - mean_y).square().sum() + torch.trace(cov_x + cov_y - middle)
    value = value + d * variance * (1 - math.log(2 * variance))
    return (value + variance * torch.logdet(middle + variance * identity)).item()


def gaussian_divergence(mean_x, cov_x, mean_y, cov_y, epsilon):
    between = gaussian_cost(mean_x, cov_x, mean_y, cov_y, epsilon)
    own = gaussian_cost(mean_x, cov_x, mean_x, cov_x, epsilon)
    return between - (own + gaussian_cost(mean_y, cov_y, mean_y, cov_y, epsilon)) / 2


def gaussian_grid(mean, cov, points, width=6.0):
    """Nodes and weights of a Gaussian; the trapezoidal rule is exact to rounding for it."""
    line = torch.linspace(-width, width, points, dtype=torch.float64)
    white = torch.cartesian_prod(*[line] * len(mean)).reshape(-1, len(mean))
    weights = torch.exp(-white.square().sum(1) / 2)
    return mean + white @ root(cov), weights


def _gaussian(mean, *rows):
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(rows, dtype=torch.float64)


GAUSSIANS = {
    "equal": (_gaussian([0.0], [1.0]), _gaussian([0.0], [1.0]), 61),
    "shifted": (_gaussian([0.0], [1.0]), _gaussian([2.0], [1.0]), 61),
    "wider": (_gaussian([0.0], [0.25]), _gaussian([0.0], [4.0]), 121),
    "shifted and narrower": (_gaussian([-1.0], [1.5]), _gaussian([0.5], [0.1]), 121),
    "plane": (
        _gaussian([0.0, 0.0], [1.0, 0.5], [0.5, 1.0]),
        _gaussian([1.0, -1.0], [0.6, -0.3], [-0.3, 1.2]),
        25,
    ),
}


@pytest.mark.parametrize("name", GAUSSIANS)
@pytest.mark.parametrize("epsilon", [0.5, 2.0, 20.0])
def test_gaussians_closed_form(name, epsilon):
    first, second, points = GAUSSIANS[name]
    (x, a), (y, b) = (gaussian_grid(*gaussian, points) for gaussian in (first, second))
    options = {"a": a, "b": b, "epsilon": epsilon, "relative": False, **TIGHT}
    expected = gaussian_cost(*first, *second, epsilon)
    value = sinkhorn_divergence(x, y, debias="none", **options)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    expected = gaussian_divergence(*first, *second, epsilon)
    value = sinkhorn_divergence(x, y, **options)
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_gaussian_samples():
    # Samples moved and stretched to the mean and covariance of their Gaussian.
    (mean_x, cov_x), (mean_y, cov_y), _ = GAUSSIANS["plane"]
    white = torch.randn(2, 1500, 2, generator=torch.Generator().manual_seed(0)).double()
    white = white - white.mean(1, keepdim=True)
    white = torch.stack(
        [cloud @ torch.linalg.inv(root(cloud.T.cov(correction=0))) for cloud in white]
    )
    x, y = mean_x + white[0] @ root(cov_x), mean_y + white[1] @ root(cov_y)
    value = sinkhorn_divergence(x.float(), y.float(), epsilon=1.0, relative=False)
    expected = gaussian_divergence(mean_x, cov_x, mean_y, cov_y, 1.0)
    assert value.item() == pytest.approx(expected, rel=1e-2)
