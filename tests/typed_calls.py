"""What type checkers know of results whose kind an argument decides; read by mypy, never called."""

from typing import assert_type

from torch import Tensor

from skotae import transport
from skotae.transport import SinkhornInfo


def information(x: Tensor, y: Tensor, cost: Tensor, flag: bool) -> None:
    """Costs, with and without how their solves ended."""
    assert_type(transport.sinkhorn_cost(cost), Tensor)
    assert_type(transport.sinkhorn_cost(cost, return_info=True), tuple[Tensor, SinkhornInfo])
    either = transport.sinkhorn_cost(cost, epsilon=0.1, return_info=flag)
    assert_type(either, Tensor | tuple[Tensor, SinkhornInfo])

    assert_type(transport.unbalanced_sinkhorn_divergence(x, y, rho=(1.0, 2.0)), Tensor)
    value, info = transport.unbalanced_sinkhorn_divergence(x, y, return_info=True)
    assert_type(value, Tensor)
    assert_type(info.n_iter, int)
    either = transport.unbalanced_sinkhorn_divergence(x, y, return_info=flag)
    assert_type(either, Tensor | tuple[Tensor, SinkhornInfo])
    assert_type(transport.unbalanced_sinkhorn_cost(cost), Tensor)
    _, info = transport.unbalanced_sinkhorn_cost(cost, return_info=True)
    assert_type(info, SinkhornInfo)


def plans(x: Tensor, y: Tensor, cost: Tensor, flag: bool) -> None:
    """Plans, with and without potentials."""
    assert_type(transport.exact_plan(x, y), Tensor)
    assert_type(transport.exact_plan(cost=cost), Tensor)
    with_potentials = transport.exact_plan(cost=cost, return_potentials=True)
    assert_type(with_potentials, tuple[Tensor, Tensor, Tensor])
    either = transport.exact_plan(x, y, return_potentials=flag)
    assert_type(either, Tensor | tuple[Tensor, Tensor, Tensor])


def directions(x: Tensor, y: Tensor, theta: Tensor, flag: bool) -> None:
    """Sliced distances, with and without directions."""
    assert_type(transport.sliced_wasserstein(x, y, directions=theta), Tensor)
    drawn = transport.sliced_wasserstein(x, y, return_directions=True)
    assert_type(drawn, tuple[Tensor, Tensor])
    assert_type(transport.max_sliced_wasserstein(x, y), Tensor)
    best = transport.max_sliced_wasserstein(x, y, return_direction=True)
    assert_type(best, tuple[Tensor, Tensor])
    either = transport.max_sliced_wasserstein(x, y, return_direction=flag)
    assert_type(either, Tensor | tuple[Tensor, Tensor])
