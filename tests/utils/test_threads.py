"""Torch has as many threads as work is worth, and afterwards what it had."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

import skotae
from skotae.utils import _threads
from skotae.utils._threads import GRAIN, limited, threads_for, work_of
from skotae.utils._torch import ambient

X = np.random.default_rng(0).normal(size=(300, 6))


@pytest.fixture(autouse=True)
def eight():
    """Asked for, however many cores there are; the fixture of all tests sees that it stays."""
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    assert torch.get_num_threads() == 8 == in_a_new_thread(torch.get_num_threads)
    torch.set_num_threads(before)


def in_a_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    "work, number", [(0, 1), (GRAIN, 1), (2 * GRAIN, 2), (7.9 * GRAIN, 7), (1e15, 8)]
)
def test_number_grows_with_the_work_up_to_what_is_asked_for(work, number):
    with threads_for(work):
        assert torch.get_num_threads() == number
    assert torch.get_num_threads() == 8


def test_it_is_put_back_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for(0):
        _ = 1 / 0
    assert torch.get_num_threads() == 8


def test_work_within_work():
    with ambient():
        assert torch.get_num_threads() == 1
        with threads_for(1e15):
            assert torch.get_num_threads() == 8
            with threads_for(3 * GRAIN):
                assert torch.get_num_threads() == 3
            assert torch.get_num_threads() == 8
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("works", [(0, 0), (0, 1e15), (1e15, 0), (2 * GRAIN, 3 * GRAIN)])
@pytest.mark.parametrize("first", [0, 1])
def test_threads_that_work_at_once(works, first):
    """Each has its own number; whoever goes last, all have afterwards what they had."""
    inside = [threading.Event() for _ in works]
    leave = [threading.Event() for _ in works]
    seen, failed = {}, []

    def work(i):
        try:
            before = torch.get_num_threads() if i == 0 else None
            with threads_for(works[i]):
                inside[i].set()
                leave[i].wait(20)
                seen[i] = torch.get_num_threads()
            assert torch.get_num_threads() == 8 and before in (None, 8)
        except BaseException as error:
            failed.append(error)

    workers = []
    for i in range(2):
        workers.append(threading.Thread(target=work, args=(i,)))
        workers[i].start()
        assert inside[i].wait(20)
    for i in (first, 1 - first):
        leave[i].set()
        workers[i].join(20)
    assert not failed
    assert [seen[0], seen[1]] == [min(8, max(1, int(each / GRAIN))) for each in works]


@pytest.mark.moves_torch_rng
def test_work_is_that_of_the_large_layers():
    model = nn.Sequential(nn.Linear(100, 1000, bias=False), nn.Linear(1000, 2, bias=False))
    assert 1.9e5 < work_of(model, 100) < 2e5
    assert work_of(nn.Conv2d(1, 8, 4, bias=False), 28 * 28) == 2 * 8 * 16 * 49
    table = nn.Identity()
    table.register_buffer("bank", torch.ones(50, 100))
    table.register_buffer("values", torch.ones(1000))
    assert work_of(table, 100) == 2 * 50 * 100
    assert work_of(nn.Identity(), 5) == 0


def test_a_method_of_an_object():
    class Worker:
        work = 2 * GRAIN

        @limited
        def number(self, *, times):
            return times * torch.get_num_threads()

    assert Worker().number(times=10) == 20


CALLS = {
    "fit": lambda model: model.fit(X),
    "partial_fit": lambda model: model.partial_fit(X),
    "transform": lambda model: model.transform(X),
    "inverse_transform": lambda model: model.inverse_transform(np.zeros((300, 2))),
    "score": lambda model: model.score(X),
    "sample": lambda model: model.sample(300),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("grain, number", [(GRAIN, 1), (1e-3, 8)])
def test_estimators_choose(monkeypatch, name, grain, number):
    monkeypatch.setattr(_threads, "GRAIN", grain)
    parameters = {"hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
    model, seen = skotae.VAE(n_components=2, **parameters).fit(X), set()
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda *_: seen.add(torch.get_num_threads())
    )
    try:
        CALLS[name](model)
    finally:
        hook.remove()
    # What a fit begins with has one.
    assert number in seen and seen <= {number} | ({1} if "fit" in name else set())


FORKS = """
import os, sys, time, warnings
import numpy as np, torch
import skotae
warnings.simplefilter("ignore")
assert torch.get_num_threads() == 2
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 40)).astype("float32")
large = torch.randn(600, 600)
_ = large @ large, large.exp()  # threads there are
parameters = {"n_components": 2, "max_iter": 1, "random_state": 0}
model = skotae.SinkhornAE(hidden_layer_sizes=(700, 700), batch_size=1000, **parameters).fit(X)
expected = model.transform(X)
pid = os.fork()
if pid == 0:
    code = 1
    try:
        np.testing.assert_allclose(model.transform(X), expected, rtol=1e-3, atol=1e-4)
        model.score(X), model.sample(300), model.reconstruct(X)
        model.set_params(hidden_layer_sizes=(600,)).fit(X)
        assert torch.get_num_threads() == 2
        code = 0
    finally:
        os._exit(code)
until = time.monotonic() + 150
while time.monotonic() < until:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(pid, 9)
sys.exit("the child hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works():
    """Threads of the parent are not there, and torch would wait for them for ever."""
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKS], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
