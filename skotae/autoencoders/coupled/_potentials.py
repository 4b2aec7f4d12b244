"""Potentials and posterior of the coupled variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Spread of a random isometry over that of the rows. The transport makes a small map grow along the
# directions in which the rows are spread; one of full size would have to turn to them.
SMALL = 0.3
# Iterations of a solution that starts at the temperature of the costs and ends at 1.
N_LEVELS = 20


class DualNetworks(nn.Module):
    """The dual potentials as networks, in units of epsilon."""

    def __init__(self, u_net: nn.Module, v_net: nn.Module | None = None):
        super().__init__()
        self.u_net = u_net
        self.v_net = v_net

    def u(self, x: Tensor, epsilon: float) -> Tensor:
        """Potential of rows."""
        return epsilon * self.u_net(x)[:, 0]

    def v(self, z: Tensor, epsilon: float) -> Tensor:
        """Potential of codes; only in the full dual."""
        assert self.v_net is not None
        return epsilon * self.v_net(z)[:, 0]


@dataclass(frozen=True)
class Way:
    """How potentials of a mini-batch are found from those before, and how far they go there.

    Attributes
    ----------
    n_steps : int
        Number of Sinkhorn iterations.
    n_halving : int or None
        Number of moves in which stored potentials go half of the way; after t moves they go
        that over t of half the way, and so come to rest. None is always half.
    most : float or None
        The way, over epsilon, that is looked at, at the most. A constant is free: the typical
        row then stays where it is, else the mean.
    damping : float
        What potentials of draws are multiplied by: below 1 where their marginal is relaxed.
    rate : float or None
        Of gradient ascent on the semi-dual, in the place of iterations, all of whose way is gone:
        what a row that no draw reaches climbs in a step.
    """

    n_steps: int
    n_halving: int | None = None
    most: float | None = None
    damping: float = 1.0
    rate: float | None = None

    @property
    def catches_up(self) -> bool:
        """Whether potentials that are left behind go all of the way."""
        return self.most is None and self.rate is None

    def solved(self, start: Tensor, log_kernel: Tensor, log_b: Tensor) -> Tensor:
        """Return the end of the way, potentials (n,) over epsilon."""
        log_n, f = math.log(len(log_kernel)), start
        for _ in range(self.n_steps):
            g = -self.damping * (f[:, None] + log_kernel - log_n).logsumexp(0)
            mass = (g + log_b + log_kernel).logsumexp(1)
            f = -mass if self.rate is None else f + self.rate * (1.0 - (f + mass).exp())
        return self._levelled(f, start)

    def solved_anew(self, start: Tensor, log_kernel: Tensor, log_b: Tensor) -> Tensor:
        """Return the same end, found from none; of `start` it keeps the level alone."""
        return self._levelled(annealed(log_kernel, log_b, self.damping), start)

    def _levelled(self, f: Tensor, start: Tensor) -> Tensor:
        if self.damping != 1.0:
            return f
        return f - (f.mean() - start.mean() if self.most is None else (f - start).median())

    def point(self, start: Tensor, end: Tensor, n_moves: int) -> Tensor:
        """Return the point of the way at which the last of so many moves ends."""
        if self.most is not None:
            end = torch.minimum(torch.maximum(end, start - self.most), start + self.most)
        if self.rate is not None:
            return end
        share = 0.5 if self.n_halving is None else 0.5 * min(1.0, self.n_halving / n_moves)
        return torch.lerp(start, end, share)


class DualTable(nn.Module):
    """One potential for each training row, moved towards mini-batch solutions.

    A plan that follows each mini-batch alone would inherit its sampling noise: how many
    rows of a mode it happens to hold. The average over mini-batches does not. The table is
    there while a fit goes on.
    """

    values: Tensor | None
    _behind: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget the rows of a fit."""
        self.register_buffer("values", None)
        self._n_moves = 0
        # Whether mini-batches are solved anew; and, on the device, whether any move of the epoch
        # was beyond sampling.
        self._anneals, self._behind = False, None

    def get_extra_state(self) -> dict[str, Any]:
        behind = self._behind is not None and bool(self._behind)
        return {"n_moves": self._n_moves, "anneals": self._anneals, "behind": behind}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # Checkpoints of the first versions have the first alone.
        self._n_moves, self._anneals = state["n_moves"], state.get("anneals", False)
        self._behind = torch.tensor(state.get("behind", False))

    def move(
        self,
        log_kernel: Tensor,
        log_b: Tensor,
        rows: Tensor | None,
        n_rows: int,
        way: Way,
        *,
        unit: float | Tensor,
        first: bool = False,
    ) -> Tensor:
        """Solve from the stored potentials of a mini-batch; store a point of the way.

        All of it where the rows' masses under that point would be off by more than sampling makes
        them; for an epoch after that, such mini-batches are solved anew.

        Parameters
        ----------
        log_kernel : Tensor of shape (n, m)
            Minus cost over epsilon.
        log_b : Tensor of shape (m,)
            Logarithms of the weights of the draws.
        rows : Tensor of shape (n,) or None
            Row numbers; None solves for new rows and stores nothing.
        n_rows : int
            Number of training rows.
        way : Way
        unit : float or scalar Tensor
            What stored potentials are multiplied by.
        first : bool
            Whether it is the first mini-batch of an epoch.

        Returns
        -------
        u : Tensor of shape (n,)
            Potentials over epsilon.
        """
        if rows is None:
            return way.solved(log_kernel.new_zeros(len(log_kernel)), log_kernel, log_b)
        if self.values is None:
            self.values = log_kernel.new_zeros(n_rows, dtype=torch.float32)
        rows = rows.to(self.values.device)
        start = self.values[rows] / unit
        end = way.solved(start, log_kernel, log_b)
        self._n_moves += 1
        moved = way.point(start, end, self._n_moves)
        if way.catches_up:
            beyond = beyond_sampling(moved, log_kernel, log_b)
            if self._solves_anew(beyond, first):
                end = way.solved_anew(start, log_kernel, log_b)
            moved = torch.where(beyond, end, moved)
        # A loss that is not finite is rolled back; so must these be.
        moved = torch.where(moved.isfinite(), moved, start)
        self.values[rows] = moved * unit
        return moved

    def _solves_anew(self, beyond: Tensor, first: bool) -> bool:
        """Keep whether a mini-batch is beyond sampling; whether it is to be solved anew.

        Potentials that are behind a decoder send all draws to the same few rows, which it follows,
        so that they are farther behind.
        """
        if first and self._behind is not None:
            self._anneals, self._behind = bool(self._behind), None
        self._behind = beyond if self._behind is None else beyond | self._behind.to(beyond)
        # Another device than the CPU would be waited for: there all are solved.
        return self._anneals and (beyond.device.type != "cpu" or bool(beyond))


