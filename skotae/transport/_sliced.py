"""Sliced Wasserstein distances: sorting along directions."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from skotae.transport.base import warn_if_infinite
from skotae.transport.linear.slices import (
    SlicedFunction,
    check_slices,
    random_directions,
    unit_directions,
)
from skotae.utils.base import as_real, as_whole


@overload
def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_projections: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_directions: Literal[False] = ...,
) -> Tensor: ...


@overload
def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_projections: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_directions: Literal[True],
) -> tuple[Tensor, Tensor]: ...


@overload
def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_projections: int = ...,
    p: float = ...,
    generator: torch.Generator | None = ...,
    directions: Tensor | None = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    return_directions: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...


def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    n_projections: int = 50,
    p: float = 2,
    generator: torch.Generator | None = None,
    directions: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    return_directions: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Sliced Wasserstein distance, to the power `p`, of two clouds.

    .. math::
        \mathrm{SW}_p^p = \frac1L \sum_{l=1}^L W_p^p\bigl(\langle\theta_l, x\rangle,
        \langle\theta_l, y\rangle\bigr), \qquad \theta_l \text{ uniform on the sphere}

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds of one dtype; sizes may differ.
    n_projections : int, default=50
        Number of directions L.
    p : float, default=2
        At least 1.
    generator : torch.Generator, optional
        Source of the directions.
    directions : Tensor of shape (L, d), optional
        Directions in place of random ones, each divided by its length; `n_projections` and
        `generator` then do not count. Differentiable.
    a, b : Tensor of shape (n,) and (m,), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable.
    return_directions : bool, default=False
        Also return the directions.

    Returns
    -------
    value : Tensor of shape ()
        In the dtype of `x`; differentiable once.
    directions : Tensor of shape (L, d)
        Only if `return_directions`: those of the value, without gradient.

    Raises
    ------
    ValueError
        If a shape, dtype or option is invalid.

    Warns
    -----
    RuntimeWarning
        If the value is beyond the range of its dtype (on the CPU); it is then infinite.

    References
    ----------
    .. [1] Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters of measures, eq. 7.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import sliced_wasserstein
    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> sliced_wasserstein(x, x.flip(0) + 3.0)
    tensor(9.)

    Two values of the same directions, the second one weighted:

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> _, directions = sliced_wasserstein(x, x + 1.0, return_directions=True)
    >>> a = torch.tensor([0.0, 1.0])
    >>> value = sliced_wasserstein(x, x + 1.0, directions=directions, a=a)
    >>> directions.shape, value.shape
    (torch.Size([50, 2]), torch.Size([]))
    """
    check_slices(x, y, a, b)
    n_projections, p = as_whole("n_projections", n_projections), as_real("p", p, least=1)
    if directions is None:
        theta = random_directions(n_projections, x, generator)
    else:
        theta = unit_directions(directions, x)
    value = SlicedFunction.apply(x, y, theta, a, b, p, None)
    warn_if_infinite(value, "x and y")
    return (value, theta.detach()) if return_directions else value
