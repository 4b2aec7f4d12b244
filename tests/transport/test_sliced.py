"""Sliced distances against POT and closed forms."""

import ot
import pytest
import torch

from skotae.transport import max_sliced_wasserstein, sliced_wasserstein
from skotae.transport.linear.line import sort_rows


def _clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 2 * torch.rand(m, d, generator=generator, dtype=torch.float64)


def _projections(d, count, seed):
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, d, generator=generator)
    return torch.nn.functional.normalize(directions.double(), dim=1)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (20, 33), (1, 5)])
def test_value_is_pots(n, m, p):
    x, y = _clouds(n, m, 4)
    value = sliced_wasserstein(
        x, y, n_projections=17, p=p, generator=torch.Generator().manual_seed(3)
    )
    directions = _projections(4, 17, 3).T.numpy()
    expected = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=directions, p=p)
    assert value.item() == pytest.approx(expected**p, rel=1e-6)


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
@pytest.mark.parametrize("function", [sliced_wasserstein, max_sliced_wasserstein])
def test_gradient(function, n, m, p):
    x, y = (cloud.requires_grad_() for cloud in _clouds(n, m, 3))
    assert torch.autograd.gradcheck(
        lambda u, v: function(u, v, p=p, generator=torch.Generator().manual_seed(0)),
        (x, y),
        atol=1e-4,
    )


def test_the_generator_decides():
    x, y = _clouds(20, 20, 5)
    first, again, other = (
        sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert first == again and first != other


@pytest.mark.moves_torch_rng
def test_a_shift_has_known_distances():
    x, _ = _clouds(50, 50, 3)
    shift = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64)
    sliced = sliced_wasserstein(x, x + shift, n_projections=20_000)
    assert sliced.item() == pytest.approx(9 / 3, rel=0.03)
    assert max_sliced_wasserstein(x, x + shift).item() == pytest.approx(9, rel=1e-6)


@pytest.mark.moves_torch_rng
def test_max_sliced_finds_the_one_direction_that_differs():
    x, _ = _clouds(400, 400, 10)
    y = x.clone()
    y[:, 4] *= 3
    expected = (2 * x[:, 4]).square().mean().item()
    value = max_sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0))
    assert value.item() >= 0.99 * expected
    assert value > sliced_wasserstein(x, y)


