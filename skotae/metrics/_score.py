"""One number for an autoencoder: what its reconstructions and its samples explain of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skotae.columns import rows_at_once
from skotae.metrics.base import check_pair, check_rows, check_weight
from skotae.transport import exact_cost
from skotae.utils._blocks import LazyRows

# Exact transport takes time that grows with nearly the third power of the number of rows.
MAX_ROWS = 2048
# Samples cost nothing: where rows are few, several sets of samples are compared with them. For
# 540 rows (digits) three sets halve what the score varies with the draws, for 54 (wine) 32 do.
ROWS_OF_SETS, MAX_SETS = 2048, 32
FLOATS = ("float64", "float32")


def n_samples_for(n: int) -> int:
    """Number of samples that :func:`transport_r2_score` makes use of, for `n` rows."""
    size = min(n, MAX_ROWS)
    return size * int(np.clip(ROWS_OF_SETS // size, 1, MAX_SETS))


def transport_r2_score(
    X: Any,
    X_reconstructed: Any,
    samples: Any,
    *,
    sample_weight: Any = None,
    random_state: Any = None,
) -> float:
    r"""Share of the variance of the data that an autoencoder and its samples explain.

    .. math::
        R^2 = 1 - \frac{\mathbb E |x - \tilde x|^2 + \max(0, W_2^2(\tilde P_X, P_G))}
        {\mathbb E |x - \mathbb E x|^2}

    The first term of the numerator is the squared error of the reconstructions
    :math:`\tilde x`; without the second, this is the :math:`R^2` of regression, over all columns.
    The second is the squared 2-Wasserstein distance between the distribution
    :math:`\tilde P_X` of reconstructions and that of samples. It is estimated by exact transport
    with independent debiasing, so that it is 0 on average where the two agree.

    1 is perfect; 0 is what the constant that is the mean of X gets, as reconstruction and as
    sample, in any units and any number of columns; there is no lower limit. Where reconstructions
    are conditional means :math:`\mathbb E[x | \tilde x]`, as those of the best decoder for squared
    errors are, the numerator is an upper bound on :math:`W_2^2(P_X, P_G)`: match rows with samples
    as their reconstructions are matched, and the two errors are uncorrelated. In general
    the bound is that of :func:`triangle_bound`, whose square is up to twice as large.

    Parameters
    ----------
    X : array-like of shape (n, n_features)
        Data, by custom held out.
    X_reconstructed : array-like of shape (n, n_features)
        Its reconstructions, row by row.
    samples : array-like of shape (m, n_features)
        Draws from the model, in any order. They are compared with `m` reconstructions at
        most, and in sets of n: with few rows, more samples than rows make the value more
        accurate. Of both at most 2,048 rows are made use of.
    sample_weight : array-like of shape (n,), optional
        Non-negative weights of the rows; equal by default.
    random_state : int, RandomState instance or None, default=None
        Chooses the reconstructions and samples that are compared, and the halves.

    Returns
    -------
    score : float
        At most 1. Of constant data, 1.0 if reconstructions and samples are equal to them and 0.0
        if not, as :func:`sklearn.metrics.r2_score` has it. NaN if the model is not finite.

    Raises
    ------
    ValueError
        If shapes differ, X is not finite, or weights are negative or all zero.

    See Also
    --------
    baselines : This and other measures of PCA and of the constant.
    triangle_bound : A bound on the distance, in the units of the data.

    Notes
    -----
    The zero is the mean of the rows that are scored, as in `r2_score`, and not that of the
    training data: it is a property of X alone, the same for every model.

    Squares are summed over columns: those of large variance count most, as in PCA. Where columns
    have different units, scale them first.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, Theorem 2.1 (of the two terms).
    .. [2] Salimans et al. (2018), Improving GANs using optimal transport, ICLR, eq. 5.

    Examples
    --------
    Principal components, with a Gaussian on their codes:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skotae.metrics import transport_r2_score
    >>> X, _ = load_iris(return_X_y=True)
    >>> pca = PCA(2, whiten=True).fit(X)
    >>> drawn = np.random.default_rng(0).normal(size=(1000, 2))
    >>> samples = pca.inverse_transform(drawn)
    >>> reconstructed = pca.inverse_transform(pca.transform(X))
    >>> round(transport_r2_score(X, reconstructed, samples, random_state=0), 1)
    0.9
    >>> constant = np.tile(X.mean(axis=0), (150, 1))
    >>> abs(transport_r2_score(X, constant, constant, random_state=0)) < 1e-9
    True
    """
    X, reconstructed, samples, weight = _checked(
        X, (X_reconstructed, "X_reconstructed"), samples, sample_weight
    )
    return r2_by_blocks(X, blocks_of(reconstructed), samples, weight, random_state)


@np.errstate(over="ignore")
def r2_by_blocks(
    X: np.ndarray | LazyRows,
    reconstructed: Iterable[np.ndarray],
    samples: np.ndarray,
    weight: np.ndarray | None,
    random_state: Any,
) -> float:
    """The `transport_r2_score` of rows that are seen a block at a time.

    Parameters
    ----------
    X : ndarray or LazyRows of shape (n, n_features)
        It is only sliced.
    reconstructed : iterable of ndarray
        Of the rows in their order, some at a time.
    samples : ndarray of shape (m, n_features)
    weight : ndarray of shape (n,) or None
        All positive.
    random_state : int, RandomState instance or None
    """
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
    centre, unit = origin(X)
    error = total = 0.0
    # Twice over the rows: of the second pass the mean is that of the weights, and exact.
    shares = weight / weight.sum()
    mean, start = np.zeros(X.shape[1]), 0
    for part in blocks_of(X):
        mean += shares[start : start + len(part)] @ ((part - centre) / unit)
        start += len(part)
    rng = check_random_state(random_state)
    chosen = rng.permutation(len(X))[: min(len(samples), MAX_ROWS)]
    rows, is_finite, start = np.empty((len(chosen), X.shape[1])), True, 0
    for part in reconstructed:
        stop = start + len(part)
        is_finite = is_finite and bool(np.isfinite(part).all())
        x, r = ((each - centre) / unit for each in (X[start:stop], part))
        here = np.flatnonzero((start <= chosen) & (chosen < stop))
        rows[here] = r[chosen[here] - start]
        r -= x
        error += shares[start:stop] @ np.square(r, out=r).sum(axis=1)
        x -= mean
        total += shares[start:stop] @ np.square(x, out=x).sum(axis=1)
        start = stop
    if np.isposinf(error) and is_finite:
        # Out of range, and nothing that samples could add to.
        return explained(np.finfo(np.float64).max, total)
    drawn = (samples - centre) / unit
    loss = error + np.maximum(0.0, debiased_gap(rows, weight[chosen], drawn, rng))
    if is_finite and not np.isfinite(loss) and np.isfinite(samples).all():
        loss = np.finfo(np.float64).max
    return explained(loss, total)


def explained(loss: float, total: float) -> float:
    """1 - loss / total, with the convention of `r2_score` where there is nothing to explain."""
    if total == 0:
        return float("nan") if np.isnan(loss) else float(loss == 0)
    score = float(1.0 - loss / total)
    # Within the range: a total near the least number makes any loss look endless.
    return max(score, -float(np.finfo(np.float64).max)) if np.isfinite(loss) else score


def debiased_gap(
    x: np.ndarray, weight: np.ndarray, y: np.ndarray, rng: np.random.RandomState
) -> float:
    """Exact squared cost between two samples, debiased by halves; a sample may be one point.

    With more rows in y than in x it is the mean over sets of as many.
    """
    size = min(len(x), len(y))
    n_sets = min(n_samples_for(size), len(y)) // size
    if size > 16 and size % 2:
        size -= 1  # halves of equal size are matched, which is faster than transport
    x, weight = x[:size], weight[:size]
    y = y[rng.permutation(len(y))[: size * n_sets]]
    halves = _halves(x, weight)
    own = 0.5 * _cost(halves[0], halves[-1])
    gaps = []
    for part in np.split(y, n_sets):
        others = _halves(part, np.ones(size))
        across = np.mean([_cost(p, q) for p in halves for q in others])
        gaps.append(across - own - 0.5 * _cost(others[0], others[-1]))
    return float(np.mean(gaps))


def constant_gap(x: np.ndarray) -> float:
    """The same between rows and the constant that is their mean; it needs no samples."""
    size = len(x) - (len(x) > 16 and len(x) % 2)
    halves = _halves(x[:size], np.ones(size))
    spread = np.square(x - x.mean(axis=0)).sum(axis=1).mean()
    return float(spread - 0.5 * _cost(halves[0], halves[-1]))


def triangle_bound(
    X: Any,
    reconstructions: Any,
    samples: Any,
    *,
    sample_weight: Any = None,
    random_state: Any = None,
) -> float:
    r"""Estimate of an upper bound on the Wasserstein distance between data and model.

    .. math::
        \sqrt{\mathbb E |x - \tilde x|^2}
        + \sqrt{\max(0, W_2^2(\tilde P_X, P_G))}
        \;\ge\; W_2(P_X, P_G),

    by the triangle inequality. :math:`W_2^2` is estimated from samples by exact transport
    with independent debiasing, so that it is 0 on average where reconstructions and
    samples have one distribution. The bound is loose where data are noisy, and there the
    constant may have a smaller one than any model: to choose among models use
    :func:`transport_r2_score`.

    Parameters
    ----------
    X : array-like of shape (n, n_features)
    reconstructions : array-like of shape (n, n_features)
        Of the rows of X.
    samples : array-like of shape (m, n_features)
        Draws from the model; `m` reconstructions are compared with them.
    sample_weight : array-like of shape (n,), optional
        Weights of the rows.
    random_state : int, RandomState instance or None, default=None
        Chooses the reconstructions, if there are more than `m`, and the halves.

    Returns
    -------
    bound : float
        In the units of X.

    Raises
    ------
    ValueError
        If shapes do not fit each other, X is not finite, or `sample_weight` is zero for every row.

    References
    ----------
    Patrini et al. (2019), Sinkhorn autoencoders, UAI, Theorem 2.1, part ii of its proof.

    Examples
    --------
    >>> import numpy as np
    >>> from skotae.metrics import triangle_bound
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> round(triangle_bound(X, X + 3, X + 4, random_state=0), 1)
    5.6
    """
    rng = check_random_state(random_state)
    X, reconstructions, samples, weight = _checked(
        X, (reconstructions, "reconstructions"), samples, sample_weight
    )
    # In units of the spread, so that squares stay within range for data of any scale.
    centre = X.mean(axis=0, dtype=np.float64)
    unit = max(np.abs(part - centre).max() for part in (X, reconstructions, samples)) or 1.0
    X, reconstructions, samples = (
        (part.astype(np.float64) - centre) / unit for part in (X, reconstructions, samples)
    )
    square = np.square(X - reconstructions).sum(axis=1)
    error = np.sqrt(np.average(square, weights=weight))
    chosen = rng.permutation(len(X))[: len(samples)]
    gap = debiased_gap(reconstructions[chosen], weight[chosen], samples, rng)
    # np.maximum keeps a NaN, that max() would turn into a perfect 0.
    return float(unit * (error + np.sqrt(np.maximum(0.0, gap))))


def _checked(
    X: Any, reconstructions: tuple[Any, str], samples: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows that have weight, their reconstructions, under a name, the samples and the weights."""
    options: dict[str, Any] = {"dtype": FLOATS}
    X = check_rows(X, "X", **options)
    options["ensure_all_finite"] = False  # of a model that has gone astray
    given, name = reconstructions
    X, reconstructed = check_pair(X, given, ("X", name), **options)
    X, samples = check_pair(X, samples, ("X", "samples"), **options)
    if len(X) != len(reconstructed):
        raise ValueError(
            f"X has {len(X)} rows and {name} has {len(reconstructed)}; expected as many, "
            "row by row."
        )
    weight = check_weight(sample_weight, X, "sample_weight")
    if weight is None:
        return X, reconstructed, samples, np.ones(len(X))
    kept = rows_with_weight(weight)
    return X[kept], reconstructed[kept], samples, weight[kept]


