"""Batches of entropic problems between clouds: values, potentials and gradients."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from skotae.transport.base import cost_gradients, pairwise_cost
from skotae.transport.entropic.arrays import Array, as_array, as_tensor, concatenated
from skotae.transport.entropic.clouds import Cloud, cost_between
from skotae.transport.entropic.log_kernel import SquaredDistances, between
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.sharp import sharp_sensitivity
from skotae.transport.entropic.solve import solve

Gradients = list[Array | None]  # with respect to x and y, those that are wanted


class Problems:
    """Entropic problems of one shape, solved together.

    Parameters
    ----------
    x, y : list of Cloud
        Problem `k` is between ``x[k]`` and ``y[k]``.
    dtype : torch.dtype
        Of the kernel, to begin with.
    options : Options
        With an absolute epsilon.
    """

    def __init__(self, x: list[Cloud], y: list[Cloud], dtype: torch.dtype, options: Options):
        self.options = options
        self._pairs = list(zip(x, y, strict=True))
        self._same = [u is v for u, v in self._pairs]
        # Centring changes the potentials only: the shift returns in values and gradients.
        self._squared = options.p == 2
        log_kernel, depth = between(x, y, dtype, options)
        a = concatenated([u.weights[None, None] for u in x], 0)
        b = concatenated([v.weights[None, None] for v in y], 0)
        self.result = solve(log_kernel, a, b, options, depth=depth, symmetric=self._same)

    def values(self) -> list[float]:
        """Return the costs: of the dual problem, or of the plan where `sharp`."""
        result, bit = self.result, self.options.bit
        if self.options.sharp:
            values = (self._plans * self._costs).sum((1, 2)).tolist()
        else:
            values = [
                bit * float(u.weights @ result.f[k, 0] + v.weights @ result.g[k, 0])
                for k, (u, v) in enumerate(self._pairs)
            ]
        if self._squared:
            shifts = [u.centre - v.centre for u, v in self._pairs]
            return [value + float(s @ s) for value, s in zip(values, shifts, strict=True)]
        return values

    def potentials(self) -> list[tuple[Array, Array]]:
        """Return `f` (n,) and `g` (m,) of each problem, of the clouds where they are."""
        found, bit = [], self.options.bit
        for k, (u, v) in enumerate(self._pairs):
            f, g = self.result.f[k, 0] * bit, self.result.g[k, 0] * bit
            if self._squared:
                shift = u.centre - v.centre
                f, g = f + 2 * (u.points @ shift) + shift @ shift, g - 2 * (v.points @ shift)
            found.append((f, g))
        return found

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
        n_x, n_y = (
            max((k + 1 for k, w in enumerate(want) if w), default=0) for want in (want_x, want_y)
        )
        above, below = kernel.moments(
            result.w[:n_x].mT * right[:n_x] if n_x else None,
            (kernel.a[:n_y] / result.rows[:n_y]).mT * left[:n_y] if n_y else None,
        )
        pairs: list[Gradients] = [[None, None] for _ in self._pairs]
        for k, (u, v) in enumerate(self._pairs):
            shift = u.centre - v.centre
            if want_x[k] and above is not None:
                mean = above[k] / (result.rows[k].T * unit)
                pairs[k][0] = (2 * u.weights)[:, None] * (u.points + shift - mean)
            if want_y[k] and below is not None:
                mean = below[k] / (result.columns[k].T * unit)
                pairs[k][1] = (2 * v.weights)[:, None] * (v.points - shift - mean)
        return pairs

    def _plan_gradients(self, want_x: list[bool], want_y: list[bool]) -> list[Gradients]:
        """The gradients of ``sum_ij P_ij C_ij``, block by block, for any power."""
        p, epsilon = self.options.p, self.options.epsilon
        result, kernel = self.result, self.result.kernel
        pairs: list[Gradients] = []
        left, right = as_tensor(kernel.a / result.rows), as_tensor(result.w)
        exact = as_tensor(kernel.b / result.columns)
        for k, (u, v) in enumerate(self._pairs):
            x, y = as_tensor(u.points + (u.centre - v.centre)), as_tensor(v.points)
            if self.options.sharp:
                sensitivity = sharp_sensitivity(self._plans[k], self._costs[k], epsilon)
                grad_x, grad_y = cost_gradients(sensitivity, x, y, p)
                if self._same[k]:
                    grad_x = (grad_x + grad_y) / 2
                pairs.append([as_array(grad_x), as_array(grad_y)])
                continue
            grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
            for rows, block in kernel.blocks():
                scaled = left[k, :, rows].mT * as_tensor(block)[k]
                if want_x[k]:
                    plan = (scaled * right[k]).to(x.dtype)
                    grad_x[rows] = cost_gradients(plan, x[rows], y, p)[0]
                if want_y[k]:
                    plan = (scaled * exact[k]).to(x.dtype)
                    grad_y += cost_gradients(plan, x[rows], y, p)[1]
            sums = (kernel.shards.sum(as_array(gradient)) for gradient in (grad_x, grad_y))
            pairs.append(list(sums))
        return pairs

    @cached_property
    def _plans(self) -> Tensor:
        return self.result.plan()

    @cached_property
    def _costs(self) -> Tensor:
        """Costs (B, n, m); between centred clouds, if squared, to be exact for clouds far apart."""
        if not self._squared:
            return torch.stack([cost_between(u, v, self.options.p) for u, v in self._pairs])
        return torch.stack(
            [pairwise_cost(as_tensor(u.points), as_tensor(v.points)) for u, v in self._pairs]
        )
