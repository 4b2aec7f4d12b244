"""Settings and fixtures of all tests."""

import gc
import itertools
import multiprocessing
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


# In a process of its own: what it writes into a file, and the arguments of the script.
PREPARED = """
import os, runpy, sys
output = os.open({output!r}, os.O_CREAT | os.O_WRONLY)
os.dup2(output, 1), os.dup2(output, 2)
sys.argv = {command!r}
"""


class Child:
    """A process that runs code, and what it has written.

    Parameters
    ----------
    context : multiprocessing context
    code : str
    command : list of str
        What the code finds as ``sys.argv``.
    output : path
    """

    def __init__(self, context, code, command, output):
        self._output = output
        prepared = PREPARED.format(output=str(output), command=[*map(str, command)])
        self._process = context.Process(target=exec, args=(prepared + code, {}))
        self._process.start()

    def finish(self, seconds=240):
        """The exit code and what was written, as text, of a process that ends in time."""
        self._process.join(seconds)
        if (code := self._process.exitcode) is None:
            self._process.kill()
        text = self._output.read_text() if self._output.exists() else ""
        assert code is not None, f"the process hangs: {text[-2000:]}"
        return code, text


@pytest.fixture(scope="session")
def start_process(tmp_path_factory):
    """Runs a script with arguments, or code, in another process.

    Such processes are forks of one that has nothing but imported the package, which takes longer
    than most of them do; where there is no fork, they are new interpreters.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        # The second is what torch imports where the first optimiser is made.
        context.set_forkserver_preload(["skotae", "torch._dynamo"])
    else:
        context = multiprocessing.get_context("spawn")
    folder, numbers = tmp_path_factory.mktemp("processes"), itertools.count()

    def start(*command, code="runpy.run_path(sys.argv[0], run_name='__main__')"):
        return Child(context, code, command, folder / f"{next(numbers)}.txt")

    return start


@pytest.fixture(scope="session")
def mnist():
    """MNIST, where the environment variable SKOTAE_DATA names the folder it lies in."""
    if not os.environ.get("SKOTAE_DATA"):
        pytest.skip("needs MNIST: set SKOTAE_DATA to the folder of mnist.npz")
    return fetch_mnist()
