"""Plain references for unbalanced transport."""

import torch

from skotae.transport import unbalanced_sinkhorn_divergence

TIGHT = {"tol": 1e-10, "max_iter": 5000}
ABSOLUTE = {"relative": False, **TIGHT}


def clouds(n=12, m=9, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, 0.7 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 0.4


def random_masses(n, seed, total=1.0):
    generator = torch.Generator().manual_seed(seed)
    masses = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    return masses * (total / masses.sum())


def uniform(n):
    return torch.full((n,), 1 / n, dtype=torch.float64)


def cost(x, y, p=2):
    return (x[:, None] - y).abs().pow(p).sum(2)


def kl(p, q):
    return torch.special.xlogy(p, p / q).sum() - p.sum() + q.sum()


def primal(plan, matrix, a, b, epsilon, rho):
    marginals = kl(plan.sum(1), a) + kl(plan.sum(0), b)
    return (plan * matrix).sum() + rho * marginals + epsilon * kl(plan, torch.outer(a, b))


def optimal(x, y, a, b, epsilon, rho, p=2):
    """Value and plan: plain damped iterations, then Newton steps on the dual, all in float64."""
    matrix, damping, n = cost(x, y, p), rho / (rho + epsilon), len(a)
    f, g = torch.zeros_like(a), torch.full_like(b, rho / 2 * torch.log(b.sum() / a.sum()))
    for _ in range(100):
        f = -damping * epsilon * torch.logsumexp((g - matrix) / epsilon + b.log(), 1)
        g = -damping * epsilon * torch.logsumexp((f[:, None] - matrix).T / epsilon + a.log(), 1)

    def plan(z):
        return a[:, None] * b * ((z[:n, None] + z[n:] - matrix) / epsilon).exp()

    z, masses = torch.cat([f, g]), torch.cat([a, b])
    for _ in range(200):
        current, asked = plan(z), masses * (-z / rho).exp()
        residual = asked - torch.cat([current.sum(1), current.sum(0)])
        if residual.abs().sum() < 1e-14:
            break
        hessian = (asked / rho + (asked - residual) / epsilon).diag()
        hessian[:n, n:] = current / epsilon
        hessian[n:, :n] = current.T / epsilon
        z = z + torch.linalg.solve(hessian, residual).clamp(-epsilon, epsilon)
    assert residual.abs().sum() < 1e-11
    return primal(plan(z), matrix, a, b, epsilon, rho).item(), plan(z)


def divergence(x, y, a, b, epsilon, rho, p=2):
    own = optimal(x, x, a, a, epsilon, rho, p)[0] + optimal(y, y, b, b, epsilon, rho, p)[0]
    mass = epsilon * (a.sum() - b.sum()).item() ** 2 / 2
    return optimal(x, y, a, b, epsilon, rho, p)[0] - own / 2 + mass


def value(x, y, debias="none", **options):
    return unbalanced_sinkhorn_divergence(x, y, debias=debias, **{**ABSOLUTE, **options}).item()
