"""Unbalanced entropic transport: marginals that may differ from the weights, at a price."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skotae.transport._arrays import (
    Array,
    as_array,
    as_tensor,
    concatenated,
    filled,
    log2,
    times,
    widest,
)
from skotae.transport._clouds import Cloud, mean_cost
from skotae.transport._kernel import Kernel
from skotae.transport._log_kernel import LogKernel, Matrix, PowerDistances, SquaredDistances
from skotae.transport._scaling import extrapolated, levels
from skotae.transport._shards import Alone
from skotae.transport._terms import Outcome
from skotae.transport.base import (
    SinkhornInfo,
    check_clouds,
    check_positive,
    check_solver,
    check_weights,
    cost_gradients,
    first_order_only,
    full_precision,
    warn_unless_converged,
)

_LN2 = math.log(2.0)
_WINDOW = 5  # plain iterations between two extrapolations
_LEVEL_TOL, _LEVEL_STEPS = 1e-2, 20  # of a level of epsilon, before it is halved
_MASSES = {"x": "a", "y": "b"}


class _Problem:
    """One problem in bits, between clouds about their means.

    The whole cost is that of the kernel and ``alpha_i + beta_j``, which is left to the potentials:
    the whole ones are ``f + alpha`` and ``g + beta``.

    Parameters
    ----------
    kernel : Kernel
        Of one problem, with the masses of the points, none of them zero.
    ratio : float
        ``epsilon / rho``.
    alpha, beta : array of shape (1, 1, n) and (1, 1, m)
    symmetric : bool
    """

    def __init__(self, kernel: Kernel, ratio: float, alpha: Array, beta: Array, symmetric: bool):
        self.kernel, self.ratio, self.symmetric = kernel, ratio, symmetric
        self.alpha, self.beta = alpha, beta
        self._theta = 1.0 / (1.0 + ratio)
        self._misses = 0  # in a row, of fast arithmetic
        kernel.absorb(None, None)

    def damped(self, softmin: Array, offset: Array, shift: float = 0.0) -> Array:
        """Return ``theta * (softmin + offset - shift) - offset``, without cancellation."""
        return self._theta * (softmin - shift) - (1.0 - self._theta) * offset

    def kept(self, whole: Array) -> Array:
        """Return ``exp(-f / rho)``, the part of each mass that is transported."""
        return 2.0 ** (-self.ratio * whole)

    def shift(self, f: Array, g: Array) -> float:
        """Return the constant that is best added to `f` and taken from `g`."""
        tops, sums = [], []
        pairs = ((f + self.alpha, self.kernel.a), (g + self.beta, self.kernel.b))
        for whole, masses in pairs:
            low = float(whole.min())
            tops.append(-self.ratio * low)
            sums.append(math.log2(float((masses * self.kept(whole - low)).sum())))
        return (tops[0] - tops[1] + sums[0] - sums[1]) / (2.0 * self.ratio)

    def step(self, g: Array) -> tuple[Array, Array]:
        """Return the `f` that is best for `g`, and the softmin of `f`, in one pass."""
        found = self._quick(g) if self._misses < 2 else None
        if found is not None:
            self._misses = 0
            return found
        f = self.damped(self.kernel.log_rows(g), self.alpha)
        softmin = self.kernel.log_columns(f)
        self._misses += 1
        if self._misses < 2:
            self.kernel.absorb(f, g)
        return f, softmin

    def _quick(self, g: Array) -> tuple[Array, Array] | None:
        """The same with the stored kernel, or None where its range does not suffice."""
        kernel, limit = self.kernel, self.kernel.reach
        f0 = 0.0 * self.alpha if kernel.f is None else kernel.f
        g0 = 0.0 * g if kernel.g is None else kernel.g
        if not _largest(g - g0) <= limit:
            return None
        w, parts, sums = kernel.b * 2.0 ** (g - g0), [], None
        for rows, matrix in kernel.blocks():
            softmin = -log2(times(w, matrix.mT), kernel.wide)
            f = self.damped(f0[..., rows] + softmin, self.alpha[..., rows])
            u = f - f0[..., rows]
            if not max(_largest(softmin), _largest(u)) <= limit:
                return None
            part = times(kernel.a[..., rows] * 2.0**u, matrix)
            sums = part if sums is None else sums + part
            parts.append(f)
        softmin = -log2(sums, kernel.wide)
        return (concatenated(parts), g0 + softmin) if _largest(softmin) <= limit else None

    def eased(self, factor: float) -> _Problem:
        """Return the problem whose epsilon is larger by ``1 / factor``."""
        kernel = self.kernel.of(self.kernel.log_kernel.rescaled(factor))
        alpha, beta = self.alpha * factor, self.beta * factor
        return _Problem(kernel, self.ratio / factor, alpha, beta, self.symmetric)


@dataclass
class _Solution:
    """Potentials in bits, rows exact; the softmin of `f`; the violation that is left."""

    f: Array
    g: Array
    softmin: Array
    violation: float
    n_iter: int


def _solve(problem: _Problem, g: Array, *, tol: float, max_iter: int) -> _Solution:
    """Damped iterations with the best shift; reduced-rank extrapolation after every five.

    A cloud against itself takes the mean of both sides: an error of eigenvalue `t` shrinks to
    ``t (t - 1) / 2``, at most an eighth.
    """
    kernel = problem.kernel
    unit = math.sqrt(float(kernel.a.sum()) * float(kernel.b.sum()))
    window, trial, n_iter = [g], None, 0
    while True:
        f, softmin = problem.step(g)
        n_iter += 1
        residual = 2.0 ** (g - softmin) - problem.kept(g + problem.beta)
        violation = float((kernel.b * abs(residual)).sum()) / unit
        if n_iter >= max_iter or not violation > tol:
            return _Solution(f, g, softmin, violation, n_iter)
        if problem.symmetric:
            g = (f + problem.damped(softmin, problem.beta)) / 2.0
            continue
        if trial is not None and violation > trial[0]:
            # Extrapolation was wrong: go on from where it began.
            g, window, trial = trial[1], [trial[1]], None
            continue
        g, trial = problem.damped(softmin, problem.beta, problem.shift(f, g)), None
        window.append(g)
        if len(window) > _WINDOW:
            trial = violation, g
            g = extrapolated(concatenated(window, 1), kernel.b)
            window = [g]


def _largest(bits: Array) -> float:
    return float(abs(bits).max())


@dataclass(frozen=True)
class _Options:
    """How the problems of a value are posed and solved, in units of the cost."""

    epsilon: float
    rho: float
    tol: float
    max_iter: int
    p: float
    max_bytes: float


def _posed(
    x: Cloud, y: Cloud, a: Array, b: Array, options: _Options
) -> tuple[Kernel, Array, Array, float]:
    """Return the kernel, both parts of the cost it lacks, and its mean exponent, in bits."""
    bit, wide = options.epsilon * _LN2, widest(as_tensor(x.points))
    alpha, beta = (filled((1, 1, len(masses)), 0.0, like=masses) for masses in (a, b))
    log_kernel: LogKernel
    if options.p == 2:
        shift = x.centre - y.centre
        half = float(shift @ shift) / 2.0
        alpha += (2.0 * (x.points @ shift) + half) / bit
        beta += (half - 2.0 * (y.points @ shift)) / bit
        log_kernel = SquaredDistances([x], [y], math.sqrt(2.0 / bit), wide)
        depth = (x.spread + y.spread) / bit
    else:
        log_kernel = PowerDistances([x], [y], options.p, 1.0 / bit, wide)
        if len(a) * len(b) * wide.itemsize <= options.max_bytes:
            log_kernel = Matrix(log_kernel.block(), wide)
        depth = mean_cost(x, y, options.p) / bit
    kernel = Kernel(
        log_kernel,
        a[None, None],
        b[None, None],
        symmetric=[x is y],
        max_bytes=options.max_bytes,
        shards=Alone(),
    )
    return kernel, alpha, beta, depth


class _Side:
    """A cloud, its masses, and the part of it whose masses are not zero."""

    def __init__(self, points: Array, masses: Array):
        self.whole, self.masses, self.total = Cloud(points, masses), masses, float(masses.sum())
        self.full = bool((masses > 0).all())
        self.rows = slice(None) if self.full else masses > 0
        self.kept = masses[self.rows]
        self.cloud = self.whole if self.full else Cloud(points[self.rows], self.kept)


class _Term:
    """The cost between two clouds, less ``epsilon`` times the product of their masses."""

    def __init__(self, x: _Side, y: _Side, options: _Options):
        self.x, self.y, self.options = x, y, options
        kernel, alpha, beta, depth = _posed(x.cloud, y.cloud, x.kept, y.kept, options)
        problem = _Problem(kernel, options.epsilon / options.rho, alpha, beta, x is y)
        spent, g = 0, 0.0 * beta
        *easier, _ = [1.0] if x is y else levels(depth)
        for factor in easier:
            limit = max(1, min(_LEVEL_STEPS, options.max_iter - spent))
            start = _solve(problem.eased(factor), g, tol=_LEVEL_TOL, max_iter=limit)
            spent, g = spent + start.n_iter, 2.0 * start.g
        if easier:
            kernel.absorb(None, None)  # the levels have used its memory
        left = max(1, options.max_iter - spent)
        self.problem, self.solution = problem, _solve(problem, g, tol=options.tol, max_iter=left)
        self.n_iter = spent + self.solution.n_iter
        self._shift = problem.shift(self.solution.f, self.solution.g)
        self._f = (self.solution.f + alpha + self._shift)[0, 0]
        self._g = (self.solution.g + beta - self._shift)[0, 0]

    def value(self) -> float:
        """Return the value of the dual problem."""
        transported = self.x.kept @ self.problem.kept(self.solution.f + self.problem.alpha)[0, 0]
        lost = self.x.kept @ self._lost(self._f) + self.y.kept @ self._lost(self._g)
        return float(self.options.rho * lost - self.options.epsilon * transported)

    def _lost(self, whole: Array) -> Array:
        """Return ``1 - exp(-f / rho)``, without cancellation."""
        return as_array(-torch.expm1(as_tensor(whole) * (-self.problem.ratio * _LN2)))

    def mass_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the masses of both clouds."""
        f = self._everywhere(self.x, self.y, self._f, self.solution.g, self._shift)
        g = self._everywhere(self.y, self.x, self._g, self.solution.f, -self._shift)
        scale, epsilon = self.options.rho + self.options.epsilon, self.options.epsilon
        return scale * self._lost(f) - epsilon, scale * self._lost(g) - epsilon

    def _everywhere(
        self, side: _Side, other: _Side, whole: Array, potential: Array, shift: float
    ) -> Array:
        """Return the whole potential of a side at the points without mass too."""
        if side.full:
            return whole
        kernel, offset, *_ = _posed(side.whole, other.cloud, side.masses, other.kept, self.options)
        return (self.problem.damped(kernel.log_rows(potential), offset) + offset + shift)[0, 0]

    def point_gradients(self) -> tuple[Array, Array]:
        """Return the gradients for the points with mass: those of ``<P, C>`` at the plan."""
        kernel, u, v = self.problem.kernel, self.x.cloud, self.y.cloud
        kernel.absorb(self.solution.f, self.solution.g)
        x, y = as_tensor(u.points + (u.centre - v.centre)), as_tensor(v.points)
        a, b = as_tensor(self.x.kept), as_tensor(self.y.kept)
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        for rows, block in kernel.blocks():
            plan = a[rows, None] * as_tensor(block)[0] * b
            grad_x[rows], part = cost_gradients(plan, x[rows], y, self.options.p)
            grad_y += part
        return as_array(grad_x), as_array(grad_y)


