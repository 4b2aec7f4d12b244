"""What a prior is: one method, that draws codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skotae.utils._random import make_generator
from skotae.utils._torch import read_only, tensor_of
from skotae.utils.base import as_real, brief, stale

# Of draws beside the support that they are on, in units of the largest: their rounding.
SLACK = 1e-3

# Draws that tell what a prior is like, where it does not say.
N_DRAWS = 4096


class BasePrior(BaseEstimator):
    """A distribution of codes.

    A new prior writes `sample`. One whose support is not the whole space also says so in
    `support`, and writes `head`, the last layer of an encoder, that takes any vector there.

    Two further methods are optional. A prior that has no closed form for one of them does
    not have the method, and what needs it tests with ``hasattr``:

    - ``log_prob(z)``: logarithm of the density of codes of shape (..., d), of shape (...);
    - ``moments(d)``: mean of shape (d,) and covariance of shape (d, d), in float64.

    A subclass of a prior whose `sample` draws from another distribution writes those that its base
    has, too.

    Attributes
    ----------
    min_components : int
        Smallest dimension d of the codes that the prior makes sense in.
    support : str
        Where codes lie: ``"space"``, ``"cube"``, ``"sphere"``, ``"simplex"``, ``"atoms"`` or
        a word of one's own.
    """

    min_components = 1
    support = "space"

    @abstractmethod
    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw codes.

        Parameters
        ----------
        n : int
            Number of codes.
        d : int
            Dimension of a code.
        generator : torch.Generator, default=None
            Source of randomness; torch's global generator is used only for None.
        dtype : torch.dtype, default=torch.float32
            Of the result.

        Returns
        -------
        z : Tensor of shape (n, d)
            On the device of `generator`.
        """

    def check_dimension(self, d: int) -> None:
        """Check that the prior, with its parameters, lives in dimension `d`.

        Raises
        ------
        ValueError
            If it does not.
        """
        if d < self.min_components:
            raise ValueError(
                f"n_components={d} is too small for {type(self).__name__}; expected "
                f"{self.min_components} or more."
            )

    def build(self, d: int) -> Any:
        """What a training run draws from: the prior itself, or a module that learns.

        A module has the methods of a prior; the gradient of the draws reaches its
        parameters.
        """
        return self

    def head(self, d: int) -> nn.Module:
        """Module that takes vectors of shape (..., d) onto the support of the prior."""
        return nn.Identity()

    def interpolate(self, z1: Tensor, z2: Tensor, t: float | Tensor) -> Tensor:
        """Point on the path from `z1` to `z2`.

        Parameters
        ----------
        z1, z2 : Tensor of shape (..., d)
            Ends of the path.
        t : float or Tensor
            Position, 0 at `z1` and 1 at `z2`; a tensor broadcasts with the codes, as (n, 1) does.

        Returns
        -------
        z : Tensor of shape (..., d)
        """
        return (1 - t) * z1 + t * z2


@torch.no_grad()
def check_draws(prior: Any, d: int) -> None:
    """Check that a prior, or what it has built, draws codes as it is asked to.

    Raises
    ------
    ValueError
        If draws have another shape or dtype, or come from elsewhere than the generator; if there
        are moments of another shape.
    """
    n = d + 3
    z, again = (prior.sample(n, d, make_generator(0), dtype=torch.float32) for _ in range(2))
    wanted = f"expected a tensor of torch.float32 of shape ({n}, {d})"
    asked = f"prior={prior!r} was asked for {n} codes of n_components={d} in torch.float32, and"
    if not isinstance(z, Tensor):
        raise ValueError(f"{asked} returned {type(z).__name__}; {wanted}.")
    if z.shape != (n, d) or z.dtype != torch.float32:
        raise ValueError(f"{asked} returned {z.dtype} of shape {tuple(z.shape)}; {wanted}.")
    # Of numbers that are none the training tells, which knows what parameters are to blame.
    if not torch.equal(z.nan_to_num(), again.nan_to_num()):
        raise ValueError(
            f"prior={prior!r} draws other codes from the same generator, so that no random_state "
            "could repeat a fit; expected draws that all come from `generator`."
        )
    if hasattr(prior, "moments"):
        mean, covariance = prior.moments(d)
        shapes = tuple(mean.shape), tuple(covariance.shape)
        if shapes != ((d,), (d, d)):
            raise ValueError(
                f"prior={prior!r} has moments of shapes {shapes[0]} and {shapes[1]}; expected a "
                f"mean of shape ({d},) and a covariance of shape ({d}, {d})."
            )
    if stale(prior, "support", "sample") and stale(prior, "head", "sample"):
        _check_support(prior, z)


