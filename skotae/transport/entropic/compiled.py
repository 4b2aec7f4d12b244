"""Small debiased values in one call of machine code, which numba compiles where it is installed.

Up to some hundred points most of the time of a solve goes into calling NumPy. Here are the same
clouds, kernels, iterations, values and gradients as loops, in float32 for the kernels and the
scalings and in float64 for the rest, as there. What these loops cannot finish is left to the usual
way, from the start. Without numba the functions are Python's own, and slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

try:
    import numba

    njit: Any = numba.njit
except ImportError:
    njit = None

_F = np.float32
# As in other files of this folder; here, as numba keeps what it compiled until this file changes.
_WINDOW = 5  # plain iterations between two extrapolations
_NEAR = 30.0  # times the tolerance: from there on every iteration may be the last
_FLOOR, _NORMAL, _REACH = _F(-110.0), _F(-120.0), 40.0  # bits, as those of a kernel in float32
_SMALLEST = 2.0**-80  # of the sum of a row at the start, if it is not of entries at the floor
_RIDGE, _TINY, _ROUNDING, _LEAST = 1e-10, 1e-60, 1e-30, 2.3e-308
_FLAT, _SHALLOW, _DEEP = 1e-2, 64.0, 160.0  # bits of mean exponent
_TOGETHER = 2**20  # elements of a kernel, times the mean exponent, of different problems at once
# 2 ** r for |r| <= 1/2, to the last digit of float32 (Cephes).
_C1, _C2, _C3 = _F(6.931472028550421e-1), _F(2.402264791363012e-1), _F(5.550332471162809e-2)
_C4, _C5, _C6 = _F(9.618437357674640e-3), _F(1.339887440266574e-3), _F(1.535336188319500e-4)
_HALF, _ONE, _EXPONENT, _BIAS = _F(0.5), _F(1.0), _F(2.0**23), _F(127.0)
_HIGHEST, _TOP = _F(127.0), 253 * 2**23  # bits; of 2 ** 126, as an integer


def _compiled(function: Callable[..., Any], inline: str = "never") -> Any:
    """Let numba compile a function at its first call. Infinities and NaN stay what they are."""
    options = {"cache": True, "nogil": True, "error_model": "numpy", "inline": inline}
    flags = {"reassoc", "contract", "arcp", "nsz"}
    return function if njit is None else njit(fastmath=flags, **options)(function)


# Into the one that calls it: so that sums are in one order, whether compiled now or before.
_inlined = partial(_compiled, inline="always")


@_inlined
def _centred(source, shares, points, weights, squares, centre):
    """Set the points about their weighted mean, in float64; return the mean of their squares."""
    n, d = source.shape
    total = 0.0
    for i in range(n):
        total += shares[i]
    centre[:] = 0.0
    for i in range(n):
        weights[i] = shares[i] / total
        for k in range(d):
            centre[k] += weights[i] * source[i, k]
    spread = 0.0
    for i in range(n):
        square = 0.0
        for k in range(d):
            points[i, k] = source[i, k] - centre[k]
            square += points[i, k] * points[i, k]
        squares[i] = square
        spread += weights[i] * square
    return spread


@_inlined
def _exponentiate(products, left, right, low, out):
    """Set `out` to ``2 ** max(products + left + right, low)``; return whether that is in range."""
    n, m = out.shape
    powers, top = np.empty(m, np.int32), 0
    scales = powers.view(_F)
    for i in range(n):
        for j in range(m):
            bits = min(max(products[i, j] + (left[i] + right[j]), low), _HIGHEST)
            whole = np.floor(bits + _HALF)
            r = bits - whole
            powers[j] = np.int32((whole + _BIAS) * _EXPONENT)
            top = max(top, powers[j])
            p = _C3 + r * (_C4 + r * (_C5 + r * _C6))
            out[i, j] = _ONE + r * (_C1 + r * (_C2 + r * p))
        for j in range(m):
            out[i, j] *= scales[j]
    return top <= _TOP


@_inlined
def _step(kernel, w, a, rows, columns):
    """Set ``rows = K w`` and ``columns = K^T (a / rows)``; return the smallest of the rows."""
    n, m = kernel.shape
    smallest = _F(np.inf)
    columns[:] = 0
    for i in range(0, n, 2):  # two rows at once; where one is left, it and none of it again
        k = min(i + 1, n - 1)
        one, other = _F(0.0), _F(0.0)
        for j in range(m):
            one += kernel[i, j] * w[j]
            other += kernel[k, j] * w[j]
        rows[i], rows[k] = one, other
        smallest = min(smallest, one, other)
        share, another = a[i] / one, a[k] / other if k > i else _F(0.0)
        for j in range(m):
            columns[j] = columns[j] + kernel[i, j] * share + kernel[k, j] * another
    return smallest


@_inlined
def _peaks(products, half_x, half_y, f, g, both):
    """Set potentials after which the largest entry of every row, or of `both`, is near one."""
    n, m = products.shape
    for j in range(m if both else 0):
        g[j] = np.inf
    for i in range(n if both else 0):
        for j in range(m):
            g[j] = min(g[j], -(products[i, j] + half_x[i] + half_y[j]))
    for i in range(n):
        f[i] = np.inf
        for j in range(m):
            f[i] = min(f[i], -(products[i, j] + half_x[i] + half_y[j] + g[j]))


@_inlined
def _extrapolate(iterates, b, out):
    """Set `out` to the mixture of the iterates (6, m) whose residuals are least."""
    gram, mixture = np.zeros((_WINDOW, _WINDOW)), np.ones(_WINDOW)
    for p in range(_WINDOW):
        for q in range(_WINDOW):
            for j in range(len(b)):
                residual = iterates[p + 1, j] - iterates[p, j]
                gram[p, q] += residual * (iterates[q + 1, j] - iterates[q, j]) * b[j]
    ridge, definite, total = _RIDGE * gram[0, 0] + _TINY, True, 0.0
    for p in range(_WINDOW):
        gram[p, p] += ridge
    for p in range(_WINDOW):  # elimination
        definite = definite and gram[p, p] > 0.0
        for q in range(p + 1, _WINDOW):
            ratio = gram[q, p] / gram[p, p]
            mixture[q] -= ratio * mixture[p]
            for r in range(p, _WINDOW):
                gram[q, r] -= ratio * gram[p, r]
    for p in range(_WINDOW - 1, -1, -1):
        for q in range(p + 1, _WINDOW):
            mixture[p] -= gram[p, q] * mixture[q]
        mixture[p] /= gram[p, p]
        total += mixture[p]
    for j in range(len(b)):
        out[j] = 0.0
        for p in range(_WINDOW):
            out[j] += (mixture[p] / total if definite else 1.0 / _WINDOW) * iterates[p + 1, j]


@_inlined
def _scale(products, half_x, half_y, a, b, same, hollow, tol, limit):
    """Scale the kernels of a group, as `scaling.scale` does; return iterations and violation.

    And the kernels, the scalings and the potentials: vectors of one problem after the other. No
    iterations where `limit` is not enough, or the range of float32.
    """
    n_problems, n, m = products.shape
    kernel, f, g = np.empty((n_problems, n, m), _F), np.empty(len(a)), np.empty(len(b))
    w, rows, columns = np.empty(len(b), _F), np.empty(len(a), _F), np.empty(len(b), _F)
    found = kernel, w, rows, columns, f, g
    a32, b32 = a.astype(_F), b.astype(_F)
    bits, target, trial = np.zeros(len(b)), np.zeros(len(b)), np.zeros(len(b))
    window, iterates = np.zeros((_WINDOW, len(b)), _F), np.zeros((_WINDOW + 1, m))
    inverse = np.zeros(len(b), _F)
    violations, previous = np.zeros(n_problems), np.zeros(n_problems)
    deepest_x = deepest_y = 0.0
    for i in range(len(f)):
        f[i] = 0.0
        deepest_x = max(deepest_x, -half_x[i])
    for j in range(len(g)):
        g[j] = 0.0
        deepest_y = max(deepest_y, -half_y[j])
    low = _NORMAL if (math.sqrt(deepest_x) + math.sqrt(deepest_y)) ** 2 <= -_NORMAL else _FLOOR
    peaks, absorbing, near, tried, kept, n_iter = hollow, True, True, False, 0, 0
    while True:
        smallest = np.inf
        for k in range(n_problems):
            here, there = slice(k * n, k * n + n), slice(k * m, k * m + m)
            if peaks:
                both = n_iter == 0
                _peaks(products[k], half_x[here], half_y[there], f[here], g[there], both)
            if absorbing:
                left = (half_x[here] + f[here]).astype(_F)
                right = (half_y[there] + g[there]).astype(_F)
                if not _exponentiate(products[k], left, right, _FLOOR if peaks else low, kernel[k]):
                    return 0, 0.0, found
                for j in range(k * m, k * m + m):
                    w[j], bits[j] = b32[j], 0.0
            least = _step(kernel[k], w[there], a32[here], rows[here], columns[there])
            smallest = min(smallest, least)
        if n_iter == 0 and not hollow and not smallest >= _SMALLEST:
            # The sum of some row is made of entries at the floor.
            hollow = peaks = True
            continue
        peaks, absorbing, low = False, False, _FLOOR
        n_iter += 1
        if near or n_iter >= limit or tried or kept == _WINDOW - 1:
            worst = 0.0
            for k in range(n_problems):
                total = _F(0.0)
                for j in range(k * m, k * m + m):
                    total += abs(w[j] * columns[j] - b32[j])
                violations[k] = total
                worst = max(worst, violations[k])
                if not math.isfinite(total):
                    return 0, 0.0, found
            near = worst <= _NEAR * tol
            if worst <= tol:
                reach = 0.0
                for j in range(len(g)):
                    if kept > 0:
                        bits[j] = -np.log2(window[kept - 1, j])
                    g[j] += bits[j]
                    reach = max(reach, abs(bits[j]))
                for i in range(len(f)):
                    f[i] -= np.log2(rows[i])
                    reach = max(reach, abs(np.log2(rows[i])))
                if reach <= _REACH:
                    return n_iter, worst, found
                if n_iter >= limit or reach > 2 * _REACH:
                    return 0, 0.0, found
                # The violation may be that of entries at the floor: look again.
                absorbing, tried, kept = True, False, 0
                continue
            if n_iter >= limit:
                return 0, 0.0, found
        wrong = False
        for k in range(n_problems):
            worse = tried and violations[k] > previous[k] and violations[k] > tol
            wrong = wrong or worse
            for j in range(k * m, k * m + m):
                inverse[j] = np.sqrt(rows[j] * columns[j]) if same[k] else columns[j]
                target[j] = trial[j] if worse else np.inf
        # Where extrapolation was wrong a problem goes on from where it was.
        if wrong or kept == _WINDOW - 1:
            for j in range(len(b)):
                if target[j] == np.inf:
                    target[j] = g[j] - np.log2(inverse[j])
        tried = False
        if not wrong:
            for j in range(len(b)):
                window[kept, j] = inverse[j]
                w[j] = b32[j] / inverse[j]
            kept += 1
            if kept < _WINDOW:
                continue
            for k in range(n_problems):
                there = slice(k * m, k * m + m)
                for j in range(m):
                    iterates[0, j] = bits[k * m + j]
                    for p in range(_WINDOW):
                        iterates[p + 1, j] = -np.log2(window[p, k * m + j])
                    trial[k * m + j] = target[k * m + j]
                previous[k] = violations[k]
                _extrapolate(iterates, b[there], target[there])
                for j in range(k * m, k * m + m):
                    target[j] += g[j]
            tried = True
        kept, far = 0, 0.0
        for j in range(len(b)):
            bits[j] = target[j] - g[j]
            far = max(far, abs(bits[j]))
            w[j] = b32[j] * _F(np.exp2(bits[j]))
        if far > _REACH:
            absorbing, peaks = True, far > 2 * _REACH
            for i in range(len(f)):  # the next step corrects the rows
                f[i] -= np.log2(rows[i])
            for j in range(len(g)):
                g[j] = target[j]
            if not math.isfinite(far):
                return 0, 0.0, found


@_compiled
def solve(x, y, a, b, epsilon, relative, tol, limit, parts, terms, factors, want_x, want_y):
    """Return a debiased value, its gradients in x and y, the iterations and the violation.

    Parameters
    ----------
    x, y : array of shape (n, d) and (m, d), float32
    a, b : array of shape (n,) and (m,), float64
        Positive weights.
    epsilon, relative, tol, limit
        As of `Options`, with a limit of iterations.
    parts : array of shape (n_parts, 4)
        0 for x or 1 for y, the rows of a part, and how many rows earlier parts have. The first two
        are the whole x and y.
    terms : array of shape (n_terms, 4)
        The parts of a term, and where its group ends: if kernels are small, and if not.
    factors : array of shape (n_terms,)

    Returns
    -------
    value : float
    grad_x, grad_y : array of shape (n, d) and (m, d), float32
        Zero, or that of y empty, where they are not wanted.
    n_iter : int
        Zero if it takes more than plain iterations in float32; the others then mean nothing.
    violation : float
    """
    d, failed = x.shape[1], (0.0, x, y, 0, 0.0)
    total = parts[-1, 3] + parts[-1, 2] - parts[-1, 1]
    grads = np.zeros((len(x) + (len(y) if want_y else 0), d))
    points, scaled = np.empty((total, d)), np.empty((total, d), _F)
    weights, squares = np.empty(total), np.empty(total)
    centres, spreads = np.zeros((len(parts), d)), np.empty(len(parts))
    for p in range(len(parts)):
        side, first, end, start = parts[p]
        at = slice(start, start + end - first)
        source, shares = (x[first:end], a[first:end]) if side == 0 else (y[first:end], b[first:end])
        spreads[p] = _centred(source, shares, points[at], weights[at], squares[at], centres[p])
    mean, far = spreads[0] + spreads[1], 0.0
    for k in range(d):
        mean += (centres[0, k] - centres[1, k]) ** 2
        far += centres[0, k] ** 2 + centres[1, k] ** 2
    bit = epsilon * (mean if relative else 1.0) * math.log(2.0)
    # Not where points are equal but for rounding.
    if not math.isfinite(mean) or mean <= max(_ROUNDING * far, _LEAST):
        return failed
    if not _FLAT * bit < mean <= _DEEP * bit:
        return failed
    depth = max(mean / bit, 1.0)
    small = 0 if depth > _SHALLOW else _TOGETHER // 2 ** math.ceil(math.log2(depth))
    kind = 2 if len(x) * len(y) <= small else 3
    unit = math.sqrt(2.0 / bit)
    for i in range(total):
        for k in range(d):
            scaled[i, k] = points[i, k] * unit
        squares[i] *= -1.0 / bit
    value, violation, n_iter, begin = 0.0, 0.0, 0, 0
    while begin < len(terms):
        i, j, end = terms[begin, 0], terms[begin, 1], terms[begin, kind]
        n, m, size = parts[i, 2] - parts[i, 1], parts[j, 2] - parts[j, 1], end - begin
        products, same = np.empty((size, n, m), _F), np.zeros(size, np.bool_)
        half_x, row = np.empty(size * n), np.empty(size * n)
        half_y, column = np.empty(size * m), np.empty(size * m)
        n_same, depth = 0, 0.0
        for t in range(size):
            i, j = terms[begin + t, 0], terms[begin + t, 1]
            first, second = parts[i, 3], parts[j, 3]
            np.dot(scaled[first : first + n], scaled[second : second + m].T, products[t])
            for p in range(n):
                half_x[t * n + p], row[t * n + p] = squares[first + p], weights[first + p]
            for p in range(m):
                half_y[t * m + p], column[t * m + p] = squares[second + p], weights[second + p]
            depth = max(depth, (spreads[i] + spreads[j]) / bit)
            same[t] = i == j
            n_same += same[t]
        if depth > _DEEP and n_same < size:
            return failed
        hollow = depth > _SHALLOW and n_same == 0
        spent, worst, found = _scale(
            products, half_x, half_y, row, column, same, hollow, tol, limit
        )
        kernel, w, rows, columns, f, g = found
        if spent == 0:
            return failed
        n_iter, violation = max(n_iter, spent), max(violation, worst)
        for t in range(size):
            i, j, cost = terms[begin + t, 0], terms[begin + t, 1], 0.0
            for p in range(n):
                cost += bit * row[t * n + p] * f[t * n + p]
            for p in range(m):
                cost += bit * column[t * m + p] * g[t * m + p]
            shift = centres[i] - centres[j]
            for k in range(d):
                cost += shift[k] * shift[k]
            value += factors[begin + t] * cost
            # ``2 a_i (x_i - sum_j P_ij y_j / a_i)`` and the same for y, from normalised plans.
            for side in range(1 if same[t] else 2):
                own, other = (i, j) if side == 0 else (j, i)
                if not (want_x if parts[own, 0] == 0 else want_y):
                    continue
                moved = np.empty((m if side == 0 else n, d), _F)
                for p in range(len(moved)):
                    scaling = w[t * m + p] if side == 0 else _F(row[t * n + p]) / rows[t * n + p]
                    for k in range(d):
                        moved[p, k] = scaling * scaled[parts[other, 3] + p, k]
                means = np.dot(kernel[t], moved) if side == 0 else np.dot(kernel[t].T, moved)
                into, first = parts[own, 1] + parts[own, 0] * len(x), parts[own, 3]
                twice = factors[begin + t] * (4.0 if same[t] else 2.0)
                for p in range(len(means)):
                    mass = unit * (rows[t * n + p] if side == 0 else columns[t * m + p])
                    for k in range(d):
                        point = points[first + p, k] + (shift[k] if side == 0 else -shift[k])
                        change = point - means[p, k] / mass
                        grads[into + p, k] += twice * weights[first + p] * change
        begin = end
    narrow = grads.astype(_F)
    return value, narrow[: len(x)], narrow[len(x) :], n_iter, violation
