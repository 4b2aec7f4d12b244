"""Batches of entropic problems between clouds: values, potentials and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from skotae.transport.entropic.arrays import Array, as_array, as_tensor, concatenated, dot
from skotae.transport.entropic.clouds import Cloud, cost_between, shifts
from skotae.transport.entropic.kernel import extended
from skotae.transport.entropic.log_kernel import SquaredDistances, between
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.scaling import Scaling
from skotae.transport.entropic.sharp import sharp_sensitivity
from skotae.transport.entropic.solve import solve

Gradients = list[Array | None]  # with respect to x and y, those that are wanted
Solver = Callable[..., Scaling]  # with the signature of `solve`


class Problems:
    """Entropic problems of one shape, solved together.

    Parameters
    ----------
    x, y : list of Cloud
        Problem `k` is between ``x[k]`` and ``y[k]``. Where these are batches of B clouds, so are
        the values (B,), the potentials (B, n) and the gradients (B, n, d) of each `k`.
    dtype : torch.dtype
        Of the kernel, to begin with.
    options : Options
        With an absolute epsilon.
    solver : callable, default=solve
    """

    def __init__(
        self,
        x: list[Cloud],
        y: list[Cloud],
        dtype: torch.dtype,
        options: Options,
        solver: Solver = solve,
    ):
        self.options = options
        self._pairs = list(zip(x, y, strict=True))
        self._same = [u is v for u, v in self._pairs]
        self._batch = tuple(x[0].points.shape[:-2])
        # Centring changes the potentials only: the shift returns in values and gradients.
        self._squared = x[0].ground.squared
        log_kernel, depth = between(x, y, dtype, options)
        _, n, m = log_kernel.shape
        a = concatenated([u.weights.reshape(-1, 1, n) for u in x], 0)
        b = concatenated([v.weights.reshape(-1, 1, m) for v in y], 0)
        symmetric = [same for same in self._same for _ in range(math.prod(self._batch))]
        self.result = solver(log_kernel, a, b, options, depth=depth, symmetric=symmetric)

    def apart(self, array: Array) -> Array:
        """Return what is stacked along the first axis for each `k`, and each of its batch."""
        return array.reshape(len(self._pairs), *self._batch, *array.shape[1:])

    def values(self) -> list[Array]:
        """Return the costs: of the dual problem, or of the plan where `sharp`."""
        bit = self.options.bit
        if self.options.sharp:
            values = [*as_array((self._plans * self._costs).sum((1, 2)))]
        else:
            f, g = self.apart(self.result.f)[..., 0, :], self.apart(self.result.g)[..., 0, :]
            values = [
                bit * (dot(u.weights, f[k]) + dot(v.weights, g[k]))
                for k, (u, v) in enumerate(self._pairs)
            ]
        if self._squared:
            shifts = [u.centre - v.centre for u, v in self._pairs]
            return [value + dot(s, s) for value, s in zip(values, shifts, strict=True)]
        return values

    def potentials(self) -> list[tuple[Array, Array]]:
        """Return `f` (n,) and `g` (m,) of each problem, of the clouds where they are.

        These are the gradients for the weights, but for a constant; where `sharp` in their place,
        and then for points with weight only.
        """
        found, bit = [], self.options.bit
        f_bits, g_bits = self.apart(self.result.f), self.apart(self.result.g)
        for k, (u, v) in enumerate(self._pairs):
            whole = u.everywhere(), v.everywhere()
            if self.options.sharp:
                f, g = map(as_array, self._sensitivities[k][1:])
            else:
                f, g = f_bits[k], g_bits[k]
                if whole != (u, v):
                    f, g = self._extended(*whole, f, g)
                f, g = f[..., 0, :] * bit, g[..., 0, :] * bit
            if self._squared:
                more_f, more_g = shifts(*whole)
                f, g = f + more_f, g + more_g
            found.append((f, g))
        return found

    def _extended(self, x: Cloud, y: Cloud, f: Array, g: Array) -> tuple[Array, Array]:
        """Return potentials (..., 1, n) and (..., 1, m) in bits, of points without weight too."""
        log_kernel, _ = between([x], [y], self.result.kernel.dtype, self.options)
        a, b, flat_f, flat_g = (
            each.reshape(-1, 1, each.shape[-1]) for each in (x.weights, y.weights, f, g)
        )
        whole_f, whole_g = extended(log_kernel, a, b, self.options, flat_f, flat_g)
        return whole_f.reshape(f.shape), whole_g.reshape(g.shape)

    def gradients(self, want_x: list[bool], want_y: list[bool]) -> list[Gradients]:
        """Return the gradients (n, d) and (m, d) of each problem, those that are wanted.

        Those of a cloud against itself are halves of one gradient, and equal.
        """
        want_x = [
            first or (same and second)
            for first, second, same in zip(want_x, want_y, self._same, strict=True)
        ]
        want_y = [want and not same for want, same in zip(want_y, self._same, strict=True)]
        if self._squared and not self.options.sharp:
            pairs = self._squared_gradients(want_x, want_y)
        else:
            pairs = self._plan_gradients(want_x, want_y)
        for pair, same in zip(pairs, self._same, strict=True):
            if same:
                pair[1] = pair[0]
        return pairs

    def _squared_gradients(self, want_x: list[bool], want_y: list[bool]) -> list[Gradients]:
        """``2 a_i (x_i - sum_j P_ij y_j / a_i)``, and the same for y, from normalised plans."""
        result, kernel = self.result, self.result.kernel
        log_kernel = kernel.log_kernel
        assert isinstance(log_kernel, SquaredDistances)
        (left, right), unit = log_kernel.clouds(), log_kernel.unit
        # Of the first problems, up to the last that is wanted.
        each = math.prod(self._batch)
        n_x, n_y = (
            each * max((k + 1 for k, w in enumerate(want) if w), default=0)
            for want in (want_x, want_y)
        )
        rows, columns = self.apart(result.rows.mT), self.apart(result.columns.mT)
        above, below = kernel.moments(
            result.w[:n_x].mT * right[:n_x] if n_x else None,
            (kernel.a[:n_y] / result.rows[:n_y]).mT * left[:n_y] if n_y else None,
        )
        pairs: list[Gradients] = [[None, None] for _ in self._pairs]
        for k, (u, v) in enumerate(self._pairs):
            shift, here = (u.centre - v.centre)[..., None, :], slice(k * each, (k + 1) * each)
            # In place: fresh memory costs more than what is written to it.
            if want_x[k] and above is not None:
                gradient = u.points + shift
                gradient -= above[here].reshape(u.points.shape) / (rows[k] * unit)
                gradient *= (2 * u.weights)[..., None]
                pairs[k][0] = gradient
            if want_y[k] and below is not None:
                gradient = v.points - shift
                gradient -= below[here].reshape(v.points.shape) / (columns[k] * unit)
                gradient *= (2 * v.weights)[..., None]
                pairs[k][1] = gradient
        return pairs

    def _plan_gradients(self, want_x: list[bool], want_y: list[bool]) -> list[Gradients]:
        """The gradients of ``sum_ij P_ij C_ij``, block by block, for any cost."""
        ground = self.options.ground
        result, kernel = self.result, self.result.kernel
        pairs: list[Gradients] = []
        left, right = as_tensor(kernel.a / result.rows), as_tensor(result.w)
        exact = as_tensor(kernel.b / result.columns)
        for k, (u, v) in enumerate(self._pairs):
            x, y = as_tensor(u.points + (u.centre - v.centre)), as_tensor(v.points)
            if self.options.sharp:
                sensitivity, *_ = self._sensitivities[k]
                grad_x, grad_y = ground.gradients(x, y, sensitivity, sensitivity)
                assert grad_x is not None and grad_y is not None
                if self._same[k]:
                    grad_x = (grad_x + grad_y) / 2
                pairs.append([as_array(grad_x), as_array(grad_y)])
                continue
            grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
            for rows, block in kernel.blocks():
                scaled = left[k, :, rows].mT * as_tensor(block)[k]
                above, below = ground.gradients(
                    x[rows],
                    y,
                    (scaled * right[k]).to(x.dtype) if want_x[k] else None,
                    (scaled * exact[k]).to(x.dtype) if want_y[k] else None,
                )
                if above is not None:
                    grad_x[rows] = above
                if below is not None:
                    grad_y += below
            sums = (kernel.shards.sum(as_array(gradient)) for gradient in (grad_x, grad_y))
            pairs.append(list(sums))
        return pairs

    @cached_property
    def _sensitivities(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        epsilon = self.options.epsilon
        return [
            sharp_sensitivity(plan, cost, epsilon)
            for plan, cost in zip(self._plans, self._costs, strict=True)
        ]

    @cached_property
    def _plans(self) -> Tensor:
        return self.result.plan()

    @cached_property
    def _costs(self) -> Tensor:
        """Costs (B, n, m); between centred clouds, if squared, to be exact for clouds far apart."""
        ground = self.options.ground
        if not self._squared:
            return torch.stack([cost_between(u, v) for u, v in self._pairs])
        return torch.stack(
            [ground.costs(as_tensor(u.points), as_tensor(v.points)) for u, v in self._pairs]
        )
