"""Devices, dtypes and random state."""

import contextlib
import os
import random
import signal
import time
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import torch
from torch import nn

from skotae.utils._random import (
    GlobalStream,
    borrowed_global_generator,
    draw_seed,
    make_generator,
)
from skotae.utils._torch import ambient, module_in, resolve_device

# Devices.


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "cpu:0"])
def test_a_device_is_taken_as_it_is(device):
    assert resolve_device(device).type == "cpu"


def test_auto_is_a_device_that_works(monkeypatch):
    monkeypatch.delenv("SKOTAE_DEVICE", raising=False)
    assert torch.zeros(1, device=resolve_device("auto")).sum() == 0


def test_auto_follows_the_environment(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "cpu")
    assert resolve_device("auto") == torch.device("cpu")


def test_an_explicit_device_overrides_the_environment(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "nonsense")
    assert resolve_device("cpu") == torch.device("cpu")


def test_an_empty_environment_variable_is_none(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "")
    assert isinstance(resolve_device("auto"), torch.device)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 1.5])
def test_an_unknown_device_is_named(device):
    with pytest.raises(ValueError, match=f"device={device!r} is not a device of this machine"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_an_unknown_device_in_the_environment_is_named(monkeypatch, device):
    monkeypatch.setenv("SKOTAE_DEVICE", device)
    with pytest.raises(ValueError, match=f"SKOTAE_DEVICE='{device}' is not a device"):
        resolve_device("auto")


def test_the_meta_device_is_refused():
    with pytest.raises(ValueError, match="device='meta' holds no data"):
        resolve_device("meta")


# Modules.


def _linear():
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(2, 2)


def test_a_module_of_the_dtype_is_itself():
    module = _linear()
    assert module_in(module, torch.float32) is module


def test_a_module_of_another_dtype_is_copied():
    module = _linear()
    wide = module_in(module, torch.float64)
    assert wide.weight.dtype == torch.float64 and module.weight.dtype == torch.float32


def test_a_module_without_weights_is_itself():
    module = nn.ReLU()
    assert module_in(module, torch.float64) is module


def test_a_module_of_buffers_alone_takes_the_dtype():
    module = nn.BatchNorm1d(2, affine=False).eval()
    x = torch.zeros(3, 2, dtype=torch.float64)
    assert module_in(module, torch.float64)(x).dtype == torch.float64


# Randomness.


def test_a_seed_stands_for_itself():
    assert draw_seed(3) == draw_seed(3) != draw_seed(4)


def test_a_random_state_moves_on():
    rng = np.random.RandomState(0)
    assert draw_seed(rng) != draw_seed(rng)


def test_a_seed_is_a_python_int():
    assert type(draw_seed(None)) is int


def test_generators_of_a_seed_agree():
    first, second = (torch.rand(3, generator=make_generator(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_borrowing_seeds_the_global_generator():
    with borrowed_global_generator(5):
        drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=make_generator(5)))


def test_borrowing_restores_the_state():
    state = torch.get_rng_state()
    with borrowed_global_generator(5):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_borrowing_restores_the_state_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), borrowed_global_generator(5):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_borrowing_leaves_the_other_generators_alone():
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with borrowed_global_generator(5):
        torch.rand(3)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_borrowing_nests():
    with borrowed_global_generator(5):
        expected = torch.rand(2), torch.rand(2)
    with borrowed_global_generator(5):
        first = torch.rand(2)
        with borrowed_global_generator(6):
            torch.rand(7)
        second = torch.rand(2)
    assert torch.equal(first, expected[0]) and torch.equal(second, expected[1])


def test_threads_borrow_one_after_the_other():
    def draw(seed, results):
        with borrowed_global_generator(seed):
            results[seed] = torch.stack([torch.rand(50) for _ in range(50)])

    serial, threaded = {}, {}
    for seed in range(6):
        draw(seed, serial)
    threads = [Thread(target=draw, args=(seed, threaded)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(serial[seed], threaded[seed]) for seed in range(6))


# A stream of the global generator.


def test_a_stream_goes_on_where_it_was_left():
    with borrowed_global_generator(5):
        expected = torch.rand(6)
    stream, drawn = GlobalStream(5), []
    for _ in range(3):
        with stream.borrowed():
            drawn.append(torch.rand(2))
        torch.rand(3, generator=make_generator(0))
    assert torch.equal(torch.cat(drawn), expected)


def test_a_stream_leaves_the_global_generator_alone():
    state, stream = torch.get_rng_state(), GlobalStream(5)
    with stream.borrowed():
        torch.rand(3)
    with pytest.raises(KeyError), stream.borrowed():
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_a_stream_counts_what_was_drawn_before_an_error():
    with borrowed_global_generator(5):
        _, expected = torch.rand(2), torch.rand(2)
    stream = GlobalStream(5)
    with contextlib.suppress(KeyError), stream.borrowed():
        torch.rand(2)
        raise KeyError
    with stream.borrowed():
        assert torch.equal(torch.rand(2), expected)


def test_streams_nest():
    outer, inner = GlobalStream(5), GlobalStream(6)
    with outer.borrowed():
        first = torch.rand(2)
        with inner.borrowed():
            other = torch.rand(2)
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), torch.rand(4, generator=make_generator(5)))
    assert torch.equal(other, torch.rand(2, generator=make_generator(6)))


