"""A slow and exact solver of entropic transport, which shares nothing with the package."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch


def _powers(x, y, p):
    """Cost by plain differences: no product that could cancel."""
    return torch.cdist(x, y, p=p, compute_mode="donot_use_mm_for_euclid_dist").pow(p)


def _potential(cost, weights, other, epsilon):
    """Sinkhorn update of the potential of the columns."""
    exponent = (other[:, None] - cost) / epsilon + weights.log()[:, None]
    return -epsilon * torch.logsumexp(exponent, 0)


def _solve(cost, a, b, epsilon, tol):
    """Plan of float64 Sinkhorn in the log domain, annealed; Newton steps where that is slow.

    The Newton steps are of the semi-dual ``<a, f> + <b, g(f)>``, damped as by Levenberg, so that
    a plan that falls into pieces is no obstacle.
    """
    f = torch.zeros_like(a)
    level = max(float(cost.max()), epsilon)
    symmetric = cost.shape[0] == cost.shape[1] and torch.equal(cost, cost.T) and torch.equal(a, b)

    def state(f):
        g = _potential(cost, a, f, level)
        plan = a[:, None] * b * ((f[:, None] + g - cost) / level).exp()
        residual = a - plan.sum(1)
        return g, plan, residual, float(residual.abs().sum()), float(a @ f + b @ g)

    while True:
        last = level == epsilon
        damping, goal = 1e-3, tol if last else 1e-2
        for step in range(2000):
            g, plan, residual, violation, value = state(f)
            if violation < goal:
                break
            update = _potential(cost.T, b, g, level)
            f = (f + _potential(cost, a, f, level)) / 2 if symmetric else update
            if step < (20 if last else 5):
                continue
            g, plan, residual, violation, value = state(f)
            hessian = plan.sum(1).diag() - (plan / b) @ plan.T + torch.outer(a, a)
            while damping < 1e6:
                move = torch.linalg.solve(hessian + damping * a.diag(), level * residual)
                after = state(f + move)
                if after[4] >= value - 1e-15 * abs(value) and after[3] < 10 * violation:
                    f, damping = f + move, max(damping / 10, 1e-12)
                    break
                damping *= 10
            else:
                damping = 1.0
        if last:
            assert violation < tol, f"the reference is not converged: {violation:.1e}"
            return f, g, plan
        level = max(epsilon, level / 2)


def _term(x, y, a, b, epsilon, p, tol):
    """OT_eps, its gradients with respect to x and y, and the sharp value."""
    keep_a, keep_b = a > 0, b > 0
    cost = _powers(x[keep_a], y[keep_b], p)
    # Minima of rows and columns go into the potentials: the rest is small between far clouds.
    low_f = cost.amin(1)
    low_g = (cost - low_f[:, None]).amin(0)
    reduced = cost - low_f[:, None] - low_g
    f, g, kept = _solve(reduced, a[keep_a], b[keep_b], epsilon, tol)
    plan = torch.zeros(len(x), len(y), dtype=torch.float64)
    plan[np.ix_(keep_a, keep_b)] = kept
    # By the dual, whose error is of the square of the violation.
    value = a[keep_a] @ (f + low_f) + b[keep_b] @ (g + low_g)
    if p == 2:
        x, y = x - y.mean(0), y - y.mean(0)
        grad_x = 2 * (plan.sum(1)[:, None] * x - plan @ y)
        grad_y = 2 * (plan.sum(0)[:, None] * y - plan.T @ x)
        return value, grad_x, grad_y, (kept * cost).sum()
    grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
    for i, point in enumerate(x):
        slope = p * (point - y).sign() * (point - y).abs().pow(p - 1)
        grad_x[i] = plan[i] @ slope
        grad_y -= plan[i][:, None] * slope
    return value, grad_x, grad_y, (kept * cost).sum()


def _uniform(cloud):
    return torch.full((len(cloud),), 1 / len(cloud), dtype=torch.float64)


def _terms(debias, n, m):
    """(cloud, rows) against (cloud, rows), with a coefficient."""
    x, y = ("x", slice(n)), ("y", slice(m))
    if debias == "none":
        return [(x, y, 1.0)]
    if debias == "paired":
        return [(x, y, 1.0), (x, x, -0.5), (y, y, -0.5)]
    x, y = (
        [(name, slice(max(size // 2, 1))), (name, slice(size // 2, size))]
        for name, size in (("x", n), ("y", m))
    )
    cross = [(u, v, 0.25) for u in x for v in y]
    return [*cross, (*x, -0.5), (*y, -0.5)]


def _reference(x, y, *, epsilon, a=None, b=None, p=2, relative=True, debias="paired", tol=1e-9):
    points = {"x": x.detach().double(), "y": y.detach().double()}
    weights = {
        name: _uniform(points[name]) if given is None else given.double() / given.double().sum()
        for name, given in (("x", a), ("y", b))
    }
    mean = float(weights["x"] @ _powers(points["x"], points["y"], p) @ weights["y"])
    epsilon = epsilon * mean if relative else epsilon
    value, sharp = 0.0, 0.0
    gradients = {name: torch.zeros_like(cloud) for name, cloud in points.items()}
    for (left, rows), (right, columns), coefficient in _terms(debias, len(x), len(y)):
        u, v = weights[left][rows], weights[right][columns]
        term, grad_left, grad_right, linear = _term(
            points[left][rows], points[right][columns], u / u.sum(), v / v.sum(), epsilon, p, tol
        )
        value += coefficient * float(term)
        sharp += coefficient * float(linear)
        gradients[left][rows] += coefficient * grad_left
        gradients[right][columns] += coefficient * grad_right
    return SimpleNamespace(
        value=value,
        sharp=sharp,
        grad_x=gradients["x"],
        grad_y=gradients["y"],
        mean=mean,
        epsilon=epsilon,
    )


@pytest.fixture(scope="session")
def reference():
    """The Sinkhorn divergence in float64, converged: value, gradients, mean cost, epsilon."""
    return _reference