def _planted(kind, n=1024, d=64, seed=0):
    """Two clouds that differ along one direction, and the distance along it."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, n, d, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(d, generator=generator), dim=0)
    place = y @ direction
    moved = {
        "wider": 3 * place,
        "narrower": 0.3 * place,
        "two modes": 1.5 * place.sign() + 0.1 * place,
        "moved": place + 1,
    }[kind]
    y = y + torch.outer(moved - place, direction)
    gap = (x @ direction).sort()[0] - (y @ direction).sort()[0]
    return x, y, gap.square().mean().item(), direction


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["wider", "narrower", "two modes", "moved"])
def test_max_sliced_finds_a_planted_direction_among_64(kind, seed):
    x, y, planted, direction = _planted(kind, seed=seed)
    x.requires_grad_()
    value = max_sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0))
    assert value.item() >= planted  # the best direction of the sample is a little better
    value.backward()
    found = torch.linalg.svd(x.grad)[2][0]  # the gradient is along the direction
    assert (found @ direction).abs() > 0.9


def test_max_sliced_does_better_with_more_steps():
    x, y, *_ = _planted("two modes", n=200)
    few, more = (
        max_sliced_wasserstein(x, y, n_steps=steps, generator=torch.Generator().manual_seed(0))
        for steps in (1, 30)
    )
    assert more > few


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e15])
def test_max_sliced_at_any_scale(scale):
    x, y, planted, _ = _planted("wider", n=100)
    value = max_sliced_wasserstein(x.double() * scale, y.double() * scale)
    assert value.item() >= planted * scale**2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 71)])
def test_narrow_dtypes_are_sorted_alike(n, m, dtype):
    # Few distinct values, so that most places are decided by ties.
    x, y = (cloud.mul(2).round() for cloud in _clouds(n, m, 3))
    x[:5], x[5:9] = -0.0, 0.0
    expected, value = (
        sliced_wasserstein(x.to(kind), y.to(kind), generator=torch.Generator().manual_seed(0))
        for kind in (torch.float64, dtype)
    )
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    assert value.dtype == dtype and value.item() == pytest.approx(expected.item(), rel=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 2, 257])
def test_sort_is_torchs(rows, dtype):
    values = torch.randn(3, rows, generator=torch.Generator().manual_seed(0), dtype=dtype)
    values[0] *= 1e-40
    found, order = sort_rows(values)
    assert torch.equal(found, values.sort(1)[0])
    assert torch.equal(values.gather(1, order), found)
    assert torch.equal(order.sort(1)[0], torch.arange(rows).expand(3, rows))


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("function", [sliced_wasserstein, max_sliced_wasserstein])
def test_points_that_are_not_finite_give_nan(function, bad):
    x, y = (cloud.float() for cloud in _clouds(6, 6, 3))
    x[2, 1] = bad
    x.requires_grad_()
    value = function(x, y)
    value.backward()
    assert not value.isfinite() and not x.grad.isfinite().all()


@pytest.mark.moves_torch_rng
def test_edge_cases():
    x = torch.ones(4, 2, requires_grad=True)
    for function in (sliced_wasserstein, max_sliced_wasserstein):
        value = function(x, torch.ones(3, 2))
        (gradient,) = torch.autograd.grad(value, x)
        assert value == 0 and (gradient == 0).all()
    with pytest.raises(ValueError, match="n_projections must be an integer >= 1, got 0"):
        sliced_wasserstein(x, x, n_projections=0)
    with pytest.raises(ValueError, match="p must be"):
        sliced_wasserstein(x, x, p=0)
    with pytest.raises(ValueError, match="n_steps"):
        max_sliced_wasserstein(x, x, n_steps=-1)


@pytest.mark.moves_torch_rng
def test_double_backward_is_refused():
    x, y = _clouds(5, 5, 2)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sliced_wasserstein(x, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()


def _weights(n, m, zeros=False):
    a, b = torch.rand(n + m, generator=torch.Generator().manual_seed(4)).double().split((n, m))
    if zeros:
        a, b = a.clone(), b.clone()
        a[::3], b[1::3] = 0.0, 0.0
    return a, b


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (20, 33), (2, 5)])
def test_weighted_values_along_given_directions_are_pots(n, m, p, zeros):
    x, y = _clouds(n, m, 4)
    a, b = _weights(n, m, zeros)
    directions = _projections(4, 17, 3)
    given = {"directions": 3 * directions, "p": p, "a": a, "b": b}
    arrays = [each.numpy() for each in (x, y, a / a.sum(), b / b.sum())]
    options = {"projections": directions.T.numpy(), "p": p}
    expected = ot.sliced_wasserstein_distance(*arrays, **options)
    value = sliced_wasserstein(x, y, **given)
    assert value.item() == pytest.approx(expected**p, rel=1e-9)
    expected = ot.max_sliced_wasserstein_distance(*arrays, **options)
    value, best = max_sliced_wasserstein(x, y, **given, n_steps=0, return_direction=True)
    assert value.item() == pytest.approx(expected**p, rel=1e-9)
    assert (directions @ best).max().item() == pytest.approx(1)
    assert max_sliced_wasserstein(x, y, **given) >= value


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
def test_gradient_of_weights_and_directions(n, m, p):
    inputs = [each.requires_grad_() for each in (*_clouds(n, m, 3), *_weights(n, m))]
    theta = _projections(3, 4, 0).requires_grad_()

    def sliced(x, y, a, b, theta):
        return sliced_wasserstein(x, y, a=a, b=b, p=p, directions=theta)

    assert torch.autograd.gradcheck(sliced, (*inputs, theta))
    # One weighted cloud only, and weights that do not require a gradient.
    x, y, a, b = inputs
    for some in ({"a": a}, {"b": b}, {"a": a.detach(), "b": b}):
        names = [name for name, each in some.items() if each.requires_grad]
        assert torch.autograd.gradcheck(
            lambda *each, some=some, names=names: sliced_wasserstein(
                x, y, directions=theta, p=p, **{**some, **dict(zip(names, each, strict=True))}
            ),
            [some[name] for name in names],
        )


def test_equal_weights_are_none():
    x, y = (cloud.requires_grad_() for cloud in _clouds(12, 12, 3))
    ones = torch.full((12,), 3.0)
    for function in (sliced_wasserstein, max_sliced_wasserstein):
        (plain, weighted) = (
            torch.autograd.grad(
                function(x, y, generator=torch.Generator().manual_seed(0), **masses), (x, y)
            )
            for masses in ({}, {"a": ones, "b": ones})
        )
        torch.testing.assert_close(weighted, plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weighted_narrow_dtypes(dtype):
    x, y = _clouds(40, 30, 3)
    a, b = _weights(40, 30)
    a.requires_grad_()
    directions = _projections(3, 10, 0)
    expected = sliced_wasserstein(x, y, a=a, b=b, directions=directions)
    (slope,) = torch.autograd.grad(expected, a)
    narrow = x.to(dtype).requires_grad_()
    value = sliced_wasserstein(narrow, y.to(dtype), a=a, b=b, directions=directions)
    gradients = torch.autograd.grad(value, (narrow, a))
    tolerance = 1e-2 if dtype == torch.float16 else 1e-5
    assert value.dtype == gradients[0].dtype == dtype and gradients[1].dtype == torch.float64
    assert value.item() == pytest.approx(expected.item(), rel=tolerance)
    torch.testing.assert_close(gradients[1], slope, rtol=10 * tolerance, atol=tolerance)


def test_directions_are_handed_back():
    x, y = _clouds(20, 25, 3)
    generator = torch.Generator().manual_seed(3)
    value, drawn = sliced_wasserstein(
        x, y, n_projections=7, generator=generator, return_directions=True
    )
    torch.testing.assert_close(drawn, _projections(3, 7, 3))
    torch.testing.assert_close(sliced_wasserstein(x, y, directions=drawn), value)
    value, best = max_sliced_wasserstein(x, y, generator=generator, return_direction=True)
    assert best.norm().item() == pytest.approx(1)
    torch.testing.assert_close(sliced_wasserstein(x, y, directions=best[None]), value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"directions": torch.ones(2)}, "directions must have shape"),
        ({"directions": torch.ones(2, 2)}, "directions must have shape"),
        ({"directions": torch.zeros(2, 3)}, "directions must be finite and none of them zero"),
        ({"directions": torch.full((2, 3), torch.nan)}, "directions must be finite"),
        ({"directions": torch.ones(2, 3, dtype=torch.int64)}, "floating-point tensor"),
        ({"a": torch.ones(3)}, "a must be a tensor of shape"),
        ({"b": -torch.ones(5)}, "b must be finite, non-negative"),
    ],
)
@pytest.mark.parametrize("function", [sliced_wasserstein, max_sliced_wasserstein])
def test_bad_weights_and_directions(function, change, match):
    with pytest.raises(ValueError, match=match):
        function(*_clouds(4, 5, 3), **change)


def _best_of_the_plane(x, y, p, a=None, b=None):
    """The maximum over a fine grid of directions."""
    angle = torch.linspace(0, torch.pi, 20_001, dtype=torch.float64)
    grid = torch.stack((angle.cos(), angle.sin()), 1)
    options = {"directions": grid, "p": p, "a": a, "b": b, "n_steps": 0}
    return max_sliced_wasserstein(x, y, **options).item()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
def test_max_sliced_gradient_in_the_plane(n, m, seed, p, weighted):
    """By finite differences, most of them at a kink where two orders of the points meet."""
    x, y = _clouds(n, m, 2, seed)
    a, b = _weights(n, m) if weighted else (None, None)
    inputs = [each.requires_grad_() for each in (x, y, a, b) if each is not None]

    def value(*inputs):
        options = dict(zip("ab", inputs[2:], strict=False))
        generator = torch.Generator().manual_seed(0)
        return max_sliced_wasserstein(*inputs[:2], p=p, generator=generator, **options)

    best = _best_of_the_plane(x, y, p, a, b)
    # At a kink it rises above every grid.
    assert best * (1 - 1e-9) <= value(*inputs).item() <= best * (1 + 1e-4)
    slopes = torch.autograd.grad(value(*inputs), inputs)
    for each, slope in zip(inputs, slopes, strict=True):
        move = torch.randn(each.shape, generator=torch.Generator().manual_seed(seed)).double()
        ends = []
        for sign in (1, -1):
            moved = [other + sign * 1e-6 * move if other is each else other for other in inputs]
            ends.append(value(*moved).item())
        found = (ends[0] - ends[1]) / 2e-6
        assert (slope * move).sum().item() == pytest.approx(found, rel=1e-4, abs=1e-5)


def test_max_sliced_gradient_at_a_known_kink():
    """Two points on an axis each: along ``(cos t, sin t)`` it is ``(2 |cos t| - |sin t|)^2``.

    At the maximum the projections of y are equal, and either order is optimal. Moving y changes the
    value by an order's plan one way or the other; at equal shares of both, not at all.
    """
    x = torch.tensor([[2.0, 0.0], [-2.0, 0.0]], requires_grad=True)
    y = torch.tensor([[0.0, 1.0], [0.0, -1.0]], requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    value, best = max_sliced_wasserstein(x, y, generator=generator, return_direction=True)
    value.backward()
    assert value.item() == pytest.approx(4) and abs(best[0].item()) == pytest.approx(1)
    torch.testing.assert_close(x.grad, x.detach())
    torch.testing.assert_close(y.grad, torch.zeros(2, 2), rtol=0, atol=1e-6)