def _evaluate(
    inputs: dict[str, Any], wanted: set[str], *, relative: bool, paired: bool, options: _Options
) -> Outcome:
    """Return the value and its gradients for the `wanted` inputs, in their dtypes."""
    wide = widest(inputs["x"])
    sides = {}
    for name, weights in (("x", inputs["a"]), ("y", inputs["b"])):
        points = as_array(inputs[name].detach().to(wide))
        uniform = filled((len(points),), 1.0 / len(points), like=points)
        masses = uniform if weights is None else as_array(weights.detach().to(wide))
        sides[name] = _Side(points, masses)
    x, y = sides["x"], sides["y"]
    gradients = {name: torch.zeros_like(inputs[name], dtype=wide) for name in wanted}
    mean = mean_cost(x.whole, y.whole, options.p)
    value, n_iter, violation = 0.0, 0, 0.0
    if not math.isfinite(mean):
        value = violation = math.nan
        gradients = {name: gradient + math.nan for name, gradient in gradients.items()}
    elif mean > 0.0 or not relative:
        unit = mean if relative else 1.0
        # Below 1e-12 of the mean cost float64 cannot tell the plan from an unregularised one.
        epsilon = max(options.epsilon * unit, 1e-12 * mean)
        options = replace(options, epsilon=epsilon, rho=options.rho * unit)
        # The paired masses' own term makes a square of theirs, which all terms lack.
        value = 0.0 if paired else epsilon * x.total * y.total
        for name, other in () if paired else (("a", y), ("b", x)):
            if name in wanted:
                gradients[name] += epsilon * other.total
        pairs = [("x", "y", 1.0), ("x", "x", -0.5), ("y", "y", -0.5)]
        for left, right, coefficient in pairs if paired else pairs[:1]:
            term = _Term(sides[left], sides[right], options)
            value += coefficient * term.value()
            n_iter = max(n_iter, term.n_iter)
            violation = max(violation, term.solution.violation)
            if wanted & {_MASSES[left], _MASSES[right]}:
                for name, gradient in zip((left, right), term.mass_gradients(), strict=True):
                    if _MASSES[name] in wanted:
                        gradients[_MASSES[name]] += coefficient * as_tensor(gradient)
            if wanted & {left, right}:
                for name, gradient in zip((left, right), term.point_gradients(), strict=True):
                    if name in wanted:
                        rows = sides[name].rows
                        rows = rows if sides[name].full else as_tensor(rows)
                        gradients[name][rows] += coefficient * as_tensor(gradient)
    tensors = {name: gradient.to(inputs[name].dtype) for name, gradient in gradients.items()}
    return Outcome(value, tensors, SinkhornInfo(n_iter, violation, violation <= options.tol))


