"""Settings and fixtures of all tests."""

import gc
import os

# Before anything imports scikit-learn: its array API checks run only with this, and are
# skipped without a word otherwise.
os.environ["SCIPY_ARRAY_API"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
# Networks and clouds this small are faster on one thread, sums come out in one order, and
# pytest-xdist has a process for each core.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from skotae.datasets import fetch_mnist

torch.set_num_threads(1)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "moves_torch_rng: the test draws from torch's global generator on purpose"
    )


def pytest_sessionstart():
    gc.disable()


def pytest_collection_finish():
    # Ten thousand tests are a lot to look through, again and again, and are there to the end.
    gc.freeze()
    gc.enable()


def torch_globals():
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "number of threads": torch.get_num_threads(),
        "gradient mode": torch.is_grad_enabled(),
        "deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
    }


@pytest.fixture(autouse=True)
def steady_torch_globals(request):
    """Fail a test that leaves a global of torch other than it was."""
    before, state = torch_globals(), torch.get_rng_state()
    yield
    after, moved = torch_globals(), not torch.equal(state, torch.get_rng_state())
    # Put back first, so that one test fails and not all that follow.
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        torch.set_default_dtype(before["default dtype"])
        torch.set_num_threads(before["number of threads"])
        torch.set_grad_enabled(before["gradient mode"])
        torch.use_deterministic_algorithms(before["deterministic mode"])
        torch.autograd.set_detect_anomaly(before["anomaly mode"])
    # None, not the CPU: a device that is set, whichever, makes every call of torch slower.
    torch.set_default_device(None)
    torch.set_rng_state(state)
    assert not changed, f"the test changed torch's {', '.join(changed)}"
    assert not moved or request.node.get_closest_marker("moves_torch_rng"), (
        "the test moved torch's global random state; pass a generator, or mark it moves_torch_rng"
    )


@pytest.fixture(scope="session")
def mnist():
    """MNIST, where the environment variable SKOTAE_DATA names the folder it lies in."""
    if not os.environ.get("SKOTAE_DATA"):
        pytest.skip("needs MNIST: set SKOTAE_DATA to the folder of mnist.npz")
    return fetch_mnist()
