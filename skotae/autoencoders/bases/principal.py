"""Principal components of the training rows, that encoders and decoders start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from skotae.columns import Units
from skotae.utils._blocks import scattered

# Of the rows that the components are found from: their number, and how many numbers they hold.
MAX_ROWS, MAX_NUMBERS = 8192, 2**22
# A direction with a smaller share of the largest deviation is not told from rounding.
LEAST_DEVIATION = 1e-5
# Widths of a code's coordinates, as shares of their root mean square, are not below this.
LEAST_WIDTH = 0.1
# Of the ridge regression from codes to rows, relative to the variance of a code.
RIDGE = 1e-4


@dataclass(frozen=True)
class PrincipalMap:
    r"""Rows to uncorrelated codes of unit variance: :math:`z = W x + b`.

    Attributes
    ----------
    weight : Tensor of shape (d, n_features), float32
    bias : Tensor of shape (d,), float32
    widths : ndarray of shape (d,)
        Deviations of the rows along the components, relative to their root mean square.
    unexplained : float
        Share of the rows' variance that is not along the components.
    noise : Tensor of shape (d,), float32
        Deviations of noise in the codes whose cost, the same in each, is in all what the
        components leave; infinite where they leave nothing but rounding.
    """

    weight: Tensor
    bias: Tensor
    widths: np.ndarray
    unexplained: float
    noise: Tensor

    def widened(self, widths: Tensor, free: bool = False) -> PrincipalMap:
        """To codes of other deviations (d,), which may be off by anything if they are `free`."""
        noise = torch.full_like(widths, torch.inf) if free else widths * self.noise
        weight, bias = widths[:, None] * self.weight, widths * self.bias
        return replace(self, weight=weight, bias=bias, noise=noise)


@dataclass
class FirstRows:
    """Rows that a new fit is begun with, and their principal components, once they are asked for.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        All rows, in the units of the data.
    units : Units
        What they are standardised by.
    seed : int
    d : int
        Number of components.
    """

    X: np.ndarray
    units: Units
    seed: int
    d: int

    @cached_property
    def rows(self) -> np.ndarray:
        """Some rows, in the units of the networks, in float64."""
        return self.units.standardised(some_rows(self.X).astype(np.float64, order="C"))

    @cached_property
    def principal(self) -> PrincipalMap | None:
        return principal_map(self.rows, self.d, self.seed)

    @property
    def widths(self) -> np.ndarray:
        """Of a code's coordinates; 1 where the rows are all the same."""
        return np.ones(self.d) if self.principal is None else self.principal.widths

    @property
    def unexplained(self) -> float:
        """Share of the variance that is not along the components."""
        return 1.0 if self.principal is None else self.principal.unexplained


def some_rows(X: np.ndarray) -> np.ndarray:
    """Rows from all over X, few enough to find components from."""
    most = max(2, min(MAX_ROWS, MAX_NUMBERS // X.shape[1]))
    return X[scattered(len(X), -(-len(X) // most))]


def principal_map(X: np.ndarray, d: int, seed: int) -> PrincipalMap | None:
    """The first d components of standardised rows; None if the rows are all the same.

    Where the rows have fewer components than that, the other codes are random combinations
    of these.
    """
    mean = X.mean(axis=0)
    components, deviation = principal_components(X - mean, d)
    there = deviation > LEAST_DEVIATION * deviation.max(initial=0.0)
    if not there.any():
        return None
    total = X.var(axis=0).sum()
    unexplained = 1.0 - np.square(deviation).sum() / total
    axes, deviation = components[there] / deviation[there, None], deviation[there]
    missing = d - len(axes)
    if missing:
        mixed = np.random.RandomState(seed % 2**32).normal(size=(missing, len(axes)))
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        axes = np.concatenate([axes, mixed @ axes])
        deviation = np.concatenate([deviation, np.full(missing, deviation[-1])])
    keeps_all = unexplained <= LEAST_DEVIATION**2
    noise = np.inf if keeps_all else np.sqrt(unexplained * total / d)
    widths = np.maximum(deviation / np.sqrt(np.mean(deviation**2)), LEAST_WIDTH)
    return PrincipalMap(
        torch.tensor(axes, dtype=torch.float32),
        torch.tensor(-axes @ mean, dtype=torch.float32),
        widths / np.sqrt(np.mean(widths**2)),
        float(max(unexplained, 0.0)),
        torch.tensor(noise / deviation, dtype=torch.float32),
    )


def principal_components(X: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Components (k, n_features), k <= d, of centred rows, and the deviations along them.

    From the eigenvectors of the smaller of the two products of X with itself.
    """
    n, p = X.shape
    square = X.T @ X if p <= n else X @ X.T
    first = len(square) - min(d, n, p)
    value, vector = eigh(square, subset_by_index=(first, len(square) - 1))
    value, vector = value[::-1], vector[:, ::-1]
    size = np.sqrt(np.maximum(value, 0.0))
    components = vector.T if p <= n else (X.T @ vector / np.where(size > 0, size, 1.0)).T
    largest = np.abs(components).argmax(axis=1)
    sign = np.sign(components[np.arange(len(components)), largest])
    return components * np.where(sign == 0, 1.0, sign)[:, None], size / np.sqrt(n)


def ridge_regression(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (k, d) and bias (k,) of the linear map from codes (n, d) to outputs (n, k)."""
    z, y = z.double(), y.double()
    z_mean, y_mean = z.mean(0), y.mean(0)
    centred = z - z_mean
    covariance = centred.T @ centred / len(z)
    ridge = RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
    covariance.diagonal().add_(ridge)
    weight = torch.linalg.solve(covariance, centred.T @ (y - y_mean) / len(z)).T
    return weight.float(), (y_mean - weight @ z_mean).float()
