"""Memory that problems take turns in does not outlive them.

Kernels of more than 2 ** 16 entries are written into memory that the next problem of the thread
uses again. Whatever is handed out must be what it was after that.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skotae.transport import (
    sinkhorn_cost,
    sinkhorn_divergence,
    sinkhorn_plan,
    sinkhorn_potentials,
    unbalanced_sinkhorn_divergence,
)
from skotae.transport.entropic.arrays import as_array
from skotae.transport.entropic.balanced import Problems
from skotae.transport.entropic.clouds import Cloud
from skotae.transport.entropic.kernel import Kernel
from skotae.transport.entropic.log_kernel import Matrix
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.solutions import of_clouds, of_cost
from skotae.transport.ground import Ground

N, M = 290, 270
OPTIONS = Options(epsilon=0.05, relative=True, tol=1e-3, max_iter=1000)


def clouds(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, 3, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(M, 3, generator=generator, dtype=torch.float64) + seed
    return x.to(dtype), y.to(dtype)


def cost(seed):
    x, y = clouds(seed)
    return (x[:, None] - y).square().sum(2)


def kept(tensor):
    return tensor.detach().clone()


def divergence(seed, function=sinkhorn_divergence, **options):
    """A value that is at hand, and its gradients that are yet to be read."""
    inputs = tuple(cloud.requires_grad_() for cloud in clouds(seed))
    value = function(*inputs, **options)
    return lambda: (value, *torch.autograd.grad(value, inputs, retain_graph=True))


def of_matrix(seed, **options):
    matrix = cost(seed).requires_grad_()
    value = sinkhorn_cost(matrix, **options)
    return lambda: (value, *torch.autograd.grad(value, matrix, retain_graph=True))


def at_hand(*tensors):
    return lambda: tensors


def solution(solver, *inputs):
    solved = solver(*inputs, None, None, OPTIONS, plan=True)
    return lambda: (solved.plan, solved.f, solved.g)


# Each solves a problem, of one shape, and returns what reads the result.
PROBLEMS = {
    "divergence": divergence,
    "independent": lambda seed: divergence(seed, debias="independent"),
    "sharp": lambda seed: divergence(seed, sharp=True),
    "cityblock": lambda seed: divergence(seed, p=1),
    "in blocks": lambda seed: divergence(seed, max_memory=0.2),
    "unbalanced": lambda seed: divergence(
        seed, unbalanced_sinkhorn_divergence, debias="none", tol=1e-3
    ),
    "cost": of_matrix,
    "sharp cost": lambda seed: of_matrix(seed, sharp=True),
    "plan": lambda seed: at_hand(sinkhorn_plan(*clouds(seed, torch.float64))),
    "plan of a cost": lambda seed: at_hand(sinkhorn_plan(cost=cost(seed))),
    "potentials": lambda seed: at_hand(*sinkhorn_potentials(*clouds(seed, torch.float64))[:2]),
    "solution of clouds": lambda seed: solution(of_clouds, *clouds(seed)),
    "solution of a cost": lambda seed: solution(of_cost, cost(seed)),
}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]


def test_the_next_problem_changes_nothing(problem):
    read = problem(0)
    before = [kept(tensor) for tensor in read()]
    problem(1)
    torch.testing.assert_close([kept(tensor) for tensor in read()], before, rtol=0, atol=0)


def test_first_read_after_the_next_problem(problem):
    expected = [kept(tensor) for tensor in problem(0)()]
    read = problem(0)
    problem(1)
    torch.testing.assert_close([kept(tensor) for tensor in read()], expected, rtol=0, atol=0)


def test_read_in_another_thread(problem):
    expected = [[kept(tensor) for tensor in problem(seed)()] for seed in range(2)]

    def solved(seed):
        read = problem(seed)
        problem(1 - seed)
        return read

    with ThreadPoolExecutor(2) as pool:
        reads = [*pool.map(solved, (0, 1) * 3)]
    problem(2)
    with ThreadPoolExecutor(2) as pool:
        found = [*pool.map(lambda read: [kept(tensor) for tensor in read()], reads)]
    torch.testing.assert_close(found, expected * 3, rtol=0, atol=0)


def kernel_of(seed):
    weights = (torch.full((1, 1, k), 1 / k, dtype=torch.float64) for k in (N, M))
    log_kernel = Matrix(-cost(seed).double()[None], torch.float64)
    kernel = Kernel(log_kernel, *map(as_array, weights), OPTIONS, [False])
    kernel.absorb(None, None)
    return kernel


READS = {
    "step": lambda kernel: kernel.step(kernel.b),
    "moments": lambda kernel: kernel.moments(kernel.b.mT, kernel.a.mT),
    "blocks": lambda kernel: [block for _, block in kernel.blocks()],
}


@pytest.fixture(params=READS)
def read(request):
    return lambda kernel: [torch.as_tensor(part).clone() for part in READS[request.param](kernel)]


def test_kernels_take_turns(read):
    """One whose turn in the memory is over makes itself again."""
    expected = read(kernel_of(0)), read(kernel_of(1))
    first, second = kernel_of(0), kernel_of(1)
    for _ in range(2):
        torch.testing.assert_close((read(first), read(second)), expected, rtol=0, atol=0)


def test_kernels_in_another_thread(read):
    """One that another thread has made is not read from the memory of that thread."""
    expected = read(kernel_of(0))
    with ThreadPoolExecutor(1) as pool:
        kernel = pool.submit(kernel_of, 0).result()
        own = read(kernel_of(1))
        pool.submit(kernel_of, 2).result()
        torch.testing.assert_close(read(kernel), expected, rtol=0, atol=0)
        torch.testing.assert_close(read(kernel_of(1)), own, rtol=0, atol=0)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_of_problems_after_the_next(p):
    posed = {"epsilon": 1.0, "relative": False, "tol": 1e-3, "max_iter": 1000}
    options = Options(**posed, ground=Ground(p), max_bytes=2.0**20)

    def problems(seed):
        x, y = (Cloud(as_array(cloud, torch.float64)) for cloud in clouds(seed))
        return Problems([x], [y], torch.float32, options)

    expected = problems(0).gradients([True], [True])
    first = problems(0)
    problems(1)
    for got, want in zip(first.gradients([True], [True])[0], expected[0], strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0)
