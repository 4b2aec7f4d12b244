"""The last layer of a decoder, solved for when the training has come to its end."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.inference import Inference, joined
from skotae.autoencoders.bases.modules import Decoder
from skotae.costs import SquaredEuclideanCost
from skotae.costs.base import BaseCost, CostModule, row_square
from skotae.networks import LinearPath
from skotae.networks.base import is_fixed
from skotae.utils._blocks import scattered
from skotae.utils._torch import is_out_of_memory
from skotae.utils.base import overrides, shortened

# Rows that are looked at, at most.
MAX_ROWS = 8192
# Eigenvectors of more units than this take longer than many a fit.
MANY_UNITS = 1024
# Weights of the change that are tried, relative to the largest eigenvalue of the units' scatter.
RIDGES = np.logspace(-8.0, 2.0, 21)
# How much a degree of freedom counts. With 1 too little is asked of changes to units that were
# trained on the same rows; 1.4 is what Kim and Gu found to do well, for any number of rows.
INFLATION = 1.4
# Of the median squared residual: what the square of a row counts for at most.
MOST = 4.0


class Sums(NamedTuple):
    """Of n weighted rows: scatter of units (q, q), with residuals (q, p), means, squares."""

    n: int
    units: np.ndarray
    both: np.ndarray
    unit_mean: np.ndarray
    residual_mean: np.ndarray
    square: float

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], q: int, weights: np.ndarray) -> Sums:
        """Those of blocks of rows, values of q units, then residuals; weights (n,) of all rows."""
        start, total, products, square = 0, torch.zeros(()), torch.zeros(()), 0.0
        for block in blocks:
            rows = torch.from_numpy(block).double()
            weight = torch.from_numpy(weights[start : start + len(rows)])
            weighed = weight[:, None] * rows
            start += len(rows)
            total = total + weighed.sum(0)
            products = products + rows[:, :q].T @ weighed
            square += float((weighed[:, q:] * rows[:, q:]).sum())
        mass = weights.sum()
        mean = total.numpy() / mass
        with np.errstate(invalid="ignore"):
            scatter = products.numpy() - mass * np.outer(mean[:q], mean)
        square -= mass * float(mean[q:] @ mean[q:])
        return cls(start, scatter[:, :q], scatter[:, q:], mean[:q], mean[q:], square)


def change_of(sums: Sums) -> tuple[np.ndarray, np.ndarray] | None:
    r"""Change of weights (p, q) and biases (p,) that takes most of the residuals away.

    .. math:: \min_{D, c} \sum_i w_i |r_i - D h_i - c|^2 + \mu |D|^2

    with the :math:`\mu`, of some, whose generalised cross-validation is least,

    .. math::
        V(\mu) = \frac{\sum_i w_i |r_i - D h_i - c|^2}{(1 - 1.4\, \mathrm{tr} A(\mu) / n)^2},

    A the hat matrix; None, if it is least for no change at all.

    References
    ----------
    .. [1] Golub, Heath and Wahba (1979), Generalized cross-validation as a method for choosing a
       good ridge parameter, Technometrics.
    .. [2] Kim and Gu (2004), Smoothing spline Gaussian regression: more scalable computation via
       efficient approximation, JRSSB.
    """
    if not np.isfinite(sums.units).all() or not np.isfinite(sums.both).all():
        return None
    values, vectors = np.linalg.eigh(sums.units)
    values = values.clip(0.0)
    along = vectors.T @ sums.both
    explained = np.square(along).sum(1)
    ridge, least = None, sums.square
    for candidate in RIDGES * values[-1]:
        if candidate == 0:
            break
        left = sums.square - float((values + 2 * candidate) / (values + candidate) ** 2 @ explained)
        room = 1.0 - INFLATION * (float((values / (values + candidate)).sum()) + 1.0) / sums.n
        if room > 0 and max(left, 0.0) / room**2 < least:
            ridge, least = candidate, max(left, 0.0) / room**2
    if ridge is None:
        return None
    weight = (vectors @ (along / (values + ridge)[:, None])).T
    return weight, sums.residual_mean - weight @ sums.unit_mean


def change_of_rows(
    blocks: Iterator[np.ndarray], q: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What `change_of` gives for blocks of rows, values of q units, then residuals.

    Of many units, more than there are rows, only directions that rows have are looked at: a
    change along the others would do nothing, so that there is none.
    """
    n = len(weights)
    if q <= max(n, MANY_UNITS):
        return change_of(Sums.of(blocks, q, weights))
    rows = joined(blocks, n).astype(np.float64)
    if not np.isfinite(rows).all():
        return None
    directions, units = np.linalg.qr(rows[:, :q].T)
    change = change_of(Sums.of([np.hstack([units.T, rows[:, q:]])], n, weights))
    return None if change is None else (change[0] @ directions.T, change[1])