def rows_with_weight(weight: np.ndarray) -> np.ndarray:
    """Which rows these are, for weights of which none is negative; a ValueError if none is."""
    kept = np.flatnonzero(weight)
    if len(kept) == 0:
        raise ValueError("sample_weight is zero for every row; expected a positive weight.")
    return kept


@np.errstate(over="ignore")
def origin(X: np.ndarray | LazyRows) -> tuple[np.ndarray, float]:
    """A centre and the largest deviation from it: in these units squares stay within range."""
    first = X[:1][0]
    total, low, high = np.zeros(X.shape[1]), first, first
    for part in blocks_of(X):
        total += part.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
    # The sum may be beyond the range, and the mean of equal numbers may not be that number.
    centre = np.where(np.isfinite(total), total / len(X), low / 2 + high / 2)
    centre = np.where(low == high, first, centre)
    # Rounding is monotone: no row deviates further than the ends of its column.
    unit = float(max(np.abs(low - centre).max(), np.abs(high - centre).max()))
    return centre, unit or float(np.abs(centre).max()) or 1.0


def blocks_of(X: np.ndarray | LazyRows) -> Iterator[np.ndarray]:
    """Some thousand rows at a time, or fewer where they are wide."""
    size = rows_at_once(X.shape[1])
    for start in range(0, len(X), size):
        yield X[start : start + size]


Weighted = tuple[torch.Tensor, torch.Tensor | None]


def _halves(x: np.ndarray, weight: np.ndarray) -> list[Weighted]:
    """Points and weights; those that are all equal are none, which is faster."""
    halves = ((x[i::2], weight[i::2]) for i in range(min(2, len(x))))
    return [
        (torch.from_numpy(u), None if np.ptp(w) == 0 else torch.from_numpy(w / w.sum()))
        for u, w in halves
    ]


def _cost(p: Weighted, q: Weighted) -> float:
    """Exact squared cost."""
    return float(exact_cost(p[0], q[0], a=p[1], b=q[1]))
