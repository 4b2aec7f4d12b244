"""Sinkhorn iterations: in the kernel domain with extrapolation, or in the log domain.

One iteration is one pass over the kernel: given column scalings `v`, the rows are made exact by
``u = 1 / K(b v)``, and ``v * K^T(a u)`` tells how far the columns are from being so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skotae.transport.entropic.arrays import (
    Array,
    added,
    as_tensor,
    cast,
    concatenated,
    exp2,
    largest,
    least_mixture,
    log2,
    magnitude,
    namespace,
)
from skotae.transport.entropic.kernel import Kernel

_WINDOW = 5  # plain iterations between two extrapolations
_NEAR = 30.0  # times the tolerance: from there on every iteration may be the last
_SHALLOW = 64.0  # bits of mean exponent that plain iterations handle from a cold start
_STEPS = 4  # iterations at each level of epsilon


@dataclass
class Scaling:
    """A batch of plans ``(a / rows)_i K_ij w_j`` with exact row sums.

    Attributes
    ----------
    kernel : Kernel
        ``K = exp2(L + f0 + g0)`` for the absorbed potentials.
    w : array of shape (B, 1, m)
        Column scalings times the column weights.
    rows, columns : array of shape (B, 1, n) and (B, 1, m)
        ``K w`` and ``K^T(a / rows)``; ``b / columns`` in the place of `w` makes the columns exact.
    f, g : array of shape (B, 1, n) and (B, 1, m)
        The full potentials in bits, in the widest dtype.
    violations : array of shape (B, 1)
        L1 distances between the plans' marginals and the prescribed ones.
    violation : float
        The largest of them.
    n_iter : int
        Iterations spent.
    """

    kernel: Kernel
    w: Array
    rows: Array
    columns: Array
    f: Array
    g: Array
    violations: Array
    violation: float
    n_iter: int

    def plan(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return the plans (B, n, m) of a stored kernel, by default in the widest dtype."""
        kernel = self.kernel
        (_, matrix), *_ = kernel.blocks()
        left, right = as_tensor(kernel.a / self.rows), as_tensor(self.w)
        return (left.mT * as_tensor(matrix) * right).to(dtype or kernel.wide)


@dataclass
class _Trial:
    """What an extrapolation has to improve on."""

    violation: Array
    g: Array  # the plain iterate, in bits


def scale(
    kernel: Kernel, *, tol: float, max_iter: int, f: Array | None = None, g: Array | None = None
) -> Scaling | None:
    """Scale a kernel to its marginals, with exact row sums.

    Plain iterations ``r = K w``, ``w = b / K^T(a / r)``; after every five, reduced-rank
    extrapolation of ``log2 w``, given up where it raises the marginal violation. Problems of a
    cloud against itself take the geometric mean of both sides, ``w = a / sqrt(r K^T(a / r))``: an
    error of eigenvalue `t` shrinks to ``t (t - 1) / 2``, at most an eighth.

    Parameters
    ----------
    kernel : Kernel
    tol : float
        Stop when every problem's marginal violation is at most `tol`.
    max_iter : int
        Stop after as many iterations.
    f, g : array of shape (B, 1, n) and (B, 1, m), optional
        Potentials in bits to start from.

    Returns
    -------
    Scaling or None
        None where the arithmetic left the range of the dtype.
    """
    xp, limit, wide, b = namespace(kernel.device), kernel.reach, kernel.wide, kernel.b
    # Elsewhere than on the host a look at the violation waits for the device: once per window.
    near = host = xp is np
    kernel.absorb(f, g)
    # Column scalings are `w` for the kernel and `bits` for potentials; a weight may be zero.
    w, bits = b, 0.0 * kernel.weights[1]
    window: list[Array] = []  # their reciprocals after each iteration
    trial: _Trial | None = None
    n_iter = 0
    while True:
        rows, columns = kernel.step(w)
        if n_iter == 0 and f is None and not kernel.smallest(rows) >= 2.0 ** (-2 * limit):
            # The sum of some row is made of entries at the floor.
            kernel.absorb(*kernel.log_maxima())
            rows, columns = kernel.step(w)
        n_iter += 1
        last = n_iter >= max_iter
        if near or last or trial is not None or len(window) == _WINDOW - 1:
            violation = magnitude(w * columns - b).sum(-1)
            worst = max(violation[:, 0].tolist())
            if not math.isfinite(worst):
                return None
            near = host and worst <= _NEAR * tol
            if worst <= tol or last:
                if window:
                    bits = -log2(window[-1], wide)
                rows = kernel.joined(rows)
                bits_rows = log2(rows, wide)
                reach = max(largest(bits_rows), largest(bits))
                if not math.isfinite(reach):
                    return None
                f, g = added(kernel.f, -bits_rows), added(kernel.g, bits)
                if reach <= limit:
                    return Scaling(kernel, w, rows, columns, f, g, violation, worst, n_iter)
                # The violation may be that of entries at the floor: look again.
                if reach > 2 * limit:
                    g = kernel.log_columns(f)
                if reach > 2 * limit or last:
                    f = kernel.log_rows(g)
                n_iter -= last
                kernel.absorb(f, g)
                w, bits, window, trial = b, 0.0 * bits, [], None
                continue
        inverse = kernel.following(rows, columns)
        if trial is not None:
            worse = (violation > trial.violation) & (violation > tol)
            if worse.any():
                # Extrapolation was wrong for some problems: they go on from where they were.
                g = added(kernel.g, -log2(inverse, wide))
                g = xp.where(worse[..., None], trial.g, g)
                w, bits = _placed(kernel, rows, g)
                window, trial = [], None
                continue
            trial = None
        window.append(inverse)
        if len(window) < _WINDOW:
            w = b / inverse
            continue
        iterates = concatenated([bits, -log2(concatenated(window, 1), wide)], 1)
        trial = _Trial(violation, added(kernel.g, iterates[:, -1:]))
        g = added(kernel.g, extrapolated(iterates, kernel.weights[1]))
        w, bits = _placed(kernel, rows, g)
        window = []


