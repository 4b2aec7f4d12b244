"""What a cost is: one method, from data and decoded rows to a number for each row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from skotae.utils._random import make_generator
from skotae.utils._torch import read_only
from skotae.utils.base import brief, call_own, plain, stale

BLOCK_ELEMENTS = 2**24
# Numbers that stay in the cache.
CACHED = 2**17


class BaseCost(BaseEstimator):
    r"""A cost between data and reconstructions, summed over features.

    A new cost writes `__call__`. One that learns parameters, or whose decoder ends in
    something other than the identity, also writes `build`; one whose decoder gives more than a
    row, `n_outputs`. A subclass of another cost with a `__call__` of its own inherits what
    `standardise`, `by_column` and `degree` say, and has to say otherwise where that no longer
    holds. It is no `likelihood` unless it says so itself, and `pairwise`, and where it is no
    likelihood `unit` and `in_data_units`, are again those of any cost, unless it writes them.

    Attributes
    ----------
    standardise : bool
        Whether the data may be shifted, and scaled by one number, before the cost sees
        them.
    by_column : bool
        Whether each column may be scaled by a number of its own: the cost is then that of
        columns in units of their spread. Not for a cost to which columns have one unit.
    degree : float or None
        p, if ``cost(s x, s y) == s**p cost(x, y)``; None otherwise.
    likelihood : bool
        Whether the cost is :math:`-\log p(x | y)` for a density, or probability, of x.
    """

    standardise = False
    by_column = False
    degree: float | None = None
    likelihood = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if stale(cls, "pairwise", "__call__"):
            # A matrix product, say, that knows nothing of the formula that is new.
            cls.pairwise = BaseCost.pairwise  # type: ignore[method-assign]
        if cls.likelihood and stale(cls, "likelihood", "__call__"):
            # That numbers of another formula are of a density is for those to say who wrote it.
            cls.likelihood = False
            for name in ("unit", "in_data_units"):
                if stale(cls, name, "__call__"):
                    setattr(cls, name, getattr(BaseCost, name))

    @abstractmethod
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Cost of each row.

        Parameters
        ----------
        x : Tensor of shape (..., n_features)
            Data.
        y : Tensor of shape (..., n_features)
            Decoded rows, in data space; shapes broadcast.

        Returns
        -------
        cost : Tensor of shape (...)
        """

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Cost of every row of x, (n, n_features), with every row of y, (m, n_features)."""
        block = max(1, BLOCK_ELEMENTS // max(1, y.numel()))
        parts = (part[:, None, :] for part in x.split(block))
        return torch.cat([cost_of_rows(self, part, y[None]) for part in parts])

    def n_outputs(self, n_features: int) -> int:
        """Width of the decoder network's output for rows of `n_features`."""
        return n_features

    def check_data(self, X: np.ndarray) -> None:
        """Raise a ValueError if the cost is not defined for X."""

    def unit(self, X: np.ndarray, mean: np.ndarray) -> float:
        """Mean cost of the constant reconstruction `mean`; 1 where that is not positive."""
        x, y = (torch.from_numpy(np.asarray(part, np.float64, order="C")) for part in (X, mean))
        # Some rows at a time, which stay in the cache.
        with torch.no_grad():
            parts = x.split(max(1, CACHED // X.shape[1]))
            value = float(torch.cat([cost_of_rows(self, part, y) for part in parts]).mean())
        return value if np.isfinite(value) and value > 0 else 1.0

    def in_data_units(
        self, cost: np.ndarray, n_features: int, scale: float | np.ndarray
    ) -> np.ndarray:
        """Cost of rows, from the cost of the same rows divided by `scale`.

        Columns with a scale of their own have no unit in common: the cost remains that of
        the divided rows, unless it is a log-density.
        """
        if self.degree is None or isinstance(scale, np.ndarray):
            return cost
        # In two steps: the square of a scale may be out of the range where the cost is not.
        half = scale ** (self.degree / 2)
        return cost * half * half

    def build(
        self,
        n_features: int,
        scale: float | np.ndarray = 1.0,
        mean: np.ndarray | float | None = None,
    ) -> CostModule:
        """The module that a decoder is trained with, on rows less `mean` divided by `scale`."""
        return CostModule(self)


class CostModule(nn.Module):
    """A cost as part of a decoder: the decoder's last layer, and parameters if it has any.

    Parameters
    ----------
    spec : BaseCost
        The cost it was built from.

    Attributes
    ----------
    can_draw : bool
        Whether the cost is a likelihood that `draw` draws from.
    sets_scale : bool
        Whether it has a standard deviation, ``scale``, that ``set_scale`` fixes.
    """

    can_draw = False
    sets_scale = False

    def __init__(self, spec: BaseCost):
        super().__init__()
        self.spec = spec

    def decode(self, raw: Tensor) -> Tensor:
        """From the raw outputs of a network to data space."""
        return raw

    def raw_of(self, x: Tensor) -> Tensor | None:
        """Raw outputs that `decode` takes near rows of data space; None where it is not known."""
        return x if type(self).decode is CostModule.decode else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Cost of each row of data space."""
        return cost_of_rows(self.spec, x, y)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Cost of all pairs of rows of data space."""
        return self.spec.pairwise(x, y)

    def from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        """Cost of each row, from the raw outputs of a network."""
        return self(x, self.decode(raw))

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Rows drawn from the likelihood around rows of data space, where `can_draw` is True."""
        raise ValueError(f"{self.spec!r} is no likelihood to draw from.")

    def draw_from_raw(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Rows drawn from the likelihood, from the raw outputs of a network."""
        return self.draw(self.decode(raw), generator)

    def pairwise_from_raw(self, x: Tensor, raw: Tensor) -> Tensor:
        """Cost of all pairs of rows, from the raw outputs of a network."""
        return self.pairwise(x, self.decode(raw))


class CallableCost(BaseCost):
    """A user's own cost function.

    Parameters
    ----------
    func : callable
        ``func(x, y)`` with tensors of shape (..., n_features) that broadcast, returning
        one cost per row; importable, if the estimator is to be pickled.

    Examples
    --------
    >>> import torch
    >>> from skotae.costs import CallableCost
    >>> cost = CallableCost(lambda x, y: (x - y).abs().amax(-1))
    >>> cost(torch.zeros(2, 3), torch.ones(3)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, func: Callable[[Tensor, Tensor], Tensor]):
        self.func = func

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        named, given = f"cost={brief(self.func)}", "two tensors of rows"
        cost = call_own(named, self.func, x, y, given=given, expected="a function func(x, y)")
        return _one_for_each_row(self.func, cost, x, y)


def cost_of_rows(cost: BaseCost, x: Tensor, y: Tensor) -> Tensor:
    """Cost of each row, in the dtype of the rows.

    Raises
    ------
    ValueError
        If the cost is anything else than a number for each row, or writes into the rows.
    """
    return _one_for_each_row(cost, read_only(cost, "cost", x, y), x, y)


def check_inherited(cost: BaseCost, n_features: int) -> None:
    """Check what a cost with a formula of its own inherits of the one before it.

    Raises
    ------
    ValueError
        If `standardise` or `degree` do not hold for the formula.
    """
    generator = make_generator(0)
    x, y = (torch.randn(8, n_features, generator=generator).double() for _ in range(2))
    changes = {
        "standardise": (cost.standardise, lambda rows: rows + 1.0, 1.0),
        "degree": (cost.degree is not None, lambda rows: 2.0 * rows, 2.0 ** (cost.degree or 0.0)),
    }
    for name, (is_said, change, factor) in changes.items():
        if not is_said or not stale(cost, name, "__call__"):
            continue
        with torch.no_grad():
            before, after = cost_of_rows(cost, x, y), cost_of_rows(cost, change(x), change(y))
        if not torch.allclose(after, factor * before, rtol=1e-3, atol=1e-6):
            raise ValueError(
                f"cost={cost!r} has a __call__() of its own, for which {name}="
                f"{getattr(cost, name)}, which it inherits, does not hold; expected a class with a "
                f"{name} of its own."
            )


def _one_for_each_row(cost: Any, value: Any, x: Tensor, y: Tensor) -> Tensor:
    same = x.shape == y.shape
    expected = x.shape[:-1] if same else np.broadcast_shapes(x.shape, y.shape)[:-1]
    if not isinstance(value, Tensor) or value.shape != expected:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"cost={cost!r} returned {got} for rows of shape {tuple(x.shape)} and "
            f"{tuple(y.shape)}; expected one cost per row, shape {tuple(expected)}."
        )
    dtype = torch.promote_types(x.dtype, y.dtype)
    if value.dtype == dtype or not dtype.is_floating_point:
        return value
    if not value.is_floating_point():
        raise ValueError(
            f"cost={cost!r} returned {value.dtype}, which has no gradient; expected {dtype}."
        )
    return value.to(dtype)


class OutsideError(ValueError):
    """A value that a cost is not defined for, in a column that may have a name.

    Parameters
    ----------
    expected : str
        What was expected, by whom.
    value : float
        What was found.
    row, column : int
        Where.
    """

    def __init__(self, expected: str, value: float, row: int, column: int):
        super().__init__(expected, value, row, column)
        self.expected, self.value, self.row, self.column = expected, value, row, column

    def __str__(self) -> str:
        return self.told()

    def told(self, names: Any = None, rows: Any = None) -> str:
        """The message, with names of the columns and numbers of the rows where there are any."""
        column = self.column if names is None else brief(plain(names[self.column]))
        row = self.row if rows is None else rows[self.row]
        return (
            f"{self.expected}; got {self.value} in column {column} of X (row {row}). Scale X, or "
            "choose another cost."
        )


def check_within(X: np.ndarray, low: float, high: float, who: str) -> None:
    """Raise an OutsideError, in the name of the cost, at a value outside of [low, high]."""
    if X.min() >= low and X.max() <= high:
        return
    # Column by column: nothing as large as X is made for the sake of a message.
    outside = (X.min(axis=0) < low) | (X.max(axis=0) > high)
    if outside.any():
        column = int(np.flatnonzero(outside)[0])
        values = X[:, column]
        row = int(np.flatnonzero((values < low) | (values > high))[0])
        expected = f"{who} expects values in [{low:g}, {high:g}]"
        raise OutsideError(expected, X[row, column], row, column)


def row_square(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of each row of x from that of y; shapes (..., n_features) broadcast."""
    if not (x.is_floating_point() and y.is_floating_point()):
        return (x - y).square().sum(-1)
    # The squares in one pass, and their slopes in one.
    x, y = torch.broadcast_tensors(x, y)
    return mse_loss(x, y, reduction="none").sum(-1)


def pairwise_square(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all pairs by one matrix product, about the mean of y."""
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    square = x.square().sum(1)[:, None] + y.square().sum(1)
    return torch.addmm(square, x, y.T, alpha=-2.0).clamp_min(0.0)
