"""Soft c-transform, the half step of the semi-dual of entropic optimal transport."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from skotae.transport.base import check_weights, normalised_weights
from skotae.utils._torch import check_readable, check_tensor
from skotae.utils.base import as_real

_BLOCK = 2**24  # elements of the cost that are exponentiated, or asked for, at once


def c_transform(
    u: Tensor,
    cost: Tensor | Callable[[Tensor], Tensor],
    epsilon: float,
    *,
    z: Tensor | None = None,
    a: Tensor | None = None,
) -> Tensor:
    r"""Soft c-transform of a potential, in the log domain.

    .. math::
        u^{c, \varepsilon}(z_j)
        = -\varepsilon \log \sum_{i=1}^n a_i \exp\frac{u_i - C_{ij}}{\varepsilon}

    Parameters
    ----------
    u : Tensor of shape (n,)
        Potential at the data points.
    cost : Tensor of shape (n, m) or callable
        ``C_ij = c(x_i, z_j)``. For clouds too large for the matrix a function, of some k rows of
        `z`, that returns the (n, k) columns of it: blocks of up to 16 million elements, or one
        column, are asked for in turn. None is kept for the gradient, which asks for them again.
    epsilon : float
        Regularisation, in units of the cost.
    z : Tensor of shape (m, ...), optional
        What `cost` is a function of; needed if it is one.
    a : Tensor of shape (n,), optional
        Non-negative weights, divided by their sum; uniform by default. They receive no gradient.

    Returns
    -------
    Tensor of shape (m,)
        In the dtype of the cost; differentiable in `u`, the cost and whatever a function makes it
        from, any number of times.

    Raises
    ------
    ValueError
        If the shapes do not match, `epsilon` is not positive, or a function comes without `z`.

    References
    ----------
    .. [1] Hao and Shafto (2023), Coupled variational autoencoder, the semi-dual, eq. 18.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import c_transform
    >>> c_transform(torch.zeros(2), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), epsilon=0.01)
    tensor([0.0069, 1.0000])

    Without a matrix:

    >>> x, z = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [3.0]])
    >>> c_transform(torch.zeros(2), lambda part: torch.cdist(x, part) ** 2, 0.01, z=z)
    tensor([1.0069, 0.0069])
    """
    epsilon = as_real("epsilon", epsilon, above=0)
    check_tensor(u, "u")
    if u.ndim != 1 or len(u) == 0:
        raise ValueError(f"u must be a non-empty tensor of shape (n,), got {tuple(u.shape)}.")
    columns = max(1, _BLOCK // len(u))
    check_weights("a", a, len(u))
    held = torch.finfo(torch.promote_types(u.dtype, torch.float32))
    if not held.tiny <= epsilon <= held.max:
        raise ValueError(
            f"epsilon must be in the range of {held.dtype}, from {held.tiny:.1e} to "
            f"{held.max:.1e}, got {epsilon}."
        )
    log_a = None if a is None else normalised_weights(a, len(u), u).log()[:, None]

    def transform(block: Tensor) -> Tensor:
        # About their largest, for an epsilon that is small beside all of them.
        gap = u[:, None] - block
        ends = torch.finfo(gap.dtype)
        most = gap.detach().amax(0).clamp(ends.min, ends.max)
        log_weights = -math.log(len(u)) if log_a is None else log_a
        return -most - epsilon * torch.logsumexp((gap - most) / epsilon + log_weights, 0)

    if isinstance(cost, Tensor):
        check_readable(cost, "cost")
        if z is not None:
            raise ValueError("z must be None where cost is a matrix, got a tensor.")
        if cost.ndim != 2 or cost.numel() == 0:
            raise ValueError(f"cost must be a non-empty matrix, got shape {tuple(cost.shape)}.")
        if u.shape != cost.shape[:1]:
            raise ValueError(
                f"u must have shape ({cost.shape[0]},) to match cost, got {tuple(u.shape)}."
            )
        return torch.cat([transform(block) for block in cost.split(columns, dim=1)])

    if not callable(cost):
        raise ValueError(f"cost must be a tensor or a function, got {type(cost).__name__}.")
    if not isinstance(z, Tensor) or z.ndim == 0 or len(z) == 0:
        got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"z must be a tensor of m > 0 rows where cost is a function, got {got}.")

    def transform_part(part: Tensor) -> Tensor:
        block = cost(part)
        if tuple(block.shape) != (len(u), len(part)):
            raise ValueError(
                f"cost must return shape ({len(u)}, {len(part)}) for {len(part)} rows of z, got "
                f"{tuple(block.shape)}."
            )
        return transform(block)

    parts = z.split(columns)
    if not torch.is_grad_enabled():
        return torch.cat([transform_part(part) for part in parts])
    return torch.cat([checkpoint(transform_part, part, use_reentrant=False) for part in parts])