def _placed(kernel: Kernel, rows: Array, g: Array) -> tuple[Array, Array]:
    """Return the column scalings that bring the potentials to `g`; absorb what is out of reach."""
    bits = g if kernel.g is None else g - kernel.g
    far = largest(bits)
    if not far <= kernel.reach:
        if far <= 2 * kernel.reach:  # the next step corrects the rows
            f = added(kernel.f, -log2(kernel.joined(rows), kernel.wide))
        else:
            f = kernel.log_rows(g)
        kernel.absorb(f, g)
        bits = 0.0 * bits
    return kernel.b * cast(exp2(bits), kernel.dtype), bits


def extrapolated(iterates: Array, b: Array) -> Array:
    """Reduced-rank extrapolation of (B, k + 1, m) iterates: the mixture of least residual."""
    residuals = iterates[:, 1:] - iterates[:, :-1]
    return least_mixture(residuals, b) @ iterates[:, 1:]


def levels(depth: float) -> list[float]:
    """Return the factors of a log kernel of mean exponent `depth`, from shallow to the whole."""
    if not math.isfinite(depth):
        raise ValueError(
            f"The cost has a mean of {depth} units of epsilon: rescale x and y, or "
            "increase epsilon."
        )
    halvings = max(0, math.ceil(math.log2(max(depth, 1.0) / _SHALLOW)))
    return [2.0**-level for level in range(halvings, -1, -1)]


def anneal(kernel: Kernel, *, depth: float) -> tuple[Array, Array, int]:
    """Epsilon scaling in the log domain: halve epsilon from where the mean exponent is shallow.

    Parameters
    ----------
    kernel : Kernel
    depth : float
        Mean of ``-L``.

    Returns
    -------
    f, g : array of shape (B, 1, n) and (B, 1, m)
        Potentials to start from.
    n_iter : int
    """
    f = 0.0 * kernel.weights[0]
    *easier, _ = levels(depth)
    for factor in easier:
        scaled = kernel.of(kernel.log_kernel.rescaled(factor))
        for _ in range(_STEPS):
            f = scaled.log_rows(scaled.log_columns(f))
        f = f * 2.0
    g = kernel.log_columns(f)
    return kernel.log_rows(g), g, len(easier) * _STEPS


def iterate(kernel: Kernel, f: Array, *, tol: float, max_iter: int) -> tuple[Array, Array, int]:
    """Run plain log-domain iterations from `f`: slow, and right wherever the rest fails.

    Returns
    -------
    f, g : array of shape (B, 1, n) and (B, 1, m)
    n_iter : int
    """
    n_iter = 0
    while True:
        g = kernel.log_columns(f)
        previous, f = f, kernel.log_rows(g)
        violation = (kernel.weights[0] * magnitude(exp2(previous - f) - 1.0)).sum(-1)
        n_iter += 1
        if n_iter >= max_iter or not float(violation.max()) > tol:
            return f, g, n_iter
