"""Debiasing of any optimal-transport cost estimated from samples."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from skotae.transport.base import DEBIASING, check_clouds, parts

Cost = Callable[[Tensor, Tensor], Tensor]


def debias_paired(ot: Cost, x: Tensor, y: Tensor) -> Tensor:
    r"""Debias a transport cost by the clouds' costs to themselves.

    .. math:: W(x, y) - \tfrac12 \bigl(W(x, x) + W(y, y)\bigr)

    For an exact cost the self terms are zero and nothing changes.

    Parameters
    ----------
    ot : callable
        Function of two clouds that returns a scalar tensor.
    x, y : Tensor of shape (n, d) and (m, d)

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    ValueError
        If `x` or `y` is not a cloud, or their features differ.

    References
    ----------
    .. [1] Genevay, Peyre and Cuturi (2018), Learning generative models with Sinkhorn divergences,
       eq. 3.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import debias_paired, exact_cost
    >>> x = torch.tensor([[0.0], [1.0]])
    >>> debias_paired(exact_cost, x, x + 2.0)
    tensor(4.)
    """
    return _debias("paired", ot, x, y)


def debias_independent(ot: Cost, x: Tensor, y: Tensor) -> Tensor:
    r"""Debias a transport cost by the costs between independent halves of each cloud.

    .. math::
        \tfrac14 \bigl[W(x, y) + W(x, y') + W(x', y) + W(x', y')\bigr]
        - \tfrac12 W(x, x') - \tfrac12 W(y, y')

    with x, x' the first and the second half of one cloud and y, y' of the other. Every term carries
    the bias of finite samples, so that it cancels where the distributions are equal; the value may
    be negative. A single point is its own second half.

    Parameters
    ----------
    ot : callable
        Function of two clouds that returns a scalar tensor.
    x, y : Tensor of shape (n, d) and (m, d)
        The rows of each must be in random order.

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    ValueError
        If `x` or `y` is not a cloud, or their features differ.

    References
    ----------
    .. [1] Salimans et al. (2018), Improving GANs using optimal transport, eq. 5.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import debias_independent, exact_cost
    >>> x = torch.tensor([[0.0], [1.0]])
    >>> debias_independent(exact_cost, x, x + 2.0)
    tensor(3.5000)
    """
    return _debias("independent", ot, x, y)


def _debias(mode: str, ot: Cost, x: Tensor, y: Tensor) -> Tensor:
    check_clouds(x, y)
    rows = parts(mode, len(x), len(y))
    clouds = {name: (x if name[0] == "x" else y)[rows[name]] for name in rows}
    value = x.new_zeros(())
    for left, right, weight in DEBIASING[mode]:
        value = value + weight * ot(clouds[left], clouds[right])
    return value