def _check_support(prior: Any, z: Tensor) -> None:
    """Check that draws of a prior lie where the `head` that it inherits takes codes."""
    head, far = prior.head(z.shape[1]), torch.full((1, z.shape[1]), 1e6)
    slack = SLACK * z.abs().amax()
    if prior.support == "sphere":
        within = (head(z) - z).abs() <= slack
    elif prior.support == "simplex":
        within = (z >= -slack) & ((z.sum(1, keepdim=True) - 1).abs() <= slack)
    elif prior.support == "cube":
        within = (z >= head(-far) - slack) & (z <= head(far) + slack)
    else:
        return
    if bool(z.isfinite().all()) and not bool(within.all()):
        raise ValueError(
            f"prior={prior!r} has a sample() of its own, whose draws are not on the "
            f"{prior.support} that support={prior.support!r} and head(), which it inherits, tell "
            "of; expected a class with these of its own, or a subclass of BasePrior."
        )


def fixed_draws(prior: Any, d: int) -> Tensor:
    """`N_DRAWS` codes (n, d) of a prior, the same at each call."""
    return prior.sample(N_DRAWS, d, make_generator(0))


def log_density(prior: Any, z: Tensor) -> Tensor:
    """Logarithm of the density of a prior at each code, in the dtype of the codes.

    Raises
    ------
    ValueError
        If it is anything else than a number for each code, or the prior writes into the codes.
    """
    value: Any = read_only(prior.log_prob, "prior", z, of=prior)
    if not isinstance(value, Tensor) or value.shape != z.shape[:-1]:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"prior={prior!r} has a log_prob() that returned {got} for codes of shape "
            f"{tuple(z.shape)}; expected one number per code, shape {tuple(z.shape[:-1])}."
        )
    return value.to(z.dtype)


def path(prior: Any, z1: Tensor, z2: Tensor, places: Iterable[float]) -> Tensor:
    """Points (n, places, d) of the paths of a prior, which must not write into their ends."""
    points = [
        read_only(lambda a, b, t=t: prior.interpolate(a, b, t), "prior", z1, z2, of=prior)
        for t in places
    ]
    return torch.stack(points, dim=1)


def device_of(generator: torch.Generator | None) -> torch.device:
    """Device on which `generator` draws."""
    return torch.device("cpu") if generator is None else generator.device


def draw_child_seed(generator: torch.Generator | None) -> int:
    """A seed for another source of randomness, drawn from `generator`."""
    seed = torch.randint(2**31 - 1, (1,), generator=generator, device=device_of(generator))
    return int(seed)


def positive(prior: BasePrior, name: str) -> float:
    """A parameter of a prior that has to be one finite number above 0."""
    return as_real(name, getattr(prior, name), above=0, of=type(prior).__name__)


def check_weights(prior: BasePrior, weights: Any, k: int) -> Tensor:
    """Weights of k parts, in float64 and with sum 1; None stands for equal weights."""
    if weights is None:
        return torch.full((k,), 1.0 / k, dtype=torch.float64)
    w = tensor_of(np.asarray(weights, dtype=np.float64))
    if w.shape != (k,) or not bool(w.isfinite().all()) or bool((w < 0).any()) or not w.sum() > 0:
        raise ValueError(
            f"weights={brief(weights)} of {type(prior).__name__}; expected {k} numbers of 0 or "
            "more that do not sum to 0."
        )
    return w / w.sum()


def draw_index(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n draws of 0 ... k - 1 with weights (k,), on the device of `generator`."""
    device = device_of(generator)
    ends = (weights.cumsum(0) / weights.sum()).to(device, torch.float32)
    u = torch.rand(n, generator=generator, device=device, dtype=torch.float32) * ends[-1]
    # On the right: no draw falls on a weight of 0, and none beyond the last that is another.
    return torch.minimum(torch.searchsorted(ends, u, right=True), ends.argmax())


def check_points(prior: BasePrior, name: str, d: int | None = None) -> Tensor:
    """A parameter that holds points, as a float64 tensor of shape (k, d).

    Raises
    ------
    ValueError
        If the parameter is no such array, or if its points are not of dimension `d`.
    """
    points = np.asarray(getattr(prior, name), dtype=np.float64)
    if points.ndim != 2 or 0 in points.shape or not np.isfinite(points).all():
        raise ValueError(
            f"{name} of {type(prior).__name__} has shape {points.shape}; expected finite numbers "
            "in an array of shape (n_points, n_components)."
        )
    if d is not None and points.shape[1] != d:
        raise ValueError(
            f"n_components={d}, but {name} of {type(prior).__name__} holds points of dimension "
            f"{points.shape[1]}; expected n_components={points.shape[1]}."
        )
    return torch.from_numpy(points.copy())


def weighted_moments(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of points (k, d) with weights (k,) that sum to 1."""
    mean = weights @ points
    centred = points - mean
    return mean, (weights[:, None] * centred).T @ centred