def capped_weights(squares: np.ndarray) -> np.ndarray:
    """Weights (n,) with which no squared residual counts for more than some times the median.

    The few rows of a heavy tail would else be all that is looked at.
    """
    most = MOST * np.median(squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(squares > most, most / squares, 1.0)


def is_squared(cost: BaseCost) -> bool:
    """Whether a cost is the squared error of the rows, which a subclass may have made another."""
    known = isinstance(cost, SquaredEuclideanCost)
    return known and not overrides(cost, SquaredEuclideanCost, "__call__")


def is_used_once(layer: nn.Module, model: nn.Module) -> bool:
    """Whether nothing else in a model has weights of a layer, and it is there in one place."""
    everywhere = Counter(
        weight.data_ptr() for _, weight in model.named_parameters(remove_duplicate=False)
    )
    return all(everywhere[weight.data_ptr()] == 1 for weight in layer.parameters())


def solve_last_layer(inference: Inference, X: np.ndarray, seed: int) -> None:
    """Change the dense layer that a decoder ends in as `change_of` says, where it can be known.

    That is where units of a network that is a function of each row alone go into it, it is used
    nowhere else, and the cost is the squared error of what comes out. Codes count as units where
    the decoder has a linear path from them.

    Parameters
    ----------
    inference : Inference
        With the model that is changed.
    X : ndarray of shape (n, p)
        In the units of the data. Some of the rows stand for all, where there are many.
    seed : int
        Of what codes draw.

    Warns
    -----
    UserWarning
        If there is not enough memory for it: what was trained is worth more.
    """
    try:
        found = _solution(inference, X, seed)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        warnings.warn(
            "There is not enough memory to solve for the last layer of the decoder "
            f"({shortened(str(error), 200)}): it stays as it was trained. Set refit_decoder=False, "
            "or have a decoder with fewer units before its last layer.",
            UserWarning,
            # Of the call of fit, for most estimators.
            stacklevel=12,
        )
        return
    if found is None:
        return
    last, path, weight, bias = found
    with torch.no_grad():
        last.weight.add_(weight[:, : last.in_features])
        last.bias.add_(bias)
    if path is not None:
        path.add(weight[:, last.in_features :])


def _solution(
    inference: Inference, X: np.ndarray, seed: int
) -> tuple[nn.Linear, LinearPath | None, Tensor, Tensor] | None:
    """A last layer, the path beside it, and what is to be added to their weights and biases."""
    model = inference.model
    decoder, codes = model.decoder, model.codes_for_decoder
    if type(decoder) is not Decoder:
        return None
    net, path = decoder.net, None
    if isinstance(net, LinearPath):
        path, net = net if net.has_begun and net.gain.requires_grad else None, net.net
    cost = decoder.cost
    squared = type(cost) is CostModule and is_squared(cost.spec)
    if not (squared and isinstance(net, nn.Sequential) and len(net) and is_fixed(net)):
        return None
    units, last = net[:-1], net[-1]
    if type(last) is not nn.Linear or last.bias is None:
        return None
    if not all(parameter.requires_grad for parameter in last.parameters()):
        return None
    if not is_used_once(last, model):
        # Units, or codes, would change with it.
        return None

    some = X[scattered(len(X), -(-len(X) // MAX_ROWS))]

    def of_each(function: Callable[[Tensor, Tensor], Tensor]) -> Iterator[np.ndarray]:
        """Of rows and codes, by blocks, the same codes each time."""
        generator = inference.generator(seed)
        return inference.blocks(lambda x: function(x, codes(x, generator)), some)

    def parts(x: Tensor, z: Tensor) -> Tensor:
        inputs = [units(z)] if path is None else [units(z), z]
        return torch.cat([*inputs, x - decoder(z)], 1)

    squares = joined(of_each(lambda x, z: row_square(x, decoder(z))), len(some))
    weights = capped_weights(squares.astype(np.float64))
    q = last.in_features
    width = q if path is None else q + path.weight.shape[1]
    change = change_of_rows(of_each(parts), width, weights)
    if change is None:
        return None
    weight, bias = (torch.from_numpy(part).to(last.weight) for part in change)
    if not (weight.isfinite().all() and bias.isfinite().all()):
        # Units may be so small that weights of them are beyond the range.
        return None
    return last, path, weight, bias
