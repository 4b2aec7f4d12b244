"""The bound behind ``score``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skotae.transport import exact_cost


def triangle_bound(
    X: np.ndarray,
    reconstructions: np.ndarray,
    samples: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    random_state: Any = None,
) -> float:
    r"""Estimate of an upper bound on the Wasserstein distance between data and model.

    .. math::
        \sqrt{\mathbb E |x - \tilde x|^2}
        + \sqrt{\max(0, W_2^2(\tilde P_X, P_G))}
        \;\ge\; W_2(P_X, P_G),

    by the triangle inequality. :math:`W_2^2` is estimated from samples by exact transport
    with independent debiasing, so that it is 0 on average where reconstructions and
    samples have one distribution.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    reconstructions : ndarray of shape (n, n_features)
        Of the rows of X.
    samples : ndarray of shape (m, n_features)
        Draws from the model; `m` reconstructions are compared with them.
    sample_weight : ndarray of shape (n,), optional
        Weights of the rows.
    random_state : int, RandomState instance or None, default=None
        Chooses the reconstructions, if there are more than `m`, and the halves.

    Returns
    -------
    bound : float
        In the units of X.

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
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    kept = np.flatnonzero(weight > 0)
    if len(kept) == 0:
        raise ValueError("sample_weight is zero for every row; expected a positive weight.")
    X, reconstructions, weight = X[kept], reconstructions[kept], weight[kept]
    # In units of the spread, so that squares stay within range for data of any scale.
    centre = X.mean(axis=0, dtype=np.float64)
    unit = max(np.abs(part - centre).max() for part in (X, reconstructions, samples)) or 1.0
    X, reconstructions, samples = (
        (part.astype(np.float64) - centre) / unit for part in (X, reconstructions, samples)
    )
    square = np.square(X - reconstructions).sum(axis=1)
    error = np.sqrt(np.average(square, weights=weight))
    chosen = rng.permutation(len(X))[: len(samples)]
    gap = _independent_cost(reconstructions[chosen], weight[chosen], samples)
    # np.maximum keeps a NaN, that max() would turn into a perfect 0.
    return float(unit * (error + np.sqrt(np.maximum(0.0, gap))))


def _independent_cost(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> float:
    """Exact squared cost between two clouds, debiased by halves; x may be one point."""
    uniform = np.ptp(weight) == 0
    xs = [(x[i::2], weight[i::2]) for i in range(min(2, len(x)))]
    ys = [(y[i::2], None) for i in range(min(2, len(y)))]

    def cost(p, q):  # type: ignore[no-untyped-def]
        tensors = [
            None if w is None or uniform else torch.from_numpy(w / w.sum()) for w in (p[1], q[1])
        ]
        clouds = torch.from_numpy(p[0]), torch.from_numpy(q[0])
        return float(exact_cost(*clouds, a=tensors[0], b=tensors[1]))

    across = np.mean([cost(p, q) for p in xs for q in ys])
    return float(across - 0.5 * cost(xs[0], xs[-1]) - 0.5 * cost(ys[0], ys[-1]))