def annealed(log_kernel: Tensor, log_b: Tensor, damping: float = 1.0) -> Tensor:
    """Potentials of rows by Sinkhorn iterations at falling temperatures, from none.

    At the last alone, they would rise by one or two in an iteration where costs differ by hundreds.
    """
    log_n = math.log(len(log_kernel))
    first = (2.0 * log_kernel.std(0).mean()).clamp_min(1.0).log()
    f = log_kernel.new_zeros(len(log_kernel))
    for level in range(N_LEVELS):
        t = (first * (1.0 - level / (N_LEVELS - 1))).exp()
        cool = log_kernel / t
        g = -damping * ((f / t)[:, None] + cool - log_n).logsumexp(0)
        f = -t * (g + log_b + cool).logsumexp(1)
    return f


def beyond_sampling(u: Tensor, log_kernel: Tensor, log_b: Tensor) -> Tensor:
    """Whether draws (m,) are shared among rows (n,) less evenly than by sampling alone.

    Where each is of one row, the m of equal weight that fall to n rows at random have a mean
    absolute deviation of a row's mass, over its mean, of at most sqrt(n / m).
    """
    mass = (u[:, None] + log_kernel).softmax(0) @ log_b.exp()
    deviation = (len(u) * mass - 1.0).abs().mean()
    return deviation.square() > len(u) * log_b.exp().square().sum()


def plan_residual(
    x: Tensor, y: Tensor, plan: Tensor, by_feature: bool = False, most: float | None = None
) -> Tensor:
    """Mean square per feature of the differences of rows x and y, coupled by a plan (n, m).

    Of shape (1,), or with `by_feature` that of each. With `most`, those y are left out for which
    it is more than so many times that of the median y.
    """
    if most is not None:
        mass = plan.sum(0).clamp_min(1e-30)
        near = (plan.T @ x.square().sum(1) - 2.0 * ((plan.T @ x) * y).sum(1)) / mass
        square = near + y.square().sum(1)
        plan = plan * (square <= most * square.median())
    plan = plan / plan.sum()
    if by_feature:
        square = plan.sum(1) @ x.square() + plan.sum(0) @ y.square()
        return square - 2.0 * ((plan.T @ x) * y).sum(0)
    total = x.square().sum(1) @ plan.sum(1) + y.square().sum(1) @ plan.sum(0)
    return ((total - 2.0 * ((plan.T @ x) * y).sum()) / x.shape[1])[None]


