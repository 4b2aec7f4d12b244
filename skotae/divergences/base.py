"""What a divergence is: one method, from two clouds to a number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skotae.transport import debias_independent, debias_paired
from skotae.utils._torch import read_only


class BaseDivergence(BaseEstimator):
    """A divergence between codes and draws from the prior.

    A new divergence writes `__call__`. One that learns (a discriminator) or that wants
    the prior itself rather than draws from it also writes `build`.

    Attributes
    ----------
    prior_required : tuple of str
        Methods that the prior must have.
    prior_gradient : bool
        Whether the gradient flows into the prior draws as well, so that a prior can learn.
    adversary : bool
        Whether what `build` returns is a module that learns, by ``adversary_loss(z, prior_draws)``.
    usual_weight : float
        What ``lam="auto"`` of :class:`~skotae.WAEEstimator` stands for.
    enough_rows : int or None
        Number of rows of a mini-batch that a penalty is taken of at the most, where more are
        hardly less noisy and cost time; None if there is no such number.
    """

    prior_required: tuple[str, ...] = ()
    usual_weight = 0.5
    enough_rows: int | None = None
    prior_gradient = False
    adversary = False

    @abstractmethod
    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Divergence between two clouds.

        Parameters
        ----------
        z : Tensor of shape (n, d)
            Codes; the gradient flows into them.
        prior_draws : Tensor of shape (m, d)
            Draws from the prior.
        generator : torch.Generator, optional
            Source of randomness, for divergences that use some.
        weights : Tensor of shape (n,), optional
            Weights of the codes, at least 0 and summing to 1; equal by default.

        Returns
        -------
        divergence : scalar Tensor
        """

    def build(self, prior: Any, n_components: int) -> Callable[..., Tensor]:
        """What a training run calls: the divergence itself, or a module that learns."""
        return self


def divergence_of(
    divergence: Callable[..., Tensor],
    z: Tensor,
    prior_draws: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    """The penalty of codes: what a divergence gives, as one number with a gradient.

    Raises
    ------
    ValueError
        If it gives anything else, or writes into codes or draws.
    """
    value: Any = read_only(divergence, "penalty", z, prior_draws, generator=generator)
    if not isinstance(value, Tensor) or value.shape != () or not value.is_floating_point():
        is_tensor = isinstance(value, Tensor)
        got = f"{value.dtype} of shape {tuple(value.shape)}" if is_tensor else type(value).__name__
        raise ValueError(
            f"penalty={divergence!r} returned {got}; expected one number, a tensor of "
            f"{z.dtype} of shape ()."
        )
    if torch.is_grad_enabled() and z.requires_grad and not value.requires_grad:
        raise ValueError(
            f"penalty={divergence!r} has no gradient for codes, which it would leave where they "
            "are; expected torch operations, without detach(), item() or NumPy on the way."
        )
    return value


def refuse_weights(divergence: BaseDivergence, weights: Tensor | None) -> None:
    """Raise a ValueError if weights are given to a divergence of unweighted clouds.

    Parameters
    ----------
    divergence : BaseDivergence
        What was called.
    weights : Tensor or None
        What it was called with.

    Examples
    --------
    >>> from skotae.base import refuse_weights
    >>> from skotae.divergences import SlicedDivergence
    >>> refuse_weights(SlicedDivergence(), None)
    """
    if weights is not None:
        raise ValueError(
            f"{divergence!r} takes no weights; expected a divergence of weighted clouds, such as "
            "MMD()."
        )


def debiased(
    cost: Callable[[Tensor, Tensor], Tensor], z: Tensor, prior_draws: Tensor, debias: str
) -> Tensor:
    """`cost` between two clouds after the correction that `debias` names."""
    if debias == "independent":
        return debias_independent(cost, z, prior_draws)
    if debias == "paired":
        return debias_paired(cost, z, prior_draws)
    if debias == "none":
        return cost(z, prior_draws)
    raise ValueError(f"debias={debias!r}; expected 'independent', 'paired' or 'none'.")
