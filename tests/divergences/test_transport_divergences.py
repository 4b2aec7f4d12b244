"""Transport divergences: clouds for which the answer is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skotae.divergences import (
    DIVERGENCES,
    MMD,
    ExactDivergence,
    GaussianDivergence,
    SinkhornDivergence,
    SlicedDivergence,
)
from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    GaussianMixturePrior,
    NormalPrior,
    SpherePrior,
    UniformPrior,
)
from skotae.transport import exact_cost, gaussian_wasserstein, sinkhorn_divergence

quickly = settings(deadline=None, derandomize=True, max_examples=20)
seeds = st.integers(0, 2**31)


def _cloud(n=20, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _permuted(x, seed=1):
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]


SHIFT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
SQUARE = float(SHIFT @ SHIFT)


# Exact.


@quickly
@given(seeds, st.integers(1, 30))
def test_exact_cost_of_a_shift_is_its_square(seed, n):
    x = _cloud(n, 3, seed)
    value = ExactDivergence(debias="none")(_permuted(x) + SHIFT, x)
    assert float(value) == pytest.approx(SQUARE)


def test_exact_cost_of_a_shift_with_p_1():
    x = _cloud()
    value = ExactDivergence(p=1, debias="none")(_permuted(x) + SHIFT, x)
    assert float(value) == pytest.approx(3.5)


def test_exact_gradient_of_a_shift_is_uniform():
    z = (_permuted(_cloud()) + SHIFT).requires_grad_()
    ExactDivergence(debias="none")(z, _cloud()).backward()
    torch.testing.assert_close(z.grad, (2 * SHIFT / len(z)).expand_as(z))


@pytest.mark.parametrize("p", [1, 2])
def test_exact_cost_of_equal_clouds_is_zero(p):
    x = _cloud()
    assert float(ExactDivergence(p=p, debias="none")(_permuted(x), x)) == 0


def test_exact_weights_are_masses():
    x, y = _cloud(3), _cloud(4, seed=1)
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    expected = exact_cost(x[[0, 0, 1, 2]], y)
    torch.testing.assert_close(ExactDivergence(debias="none")(x, y, weights=weights), expected)


def test_exact_debiasing_is_by_halves():
    x, y = _cloud(8), _cloud(8, seed=1)
    (a, b), (c, d) = x.split(4), y.split(4)
    across = sum(exact_cost(p, q) for p in (a, b) for q in (c, d)) / 4
    expected = across - exact_cost(a, b) / 2 - exact_cost(c, d) / 2
    torch.testing.assert_close(ExactDivergence()(x, y), expected)


# Sinkhorn.


@pytest.mark.parametrize("debias", ["independent", "paired", "none"])
@pytest.mark.parametrize("sharp", [False, True])
def test_sinkhorn_is_the_transport_function(debias, sharp):
    x, y = _cloud(), _cloud(seed=1)
    options = {"epsilon": 0.2, "relative": False, "tol": 1e-8, "debias": debias, "sharp": sharp}
    expected = sinkhorn_divergence(x, y, **options)
    torch.testing.assert_close(SinkhornDivergence(**options)(x, y), expected)


def test_sinkhorn_of_equal_clouds_is_zero_when_paired():
    x = _cloud()
    assert float(SinkhornDivergence(debias="paired", tol=1e-9)(_permuted(x), x)) < 1e-8


@quickly
@given(seeds)
def test_sinkhorn_of_a_shift_is_its_square_when_paired(seed):
    x = _cloud(seed=seed)
    value = SinkhornDivergence(epsilon=0.5, relative=False, debias="paired", tol=1e-9)(x + SHIFT, x)
    assert float(value) == pytest.approx(SQUARE, rel=1e-6)


def test_sinkhorn_without_debiasing_tends_to_the_exact_cost():
    x, y = _cloud(), _cloud(seed=1)
    value = SinkhornDivergence(epsilon=1e-3, debias="none", sharp=True, tol=1e-6)(x, y)
    torch.testing.assert_close(value, exact_cost(x, y), rtol=1e-2, atol=0)


def test_root_is_the_root():
    x, y = _cloud(), _cloud(seed=1) + SHIFT
    options = {"debias": "paired", "tol": 1e-8}
    square = SinkhornDivergence(**options)(x, y)
    torch.testing.assert_close(SinkhornDivergence(root=True, **options)(x, y), square.sqrt())


def test_root_of_a_negative_value_is_zero_with_zero_gradient():
    z = (0.1 * _cloud(seed=3)).requires_grad_()
    y = 0.1 * _cloud(seed=4)
    assert SinkhornDivergence()(z, y) < 0  # sampling noise: what the test is about
    value = SinkhornDivergence(root=True)(z, y)
    value.backward()
    assert value == 0 and (z.grad == 0).all()


def test_sinkhorn_takes_weights_unless_it_has_halves():
    x, y = _cloud(3), _cloud(4, seed=1)
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    options = {"epsilon": 1.0, "relative": False, "debias": "none", "tol": 1e-9}
    doubled = SinkhornDivergence(**options)(x[[0, 0, 1, 2]], y)
    torch.testing.assert_close(SinkhornDivergence(**options)(x, y, weights=weights), doubled)


# Sliced.


@quickly
@given(seeds, st.integers(1, 40))
def test_sliced_cost_of_a_shift_is_its_square_on_average(seed, n):
    x = _cloud(n, 3, seed)
    generator = _generator()
    value = SlicedDivergence(n_projections=4000)(_permuted(x) + SHIFT, x, generator=generator)
    assert float(value) == pytest.approx(SQUARE, rel=0.06)


def test_sliced_cost_in_one_dimension_is_exact():
    x, y = _cloud(d=1), _cloud(d=1, seed=1)
    value = SlicedDivergence()(x, y, generator=_generator())
    torch.testing.assert_close(value, exact_cost(x, y))


def test_sliced_directions_come_from_the_generator():
    x, y = _cloud(), _cloud(seed=1)
    first, second = (SlicedDivergence(5)(x, y, generator=_generator(2)) for _ in range(2))
    assert first == second


def test_sliced_directions_are_drawn_afresh():
    generator, x, y = _generator(2), _cloud(), _cloud(seed=1)
    divergence = SlicedDivergence(5)
    assert divergence(x, y, generator=generator) != divergence(x, y, generator=generator)


# Gaussian.


@quickly
@given(seeds, st.floats(0.1, 10))
def test_gaussian_cost_of_a_shift_and_a_scale(seed, factor):
    x = _cloud(seed=seed)
    centre = x.mean(0)
    z = centre + factor * (x - centre) + SHIFT
    expected = SQUARE + (factor - 1) ** 2 * float(x.T.cov().trace())
    assert float(GaussianDivergence()(z, x)) == pytest.approx(expected, rel=1e-6)


PRIORS = [
    NormalPrior(2.0),
    UniformPrior(0.0, 3.0),
    SpherePrior(1.5),
    DirichletPrior([1.0, 2.0, 3.0]),
    GaussianMixturePrior(3),
    AtomsPrior([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
]


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_gaussian_cost_to_the_prior_is_that_to_many_draws(prior):
    draws = prior.sample(50_000, 3, _generator())
    z = 1.5 * _cloud(200).float() + 1.0
    built = GaussianDivergence().build(prior, 3)
    value = built(z, draws[:2])
    assert float(value) == pytest.approx(float(GaussianDivergence()(z, draws)), rel=0.02)


def test_gaussian_cost_to_a_normal_prior_in_closed_form():
    # Codes of mean m and covariance s² I, exactly.
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    z = 3.0 * corners * 0.75**0.5 + torch.tensor([1.0, 2.0])
    built = GaussianDivergence().build(NormalPrior(2.0), 2)
    assert float(built(z, z[:1])) == pytest.approx(5.0 + 2 * (3.0 - 2.0) ** 2, rel=1e-5)


def test_gaussian_cost_to_the_prior_keeps_float64():
    built = GaussianDivergence().build(NormalPrior(), 3)
    assert built(_cloud(), _cloud(2)).dtype == torch.float64


def test_gaussian_weights_are_masses():
    x, y = _cloud(4), _cloud(seed=1)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    mean = weights @ x
    covariance = (weights[:, None] * (x - mean)).T @ (x - mean) / (1 - weights @ weights)
    expected = gaussian_wasserstein(mean, covariance, y.mean(0), y.T.cov())
    torch.testing.assert_close(GaussianDivergence()(x, y, weights=weights), expected)


# All of them.

PLAIN = {name: part() for name, part in DIVERGENCES.items() if name != "gan"}
every_divergence = pytest.mark.parametrize("divergence", PLAIN.values(), ids=PLAIN)


@every_divergence
def test_result_is_a_scalar_with_a_gradient(divergence):
    z = _cloud().requires_grad_()
    value = divergence(z, _cloud(seed=1), generator=_generator())
    value.backward()
    assert value.shape == () and z.grad.isfinite().all() and z.grad.abs().sum() > 0


@every_divergence
@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 2), (7, 4)])
def test_small_clouds_give_finite_values_and_gradients(divergence, n, m):
    z = _cloud(n).float().requires_grad_()
    value = divergence(z, _cloud(m, seed=1).float(), generator=_generator())
    value.backward()
    assert value.isfinite() and z.grad.isfinite().all()


@every_divergence
def test_a_shift_is_more_than_no_shift(divergence):
    x, y = _cloud(100), _cloud(100, seed=1)
    far, near = (divergence(z, y, generator=_generator()) for z in (x + 2 * SHIFT, x))
    assert far > near + 0.3


@every_divergence
def test_descending_brings_codes_to_the_prior(divergence):
    z = (0.3 * _cloud(100) + SHIFT).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.1)
    generator = torch.Generator().manual_seed(1)
    built = divergence.build(NormalPrior(), 3)
    for _ in range(80):
        draws = NormalPrior().sample(100, 3, generator, dtype=torch.float64)
        # In a new order, as batches are: debiasing by halves is about random halves.
        order = torch.randperm(100, generator=generator)
        optimiser.zero_grad()
        built(z[order], draws, generator=generator).backward()
        optimiser.step()
    assert z.mean(0).norm() < 0.3
    torch.testing.assert_close(z.std(0), torch.ones(3).double(), rtol=0, atol=0.35)


@every_divergence
def test_global_generator_is_left_alone(divergence):
    state = torch.get_rng_state()
    divergence(_cloud(), _cloud(seed=1), generator=_generator())
    assert torch.equal(torch.get_rng_state(), state)


@every_divergence
def test_a_clone_gives_the_same(divergence):
    x, y = _cloud(), _cloud(seed=1)
    first, second = (part(x, y, generator=_generator()) for part in (divergence, clone(divergence)))
    assert first == second


@pytest.mark.parametrize(
    "divergence", [SinkhornDivergence(), ExactDivergence(), SlicedDivergence()], ids=repr
)
def test_weights_are_refused_where_they_have_no_meaning(divergence):
    weights = torch.full((20,), 0.05, dtype=torch.float64)
    with pytest.raises(ValueError, match=f"{type(divergence).__name__}.* takes no weights.*MMD"):
        divergence(_cloud(), _cloud(seed=1), weights=weights)


@pytest.mark.parametrize("part", [ExactDivergence, SinkhornDivergence])
def test_unknown_debiasing_is_refused(part):
    with pytest.raises(ValueError, match="debias='halves'|debias must be one of"):
        part(debias="halves")(_cloud(), _cloud(seed=1))


def test_mmd_of_a_given_bandwidth_needs_nothing_of_the_prior():
    divergence = MMD(1.0)
    assert divergence.build(None, 3) is divergence
