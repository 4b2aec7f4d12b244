"""Terms on q(k|x) from the clustering literature, and the radius within which it is smooth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from skotae.columns import Units
from skotae.utils._blocks import scattered
from skotae.utils._threads import threads_for

N_NEIGHBOURS = 10
# Rows whose neighbours are looked for, among all; and rows that are looked at at once.
N_QUERIES, CHUNK = 512, 8192
# Length of the random step after which the slope is taken, in radii and relative to sqrt(p): its
# part along any one direction is about 1 / sqrt(p) of it. It is one radius at the least.
FIRST_STEP = 0.25


def mutual_information(log_share: Tensor, balance: float) -> Tensor:
    r"""Minus that of row and component, with a weight on how equal the shares are.

    .. math:: \frac1n \sum_i H(q(\cdot|x_i)) - \beta\, H\Big(\frac1n \sum_i q(\cdot|x_i)\Big)

    Parameters
    ----------
    log_share : Tensor of shape (n, K)
        Logarithms of q(k|x).
    balance : float
        The weight :math:`\beta`; minus the mutual information where it is 1.

    References
    ----------
    Hu, Miyato, Tokui, Matsumoto and Sugiyama (2017), Learning discrete representations via
    information maximizing self-augmented training, eq. 7 to 9.
    """
    of_rows = -(log_share.exp() * log_share).sum(1).mean()
    log_mean = log_share.logsumexp(0) - np.log(len(log_share))
    return of_rows + balance * (log_mean.exp() * log_mean).sum()


def adversarial_change(
    classify: Callable[[Tensor], Tensor],
    x: Tensor,
    log_share: Tensor,
    radius: float,
    generator: torch.Generator,
) -> Tensor:
    r"""How much the shares change on the way in the worst direction, as far as `radius`.

    .. math:: \frac1n \sum_i \mathrm{KL}\big(q(\cdot|x_i) \,\|\, q(\cdot|x_i + r_i)\big)

    with :math:`q(\cdot|x_i)` held fixed and :math:`|r_i|` the radius. The direction is that of
    the slope at a random point: one power iteration. The point is farther from the row than the
    radius, :math:`\sqrt p / 4` times from 16 columns on, since in many columns a random step
    hardly goes along any of the directions in which the shares change.

    Parameters
    ----------
    classify : callable
        From rows to logits.
    x : Tensor of shape (n, p)
    log_share : Tensor of shape (n, K)
        Logarithms of the shares of `x`.
    radius : float
    generator : torch.Generator

    References
    ----------
    Miyato, Maeda, Koyama and Ishii (2018), Virtual adversarial training, IEEE TPAMI,
    Algorithm 1.
    """
    log_share = log_share.detach()
    share = log_share.exp()

    def moved(step: Tensor) -> Tensor:
        return classify(x + step).log_softmax(1)

    with torch.enable_grad():
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        first = max(1.0, FIRST_STEP * x.shape[1] ** 0.5) * radius
        step = (first * normalize(noise)).requires_grad_()
        # That of the change, of which the rest is constant.
        (slope,) = torch.autograd.grad(-(share * moved(step)).sum(), step)
    # Of slopes near the least that floats can hold the square is 0.
    slope = slope / slope.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    change = share * (log_share - moved(radius * normalize(slope)))
    return change.sum() / len(x)


def distance_to_neighbours(X: np.ndarray, units: Units, n_neighbours: int = N_NEIGHBOURS) -> float:
    """Median distance to the 10th nearest of all other rows, for at most 512 of the rows.

    In standardised units. The other rows are never copied as a whole.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    units : Units
    n_neighbours : int
        Which neighbour; the last, where there are fewer rows.
    """
    k = min(n_neighbours, len(X) - 1) + 1

    def standardised(rows: np.ndarray) -> Tensor:
        rows = units.standardised(rows.astype(np.float64, order="C"))
        return torch.from_numpy(rows.astype(np.float32))

    queries = standardised(X[scattered(len(X), -(-len(X) // N_QUERIES))])
    nearest = queries.new_empty(len(queries), 0)
    for start in range(0, len(X), CHUNK):
        some = standardised(X[start : start + CHUNK])
        with threads_for(2.0 * queries.numel() * len(some)):
            gaps = torch.cdist(queries, some)
        nearest = torch.cat([nearest, gaps], dim=1)
        nearest = nearest.topk(min(k, nearest.shape[1]), largest=False).values
    return float(nearest[:, -1].median())