def log_shares(
    decoder: Any, x: Tensor, code: Tensor, u: Tensor, epsilon: float, damping: float
) -> Tensor:
    """log q(z|x) / p(z) of each row at its code, up to a constant; slopes are those of codes.

    With `damping` 1 it is the log share of the row among the rows that reach its code.
    """
    frozen = {name: weight.detach() for name, weight in decoder.net.named_parameters()}
    raw = torch.func.functional_call(decoder.net, frozen, (code,))
    likely = (u[:, None] - decoder.cost.pairwise_from_raw(x, raw)) / epsilon
    if damping == 1.0:
        return likely.log_softmax(0).diagonal()
    return likely.diagonal() - damping * likely.logsumexp(0)


def marginal_value(v: Tensor, b: Tensor, weight: float | None) -> Tensor:
    r"""What the draws add to the dual value: :math:`\langle b, v \rangle`, or of eq. 14 its
    conjugate :math:`-\varsigma \langle b, e^{-v / \varsigma} - 1 \rangle`.
    """
    return (b * v).sum() if weight is None else -weight * (b * torch.expm1(v / -weight)).sum()


class LinearStart(nn.Module):
    """A linear map from prior draws to where rows are, which a decoder is fitted to first.

    Either a random isometry, but for one scale, or the one to the Gaussian of the first principal
    components: for normal draws and Gaussian rows of as many features that is the optimal
    transport. It is there while a fit starts from it.
    """

    centre: Tensor | None
    scaled: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget the rows of a fit."""
        self.register_buffer("centre", None)
        self.register_buffer("scaled", None)
        self._bounds: list[float] | None = None

    def get_extra_state(self) -> dict[str, Any]:
        return {"bounds": self._bounds}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._bounds = state["bounds"]

    def find_isometry(
        self, X: np.ndarray, n_components: int, bounded: bool, rng: np.random.RandomState
    ) -> None:
        """Random directions, small; `bounded` as in `find_components`."""
        centre, n_features = X.mean(axis=0), X.shape[1]
        normal = rng.normal(size=(n_features, min(n_components, n_features)))
        if n_components < n_features:
            # Nearly all directions of a wide space are such that rows hardly differ in them.
            normal = (X - centre).T @ ((X - centre) @ normal)
        directions = np.linalg.qr(normal)[0].T
        spread = math.sqrt(np.square((X - centre) @ directions.T).mean())
        self._keep(X, centre, SMALL * spread * directions, bounded)

    def find_components(self, X: np.ndarray, n_components: int, bounded: bool) -> None:
        """The components of rows; with `bounded`, no draw is beyond the rows' values."""
        centre = X.mean(axis=0)
        _, sizes, directions = np.linalg.svd(X - centre, full_matrices=False)
        scaled = directions[:n_components] * (sizes[:n_components, None] / math.sqrt(len(X)))
        self._keep(X, centre, scaled, bounded)

    def _keep(self, X: np.ndarray, centre: np.ndarray, scaled: np.ndarray, bounded: bool) -> None:
        self._bounds = [float(X.min()), float(X.max())] if bounded else None
        self.centre, self.scaled = (
            torch.tensor(part, dtype=torch.float32) for part in (centre, scaled)
        )

    def forward(self, z: Tensor) -> Tensor:
        assert self.centre is not None and self.scaled is not None
        unit = (z - z.mean(0)) / z.std(0).clamp_min(1e-6)
        drawn = self.centre + unit[:, : len(self.scaled)] @ self.scaled
        return drawn if self._bounds is None else drawn.clamp(*self._bounds)


def full_dual(
    u: Tensor, v: Tensor, cost: Tensor, log_b: Tensor, epsilon: float, n_rows: int
) -> Tensor:
    """Value of the dual with both potentials, from a mini-batch of the `n_rows` training rows."""
    # With n training rows the plan has at most n times the density of independence. Straight on
    # from there, the value keeps its maximum, and does not overflow far from it.
    ratio = (u[:, None] + v - cost) / epsilon
    likely = ratio.clamp_max(math.log(n_rows))
    mass = ((likely + log_b).exp() * (1.0 + ratio - likely)).mean(0).sum()
    return u.mean() + (log_b.exp() * v).sum() - epsilon * (mass - 1.0)
