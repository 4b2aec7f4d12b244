"""What the tolerance buys: errors of gradients and values against a converged solution.

The gradient of a debiased value is a difference of larger ones, so that errors are relative to
what is left of it: for clouds that nearly match, next to nothing.
"""

import pytest
import torch

from skotae.transport import sinkhorn_divergence


def clustered(points, d, seed=0):
    """Codes in ten clusters, and draws from the prior."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(10, d, generator=generator)
    labels = torch.randint(10, (points,), generator=generator)
    codes = centres[labels] + 0.3 * torch.randn(points, d, generator=generator)
    return codes, torch.randn(points, d, generator=generator)


def nearly_matched(points, d, seed=1):
    """Codes as late in training, and draws from the prior."""
    generator = torch.Generator().manual_seed(seed)
    codes = 0.9 * torch.randn(points, d, generator=generator) + 0.1
    return codes, torch.randn(points, d, generator=generator)


CELLS = [
    pytest.param(
        (kind, points, d, epsilon),
        id=f"{kind.__name__}-{points}-{d}-{epsilon}",
        marks=[pytest.mark.slow] if points > 256 else [],
    )
    for kind in (clustered, nearly_matched)
    for points in (64, 256, 1024)
    for d in (1, 2, 8, 64, 512)
    for epsilon in (0.1, 0.05, 0.01)
]
BOUNDS = {clustered: 5e-3, nearly_matched: 2e-2}


@pytest.fixture(scope="module", params=CELLS)
def cell(request, reference):
    """Clouds, solution, epsilon and bound; tests of one cell run one after the other."""
    kind, points, d, epsilon = request.param
    x, y = kind(points, d)
    return x, y, reference(x, y, epsilon=epsilon, tol=1e-7), epsilon, BOUNDS[kind]


def default_errors(x, y, expected, epsilon):
    """Relative errors of the gradients with respect to x and y, at the default tolerance."""
    x, y = (cloud.clone().requires_grad_() for cloud in (x, y))
    value, info = sinkhorn_divergence(x, y, epsilon=epsilon, tol=1e-3, return_info=True)
    value.backward()
    assert info.converged and info.marginal_violation <= 1e-3
    pairs = ((x.grad, expected.grad_x), (y.grad, expected.grad_y))
    return [((got.double() - want).norm() / want.norm()).item() for got, want in pairs]


def test_gradient_at_the_default_tolerance(cell):
    x, y, expected, epsilon, bound = cell
    assert max(default_errors(x, y, expected, epsilon)) <= bound


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("epsilon", [0.05, 0.01])
def test_gradient_of_the_worst_of_many_draws(kind, d, epsilon, reference):
    # In one or two dimensions iterations are slow, and what is left of the marginal violation says
    # less of the gradient: how far one ends from the solution differs from draw to draw.
    errors = []
    for seed in range(10, 22):
        x, y = kind(64, d, seed)
        expected = reference(x, y, epsilon=epsilon, tol=1e-6)
        errors.append(max(default_errors(x, y, expected, epsilon)))
    assert max(errors) <= 2 * BOUNDS[kind]


def test_value_at_a_tight_tolerance(cell):
    x, y, expected, epsilon, _ = cell
    options = {"epsilon": epsilon, "tol": 1e-6, "max_iter": 5000}
    value = sinkhorn_divergence(x.double(), y.double(), **options)
    assert value.item() == pytest.approx(expected.value, rel=1e-6)


def test_tight_tolerance_in_float32_is_reached():
    x, y = nearly_matched(40, 3)
    _, info = sinkhorn_divergence(x, y, tol=1e-9, return_info=True)
    assert info.converged and info.marginal_violation <= 1e-9


@pytest.mark.parametrize("d", [1, 2, 8])
def test_tight_tolerance_is_reached_where_iterations_are_slow(d):
    x, y = clustered(100, d)
    options = {"epsilon": 0.01, "tol": 1e-10, "return_info": True}
    _, info = sinkhorn_divergence(x.double(), y.double(), **options)
    assert info.converged and info.marginal_violation <= 1e-10