def test_a_stream_is_handed_over_by_its_states():
    first, second = GlobalStream(5), GlobalStream(6)
    with first.borrowed():
        torch.rand(7)
    second.states = [state.clone() for state in first.states]
    drawn = []
    for stream in (first, second):
        with stream.borrowed():
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)


def test_threads_with_streams_of_their_own_do_not_mix():
    def draw(seed, results):
        stream, drawn = GlobalStream(seed), []
        for _ in range(50):
            with stream.borrowed():
                drawn.append(torch.rand(20))
        results[seed] = torch.cat(drawn)

    results = {}
    threads = [Thread(target=draw, args=(seed, results)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert torch.equal(results[seed], torch.rand(1000, generator=make_generator(seed)))


# A process that is forked while others are at work.


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


# What the user has set in torch.


def settings():
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device().type,
    }


PLAIN = {
    "gradients": False,
    "inference": False,
    "autocast": False,
    "dtype": torch.float32,
    "device": "cpu",
}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS = {
    "nothing": contextlib.nullcontext,
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta device": lambda: torch.device("meta"),
}
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@each_setting
@pytest.mark.parametrize("gradients", [False, True])
def test_ambient_is_plain_and_puts_everything_back(setting, gradients):
    with setting():
        before = settings()
        with ambient(gradients=gradients):
            assert settings() == {**PLAIN, "gradients": gradients}
            assert torch.zeros(2).dtype == torch.float32 and torch.zeros(2).device.type == "cpu"
        assert settings() == before


@each_setting
def test_ambient_puts_everything_back_after_an_error(setting):
    with setting():
        before = settings()
        with pytest.raises(KeyError), ambient():
            raise KeyError
        assert settings() == before


def test_all_settings_at_once():
    with contextlib.ExitStack() as stack:
        for setting in SETTINGS.values():
            stack.enter_context(setting())
        before = settings()
        with ambient(gradients=True):
            assert settings() == {**PLAIN, "gradients": True}
            x = torch.ones(2, requires_grad=True)
            x.sum().backward()
        assert settings() == before
    assert x.grad.tolist() == [1.0, 1.0]


@each_setting
def test_ambient_nests(setting):
    with setting():
        before = settings()
        with ambient(gradients=True):
            with ambient():
                assert settings() == PLAIN
            assert settings() == {**PLAIN, "gradients": True}
            with SETTINGS["inference mode"](), ambient(gradients=True):
                assert settings() == {**PLAIN, "gradients": True}
        assert settings() == before


def test_a_decorated_function_is_plain_each_time():
    @ambient(gradients=True)
    def inside():
        return settings()

    for setting in SETTINGS.values():
        with setting():
            before = settings()
            assert inside() == {**PLAIN, "gradients": True}
            assert settings() == before


@pytest.mark.parametrize("last", [0, 1])
def test_the_last_of_two_threads_puts_the_default_dtype_back(last):
    """It belongs to the process: while one thread is inside, it is plain for both."""
    entered, leave, seen = Barrier(3), [Event(), Event()], {}

    def work(i):
        with ambient():
            entered.wait(60)
            leave[i].wait(60)
            seen[i] = torch.get_default_dtype()

    with default_dtype(torch.float64):
        threads = [Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        entered.wait(60)
        for i in (1 - last, last):
            assert torch.get_default_dtype() == torch.float32
            leave[i].set()
            threads[i].join()
        assert torch.get_default_dtype() == torch.float64
    assert seen == {0: torch.float32, 1: torch.float32}
