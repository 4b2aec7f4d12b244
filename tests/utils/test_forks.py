"""A process that is forked while others are at work."""

import contextlib
import os
import signal
import time
from threading import Event, Thread

import pytest
import torch
from torch import nn

from skotae.utils._random import (
    borrowed_global_generator,
)
from skotae.utils._torch import ambient


def exit_code_of_a_fork(function, seconds=20):
    """0 if `function` returns in a fork of this process, None if it does not in time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(2 * seconds)
            function()
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@contextlib.contextmanager
def held_in_a_thread(context):
    """A thread is inside of `context` meanwhile."""
    inside, done = Event(), Event()

    def hold():
        with context:
            inside.set()
            done.wait(60)

    thread = Thread(target=hold)
    thread.start()
    inside.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


def build():
    with borrowed_global_generator(5):
        nn.Linear(2, 2)


def infer():
    with ambient():
        assert torch.zeros(()).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_builds_while_a_thread_holds_the_generator():
    build()
    with held_in_a_thread(borrowed_global_generator(0)):
        assert exit_code_of_a_fork(build) == 0
    build()


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_infers_while_a_thread_does():
    with held_in_a_thread(ambient()):
        assert exit_code_of_a_fork(infer) == 0
    infer()