class _UnbalancedFunction(torch.autograd.Function):
    """Value and, by the envelope theorem, gradient in one pass; nothing is unrolled."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        a: Tensor | None,
        b: Tensor | None,
        problem: Callable[[dict[str, Tensor | None], set[str]], Outcome],
        report: list[SinkhornInfo],
    ) -> Tensor:
        inputs = {"x": x, "y": y, "a": a, "b": b}
        needed = zip(inputs, ctx.needs_input_grad, strict=False)
        with full_precision(x.device), np.errstate(all="ignore"):
            outcome = problem(inputs, {name for name, need in needed if need})
        report.append(outcome.info)
        ctx.save_for_backward(x, y, a, b, *(outcome.gradients.get(name) for name in inputs))
        return x.new_full((), outcome.value)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        gradients = [None if gradient is None else grad_output * gradient for gradient in saved[4:]]
        name = "unbalanced_sinkhorn_divergence"
        return (*first_order_only(name, gradients, saved[:4]), None, None)


def unbalanced_sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float = 0.05,
    rho: float = 1.0,
    relative: bool = True,
    tol: float = 1e-6,
    max_iter: int = 1000,
    p: float = 2,
    a: Tensor | None = None,
    b: Tensor | None = None,
    debias: str = "paired",
    max_memory: float = 256,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SinkhornInfo]:
    r"""Debiased entropic cost between clouds of any masses, which may be created and destroyed.

    .. math::
        \mathrm{OT}_{\varepsilon, \rho}(x, y) = \min_{P \ge 0} \langle P, C \rangle
        + \rho\, \mathrm{KL}(P 1 \,|\, a) + \rho\, \mathrm{KL}(P^\top 1 \,|\, b)
        + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b),
        \qquad C_{ij} = \sum_k |x_{ik} - y_{jk}|^p

    where :math:`\mathrm{KL}(p \,|\, q) = \sum p \log (p / q) - p + q`, and, for
    ``debias="paired"``, with the total masses :math:`m_a` and :math:`m_b`,

    .. math::
        \mathrm{OT}(x, y) - (\mathrm{OT}(x, x) + \mathrm{OT}(y, y)) / 2
        + \varepsilon (m_a - m_b)^2 / 2,

    which is zero for equal clouds, and never negative for ``p`` up to 2. Transport over a cost well
    above `rho` does not pay, so that an outlier has a bounded influence. For large `rho` and masses
    of one the value is that of `sinkhorn_divergence`.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d)
        Clouds, of one device. The value has the dtype of `x`. Non-finite points give NaN.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost.
    rho : float, default=1.0
        Price of mass created or destroyed, in the same units.
    relative : bool, default=True
        Multiply `epsilon` and `rho` by the mean cost between `x` and `y`, over normalised weights.
        No gradient flows through it, and all terms of a debiased value share it.
    tol : float, default=1e-6
        L1 distance, at which to stop, between the plan's marginals and those that the potentials
        ask for, in units of the geometric mean of the masses.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    p : float, default=2
        Power of the cost, at least 1.
    a, b : Tensor of shape (n,) and (m,), optional
        Masses of the points, not negative and not normalised; by default uniform, of sum one.
        Differentiable.
    debias : {"paired", "none"}, default="paired"
        "paired" is the unbalanced Sinkhorn divergence, "none" its first term alone. There is no
        "independent": halves of a cloud have other masses than the whole.
    max_memory : float, default=256
        MiB of a kernel that is stored; a larger one is made block by block in every iteration.
    return_info : bool, default=False
        Also return a `SinkhornInfo`.

    Returns
    -------
    value : Tensor of shape ()
    info : SinkhornInfo
        Only if `return_info`.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid.
    RuntimeError
        When differentiated twice.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached.

    References
    ----------
    .. [1] Séjourné, Feydy, Vialard, Trouvé and Peyré (2019), Sinkhorn divergences for unbalanced
       optimal transport, definition 6.
    .. [2] Séjourné, Vialard and Peyré (2022), Faster unbalanced optimal transport: translation
       invariant Sinkhorn and 1-D Frank-Wolfe, proposition 2.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import unbalanced_sinkhorn_divergence
    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0], [100.0]])
    >>> options = {"epsilon": 0.1, "rho": 5.0, "relative": False}
    >>> masses = {"a": torch.ones(2), "b": torch.ones(3)}
    >>> value = unbalanced_sinkhorn_divergence(x, y, **masses, **options)
    >>> round(value.item(), 2)  # the mass of the outlier, at `rho` apiece
    5.05
    """
    check_clouds(x, y)
    check_solver(epsilon, tol, max_iter)
    check_positive("rho", rho)
    check_positive("p", p, minimum=1.0)
    check_weights("a", a, len(x))
    check_weights("b", b, len(y))
    if debias == "independent":
        raise ValueError(
            "debias='independent' is not for unbalanced transport: it compares halves of the "
            "clouds, whose masses differ from those of the whole. Use 'paired' or 'none'."
        )
    if debias not in ("paired", "none"):
        raise ValueError(f"debias must be one of 'paired', 'none', got {debias!r}.")
    check_positive("max_memory", max_memory)
    options = _Options(float(epsilon), float(rho), tol, max_iter, float(p), max_memory * 2.0**20)
    report: list[SinkhornInfo] = []
    problem = partial(_evaluate, relative=relative, paired=debias == "paired", options=options)
    value = _UnbalancedFunction.apply(x, y, a, b, problem, report)
    warn_unless_converged(report[0], tol, max_iter)
    return (value, report[0]) if return_info else value
